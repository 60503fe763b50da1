package log

import (
	"errors"
	"fmt"
)

// stage is a part of the log's work that can fail and be tried again.
type stage int

const (
	stageStart stage = iota
	stageClock
	stageDatabase
	stageRegister
	stageAppend
	stagePublish
	stagePoison
	stages
)

func (s stage) String() string {
	return [...]string{
		"start", "read the clock", "try the database", "read the register",
		"append to the database", "publish", "record that the log is poisoned",
	}[s]
}

// Steps are the names of the steps that Events.Retrying and Events.Failing tell
// of.
func Steps() []string {
	list := []string{stepRelease}
	for s := range stages {
		list = append(list, s.String())
	}
	return list
}

// stepRelease is a step whose failure delays other replicas and stops nothing.
const stepRelease = "give up the lease"

// means is what clients are told of a stage that fails.
func (s stage) means() error {
	switch s {
	case stageStart, stageDatabase, stageAppend:
		return ErrNotAppending
	case stageRegister, stagePublish:
		return ErrNotPublishing
	}
	return nil
}

// unready is why a log is not ready: in all words for its operator, and in those
// that clients are shown (ErrNotAppending and so on), for errors.Is.
type unready struct {
	error
	means []error
}

func (u unready) Unwrap() []error { return append([]error{u.error}, u.means...) }

// Ready returns nil while adds are accepted and can be expected to succeed, and
// otherwise says why not. It answers at once, from memory: the log looks for
// trouble by itself, and knows of a database that hangs after 5 s at most.
func (l *Log) Ready() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.state == statePoisoned:
		return fmt.Errorf("%w: %s", ErrPoisoned, l.poisoned)
	case l.state == stateStopped:
		return ErrStopping
	}
	if err := errors.Join(l.trouble[:]...); err != nil {
		return unready{fmt.Errorf("%w: %w", ErrUnavailable, err), l.meaning()}
	}
	if l.state == stateRunning && !l.confirmed.Load() {
		return fmt.Errorf("%w: %w", ErrUnavailable, errUnconfirmed)
	}
	if l.state != stateRunning || l.view.Load() == nil {
		return fmt.Errorf("%w: it is starting", ErrUnavailable)
	}
	if l.proven != l.doubts {
		return fmt.Errorf("%w: the database is being tried, to see whether it takes writes", ErrUnavailable)
	}
	return nil
}

// meaning is what clients are told of the present trouble; the caller holds the
// lock.
func (l *Log) meaning() (list []error) {
	for s := range stages {
		if m := s.means(); m != nil && l.trouble[s] != nil {
			list = append(list, m)
		}
	}
	return list
}

// failing notes that a stage failed and will be tried again; nil that it went
// well.
func (l *Log) failing(s stage, err error) {
	cause := err
	if err != nil {
		l.cfg.Events.retrying(s.String(), err)
		err = fmt.Errorf("%s: %w", s, err)
	}
	l.mu.Lock()
	was := l.trouble[s]
	l.trouble[s] = err
	if err != nil && s.means() != nil && !errors.Is(err, ErrUnwitnessed) {
		l.doubts++
	}
	l.mu.Unlock()
	if err == nil && was == nil {
		return
	}
	l.cfg.Events.failing(s.String(), cause)
	if err == nil {
		l.lookNow()
	}
}

// lookNow has the watcher look before its time.
func (l *Log) lookNow() {
	select {
	case l.troubled <- struct{}{}:
	default:
	}
}

// overdue says why an add was not answered in time.
func (l *Log) overdue(err error) error {
	l.mu.Lock()
	trouble := l.trouble
	l.mu.Unlock()
	switch {
	case l.witnessing.Load() || errors.Is(trouble[stagePublish], ErrUnwitnessed):
		return fmt.Errorf("%w: %w", err, ErrUnwitnessed)
	case trouble[stageStart] != nil || trouble[stageAppend] != nil || trouble[stageDatabase] != nil:
		return fmt.Errorf("%w: %w", err, ErrNotAppending)
	case trouble[stagePublish] != nil || trouble[stageRegister] != nil:
		return fmt.Errorf("%w: %w", err, ErrNotPublishing)
	}
	return err
}
