package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"indelible/internal/config"
	"indelible/internal/outage"
	"indelible/internal/vitals"
	translog "indelible/log"
	"indelible/publication"
)

// publicationLag is how long the publication may lack the log's newest checkpoint
// before /readyz warns of it.
const publicationLag = time.Minute

// checkPublication finds what is wrong with the place to publish to. A folder must not
// hold what is private.
func checkPublication(v config.Values) error {
	place := v.Text("publish-to")
	if err := publication.Check(place); err != nil {
		return fmt.Errorf("--publish-to: %w", err)
	}
	if place == "" || publication.IsBucket(place) {
		return nil
	}
	for _, private := range privateFiles(v) {
		if within(place, private.path) {
			return fmt.Errorf("--publish-to %s holds %s (%s), which must not become public; give a directory of its own", place, private.what, private.path)
		}
	}
	return nil
}

// privateFile is a file or a folder, and what it is called in errors.
type privateFile struct{ what, path string }

// privateFiles are the files of this machine that hold what is secret.
func privateFiles(v config.Values) []privateFile {
	p := pathsOf(v)
	files := []privateFile{{"the data directory", p.dir}}
	for _, key := range []privateFile{{"the log's key", p.key}, {"the key of the Rekor v1 API", p.rekorV1}} {
		if !strings.Contains(key.path, "://") { // which is in a key management system
			files = append(files, key)
		}
	}
	for _, setting := range []string{"mldsa-key", "log-key-password-file", "rekor-v1-key-password-file", "mysql-dsn-file", "mysql-tls-key", "tls-key"} {
		if path := v.Text(setting); path != "" {
			files = append(files, privateFile{"the file of --" + setting, path})
		}
	}
	if file := v.File("mysql-dsn"); file != "" {
		files = append(files, privateFile{"the settings with the DSN", file})
	}
	if dsn, ok := strings.CutPrefix(v.Text("register"), "mysql:"); ok {
		files = append(files, privateFile{"the register's DSN", dsn})
	}
	return files
}

// within reports whether a path is a folder or in it.
func within(folder, path string) bool {
	rel, err := filepath.Rel(resolved(folder), resolved(path))
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// resolved is a path without symbolic links, where what it names is there.
func resolved(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return path
}

// leading has the events note whether this replica made the log's newest checkpoint.
func leading(e *translog.Events) func() bool {
	var lead atomic.Bool
	published, followed := e.Published, e.Followed
	e.Published = func(size, entries int64, took time.Duration) {
		lead.Store(true)
		published(size, entries, took)
	}
	e.Followed = func(size int64) {
		lead.Store(false)
		followed(size)
	}
	return lead.Load
}

// mending has the events tell of files at --publish-to that are not what was logged.
func mending(e *translog.Events, metrics *prometheus.Registry, logger *slog.Logger) {
	mended := prometheus.NewCounter(prometheus.CounterOpts{Name: "indelible_publication_mended_total", Help: "Files at --publish-to that were not what was logged, and that were written again."})
	metrics.MustRegister(mended)
	fails := outage.New(logger)
	e.Mended = func(path string, err error) {
		if errors.Is(err, publication.ErrLater) {
			return
		}
		fails.Step("write a damaged file of --publish-to again", err)
		if err == nil {
			mended.Inc()
			logger.Warn("a file of --publish-to was not what was logged; it was written again", "file", path)
		}
	}
}

// keptAt is the folder that the log reads in the place of its database; nil for none.
func keptAt(v config.Values, mended func(path string, err error)) *publication.Kept {
	place := v.Text("publish-to")
	if place == "" || publication.IsBucket(place) {
		return nil
	}
	return publication.NewKept(place, mended)
}

// publishing is a publication that runs beside the log; all of it does nothing if no
// place is given.
type publishing struct {
	p     *publication.Publication
	place string
}

func newPublication(v config.Values, l *translog.Log, parts *opened, leads func() bool, metrics *prometheus.Registry, logger *slog.Logger) (publishing, error) {
	place := v.Text("publish-to")
	if place == "" {
		return publishing{}, nil
	}
	keys, err := parts.verifiers()
	if err != nil {
		return publishing{}, err
	}
	if v.Text("storage") == "sqlite" {
		leads = nil // it has one process
	}
	fails := outage.New(logger)
	p, err := publication.New(publication.Config{
		Log: l, Keys: keys, Interval: v.Duration("publish-interval"), Leads: leads, Kept: parts.kept,
		Open:    func(ctx context.Context) (publication.Store, error) { return publication.Open(ctx, place) },
		Failing: func(err error) { fails.Step("publish to "+place, err) },
	})
	if err != nil {
		return publishing{}, err
	}
	publicationMetrics(metrics, p)
	return publishing{p, place}, nil
}

func publicationMetrics(metrics *prometheus.Registry, p *publication.Publication) {
	vitals.Gauge(metrics, "indelible_publication_size", "Size of the tree of the checkpoint at --publish-to, as this replica last saw it.", func() (float64, bool) {
		s := p.Status()
		return float64(s.Size), s.Known
	})
	vitals.Gauge(metrics, "indelible_publication_behind_seconds", "Seconds since the log has a checkpoint that is not at --publish-to; 0 while the newest one is.", func() (float64, bool) {
		s := p.Status()
		if s.Due.IsZero() {
			return 0, true
		}
		return time.Since(s.Due).Seconds(), true
	})
	counter := func(name, help string, value func(publication.Status) int64) {
		metrics.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "indelible_publication_" + name, Help: help},
			func() float64 { return float64(value(p.Status())) }))
	}
	counter("files_total", "Tiles and bundles written to --publish-to.", func(s publication.Status) int64 { return s.Files })
	counter("bytes_total", "Bytes of these.", func(s publication.Status) int64 { return s.Bytes })
	counter("failures_total", "Times that publishing to --publish-to failed, and was begun again.", func(s publication.Status) int64 { return s.Failures })
}

func (p publishing) run(ctx context.Context) error {
	if p.p == nil {
		return nil
	}
	return p.p.Run(ctx)
}

func (p publishing) warnings() []string {
	if p.p == nil {
		return nil
	}
	return p.p.Warnings(p.place, publicationLag)
}
