// Package publication keeps a log's checkpoint, tiles and entry bundles as plain
// files, in a folder or in a bucket, so that reads of the public cost the log
// nothing. Any web server or CDN serves them as they are: their names are those of
// C2SP tlog-tiles.
//
//	checkpoint
//	tile/0/000          tile/0/001.p/17    tile/1/000.p/1
//	tile/entries/000    tile/entries/001.p/17
//	.publication        what of this is there, for the next process (JSON)
//
// # Order
//
// A checkpoint is written when all that it needs is durable, and never before:
//
//  1. full bundles and the full tiles that they complete, in batches;
//  2. the state, which says that these are there;
//  3. the partial tiles and the partial bundle of the new tree;
//  4. the checkpoint, in the place of a smaller one;
//  5. partial tiles of older trees are removed. The last few stay, for readers with
//     an older checkpoint.
//
// A process that is killed leaves files that no checkpoint needs yet. The next one
// goes on at the state's size.
//
// # What is verified
//
// The log compares each entry with its tree before it hands it out. The publication
// hashes the bytes that it writes once more: each frontier that the state is to have
// must be a root of the log's tree, and a checkpoint's root must be what the written
// entries lead to. What is in a place already is not read again, except for its
// state and its checkpoint: both must be of this log's tree.
//
// # Several replicas
//
// Each server of a log may publish to the same bucket. State and checkpoint are
// replaced only as they were read (If-Match), so that the checkpoint never goes
// back. Full tiles are the same, whoever writes them. To save the work, a server
// that did not publish the newest checkpoint itself (Config.Leads) leaves it to the
// others for Config.Patience, unless the place is empty. A folder belongs to one process, by a lock.
package publication

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"indelible/checkpoint"
	"indelible/internal/wait"
	translog "indelible/log"
	"indelible/merkle"
)

// Log is a log that is published. What it returns is compared with its tree.
type Log interface {
	Published() (translog.Published, error)
	AwaitNewer(ctx context.Context, than int64) (translog.Published, error)
	Tile(ctx context.Context, t merkle.Tile) ([]byte, error)
	Bundle(ctx context.Context, b merkle.Bundle) ([]byte, error)
}

var _ Log = (*translog.Log)(nil)

// Config is what a Publication is made from. A field's zero value means what its
// comment says.
type Config struct {
	Log  Log                   // required
	Keys []checkpoint.Verifier // required: of the log, all of them
	// Open opens the place; required. It is opened again after an error.
	Open func(context.Context) (Store, error)
	// Interval is the time from one checkpoint to the next at least; 10 s.
	Interval time.Duration
	// Leads reports whether this replica made the log's newest checkpoint; nil: it
	// always does. One that did not leaves a checkpoint to the others for Patience, 3
	// times Interval.
	Leads    func() bool
	Patience time.Duration
	// Kept is the folder that Open opens, if the log reads it; it may be nil.
	Kept *Kept
	// Failing is told what fails, and nil when it goes well again; it may be nil.
	Failing func(error)
}

// Status is how far a publication is.
type Status struct {
	// Size is that of the checkpoint that is public, as last seen; Known is false as
	// long as none was seen.
	Size  int64
	Known bool
	// Due is since when the log has a checkpoint that is not public; zero if the newest
	// one is.
	Due time.Time
	// Files and Bytes were written since the start, and Failures counts what failed.
	Files, Bytes, Failures int64
	// Err is why the last try failed; nil if it did not.
	Err error
}

// Publication publishes one log to one place.
type Publication struct {
	cfg   Config
	batch int // bytes that become durable together before the state says so

	mu     sync.Mutex
	status Status
}

// New makes a Publication. It starts nothing.
func New(cfg Config) (*Publication, error) {
	if cfg.Log == nil || cfg.Open == nil || len(cfg.Keys) == 0 {
		return nil, errors.New("publication: Log, Keys and Open are required")
	}
	cfg.Interval = cmp.Or(cfg.Interval, 10*time.Second)
	cfg.Patience = cmp.Or(cfg.Patience, 3*cfg.Interval)
	return &Publication{cfg: cfg, batch: batchBytes}, nil
}

// Status says how far the publication is.
func (p *Publication) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

func (p *Publication) update(f func(*Status)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.status)
}

// due notes that a checkpoint is to be published.
func (p *Publication) due() {
	p.update(func(s *Status) {
		if s.Due.IsZero() {
			s.Due = time.Now()
		}
	})
}

// maxPause is the longest pause after failures.
const maxPause = time.Minute

// Run publishes until ctx ends.
func (p *Publication) Run(ctx context.Context) error {
	for pause := time.Second; ctx.Err() == nil; {
		p.due()
		began := time.Now()
		err := p.session(ctx)
		if ctx.Err() != nil {
			break
		}
		p.update(func(s *Status) { s.Err, s.Failures = err, s.Failures+1 })
		p.failing(err)
		if time.Since(began) > maxPause {
			pause = time.Second
		}
		wait.For(ctx, pause)
		pause = min(2*pause, maxPause)
	}
	return nil
}

func (p *Publication) failing(err error) {
	if p.cfg.Failing != nil {
		p.cfg.Failing(err)
	}
}

// session opens the place and publishes until something fails, or ctx ends.
func (p *Publication) session(ctx context.Context) (err error) {
	store, err := p.cfg.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	defer p.cfg.Kept.settle(false)
	s := &session{p: p, store: store}
	last := translog.Published{Size: -1}
	for {
		head, err := p.next(ctx, last)
		if err != nil {
			return err
		}
		p.due()
		began, lead := time.Now(), p.cfg.Leads == nil || p.cfg.Leads()
		if !lead && !s.empty(ctx) {
			wait.For(ctx, p.cfg.Patience)
			if head, err = p.cfg.Log.Published(); err != nil {
				return err
			}
		}
		err = s.publish(ctx, head, lead)
		switch {
		case err == nil:
			last = head
			p.cfg.Kept.settle(true)
			p.update(func(s *Status) { s.Due, s.Err = time.Time{}, nil })
			p.failing(nil)
		case !errors.Is(err, errAhead):
			return err
		}
		wait.For(ctx, p.cfg.Interval-time.Since(began))
	}
}

// next waits for a checkpoint that is newer than the last: of a larger tree, or with
// other signatures.
func (p *Publication) next(ctx context.Context, last translog.Published) (translog.Published, error) {
	for {
		head, err := p.cfg.Log.Published()
		if err == nil && !bytes.Equal(head.Note, last.Note) {
			return head, nil
		}
		soon, cancel := context.WithTimeout(ctx, p.cfg.Interval)
		head, err = p.cfg.Log.AwaitNewer(soon, last.Size)
		cancel()
		if err == nil || ctx.Err() != nil {
			return head, err
		}
	}
}

// Warnings say, in a sentence each, what an operator must know: that the log has had a
// newer checkpoint than the place for longer than lag.
func (p *Publication) Warnings(place string, lag time.Duration) []string {
	s := p.Status()
	if s.Due.IsZero() || time.Since(s.Due) < max(lag, 2*p.cfg.Interval+p.cfg.Patience) {
		return nil
	}
	public := "has no checkpoint of this log that is known"
	if s.Known {
		public = fmt.Sprintf("has the log's first %d entries", s.Size)
	}
	text := fmt.Sprintf("the publication %s is not up to date since %s: it %s", place, s.Due.UTC().Format(time.RFC3339), public)
	if head, err := p.cfg.Log.Published(); err == nil {
		text += fmt.Sprintf(", and this server shows %d", head.Size)
	}
	if s.Err != nil {
		text += ": " + s.Err.Error()
	}
	return []string{text}
}
