package server

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"

	"indelible/internal/transport"
	"indelible/internal/vitals"
	translog "indelible/log"
)

// Metrics registers the log's metrics, and returns the events that keep them. A
// value that is not known yet is left out: after a restart none of them is a 0
// that was never true.
func Metrics(reg *prometheus.Registry) translog.Events {
	m := newMetrics()
	reg.MustRegister(m.queued, m.queuedBytes, m.added, m.duplicates, m.batch, m.append, m.publish, m.size, m.retries, m.poisoned, m.findings, m.refused, m.scrubAt, m.scrubRounds, m.scrubEnded, m.scrubTook)
	for _, step := range translog.Steps() {
		m.retries.WithLabelValues(step)
	}
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
			m.shown(size)
			m.publish.Observe(took.Seconds())
		},
		Followed: m.shown,
		Retrying: func(what string, _ error) { m.retries.WithLabelValues(what).Inc() },
		Refused:  func(int, error) { m.refused.Inc() },
		Damaged:  func(parts int, _ error) { m.findings.Set(float64(parts)) },
		Scrubbed: m.scrubbed,
		Poisoned: func(string) { m.poisoned.WithLabelValues().Set(1) },
	}
}

// shown notes the published size. What shows it has read the register, so that a
// poisoned log would be known as one.
func (m metrics) shown(size int64) {
	m.size.WithLabelValues().Set(float64(size))
	m.poisoned.WithLabelValues() // is there from now on
}

// State registers when the checkpoint that the log shows was published. The metric is
// left out while none is.
func State(reg *prometheus.Registry, l interface {
	Published() (translog.Published, error)
},
) {
	vitals.Gauge(reg, "indelible_published_timestamp_seconds", "When the checkpoint that is shown was published, in POSIX seconds.", func() (float64, bool) {
		pub, err := l.Published()
		return float64(pub.At.UnixMilli()) / 1000, err == nil
	})
}

type metrics struct {
	queued, queuedBytes, findings               prometheus.Gauge
	scrubAt, scrubRounds, scrubEnded, scrubTook prometheus.Gauge
	size, poisoned                              *prometheus.GaugeVec // without a label: left out until it is known
	added, duplicates, refused                  prometheus.Counter
	batch, append, publish                      prometheus.Histogram
	retries                                     *prometheus.CounterVec
}

func (m metrics) scrubbed(s translog.ScrubState) {
	m.scrubAt.Set(float64(s.Position))
	m.scrubRounds.Set(float64(s.Rounds))
	if s.Rounds > 0 {
		m.scrubEnded.Set(float64(s.Ended.Unix()))
		m.scrubTook.Set(s.Took.Seconds())
	}
}

func newMetrics() metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "indelible_" + name, Help: help})
	}
	later := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "indelible_" + name, Help: help}, nil)
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
		size:        later("published_size", "Size of the published tree."),
		poisoned:    later("poisoned", "1 when the log found a contradiction and signs no more."),
		findings:    gauge("scrub_findings", "Entries and hash tiles that the database does not return as they were logged, found by reads or by the scrub."),
		scrubAt:     gauge("scrub_position", "Index of the entry that the scrub looks at next."),
		scrubRounds: gauge("scrub_rounds", "Whole rounds of the scrub through the log since the start of this server."),
		scrubEnded:  gauge("scrub_last_round_timestamp_seconds", "Unix time at which the last whole round of the scrub ended; 0 before that."),
		scrubTook:   gauge("scrub_last_round_seconds", "Time that the last whole round of the scrub took."),
		added:       counter("entries_added_total", "Entries appended by this replica."),
		duplicates:  counter("entries_duplicate_total", "Entries added that were in the log already."),
		refused:     counter("entries_refused_total", "Entries that the database does not take."),
		batch:       histogram("append_entries", "Entries of one append.", 1),
		append:      histogram("append_seconds", "Time of one append, from lock to commit.", 0.0005),
		publish:     histogram("publish_seconds", "Time from a durable tree head to its publication.", 0.0005),
		retries:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "indelible_retries_total", Help: "Steps that failed and were tried again."}, []string{"step"}),
	}
}

// Decisions registers the metric of what the policy of writers decides. The function
// counts a decision, of a rule or, if that is empty, of none.
func Decisions(reg *prometheus.Registry) func(rule, outcome string) {
	total := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "indelible_writer_decisions_total", Help: "Decisions about who may write, an entry each, or a request that was refused before its entries were read; by the rule, if one decided.",
	}, []string{"rule", "outcome"})
	reg.MustRegister(total)
	return func(rule, outcome string) { total.WithLabelValues(rule, outcome).Inc() }
}

// Requests counts what is asked, over HTTP and over gRPC.
type Requests struct {
	total   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

// NewRequests registers the metrics of requests.
func NewRequests(reg *prometheus.Registry) Requests {
	r := Requests{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "indelible_requests_total", Help: "Requests answered. The method is gRPC's, or HTTP's with the kind of path; the code is gRPC's, or HTTP's status.",
		}, []string{"api", "method", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "indelible_request_seconds", Help: "Time to answer requests.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 17),
		}, []string{"api", "method"}),
	}
	reg.MustRegister(r.total, r.seconds)
	return r
}

// HTTP counts a request to Handler.
func (r Requests) HTTP(req *http.Request, got transport.Answered) {
	r.count("http", httpMethod(req), strconv.Itoa(got.Status), got.Took)
}

// GRPC counts a call.
func (r Requests) GRPC(method string, code codes.Code, took time.Duration) {
	r.count("grpc", strings.TrimPrefix(method, "/"), code.String(), took)
}

func (r Requests) count(api, method, code string, took time.Duration) {
	r.total.WithLabelValues(api, method, code).Inc()
	r.seconds.WithLabelValues(api, method).Observe(took.Seconds())
}

// httpMethod names a request by one of few names, whatever clients make up.
func httpMethod(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions:
		return r.Method + " " + pathKind(r.URL.Path)
	}
	return "other"
}

func pathKind(path string) string {
	switch path {
	case "/", "/checkpoint", "/log.vkey", "/openapi.json", "/healthz", "/v1/entries", "/v1/entries:batch", "/v1/entries:lookup",
		"/v1/checkpoint", "/v1/proofs/inclusion", "/v1/proofs/consistency", "/v1/entries:search",
		"/api/v2/log/entries", "/api/v2/checkpoint",
		"/api/v1/log", "/api/v1/log/publicKey", "/api/v1/log/proof", "/api/v1/log/entries", "/api/v1/log/entries/retrieve",
		"/api/v1/index/retrieve", "/ping":
		return path
	}
	for _, prefix := range []string{"/tile/entries/", "/tile/", "/v1/entries/", "/api/v2/tile/", "/api/v1/log/entries/", "/trust/", "/page/"} {
		if strings.HasPrefix(path, prefix) {
			return prefix
		}
	}
	return "other"
}
