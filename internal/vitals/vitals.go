// Package vitals has the metrics that all servers show: which build runs, whether
// it is ready, and whether its database has the settings that it needs.
//
//	vitals.Build(reg, "logserver", version, revision, goVersion)
//	vitals.Ready(reg, ready)
//	settings := vitals.NewSettings(reg, store.Warnings, logger)
//	err := settings.Look(ctx)
//	go settings.Follow(ctx)
package vitals

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Build registers indelible_build_info, which is 1 and whose labels are the build.
func Build(reg prometheus.Registerer, program, version, revision, goVersion string) {
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "indelible_build_info", Help: "1. The labels name the program that runs and its build.",
		ConstLabels: prometheus.Labels{"program": program, "version": version, "revision": revision, "go": goVersion},
	}, func() float64 { return 1 }))
}

// Ready registers indelible_ready, which is 1 while ready returns nil.
func Ready(reg prometheus.Registerer, ready func() error) {
	Gauge(reg, "indelible_ready", "1 while the server can do its work, as /readyz says; else 0.", func() (float64, bool) {
		if ready() != nil {
			return 0, true
		}
		return 1, true
	})
}

// Gauge registers a metric whose value is asked for at each scrape. It is left out
// while its value is not known.
func Gauge(reg prometheus.Registerer, name, help string, value func() (v float64, known bool)) {
	reg.MustRegister(gauge{prometheus.NewDesc(name, help, nil, nil), value})
}

type gauge struct {
	desc  *prometheus.Desc
	value func() (float64, bool)
}

// Describe implements prometheus.Collector.
func (g gauge) Describe(to chan<- *prometheus.Desc) { to <- g.desc }

// Collect implements prometheus.Collector.
func (g gauge) Collect(to chan<- prometheus.Metric) {
	if v, known := g.value(); known {
		to <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, v)
	}
}

const (
	// every is how often the settings are checked.
	every = time.Minute
	// patience is how long the database may take to say them.
	patience = 10 * time.Second
)

// Settings are those of a database that weaken what its server promises. Its
// methods may be called from many goroutines.
type Settings struct {
	check func(context.Context) ([]string, error)
	log   *slog.Logger

	mu    sync.Mutex
	known bool
	unmet []string // a sentence each
}

// NewSettings registers indelible_database_settings_unmet: how many settings check
// returned last. The metric is left out until check has succeeded.
func NewSettings(reg prometheus.Registerer, check func(context.Context) ([]string, error), log *slog.Logger) *Settings {
	s := &Settings{check: check, log: log}
	Gauge(reg, "indelible_database_settings_unmet", "Settings of the database that weaken what the server promises; its log and /readyz name them.", func() (float64, bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return float64(len(s.unmet)), s.known
	})
	return s
}

// Look checks the settings now, and writes to the log what changed. An error is the
// database's; what was known before stays.
func (s *Settings) Look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	now, err := s.check(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	before := s.unmet
	s.unmet, s.known = now, true
	s.mu.Unlock()
	for _, text := range now {
		if !slices.Contains(before, text) {
			s.log.Warn(text)
		}
	}
	if len(now) == 0 && len(before) > 0 {
		s.log.Info("the database has all settings that it should have")
	}
	return nil
}

// Follow checks the settings once a minute until ctx ends. A check that fails is
// not told of: the server's own outage is.
func (s *Settings) Follow(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := s.Look(ctx); err != nil {
				s.log.Debug("the database's settings could not be checked", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// Warnings are the settings that are not as they should be, a sentence each.
func (s *Settings) Warnings() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unmet
}
