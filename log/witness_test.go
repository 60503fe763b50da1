package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"indelible/checkpoint"
	"indelible/merkle"
	"indelible/storage/memory"
)

// cosigning is a witness that follows the log as one should: it cosigns what
// extends what it cosigned before.
type cosigning struct {
	key *checkpoint.Cosigner
	log []checkpoint.Verifier

	mu    sync.Mutex
	seen  checkpoint.Checkpoint
	asked int
	fail  error
	late  bool        // answer without the cosignature
	shows []Claim     // what it tells the log when it is asked to confirm
	tells func(Claim) // whom
	after []int64     // the sizes that it confirmed
}

func newCosigning(t *testing.T, w *world) *cosigning {
	t.Helper()
	return &cosigning{key: cosignerOf(t, "witness.example/w1", 9), log: []checkpoint.Verifier{w.key.Verifier()}}
}

func (c *cosigning) Cosign(ctx context.Context, note []byte, tree Tree) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	if c.fail != nil {
		return nil, c.fail
	}
	o, err := checkpoint.Open(note, c.log)
	if err != nil {
		return nil, err
	}
	proof, err := tree.Consistency(ctx, c.seen.Size)
	if err != nil {
		return nil, err
	}
	root := c.seen.Root
	if c.seen.Size == 0 {
		root = merkle.EmptyRoot()
	}
	if err := merkle.VerifyConsistency(c.seen.Size, o.Size, root, o.Root, proof); err != nil {
		return nil, fmt.Errorf("from %d to %d: %w", c.seen.Size, o.Size, err)
	}
	c.seen = o.Checkpoint
	if c.late {
		return note, nil
	}
	return c.cosigned(note, time.Now().Unix())
}

// Confirm cosigns what it cosigned before, as a quorum of one does.
func (c *cosigning) Confirm(ctx context.Context, note []byte, tree Tree, known func(context.Context) (int64, error)) error {
	c.mu.Lock()
	fail, shows, seen := c.fail, c.shows, c.seen
	c.mu.Unlock()
	for _, claim := range shows {
		c.tells(claim)
	}
	if fail != nil {
		return fail
	}
	o, err := checkpoint.Open(note, c.log)
	if err != nil {
		return err
	}
	if seen.Size > o.Size {
		if size, err := known(ctx); err != nil || seen.Size > size {
			return errors.Join(err, fmt.Errorf("the witness says that it cosigned size %d, and size %d is known", seen.Size, size))
		}
		return nil
	}
	if _, err := c.Cosign(ctx, note, tree); err != nil {
		return err
	}
	c.set(func() { c.asked--; c.after = append(c.after, o.Size) })
	return nil
}

func (c *cosigning) Enough(note []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, err := checkpoint.Open(note, c.log, c.key.Verifier())
	return err == nil && (c.late || o.VerifiedBy(c.key.Verifier()))
}

func (c *cosigning) cosigned(note []byte, at int64) ([]byte, error) {
	n, err := checkpoint.ParseNote(note)
	if err != nil {
		return nil, err
	}
	cp, err := checkpoint.ParseText(n.Text)
	if err != nil {
		return nil, err
	}
	sig, err := c.key.Cosign(cp, at)
	if err != nil {
		return nil, err
	}
	out, _, err := checkpoint.AddCosignatures(note, []checkpoint.Verifier{c.key.Verifier()}, sig)
	return out, err
}

func (c *cosigning) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (c *cosigning) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked
}

// cosignedAt is when the published checkpoint was cosigned; 0 if it was not.
func (c *cosigning) cosignedAt(t *testing.T, l *Log) int64 {
	t.Helper()
	p, err := l.Published()
	if err != nil {
		t.Fatal(err)
	}
	o, err := checkpoint.Open(p.Note, c.log, c.key.Verifier())
	if err != nil {
		t.Fatal(err)
	}
	at, _ := o.Timestamp(c.key.Verifier())
	return at
}

// start runs a log whose witness this is.
func (c *cosigning) start(t *testing.T, cfg Config) (*Log, func()) {
	t.Helper()
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.set(func() { c.tells = l.Ahead })
	return l, running(t, l)
}

func TestEveryCheckpointIsWitnessed(t *testing.T) {
	w := newWorld(t, memory.New())
	cfg := w.config(t)
	c := newCosigning(t, w)
	cfg.Witness = c
	l, _ := start(t, cfg)
	for i := range 600 {
		if i%100 == 0 { // each proof from another size, tiles full and partial
			add(t, l, fmt.Sprint("alone ", i))
		}
		go l.Add(context.WithoutCancel(t.Context()), raw(t, fmt.Sprint("entry ", i)))
	}
	add(t, l, "the last")
	if c.cosignedAt(t, l) == 0 {
		t.Error("published without a cosignature")
	}
}

