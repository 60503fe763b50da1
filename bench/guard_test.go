package main

import (
	"context"
	"sync/atomic"
	"testing"

	"indelible/entry"
	translog "indelible/log"
	"indelible/merkle"
	"indelible/storage"
	"indelible/storage/memory"
)

// readBacks counts what reaches the store.
type readBacks struct {
	storage.Store
	entries, heads atomic.Int64
}

func (r *readBacks) Entries(ctx context.Context, logID, start, end int64) ([]storage.Entry, error) {
	r.entries.Add(1)
	return r.Store.Entries(ctx, logID, start, end)
}

func (r *readBacks) Head(ctx context.Context, logID int64) (storage.Head, error) {
	r.heads.Add(1)
	return r.Store.Head(ctx, logID)
}

// The log without a guard publishes what the guarded one does, and reads nothing
// back for it. (The first head is read before there is another.)
func TestUnguarded(t *testing.T) {
	for register, guarded := range map[string]bool{registerNone: false, registerFile: true} {
		store := &readBacks{Store: memory.New()}
		cfg, err := servedLog{register: register, dir: t.TempDir()}.create(t.Context(), store)
		if err != nil {
			t.Fatal(err)
		}
		l, err := translog.Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		if _, err := l.AwaitNewer(t.Context(), -1); err != nil {
			t.Fatal(err)
		}
		before := store.heads.Load()
		const count = 20
		for i := range int64(count) {
			e, err := entry.NewRaw(rawBody("test", i))
			if err != nil {
				t.Fatal(err)
			}
			r, err := l.Add(t.Context(), e)
			if err != nil {
				t.Fatal(err)
			}
			if err := merkle.VerifyInclusion(r.Index, r.Proof.Size, r.LeafHash, r.Proof.Hashes, r.Proof.Root); err != nil {
				t.Errorf("guarded %v: %v", guarded, err)
			}
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		entries, heads := store.entries.Load(), store.heads.Load()-before
		if guarded != (entries >= count) || guarded != (heads >= count) {
			t.Errorf("guarded %v: %d reads of entries and %d of the head for %d entries", guarded, entries, heads, count)
		}
	}
}

// The process that is started understands what it is told.
func TestServedLogArgs(t *testing.T) {
	s := servedLog{register: registerFile, engine: "sqlite", database: "log.db", registerDSN: "", dir: "dir", admin: ":1", grpc: ":2"}
	if got, ok := parseServedLog(s.args()); !ok || got != s {
		t.Errorf("%q is read as %+v, %v", s.args(), got, ok)
	}
	for _, args := range [][]string{nil, {"serve-echo", ":1", ":2"}, s.args()[:7], {"-only", "a", "b", "c", "d", "e", "f", "g"}} {
		if _, ok := parseServedLog(args); ok {
			t.Errorf("%q is taken for a log", args)
		}
	}
}
