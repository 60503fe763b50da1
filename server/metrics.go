package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	translog "indelible/log"
)

// Metrics registers the log's metrics, and returns the events that keep them.
func Metrics(reg *prometheus.Registry) translog.Events {
	m := newMetrics()
	reg.MustRegister(m.queued, m.queuedBytes, m.added, m.duplicates, m.batch, m.append, m.publish, m.size, m.retries, m.poisoned)
	return translog.Events{
		Queued: func(entries int, bytes int64) {
			m.queued.Set(float64(entries))
			m.queuedBytes.Set(float64(bytes))
		},
		Appended: func(entries, duplicates int, took time.Duration) {
			m.added.Add(float64(entries))
			m.duplicates.Add(float64(duplicates))
			m.batch.Observe(float64(entries))
			m.append.Observe(took.Seconds())
		},
		Published: func(size, _ int64, took time.Duration) {
			m.size.Set(float64(size))
			m.publish.Observe(took.Seconds())
		},
		Followed: func(size int64) { m.size.Set(float64(size)) },
		Retrying: func(what string, _ error) { m.retries.WithLabelValues(what).Inc() },
		Poisoned: func(string) { m.poisoned.Set(1) },
	}
}

type metrics struct {
	queued, queuedBytes, size, poisoned prometheus.Gauge
	added, duplicates                   prometheus.Counter
	batch, append, publish              prometheus.Histogram
	retries                             *prometheus.CounterVec
}

func newMetrics() metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "indelible_" + name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "indelible_" + name, Help: help})
	}
	histogram := func(name, help string, start float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: "indelible_" + name, Help: help, Buckets: prometheus.ExponentialBuckets(start, 2, 14)})
	}
	return metrics{
		queued:      gauge("queued_entries", "Entries accepted and not yet answered."),
		queuedBytes: gauge("queued_bytes", "Bytes of entries accepted and not yet answered."),
		size:        gauge("published_size", "Size of the published tree."),
		poisoned:    gauge("poisoned", "1 when the log found a contradiction and signs no more."),
		added:       counter("entries_added_total", "Entries appended by this replica."),
		duplicates:  counter("entries_duplicate_total", "Entries added that were in the log already."),
		batch:       histogram("append_entries", "Entries of one append.", 1),
		append:      histogram("append_seconds", "Time of one append, from lock to commit.", 0.0005),
		publish:     histogram("publish_seconds", "Time from a durable tree head to its publication.", 0.0005),
		retries:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "indelible_retries_total", Help: "Steps that failed and were tried again."}, []string{"step"}),
	}
}
