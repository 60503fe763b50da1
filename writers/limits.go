package writers

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxBuckets is the maximum number of rates that are counted one by one, of all
// rules and principals. Beyond it, new principals of a rule share one.
const maxBuckets = 1 << 16

// Limits counts what principals add against the rates of rules. It outlives a
// policy, so that a change of the policy gives nobody a new burst.
type Limits struct {
	mu      sync.Mutex
	buckets map[bucketKey]*rate.Limiter
	most    int
	swept   time.Time
}

// bucketKey is a principal of a rule. A rule with another rate is another rule.
type bucketKey struct {
	rule, principal string
	rate            Rate
}

// NewLimits makes Limits that counted nothing.
func NewLimits() *Limits {
	return &Limits{buckets: make(map[bucketKey]*rate.Limiter), most: maxBuckets}
}

// Take counts an entry that a decision allows. If the rate is used up, it returns
// false and after what time there is room.
func (l *Limits) Take(d Decision, principal string, now time.Time) (after time.Duration, ok bool) {
	if d.Rate.PerSecond == 0 {
		return 0, true
	}
	r := l.bucket(bucketKey{d.Rule, principal, d.Rate}, now).ReserveN(now, 1)
	if after = r.DelayFrom(now); after > 0 {
		r.CancelAt(now)
	}
	return after, after == 0
}

// Spent reports whether all rates by which a writer may add are used up, and after
// what time the first has room.
func (l *Limits) Spent(w *Writer, now time.Time) (Decision, time.Duration, bool) {
	var soonest Decision
	least := time.Duration(-1)
	for name, r := range w.Rates() {
		d := Decision{Allowed: true, Rule: name, Rate: r}
		after := l.wait(d, w.Name, now)
		if after == 0 {
			return Decision{}, 0, false
		}
		if least < 0 || after < least {
			soonest, least = d, after
		}
	}
	return soonest, least, least > 0
}

// wait is the time until there is room for an entry.
func (l *Limits) wait(d Decision, principal string, now time.Time) time.Duration {
	if d.Rate.PerSecond == 0 {
		return 0
	}
	missing := 1 - l.bucket(bucketKey{d.Rule, principal, d.Rate}, now).TokensAt(now)
	return time.Duration(max(0, missing) / d.Rate.PerSecond * float64(time.Second))
}

func (l *Limits) bucket(key bucketKey, now time.Time) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b, ok := l.buckets[key]; ok {
		return b
	}
	if len(l.buckets) >= l.most && !l.sweep(now) {
		key.principal = ""
		if b, ok := l.buckets[key]; ok {
			return b
		}
	}
	b := rate.NewLimiter(rate.Limit(key.rate.PerSecond), key.rate.Burst)
	l.buckets[key] = b
	return b
}

// sweep forgets the buckets that are full, at most once a second, and reports
// whether there is room then.
func (l *Limits) sweep(now time.Time) bool {
	if now.Sub(l.swept) < time.Second {
		return false
	}
	l.swept = now
	for key, b := range l.buckets {
		if b.TokensAt(now) >= float64(key.rate.Burst) {
			delete(l.buckets, key)
		}
	}
	return len(l.buckets) < l.most
}
