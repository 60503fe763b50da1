package wait

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		took := func(want time.Duration, err error, is error) {
			t.Helper()
			if got := time.Since(begin); got != want || !errors.Is(err, is) {
				t.Errorf("%v after %s, not %v after %s", err, got, is, want)
			}
		}
		took(time.Minute, For(t.Context(), time.Minute), nil)
		took(time.Minute, For(t.Context(), 0), nil)
		took(time.Minute, For(t.Context(), -time.Hour), nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		took(time.Minute+time.Second, For(ctx, time.Hour), context.DeadlineExceeded)
		took(time.Minute+time.Second, For(ctx, 0), context.DeadlineExceeded)
	})
}
