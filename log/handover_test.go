package log

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"indelible/guard"
	"indelible/storage/memory"
)

// mutedRegister cannot be asked while it is mute.
type mutedRegister struct {
	guard.Register
	mute atomic.Bool
}

func (m *mutedRegister) Read(ctx context.Context) (guard.State, error) {
	if m.mute.Load() {
		return guard.State{}, errMute
	}
	return m.Register.Read(ctx)
}

func (m *mutedRegister) Poisoned(ctx context.Context) (string, error) {
	state, err := m.Read(ctx)
	return state.Poisoned, err
}

// A replica that holds the lease and loses its way to the register does not keep
// the others from publishing, and shows what they do.
func TestReplicaWithoutItsRegisterHandsOver(t *testing.T) {
	w := newWorld(t, memory.New())
	one, two := w.config(t), w.config(t)
	reg := &mutedRegister{Register: w.register}
	one.Register = reg
	a, _ := start(t, one)
	b, _ := start(t, two)
	add(t, a, "a")
	reg.mute.Store(true)
	got := make(chan error, 1)
	go func() {
		_, err := a.Add(context.WithoutCancel(t.Context()), raw(t, "b"))
		got <- err
	}()
	poll(t, "it is in trouble", func() bool { return errors.Is(a.Ready(), errMute) })
	add(t, b, "c")
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	poll(t, "it is still in trouble", func() bool { return errors.Is(a.Ready(), errMute) })
	reg.mute.Store(false)
	poll(t, "it is well", func() bool { return a.Ready() == nil })
	add(t, a, "d")
	checkWhole(t, a)
	checkWhole(t, b)
}
