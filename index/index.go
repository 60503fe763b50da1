// Package index finds entries by what they say: the digest of an artifact, a
// key, a name in a certificate (entry.IndexKeys). It follows the log with a
// cursor of its own, can be dropped and made again, and never slows an add.
//
// # Complete by construction
//
// The index has the entries [0, size) and no others. The rows of some thousand
// entries and the cursor that says so move in one transaction, and only from
// where the cursor was: however many follow at once, and wherever one is
// killed, no entry is passed over or entered twice. Only published entries are
// indexed. Each answer says up to which size it is complete; what is published
// and not yet indexed is at most about a second's worth while the database keeps
// up.
//
// # Rows
//
// A row has the first 8 bytes of SHA-256(by || 0x00 || value) and an entry's
// index. What it points at is read from the log, and its keys are taken from
// the entry again, before it is an answer: of two things whose hashes begin
// alike, or of a damaged row, nobody hears.
//
// # Beside the adds
//
// A search reads what an add would like to have the database for. So few of them
// read at the same time, those that find all that there is ([Index.FindAll]) count
// rows before they read an entry, and rest between their steps; whoever does not
// get a turn is told to come back, [ErrBusy].
//
// An index that says more than the log has, as after a database was edited or
// restored in parts, is found at the start, while following and by each search.
// It is started again at once; a search before that is an error, [ErrAhead].
//
// # A new format
//
// When a program takes other keys from the entries than the one that made the
// index (entry.IndexFormat), it rebuilds the index, from the first entry,
// and answers with what it has meanwhile. A program that is older than the
// index lets it be, and can promise nothing of it: complete up to 0.
package index

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	translog "indelible/log"
	"indelible/storage"
)

// Log is what the index needs of a log.
type Log interface {
	Published() (translog.Published, error)
	AwaitNewer(ctx context.Context, than int64) (translog.Published, error)
	// Recent returns published entries from start on that need not be read; see
	// log.Log.
	Recent(start, stop int64) []storage.Entry
	// Check is an error if published entries, as they were read from the database,
	// are not those that were logged; see log.Log.
	Check(ctx context.Context, entries []storage.Entry) error
}

var _ Log = (*translog.Log)(nil)

// Config is what an Index is made from. A field's zero value means the default
// that its comment names.
type Config struct {
	Store   storage.Store // required
	LogID   int64         // required: the log's id in the store
	Log     Log           // required
	Replica string        // names this process among the log's replicas; random

	// Gather is how long entries are gathered, while many are added, before
	// they are indexed together; 300 ms. The first after a pause do not wait.
	Gather time.Duration
	// LeaseTTL is after what time another replica follows on for one that
	// vanished; 3 s.
	LeaseTTL time.Duration
	Events   Events
}

// Events are called when something happened; each may be nil. They are called
// from Run and must return at once.
type Events struct {
	Indexed  func(size int64, entries, rows int, took time.Duration) // this replica indexed some entries
	Reset    func(format int)                                        // the index is rebuilt, in this format
	Ahead    func(why error)                                         // the index is ahead of the log, and will be rebuilt
	Newer    func(format int)                                        // a newer program made the index; it is left alone
	Retrying func(what string, err error)                            // a step failed and will be tried again; told once while it fails alike
}

// Index finds the entries of one log. Open makes one and Run makes it follow;
// searches may come from any number of goroutines.
type Index struct {
	cfg   Config
	known atomic.Int64
	ahead atomic.Pointer[condemned]          // nil: none was found
	wake  atomic.Pointer[context.CancelFunc] // ends Run's wait for entries; nil: it never waited
	steps turns                              // of reads by searches
	wide  turns                              // of searches by FindAll
}

// maxReplica is the most bytes of a replica's name.
const maxReplica = 255

// Open makes an Index. It starts nothing and reads nothing.
func Open(cfg Config) (*Index, error) {
	switch {
	case cfg.Store == nil:
		return nil, errors.New("index: no store is given")
	case cfg.Log == nil:
		return nil, errors.New("index: no log is given")
	case len(cfg.Replica) > maxReplica:
		return nil, fmt.Errorf("index: Replica has %d bytes; at most %d fit into the lease's row", len(cfg.Replica), maxReplica)
	case cfg.Gather < 0 || cfg.LeaseTTL < 0:
		return nil, errors.New("index: a duration is negative")
	}
	if cfg.Replica == "" {
		cfg.Replica = rand.Text()
	}
	if cfg.Gather == 0 {
		cfg.Gather = 300 * time.Millisecond
	}
	if cfg.LeaseTTL == 0 {
		cfg.LeaseTTL = 3 * time.Second
	}
	x := &Index{cfg: cfg, steps: make(turns, maxSteps), wide: make(turns, maxWide)}
	x.known.Store(-1)
	return x, nil
}

// Known is the size up to which the index was complete when this replica last
// saw it; -1 before it has.
func (x *Index) Known() int64 { return x.known.Load() }

// see remembers a state, and returns up to which size it is complete.
func (x *Index) see(st storage.IndexState) int64 {
	size := st.Size
	if st.Format != format {
		size = 0
	}
	x.known.Store(size)
	return size
}

func (e Events) indexed(size int64, entries, rows int, took time.Duration) {
	if e.Indexed != nil {
		e.Indexed(size, entries, rows, took)
	}
}

func (e Events) reset(format int) {
	if e.Reset != nil {
		e.Reset(format)
	}
}

func (e Events) ahead(why error) {
	if e.Ahead != nil {
		e.Ahead(why)
	}
}

func (e Events) newer(format int) {
	if e.Newer != nil {
		e.Newer(format)
	}
}

func (e Events) retrying(what string, err error) {
	if e.Retrying != nil {
		e.Retrying(what, err)
	}
}
