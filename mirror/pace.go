package mirror

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"indelible/client"
	"indelible/internal/wait"
)

// Pace limits the requests to a log. Make its Wait a client's Before, and its Retrying
// a client's Retrying: when the log says when to ask again, all requests wait for that.
type Pace struct {
	limiter *rate.Limiter

	mu    sync.Mutex
	until time.Time
}

// NewPace makes a Pace of so many requests a second; 0 is no limit.
func NewPace(perSecond float64) *Pace {
	if perSecond <= 0 {
		return &Pace{limiter: rate.NewLimiter(rate.Inf, 0)}
	}
	return &Pace{limiter: rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond)))}
}

// Wait returns when the next request may be made.
func (p *Pace) Wait(ctx context.Context) error {
	for {
		p.mu.Lock()
		left := time.Until(p.until)
		p.mu.Unlock()
		if left <= 0 {
			return p.limiter.Wait(ctx)
		}
		if err := wait.For(ctx, left); err != nil {
			return err
		}
	}
}

// Retrying holds all requests back for as long as a log asks for.
func (p *Pace) Retrying(err error, wait time.Duration) {
	var s *client.StatusError
	if !errors.As(err, &s) || s.Status != http.StatusTooManyRequests && s.Status != http.StatusServiceUnavailable {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := time.Now().Add(wait); until.After(p.until) {
		p.until = until
	}
}
