package log

import (
	"errors"
	"fmt"
	"time"

	"indelible/storage"
)

// ErrClock: the clock is so far behind the log's last entry that it must be
// wrong.
var ErrClock = errors.New("the clock is wrong")

// ClockError is an ErrClock that says how far the clock is off, and by which
// measure.
type ClockError struct {
	Now, Last time.Time     // what the clock says, and the time of the log's last entry
	Most      time.Duration // how far Now may be behind Last
}

func (e *ClockError) Error() string {
	return fmt.Sprintf("%v: it says %s, which is %s behind the time of the log's last entry, %s (up to %s is bridged); "+
		"set the clock right; if the last entry's time is wrong, since a clock was ahead then, wait until that time, or give a larger --max-clock-step",
		ErrClock, e.Now.Format(time.RFC3339), e.Last.Sub(e.Now).Round(time.Second), e.Last.Format(time.RFC3339), e.Most)
}

// Is makes it an ErrClock.
func (e *ClockError) Is(target error) bool { return target == ErrClock }

// CheckClock compares a clock with the time of a log's last entry, in Unix
// milliseconds. A clock that is more than most behind is an ErrClock.
func CheckClock(now time.Time, last int64, most time.Duration) error {
	if last-now.UnixMilli() <= most.Milliseconds() {
		return nil
	}
	return &ClockError{Now: now.UTC(), Last: time.UnixMilli(last).UTC(), Most: most}
}

// integrationTime is the time for entries after head: never before the last
// entry's.
func (l *Log) integrationTime(head storage.Head) (int64, error) {
	now := l.cfg.Now()
	return max(now.UnixMilli(), head.IntegratedAt), CheckClock(now, head.IntegratedAt, l.cfg.MaxClockStep)
}
