package mirror

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/evidence"
	"indelible/evidence/folder"
	"indelible/internal/wait"
	"indelible/mirror/source"
)

// Options say how a log is followed. Zero values mean what is said.
type Options struct {
	// Keys are the log's, for evidence against it.
	Keys []checkpoint.Verifier
	// Parallel is how many blocks are fetched at the same time; 8.
	Parallel int
	// Memory bounds the bytes of blocks that are being fetched, or wait; 32 MiB. One
	// block can come on top.
	Memory int64
	// Patience is how long a block, or a head with its proof, may take with all tries; 10
	// minutes. A log that sends a byte now and then ends there.
	Patience time.Duration
	// Follow goes on when the copy has the newest head: it looks again after Poll, 1
	// minute, and after failures that may pass later and later, up to MaxPause, 10
	// minutes.
	Follow   bool
	Poll     time.Duration
	MaxPause time.Duration
	// StaleAfter is how long a log that is followed may serve a smaller head than it did,
	// as a cache may; 10 minutes. Without Follow it may not.
	StaleAfter time.Duration
	// Progress is told after each block; Event is told what else happens.
	Progress func(Progress)
	Event    func(text string)
}

// Progress is how far a copy has come.
type Progress struct {
	Done, Size int64   // entries of the copy, and of the log's newest head
	Bytes      int64   // of entries, that were fetched since the start
	Growth     float64 // entries a second that the log grows by; 0 if that is not known yet
}

// Report is what a run did.
type Report struct {
	Origin  string `json:"origin"`
	Size    int64  `json:"size"` // of the committed head
	Root    []byte `json:"rootHash"`
	Fetched int64  `json:"fetched"` // entries
	Bytes   int64  `json:"bytes"`
	// Wide are the first entries of blocks that no entry bundle can hold, and how many
	// blocks there are.
	Wide      []int64 `json:"wide,omitempty"`
	WideCount int64   `json:"wideCount,omitempty"`
	Evidence  string  `json:"evidence,omitempty"` // a file
}

// maxWide bounds how many wide blocks a Report names.
const maxWide = 100

// The ways in which a log's head can be wrong. ErrForked and ErrShrunk come with
// evidence if any can be made.
var (
	// ErrForked: the log signed two heads that cannot both be true.
	ErrForked = errors.New("the log forked")
	// ErrShrunk: the log signed a smaller head later than a larger one.
	ErrShrunk = errors.New("the log shrank")
	// ErrStale: the log serves a head that is smaller than one it served, and the
	// beginning of it. A cache may have kept it, or the log was rolled back.
	ErrStale = errors.New("the log serves an older head")
)

// Run brings a copy up to the newest head of a log, and goes on if it is to follow it.
// What it has is durable when it returns, whatever the error.
func Run(ctx context.Context, c *Copy, log source.Log, o Options) (Report, error) {
	o.Parallel, o.Memory = cmp.Or(o.Parallel, 8), cmp.Or(o.Memory, 32<<20)
	o.Patience = cmp.Or(o.Patience, 10*time.Minute)
	o.Poll, o.MaxPause, o.StaleAfter = cmp.Or(o.Poll, time.Minute), cmp.Or(o.MaxPause, 10*time.Minute), cmp.Or(o.StaleAfter, 10*time.Minute)
	r := &run{Options: o, copy: c, log: log, report: Report{Origin: log.Origin()}}
	if log.Format() != c.Format() {
		return r.report, fmt.Errorf("the copy is one of a log of format %s, and the log's is %s", c.Format(), log.Format())
	}
	err := r.all(ctx)
	head := c.Head()
	r.report.Size, r.report.Root = head.Size, head.Root[:]
	if syncErr := c.Sync(); err == nil {
		err = syncErr
	}
	return r.report, err
}

type run struct {
	Options
	copy   *Copy
	log    source.Log
	report Report

	stale    time.Time // since when the head is smaller
	failures int       // in a row
	// issued are issuers that were put, and may not be on the disk yet.
	issued map[[sha256.Size]byte]bool
	growth growth
}

func (r *run) all(ctx context.Context) error {
	for {
		err := r.once(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && (!r.Follow || !r.passing(err)):
			return err
		case err == nil && !r.Follow:
			return nil
		}
		pause := r.pause(err)
		if err != nil {
			r.event("%v; trying again in %s", err, pause.Round(time.Second))
		}
		if err := wait.For(ctx, pause); err != nil {
			return err
		}
	}
}

// passing reports whether the same may succeed later.
func (r *run) passing(err error) bool {
	if errors.Is(err, ErrStale) {
		return time.Since(r.stale) < r.StaleAfter
	}
	return !errors.Is(err, source.ErrFalse) && !errors.Is(err, ErrForked) && !errors.Is(err, ErrShrunk) && !errors.Is(err, ErrUnwritable)
}

