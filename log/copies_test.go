package log

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"indelible/guard"
	"indelible/storage/memory"
)

// Two replicas have a copy each of one register. Who publishes second finds that
// its own is older than the log, and poisons that one alone.
func TestRegisterThatIsACopy(t *testing.T) {
	w := newWorld(t, memory.New())
	data, err := os.ReadFile(w.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.path+".copy", data, 0o600); err != nil {
		t.Fatal(err)
	}
	other, err := guard.OpenFile(w.path + ".copy")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	a, stopA := start(t, w.config(t))
	cfg := w.config(t)
	cfg.Register, cfg.FollowEvery = other, time.Millisecond
	b, stopB := start(t, cfg)
	poll(t, "both are ready", func() bool { return a.Ready() == nil && b.Ready() == nil })
	add(t, a, "a")
	if _, err := b.AwaitNewer(deadline(t), 0); err != nil { // what it has not seen, it cannot miss
		t.Fatal(err)
	}
	if _, err := b.Add(deadline(t), raw(t, "b")); !errors.Is(err, ErrPoisoned) || !strings.Contains(err.Error(), "the register is older than the log: it knows size 0") {
		t.Fatal(err)
	}
	add(t, a, "c")
	stopA()
	stopB()
	b, stopB = start(t, cfg)
	poll(t, "it is still poisoned", func() bool { return errors.Is(b.Ready(), ErrPoisoned) })
	stopB()
	if state, err := other.Read(t.Context()); err != nil || state.Newest.Size != 0 || state.Poisoned == "" {
		t.Errorf("the copy: %+v, %v", state, err)
	}
	a, _ = start(t, w.config(t))
	add(t, a, "d")
	checkWhole(t, a)
	if record := w.config(t).Record; record.Poisoned != "" {
		t.Errorf("the database says: %s", record.Poisoned)
	}
}
