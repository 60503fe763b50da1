package log

import (
	"bytes"
	"crypto/ed25519"
	"sync/atomic"
	"testing"
	"time"

	"indelible/checkpoint"
	"indelible/storage/memory"
)

func cosignerOf(t *testing.T, name string, seed byte) *checkpoint.Cosigner {
	t.Helper()
	key, err := checkpoint.NewCosigner(name, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// timeOf is when a key of the log says that it saw a checkpoint.
func timeOf(t *testing.T, w *world, note []byte, key *checkpoint.Cosigner) int64 {
	t.Helper()
	o, err := checkpoint.Open(note, []checkpoint.Verifier{w.key.Verifier()}, key.Verifier())
	if err != nil {
		t.Fatal(err)
	}
	at, ok := o.Timestamp(key.Verifier())
	if !ok {
		t.Fatalf("the log's cosigner did not sign:\n%s", note)
	}
	return at
}

// A clock that steps back makes no head say that it was the largest before a
// smaller one.
func TestTimesOfTheLogsCosignaturesNeverGoBack(t *testing.T) {
	w := newWorld(t, memory.New())
	key := cosignerOf(t, testOrigin, 5)
	rec, err := w.store.FindLog(t.Context(), testOrigin)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.AddKey(t.Context(), rec.ID, key.Verifier().String()); err != nil {
		t.Fatal(err)
	}
	var behind atomic.Int64
	cfg := w.config(t)
	cfg.Cosigners = []*checkpoint.Cosigner{key}
	cfg.Now = func() time.Time { return time.Now().Add(time.Hour - time.Duration(behind.Load())) }
	l, stop := start(t, cfg)
	last := int64(0)
	for i := range 4 {
		at := timeOf(t, w, add(t, l, string(rune('a'+i))).Checkpoint.Note, key)
		if at < last || at == 0 {
			t.Errorf("size %d was signed at %d, and a smaller one at %d", i+1, at, last)
		}
		last = at
		behind.Add(int64(2 * time.Minute))
	}
	stop()
	l, _ = start(t, cfg)
	if at := timeOf(t, w, add(t, l, "e").Checkpoint.Note, key); at < last {
		t.Errorf("after a restart: %d, and a smaller tree at %d", at, last)
	}
}
