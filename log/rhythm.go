package log

import "time"

// rhythm is how often something happens that must be looked for. Looking four
// times as often finds it soon enough, and leaves the database alone otherwise.
// The zero rhythm is unknown.
type rhythm struct {
	last time.Time
	gap  time.Duration // between the last two; 0 when that says nothing
}

// steadyGap is the longest gap that promises another of its length.
const steadyGap = 100 * time.Millisecond

// beat notes that it happened.
func (r *rhythm) beat(now time.Time) {
	r.gap = now.Sub(r.last)
	if r.gap > steadyGap {
		r.gap = 0
	}
	r.last = now
}

// wait is how long to wait before looking again.
func (r *rhythm) wait() time.Duration { return max(watchEvery, r.gap/4) }
