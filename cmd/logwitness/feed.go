//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"indelible/evidence"
	"indelible/feeder"
	"indelible/internal/config"
	"indelible/witness"
)

func evidencePath(v config.Values) string {
	if path := v.Text("evidence"); path != "" {
		return path
	}
	return filepath.Join(v.Text("data-dir"), "evidence")
}

// feed reads the list of logs to look at, and returns what looks at them.
func (r *running) feed(ctx context.Context, v config.Values) (look func(context.Context), err error) {
	if v.Text("feed") == "" {
		return func(context.Context) {}, nil
	}
	logs, err := readFeed(v.Text("feed"))
	if err != nil {
		return nil, err
	}
	if err := r.made.dir(evidencePath(v), 0o755); err != nil {
		return nil, fmt.Errorf("the folder for evidence: %w", err)
	}
	if err := r.add(ctx, logs); err != nil {
		return nil, err
	}
	f, err := feeder.New(feeder.Config{Witness: r.witness, Logs: logs, Evidence: evidencePath(v), Interval: v.Duration("feed-interval"), Events: r.feedEvents()})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) { f.Run(ctx) }, nil
}

// readFeed reads a list of logs to look at; an empty path has none.
func readFeed(path string) ([]feeder.Log, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--feed: %w; name a file with the logs to look at (tlog-policy)", err)
	}
	logs, err := feeder.ParseList(data)
	if err != nil {
		return nil, fmt.Errorf("--feed: %s: %w", path, err)
	}
	return logs, nil
}

// add makes the witness know the logs. One that is refused stops nothing.
func (r *running) add(ctx context.Context, logs []feeder.Log) error {
	known := make([]witness.Log, len(logs))
	for i, l := range logs {
		known[i] = witness.Log{Origin: l.Origin, Keys: l.Keys}
	}
	err := r.witness.AddLogs(ctx, known)
	r.metrics.logs.Set(float64(r.witness.Logs()))
	if errors.Is(err, witness.ErrLogRefused) {
		r.logger.Error("logs to look at were refused", "why", err)
		return nil
	}
	return err
}

func (r *running) feedEvents() feeder.Events {
	return feeder.Events{
		Fed: func(origin string, size int64) { r.logger.Debug("cosigned after a look", "log", origin, "size", size) },
		Failed: func(origin string, err error, pause time.Duration) {
			r.metrics.looks.Inc()
			r.logger.Warn("a look at a log failed", "log", origin, "why", err, "again in", pause.Round(time.Second).String())
		},
		Contradicted: r.evidence,
	}
}

// evidence tells of a new file.
func (r *running) evidence(origin string, kind evidence.Kind, file string) {
	r.metrics.contradictions.Inc()
	r.logger.Error("A LOG CONTRADICTED ITSELF", "log", origin, "how", kind, "evidence", file)
}

// contradicted keeps two heads of one size that were sent to the witness.
func (r *running) contradicted(dir string, l witness.Log, cosigned witness.Head, note []byte) {
	file, made, err := feeder.KeepTwoHeads(dir, l, cosigned, note)
	switch {
	case err != nil:
		r.logger.Error("a log signed two heads of one size", "log", l.Origin, "size", cosigned.Size, "why there is no file", err)
	case made:
		r.evidence(l.Origin, evidence.TwoHeads, file)
	}
}
