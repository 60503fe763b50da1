// Package wait waits for a while, or until a context ends.
package wait

import (
	"context"
	"time"
)

// For returns nil after d, or the context's error as soon as it ends. It does not wait if d is 0 or less.
func For(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
