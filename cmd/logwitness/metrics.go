//go:build unix

package main

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"indelible/internal/config"
	"indelible/internal/transport"
	"indelible/internal/vitals"
	"indelible/witness"
)

// metrics are what an operator watches. None has a log's name: there are too
// many of them.
type metrics struct {
	registry *prometheus.Registry
	cosigned prometheus.Counter
	refused  *prometheus.CounterVec
	logs     prometheus.Gauge
	skipped  prometheus.Gauge
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec

	looks, contradictions prometheus.Counter
	cosignedAt            *prometheus.GaugeVec // without a label: left out until it is known
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		cosigned: prometheus.NewCounter(prometheus.CounterOpts{Name: "indelible_witness_cosigned_total", Help: "Checkpoints cosigned."}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "indelible_witness_refused_total", Help: "Requests for a known log that were not answered with a cosignature.",
		}, []string{"reason"}),
		logs:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "indelible_witness_logs", Help: "Logs known."}),
		skipped: prometheus.NewGauge(prometheus.GaugeOpts{Name: "indelible_witness_list_skipped", Help: "Logs and lines of the list of logs that cannot be used."}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "indelible_witness_requests_total", Help: "Requests answered.",
		}, []string{"what", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "indelible_witness_request_seconds", Help: "Time of a request.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}, []string{"what"}),
		looks: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "indelible_witness_looks_failed_total", Help: "Looks at logs of --feed that came to nothing.",
		}),
		cosignedAt: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "indelible_witness_cosigned_timestamp_seconds", Help: "When this process cosigned a checkpoint last, in POSIX seconds.",
		}, nil),
		contradictions: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "indelible_witness_contradictions_total", Help: "Files of evidence written against logs that contradicted themselves.",
		}),
	}
	for _, why := range []string{"conflict", "too_many", "inconsistent", "not_signed", "malformed", "fault"} {
		m.refused.WithLabelValues(why) // 0 from the start, and not missing
	}
	m.registry.MustRegister(m.cosigned, m.refused, m.logs, m.skipped, m.requests, m.seconds, m.looks, m.contradictions, m.cosignedAt,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	b := config.ThisBuild()
	vitals.Build(m.registry, "logwitness", b.Version, b.Revision, b.Go)
	return m
}

// cosign counts a checkpoint that was cosigned.
func (m *metrics) cosign(string, int64) {
	m.cosigned.Inc()
	m.cosignedAt.WithLabelValues().SetToCurrentTime()
}

// request counts a request.
func (m *metrics) request(r *http.Request, got transport.Answered) {
	what := "other"
	switch {
	case r.URL.Path == "/add-checkpoint", r.URL.Path == "/sign-subtree":
		what = r.URL.Path[1:]
	case strings.HasSuffix(r.URL.Path, "/checkpoint"):
		what = "checkpoint"
	}
	m.requests.WithLabelValues(what, strconv.Itoa(got.Status)).Inc()
	m.seconds.WithLabelValues(what).Observe(got.Took.Seconds())
}

// reason is why a request was refused, in a word.
func reason(err error) string {
	switch {
	case errors.As(err, new(*witness.ConflictError)):
		return "conflict"
	case errors.As(err, new(*witness.TooManyError)):
		return "too_many"
	case errors.Is(err, witness.ErrInconsistent):
		return "inconsistent"
	case errors.Is(err, witness.ErrNotSigned):
		return "not_signed"
	case errors.Is(err, witness.ErrMalformed):
		return "malformed"
	}
	return "fault"
}