func (r *run) pause(err error) time.Duration {
	if err == nil {
		r.failures = 0
		return r.Poll
	}
	limit := min(r.MaxPause, time.Second<<min(r.failures, 20))
	r.failures++
	return limit/2 + rand.N(limit/2+1)
}

func (r *run) event(format string, args ...any) {
	if r.Event != nil {
		r.Event(fmt.Sprintf(format, args...))
	}
}

// once brings the copy to the newest head, which is proven to extend the one before it
// fetches an entry.
func (r *run) once(ctx context.Context) error {
	head, err := r.newest(ctx)
	if err != nil {
		return err
	}
	if t, ok := r.log.(tailing); ok && t.Tail(head) > r.copy.Next() {
		return fmt.Errorf("only the end of %s can be read, from entry %d on, and a copy has all entries: mirror one of its frozen shards", r.log.Origin(), t.Tail(head))
	}
	if err := r.copy.Accept(head); err != nil {
		return err
	}
	if err := r.fetch(ctx, head); err != nil {
		return err
	}
	return r.copy.Commit(head)
}

// newest is the log's newest head, which is proven to extend the one that is held.
func (r *run) newest(ctx context.Context) (source.Head, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Patience)
	defer cancel()
	head, err := r.log.Head(ctx)
	if err != nil {
		return head, err
	}
	r.growth.add(head.Size)
	held := r.copy.Pending()
	if head.Size < held.Size {
		return head, r.smaller(ctx, head, held)
	}
	r.stale = time.Time{}
	if held.Note != nil {
		_, err = r.log.Consistent(ctx, held, head)
	}
	return head, r.contradiction(err)
}

// tailing is a log of which only the end can be read.
type tailing interface{ Tail(head source.Head) int64 }

// smaller says what a head means that is smaller than one that was accepted.
func (r *run) smaller(ctx context.Context, head, held source.Head) error {
	if err := r.beginning(ctx, head, held); err != nil {
		return err
	}
	if file, err := evidence.OfShrunk(r.Keys, held.Note, head.Note); err == nil {
		return r.evidence(evidence.Shrunk, held, ErrShrunk, func() ([]byte, error) { return file, nil })
	}
	if r.stale.IsZero() {
		r.stale = time.Now()
	}
	return fmt.Errorf("%w: its size is %d, and %d was served before", ErrStale, head.Size, held.Size)
}

// beginning proves that a head is the beginning of a larger one that was accepted: by
// the copy's own tiles as far as it goes, and otherwise by the log's.
func (r *run) beginning(ctx context.Context, head, held source.Head) error {
	if head.Size > r.copy.Next() {
		_, err := r.log.Consistent(ctx, head, held)
		if err != nil && !errors.Is(err, source.ErrFalse) {
			return nil // the log may not have its larger tree any more: that is told
		}
		return r.contradiction(err)
	}
	root, err := r.copy.Root(head.Size)
	if err != nil || root == head.Root {
		return err
	}
	fork := &source.ForkError{Older: head, Newer: held, Root: root}
	if r.copy.Next() < held.Size { // the proof is in the log's tiles
		_, err = r.log.Consistent(ctx, head, held)
		errors.As(err, &fork)
		return r.contradiction(fork)
	}
	if fork.Proof, err = r.copy.Prove(head.Size, held.Size); err != nil {
		return err
	}
	return r.contradiction(fork)
}

// contradiction writes evidence, if an error is a fork.
func (r *run) contradiction(err error) error {
	var fork *source.ForkError
	if !errors.As(err, &fork) {
		return err
	}
	kind := evidence.Fork
	if fork.Older.Size == fork.Newer.Size {
		kind = evidence.TwoHeads
	}
	return r.evidence(kind, fork.Older, fmt.Errorf("%w: %w", ErrForked, err), func() ([]byte, error) { return fork.Evidence(r.Keys) })
}

// evidence writes a file, and adds to the error which.
func (r *run) evidence(kind evidence.Kind, contradicted source.Head, because error, prove func() ([]byte, error)) error {
	dir, err := r.copy.Evidence()
	if err == nil {
		c := checkpoint.Checkpoint{Origin: r.log.Origin(), Size: contradicted.Size, Root: contradicted.Root}
		r.report.Evidence, _, err = folder.Keep(dir, kind, c, prove)
	}
	if err != nil {
		return fmt.Errorf("%w; %w", because, err)
	}
	return fmt.Errorf("%w; the evidence is in %s", because, r.report.Evidence)
}

// growth estimates how fast a log grows.
type growth struct {
	mu    sync.Mutex
	began time.Time
	size  int64
	rate  float64
}

func (g *growth) add(size int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if g.began.IsZero() {
		g.began, g.size = now, size
		return
	}
	if took := now.Sub(g.began).Seconds(); took >= 1 {
		g.rate = float64(max(size-g.size, 0)) / took
	}
}

func (g *growth) get() float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.rate
}

// isTooBig reports whether a block has more bytes than were reserved for it.
func isTooBig(err error) bool { return errors.Is(err, client.ErrTooBig) }
