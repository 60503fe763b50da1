package fair

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// TestRoom: a client may hold as much as is free, and waits for more until it gives
// some back, or until its context ends.
func TestRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRoom(100)
		free, err := r.Take(t.Context(), "first", 50)
		if err != nil {
			t.Fatal(err)
		}
		if r.Try("first", 1) != nil {
			t.Error("a client got more than was free")
		}
		if r.Try("second", 51) != nil {
			t.Error("a second client got more than is left")
		}
		second := r.Try("second", 25)
		if second == nil {
			t.Fatal("a second client got nothing")
		}
		ctx, cancel := context.WithCancel(t.Context())
		waited := make(chan error, 2)
		wait := func(ctx context.Context) {
			_, err := r.Take(ctx, "first", 30)
			waited <- err
		}
		go wait(ctx)
		synctest.Wait()
		cancel()
		if err := <-waited; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		go wait(t.Context())
		synctest.Wait()
		free()
		if err := <-waited; err != nil {
			t.Error(err)
		}
		second()
		if r.left != 70 || len(r.held) != 1 {
			t.Errorf("%d are left, and %d clients hold some", r.left, len(r.held))
		}
	})
}
