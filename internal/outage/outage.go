// Package outage turns steps that fail and are tried again, often many times a
// second, into few lines of a log: one ERROR when an outage begins, one WARN a
// minute while it lasts, one INFO when it ends.
//
//	o := outage.New(logger)
//	o.Step("append", err) // at each failure
//	o.Step("append", nil) // when it goes well again
//
// All steps that fail at one time are one outage: a database that is away stops
// several of them.
package outage

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// every is how often an outage that lasts is reported.
	every = time.Minute
	// quiet is how soon after the beginning of one outage the next is reported, so
	// that one that comes and goes does not fill the disk. What fails longer is
	// reported then.
	quiet = 10 * time.Second
)

// Outage reports what fails. Its methods may be called from many goroutines.
type Outage struct {
	log *slog.Logger

	mu       sync.Mutex
	failing  map[string]error // steps that fail at present
	since    time.Time        // when the first of them began to
	failures int              // since then
	reported bool             // the beginning is in the log
	last     time.Time        // when the last line was written
}

// New makes an Outage that writes to a log.
func New(log *slog.Logger) *Outage {
	return &Outage{log: log, failing: make(map[string]error)}
}

// Step notes that a step failed, or, where err is nil, that it went well.
func (o *Outage) Step(step string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err == nil {
		o.well(step)
		return
	}
	now := time.Now()
	if len(o.failing) == 0 {
		o.since, o.failures = now, 0
	}
	o.failing[step] = err
	o.failures++
	switch since := now.Sub(o.last); {
	case !o.reported && (o.last.IsZero() || since >= quiet):
		o.reported, o.last = true, now
		o.log.Error("an outage begins; what fails is tried again until it succeeds", "step", step, "error", err)
	case o.reported && since >= every:
		o.last = now
		o.log.Warn("the outage lasts", "since", o.since.UTC().Format(time.RFC3339), "failures", o.failures, "error", o.text())
	}
}

// well notes that a step went well; the caller holds the lock.
func (o *Outage) well(step string) {
	if _, ok := o.failing[step]; !ok {
		return
	}
	delete(o.failing, step)
	if len(o.failing) > 0 || !o.reported {
		return
	}
	o.reported = false
	o.log.Info("the outage has ended", "since", o.since.UTC().Format(time.RFC3339),
		"lasted", time.Since(o.since).Round(time.Millisecond).String(), "failures", o.failures)
}

// text is what fails, and why.
func (o *Outage) text() string {
	var list []string
	for _, step := range slices.Sorted(maps.Keys(o.failing)) {
		list = append(list, fmt.Sprintf("%s: %v", step, o.failing[step]))
	}
	return strings.Join(list, "; ")
}
