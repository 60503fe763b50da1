package admission

import (
	"context"
	"time"

	"golang.org/x/time/rate"
)

const (
	// atOnce is how many refusals a second are answered at once, and as many in a
	// burst. What is beyond waits for pause: a client that asks again after each refusal
	// leaves the processors to others.
	atOnce = 100
	pause  = 100 * time.Millisecond
	// maxPaused is how many requests wait at a time: each holds a connection. Beyond it
	// refusals are answered at once again.
	maxPaused = 128
)

// refusals counts refusals that come before a request's body is read.
type refusals struct {
	atOnce *rate.Limiter
	paused chan struct{} // holds a value for each that waits
}

func newRefusals() *refusals {
	return &refusals{rate.NewLimiter(atOnce, atOnce), make(chan struct{}, maxPaused)}
}

// wait holds a refusal back while there are many.
func (r *refusals) wait(ctx context.Context) {
	if r.atOnce.Allow() {
		return
	}
	select {
	case r.paused <- struct{}{}:
	default:
		return
	}
	defer func() { <-r.paused }()
	select {
	case <-time.After(pause):
	case <-ctx.Done():
	}
}
