package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"indelible/checkpoint"
	"indelible/internal/config"
	translog "indelible/log"
	"indelible/quorum"
)

// failOpenWait is how long a log that publishes without its witnesses waits
// for them.
const failOpenWait = 2 * time.Second

// loadPolicy reads the policy of who must cosign; nil where none is given.
func loadPolicy(v config.Values) (*checkpoint.Policy, error) {
	path := v.Text("witness-policy")
	if path == "" {
		if len(v.List("mirrors")) > 0 {
			return nil, errors.New("--mirrors names witnesses of a policy: give it with --witness-policy")
		}
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--witness-policy: %w", err)
	}
	policy, err := checkpoint.ParsePolicy(data)
	if err != nil {
		return nil, fmt.Errorf("--witness-policy %s: %w", path, err)
	}
	return policy, nil
}

// newWitnesses makes those of the policy; nil where none is given.
func newWitnesses(v config.Values, record []string, more quorum.Config) (*quorum.Witnesses, error) {
	var err error
	if more.Policy, err = loadPolicy(v); err != nil || more.Policy == nil {
		return nil, err
	}
	for _, vkey := range record {
		key, err := checkpoint.ParseVerifier(vkey)
		if err != nil {
			return nil, fmt.Errorf("the log's key: %w", err)
		}
		more.Log = append(more.Log, key)
	}
	if err := namesLog(more.Policy, more.Log); err != nil {
		return nil, fmt.Errorf("--witness-policy %s: %w", v.Text("witness-policy"), err)
	}
	more.Mirrors = v.List("mirrors")
	if more.FailOpen = v.Bool("witness-fail-open"); more.FailOpen {
		more.Wait = failOpenWait
	}
	w, err := quorum.New(more)
	if err != nil {
		return nil, fmt.Errorf("--witness-policy %s: %w", v.Text("witness-policy"), err)
	}
	return w, nil
}

// namesLog refuses a policy that is another log's. One that names no log is for
// whoever uses it.
func namesLog(policy *checkpoint.Policy, keys []checkpoint.Verifier) error {
	var names []string
	for _, l := range policy.Logs {
		if slices.ContainsFunc(keys, l.Key.Equal) {
			return nil
		}
		names = append(names, fmt.Sprintf("%s+%08x", l.Key.Name(), l.Key.KeyHash()))
	}
	if len(names) == 0 || len(keys) == 0 {
		return nil
	}
	return fmt.Errorf("it is the policy of another log: its log lines name %s, and this log is %s.\nWrite that key into a log line, or leave the log lines out", strings.Join(names, ", "), keys[0])
}

// openLog makes the log, with the witnesses that it is to ask.
func openLog(v config.Values, parts *opened, events translog.Events, metrics *prometheus.Registry, logger *slog.Logger) (*translog.Log, error) {
	cfg := logConfig(v, parts, events)
	cfg.Replica = replica(v)
	var l *translog.Log // is there before anybody is asked, which Run does
	w, err := newWitnesses(v, parts.record.Keys, quorum.Config{
		Late:     func(note []byte, cosigners []checkpoint.Verifier) { l.Cosigned(note, cosigners) },
		Ahead:    func(c quorum.Claim) { l.Ahead(translog.Claim(c)) },
		Answered: newWitnessEvents(metrics, logger).answered,
		Fresh:    v.Duration("witness-refresh"),
		Unconfirmed: func(err error) {
			logger.Warn("--witness-fail-open: THE LOG GOES ON WITHOUT ITS WITNESSES, too few of which confirmed that they know no newer checkpoint; "+
				"if the database and the register were restored from an older copy, it signs a second history", "error", err)
		},
	})
	if err != nil {
		return nil, err
	}
	if w != nil { // an interface that holds a nil pointer is not nil
		cfg.Witness, cfg.Rewitness = w, v.Duration("witness-refresh")
	}
	l, err = translog.Open(cfg)
	return l, err
}

// warnWitnesses says where the settings promise less than they seem to.
func warnWitnesses(v config.Values, parts *opened, logger *slog.Logger) {
	if vkey := parts.mldsaVkey(); vkey != "" && v.Text("mldsa-key") == "" {
		logger.Warn("the log has signed with an ML-DSA-44 key, and does not now: whoever trusts that key alone verifies nothing new", "key", brief(vkey), "do", "give --mldsa-key")
	}
	policy, err := loadPolicy(v)
	if err != nil || policy == nil {
		return
	}
	own, err := parts.verifiers()
	if err != nil {
		return
	}
	for _, w := range policy.Warnings(own...) {
		logger.Warn("--witness-policy: " + w)
	}
	if v.Bool("witness-fail-open") {
		logger.Warn("--witness-fail-open: checkpoints are published without witnesses that do not answer; only those that carry the quorum's cosignatures were seen by it")
	}
}

// warnEvery is how often the same witness is complained of.
const warnEvery = time.Minute

// witnessEvents keeps the metrics of witnesses, and has the operator told of
// those that fail.
type witnessEvents struct {
	answers *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	logger  *slog.Logger
	now     func() time.Time

	mu      sync.Mutex
	failing map[string]*failures // by witness
}

// failures are what has gone wrong with a witness since it cosigned last.
type failures struct {
	count  int64
	said   bool      // the operator was told of these
	warned time.Time // when last, of these or earlier ones
}

func newWitnessEvents(reg *prometheus.Registry, logger *slog.Logger) *witnessEvents {
	e := &witnessEvents{
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "indelible_witness_answers_total",
			Help: "Answers of witnesses, by their names in the policy: cosigned, refused, timeout, unreachable.",
		}, []string{"witness", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "indelible_witness_seconds", Help: "Time that witnesses took to answer.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
		}, []string{"witness"}),
		logger: logger, now: time.Now, failing: make(map[string]*failures),
	}
	reg.MustRegister(e.answers, e.seconds)
	return e
}

func (e *witnessEvents) answered(witness string, took time.Duration, err error) {
	e.answers.WithLabelValues(witness, result(err)).Inc()
	e.seconds.WithLabelValues(witness).Observe(took.Seconds())
	e.mu.Lock()
	defer e.mu.Unlock()
	f := e.failing[witness]
	if f == nil {
		f = &failures{}
		e.failing[witness] = f
	}
	if err == nil {
		if f.said {
			e.logger.Info("a witness cosigns again", "witness", witness, "failures", f.count)
		}
		f.count, f.said = 0, false
		return
	}
	f.count++
	if now := e.now(); now.Sub(f.warned) >= warnEvery {
		f.said, f.warned = true, now
		e.logger.Warn("a witness does not cosign", "witness", witness, "error", err, "failures", f.count)
	}
}

// result is what an answer counts as.
func result(err error) string {
	var network *url.Error
	switch {
	case err == nil:
		return "cosigned"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.As(err, &network):
		return "unreachable"
	}
	return "refused"
}
