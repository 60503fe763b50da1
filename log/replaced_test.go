package log

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"indelible/guard"
	"indelible/storage"
	"indelible/storage/memory"
)

// afresh gives the log another register, which knows its head, as an operator
// does where the old one is lost, and returns a replica's configuration with it.
func (w *world) afresh(t *testing.T, at storage.Head) Config {
	t.Helper()
	cfg, id := w.config(t), guard.NewID()
	if err := w.store.ReplaceRegister(t.Context(), cfg.Record.ID, cfg.Record.Register, id, at); err != nil {
		t.Fatal(err)
	}
	reg, err := guard.CreateAccepted(filepath.Join(t.TempDir(), "register"), testOrigin, id, guard.Head{Size: at.Size, Root: at.Root, Time: 1}, guard.Word{By: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reg.Close() })
	cfg = w.config(t)
	cfg.Register = reg
	return cfg
}

// A replica whose register was replaced while it ran signs nothing more, and
// neither poisons the log nor holds up the others.
func TestRegisterReplacedUnderARunningReplica(t *testing.T) {
	w := newWorld(t, memory.New())
	a, _ := start(t, w.config(t))
	add(t, a, "a")
	add(t, a, "b")
	at, err := w.store.Head(t.Context(), a.cfg.Record.ID)
	if err != nil {
		t.Fatal(err)
	}
	cfg := w.afresh(t, at)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := make(chan error, 1)
	go func() {
		_, err := a.Add(ctx, raw(t, "c"))
		got <- err
	}()
	poll(t, "it says why it publishes nothing", func() bool { return errors.Is(a.Ready(), errRegisterReplaced) })
	if p, err := w.store.Published(t.Context(), cfg.Record.ID); err != nil || p.Size != 2 {
		t.Fatalf("%+v, %v", p, err)
	}
	if old, err := w.register.Read(t.Context()); err != nil || old.Newest.Size != 2 || old.Poisoned != "" {
		t.Fatalf("%+v, %v", old, err)
	}
	b, _ := start(t, cfg)
	add(t, b, "d")
	cancel()
	<-got
	if p, err := b.Published(); err != nil || p.Size < 3 {
		t.Fatalf("%+v, %v", p, err)
	}
	if rec, err := w.store.FindLog(t.Context(), testOrigin); err != nil || rec.Poisoned != "" {
		t.Fatalf("%+v, %v", rec, err)
	}
	checkWhole(t, b)

	// One that is only about to start.
	stale := w.config(t)
	stale.Record.Register = a.cfg.Record.Register
	stale.Register = w.register
	c, _ := start(t, stale)
	poll(t, "it says why it does not start", func() bool { return errors.Is(c.Ready(), errRegisterReplaced) })
	if rec, err := w.store.FindLog(t.Context(), testOrigin); err != nil || rec.Poisoned != "" {
		t.Fatalf("%+v, %v", rec, err)
	}
}
