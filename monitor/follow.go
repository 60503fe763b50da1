package monitor

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"indelible/internal/wait"
)

// Following is how [Monitor.Follow] watches. Zero values mean what is said.
type Following struct {
	// Interval is how long after one look the next one comes; 1 minute.
	Interval time.Duration
	// KeepUp is how long the number of entries that are left can stay as it is, or
	// grow, before that is an alarm; 1 hour.
	KeepUp time.Duration
	// Failed is told why a look could not be finished, by this side's fault: the
	// next one does it again. Looked is told how one went. Each may be nil.
	Failed func(error)
	Looked func(Report)
}

// Follow looks at the log until ctx ends, and returns the kinds of the alarms that
// last. An alarm is delivered when it begins, and again when it has ended.
func (m *Monitor) Follow(ctx context.Context, f Following) []Kind {
	if f.Interval == 0 {
		f.Interval = time.Minute
	}
	if f.KeepUp == 0 {
		f.KeepUp = time.Hour
	}
	m.cfg.Budget = f.Interval // a long way is gone in pieces, so that the head is looked at
	a := alarms{m: m, lasting: make(map[Kind]Event)}
	pace := pace{keepUp: f.KeepUp}
	for ctx.Err() == nil {
		r, err := m.look(ctx)
		if ctx.Err() != nil {
			break
		}
		r.Alarms = pace.judge(r)
		if err == nil {
			err = a.deliver(ctx, r.Alarms)
		}
		if err != nil && f.Failed != nil {
			f.Failed(err)
		}
		if f.Looked != nil {
			f.Looked(r)
		}
		if err != nil || r.Left == 0 || r.Read == 0 {
			wait.For(ctx, f.Interval+rand.N(f.Interval/8+1))
		}
	}
	return a.kinds()
}

// alarms are those that last.
type alarms struct {
	m       *Monitor
	lasting map[Kind]Event
}

// deliver delivers what has changed.
func (a *alarms) deliver(ctx context.Context, now []Event) error {
	var changed []Event
	lasting := make(map[Kind]Event)
	for _, e := range now {
		lasting[e.Kind] = e
		if _, ok := a.lasting[e.Kind]; !ok {
			changed = append(changed, e)
		}
	}
	for kind, e := range a.lasting {
		if _, ok := lasting[kind]; !ok {
			changed = append(changed, a.m.alarm(Cleared, fmt.Sprintf("the alarm %q has ended", kind), e.ID, e.At.Unix()))
		}
	}
	a.m.metrics.setAlarms(lasting)
	if len(changed) > 0 {
		if err := a.m.cfg.Sink.Deliver(ctx, changed); err != nil {
			return fmt.Errorf("deliver %s: %w", counted(int64(len(changed)), "alarm", "alarms"), err)
		}
	}
	a.lasting = lasting
	return nil
}

func (a *alarms) kinds() (list []Kind) {
	for kind := range a.lasting {
		list = append(list, kind)
	}
	return list
}

// pace judges whether a monitor keeps up: a look that leaves entries for the next
// one is no alarm, as long as they become fewer.
type pace struct {
	keepUp time.Duration
	since  time.Time // of the measurement; zero: nothing was left
	left   int64     // then
	behind bool
}

// judge returns a report's alarms, with Behind if it does not keep up.
func (p *pace) judge(r Report) []Event {
	var list []Event
	for _, a := range r.Alarms {
		if a.Kind != Behind {
			list = append(list, a)
		}
	}
	switch took := time.Since(p.since); {
	case r.Left == 0:
		*p = pace{keepUp: p.keepUp}
	case p.since.IsZero():
		p.since, p.left = time.Now(), r.Left
	case took >= p.keepUp:
		p.behind = r.Left >= p.left
		p.since, p.left = time.Now(), r.Left
	}
	if p.behind {
		list = append(list, Event{
			ID: eventID(Behind, r.Origin, r.Next), Kind: Behind, Log: r.Origin, At: now(),
			Message: fmt.Sprintf("the log grows as fast as it is read, or faster: %s are left, and %.0f a second are read", counted(r.Left, "entry", "entries"), r.Rate),
		})
	}
	return list
}
