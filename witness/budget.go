package witness

import (
	"fmt"
	"sync"
	"time"
)

const (
	day = 24 * time.Hour
	// minBurst is how many requests may come at once, of however few a day: one
	// that is answered 409 is followed by another.
	minBurst = 10
)

// budget is how many requests a log may make at present: its share of a day
// grows evenly, up to an hour's worth or minBurst. The zero value is full.
type budget struct {
	mu   sync.Mutex
	used float64 // of what may come at once
	at   time.Time
}

// take takes one request of a budget of so many a day; 0 is any number.
func (b *budget) take(now time.Time, perDay int64) bool {
	if perDay <= 0 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if passed := now.Sub(b.at); passed > 0 {
		b.used = max(0, b.used-float64(perDay)*passed.Seconds()/day.Seconds())
		b.at = now
	}
	if b.used+1 > max(minBurst, float64(perDay)/24) {
		return false
	}
	b.used++
	return true
}

// TooManyError says when to come back.
type TooManyError struct {
	Origin string
	PerDay int64
}

// Error implements error.
func (e *TooManyError) Error() string {
	return fmt.Sprintf("%s may make %d requests a day; come back in %s", e.Origin, e.PerDay, e.RetryAfter())
}

// RetryAfter is after how long another request fits into the budget.
func (e *TooManyError) RetryAfter() time.Duration {
	return max(time.Second, (day / time.Duration(max(1, e.PerDay))).Round(time.Second))
}