func TestLateCosignatures(t *testing.T) {
	w := newWorld(t, memory.New())
	cfg := w.config(t)
	c := newCosigning(t, w)
	c.late = true
	cfg.Witness = c
	l, _ := start(t, cfg)
	old := add(t, l, "first")
	now := add(t, l, "second").Checkpoint
	keys := []checkpoint.Verifier{c.key.Verifier()}
	// One of an older checkpoint, and one that is damaged, are left out.
	if note, err := c.cosigned(old.Checkpoint.Note, 5); err != nil {
		t.Fatal(err)
	} else {
		l.Cosigned(note, keys)
	}
	l.Cosigned([]byte("nonsense"), keys)
	for _, at := range []int64{70, 90, 80} {
		note, err := c.cosigned(now.Note, at)
		if err != nil {
			t.Fatal(err)
		}
		l.Cosigned(note, keys)
	}
	poll(t, "merged", func() bool { return c.cosignedAt(t, l) == 90 })
	row, err := w.store.Published(t.Context(), cfg.Record.ID)
	if err != nil || row.Size != 2 {
		t.Fatalf("%+v, %v", row, err)
	}
	if p, _ := l.Published(); !bytes.Equal(p.Note, row.Note) || p.Size != now.Size {
		t.Errorf("the database holds another note than is shown")
	}
	// And the log goes on.
	add(t, l, "third")
}

func TestIdleLogIsWitnessedAgain(t *testing.T) {
	w := newWorld(t, memory.New())
	cfg := w.config(t)
	c := newCosigning(t, w)
	cfg.Witness, cfg.Rewitness, cfg.FollowEvery = c, 20*time.Millisecond, 5*time.Millisecond
	l, _ := start(t, cfg)
	add(t, l, "one")
	before := c.count()
	poll(t, "witnessed again", func() bool { return c.count() > before+2 })
	if p, err := l.Published(); err != nil || p.Size != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
}

// forged is a checkpoint of a tree that the log does not have, by its own key.
func forged(t *testing.T, key Signer, size int64) []byte {
	t.Helper()
	note, err := checkpoint.Sign(checkpoint.Checkpoint{Origin: testOrigin, Size: size, Root: merkle.LeafHash([]byte("other"))}, key)
	if err != nil {
		t.Fatal(err)
	}
	return note
}

// wasShown waits until the register keeps a forged head of a size.
func (w *world) wasShown(t *testing.T, size int64) {
	t.Helper()
	poll(t, "the head is in the register", func() bool {
		s, err := w.register.Read(t.Context())
		return err == nil && s.Poisoned != "" && s.Shown.Size == size && s.Shown.Root == merkle.LeafHash([]byte("other")) && s.Shown.Time > 0
	})
}

func TestAWitnessThatIsAhead(t *testing.T) {
	for name, test := range map[string]struct {
		note   func(t *testing.T, w *world, l *Log) []byte
		reason string // empty: the log goes on
		shown  int64  // the size of the head that the register keeps then
	}{
		"by our key, beyond the database": {func(t *testing.T, w *world, _ *Log) []byte { return forged(t, w.key, 1000) }, "rollback", 1000},
		"by our key, another tree":        {func(t *testing.T, w *world, _ *Log) []byte { return forged(t, w.key, 2) }, "fork", 2},
		"by another key":                  {func(t *testing.T, _ *world, _ *Log) []byte { return forged(t, newKey(t, 77), 1000) }, "", 0},
		"nonsense":                        {func(*testing.T, *world, *Log) []byte { return []byte("nonsense") }, "", 0},
		"what is true": {func(t *testing.T, _ *world, l *Log) []byte {
			p, err := l.Published()
			if err != nil {
				t.Fatal(err)
			}
			return p.Note
		}, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, memory.New())
			cfg := w.config(t)
			c := newCosigning(t, w)
			cfg.Witness = c
			l, _ := start(t, cfg)
			add(t, l, "a")
			add(t, l, "b")
			c.set(func() { c.fail = errors.New("the witness is ahead") })
			l.Ahead(Claim{Witness: "w1", Note: test.note(t, w, l)})
			got := make(chan error, 1)
			go func() {
				_, err := l.Add(deadline(t), raw(t, "c"))
				got <- err
			}()
			if test.reason == "" {
				before := c.count()
				poll(t, "asked again", func() bool { return c.count() > before+1 })
				c.set(func() { c.fail = nil })
				if err := <-got; err != nil {
					t.Fatal(err)
				}
				return
			}
			if err := <-got; !errors.Is(err, ErrPoisoned) || !strings.Contains(err.Error(), test.reason) {
				t.Fatal(err)
			}
			w.wasShown(t, test.shown)
		})
	}
}

func TestWitnessesRememberWhatADatabaseForgot(t *testing.T) {
	for name, size := range map[string]int64{"longer": 9, "another tree": 1} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, memory.New())
			cfg := w.config(t)
			l, stop := start(t, cfg)
			add(t, l, "a")
			stop()
			c := newCosigning(t, w)
			c.fail = errors.New("the witness is away")
			for _, note := range [][]byte{[]byte("nonsense"), forged(t, newKey(t, 5), 50), forged(t, w.key, 1), forged(t, w.key, size), forged(t, w.key, 1)} {
				c.shows = append(c.shows, Claim{Witness: "w1", Note: note})
			}
			cfg.Witness = c
			l, _ = c.start(t, cfg)
			if _, err := l.Add(deadline(t), raw(t, "b")); !errors.Is(err, ErrPoisoned) || !strings.Contains(err.Error(), "fork") {
				t.Fatal(err)
			}
			w.wasShown(t, size)
		})
	}
}
