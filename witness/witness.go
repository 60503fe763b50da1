// Package witness cosigns the checkpoints of other people's logs, and never two
// that contradict each other (c2sp.org/tlog-witness, c2sp.org/tlog-cosignature).
//
// A witness remembers of each log the newest checkpoint that it cosigned. It
// cosigns another only if a consistency proof shows that it extends that one, and
// only after it has made the new one durable, by an atomic compare-and-swap: of
// two requests that race, one wins, and the other is told the size to start
// from. What it signs is its own encoding, with the log's signatures that it
// verified, never the bytes it received.
//
// # Requests
//
//	POST /add-checkpoint                  200 signature lines
//	                                      400 malformed, or old is larger than the checkpoint
//	                                      403 not signed by the log
//	                                      404 a log that this witness does not know
//	                                      409 old is not the size cosigned last, which is the answer
//	                                      413 a body of more than 192 KiB
//	                                      422 the consistency proof does not hold
//	                                      429 more than the log may ask a day; Retry-After says when
//	POST /sign-subtree                    the same, without 409 and 429
//	                                      408 a body that does not come within seconds
//	                                      503 too much to do, or others waited for a slow body; Retry-After
//	GET  /<SHA-256(origin)>/checkpoint    the newest checkpoint cosigned, with the log's signatures and ours
//	                                      503 it was cosigned, and the database that had it was restored
//
// # Restored from an older copy
//
// Beside its database a witness keeps a register, a file best kept on another
// disk. What the register knows counts: if the database knows less, it was
// restored from an older copy, and the log goes on from the register's head,
// which it must prove that it extends.
package witness

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"indelible/checkpoint"
	"indelible/merkle"
)

// Log is a log that the witness cosigns for.
type Log struct {
	Origin  string
	Keys    []checkpoint.Verifier // one of which must have signed
	PerDay  int64                 // requests a day that it may make; 0 for any number
	Contact string                // of who runs it
}

// Head is what was cosigned of a log. The zero Head means: nothing yet.
type Head struct {
	Size int64
	Root merkle.Hash
	Time int64  // when, in POSIX seconds
	Note []byte // the checkpoint with the log's signatures and ours
}

var (
	// ErrMoved: the log's head is no longer the one the caller came from.
	ErrMoved = errors.New("the log's head moved on")
	// ErrTwoMemories: database and register contradict each other, so that nothing
	// is cosigned until Accept ends it.
	ErrTwoMemories = errors.New("the database and the register hold two checkpoints of one size")
	// ErrRestored: the database knows less than the register, and so the checkpoint
	// that was cosigned last cannot be shown.
	ErrRestored = errors.New("the witness's database was restored from an older copy")
	// ErrLogRefused: some of the logs of a list were not added.
	ErrLogRefused = errors.New("refused")
)

// State is the witness's database. Its methods may be called from many
// goroutines at once.
type State interface {
	// Logs returns every log that the witness knows.
	Logs(ctx context.Context) ([]Log, error)
	// AddLogs adds those of the logs that it does not know. One that it knows
	// stays as it is; if its keys are others now, or it cannot be kept, the error
	// wraps ErrLogRefused, and the other logs are added nevertheless.
	AddLogs(ctx context.Context, logs []Log) error
	// Head returns what was cosigned last of a log; the zero Head if nothing was.
	Head(ctx context.Context, origin string) (Head, error)
	// Swap replaces from by to, durably, if from's Size, Root and Time still
	// are the log's; else ErrMoved. After another error the outcome is unknown.
	Swap(ctx context.Context, origin string, from, to Head) error
}

// Register is the witness's memory outside of its database.
type Register interface {
	// Newest returns the largest head that was registered for a log; the zero
	// Head if none was. Size, Root and Time are kept.
	Newest(origin string) (Head, error)
	// Advance registers a head, durably. One that is neither larger than what is
	// registered nor the same at a later time is no change.
	Advance(ctx context.Context, origin string, to Head) error
}

// Config is what a Witness is made from.
type Config struct {
	State    State    // required
	Register Register // required
	// Cosigners sign what is accepted. Without any, the newest checkpoint of each
	// log is kept with the log's signatures alone: the pending one of a mirror.
	Cosigners []*checkpoint.Cosigner
	Now       func() time.Time // time.Now
	// Cosigned is called after each cosignature; it may be nil.
	Cosigned func(origin string, size int64)
	// Refused is called with each request that was well-formed and refused, for
	// the operator's log and metrics; it may be nil.
	Refused func(origin string, err error)
	// Contradicted is called with a checkpoint that the log signed and that has
	// another root than what was cosigned at the same size: together they are
	// evidence. The log waits meanwhile. It may be nil.
	Contradicted func(l Log, cosigned Head, note []byte)
	// ClockBehind is called when a checkpoint is cosigned with the time of the last
	// cosignature, since the clock is more than a minute behind it; it may be nil.
	ClockBehind func(origin string, last time.Time)
}

// Witness cosigns.
type Witness struct {
	cfg      Config
	subtrees chan struct{} // one in it for each subtree that is being signed

	mu     sync.RWMutex
	logs   map[string]*known // by origin
	hashes map[string]string // origin by the hex of its SHA-256
	list   []byte            // of the logs, as it is served
}

// known is a log with what is kept of it in memory.
type known struct {
	Log
	turn    chan struct{} // holds one value while the log's head is changed
	growth  budget        // of checkpoints that are larger than the last
	repeats budget        // of the last one, which anybody can send again
	told    budget        // of contradictions that are told of
}

// lock waits for the turn to change the log's head, and returns how to end it.
func (k *known) lock(ctx context.Context) (unlock func(), err error) {
	select {
	case k.turn <- struct{}{}:
		return func() { <-k.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// New makes a Witness of the logs that its state knows.
func New(ctx context.Context, cfg Config) (*Witness, error) {
	if cfg.State == nil || cfg.Register == nil {
		return nil, errors.New("witness: State and Register are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	w := &Witness{cfg: cfg, subtrees: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), logs: make(map[string]*known), hashes: make(map[string]string)}
	return w, w.reload(ctx)
}

// AddLogs adds the logs that the witness does not know yet; no list takes one
// away or changes it. An error that is ErrLogRefused says which were not added,
// and why; the others were.
func (w *Witness) AddLogs(ctx context.Context, logs []Log) error {
	var good []Log
	var refused []error
	for _, l := range logs {
		if err := w.checkNames(l); err != nil {
			refused = append(refused, fmt.Errorf("%w: %w", ErrLogRefused, err))
			continue
		}
		good = append(good, l)
	}
	err := w.cfg.State.AddLogs(ctx, good)
	if err != nil && !errors.Is(err, ErrLogRefused) {
		return fmt.Errorf("store the list of logs: %w", err)
	}
	return errors.Join(append(refused, err, w.reload(ctx))...)
}

// reload learns of logs that were added to the state.
func (w *Witness) reload(ctx context.Context) error {
	logs, err := w.cfg.State.Logs(ctx)
	if err != nil {
		return fmt.Errorf("read the list of logs: %w", err)
	}
	for _, l := range logs {
		if err := w.checkNames(l); err != nil {
			return err
		}
	}
	list := logList(logs)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = list
	for _, l := range logs {
		if w.logs[l.Origin] == nil {
			w.logs[l.Origin] = &known{Log: l, turn: make(chan struct{}, 1)}
			w.hashes[OriginHash(l.Origin)] = l.Origin
		}
	}
	return nil
}

// checkNames refuses a log whose lines on a note could be taken for ours.
func (w *Witness) checkNames(l Log) error {
	for _, c := range w.cfg.Cosigners {
		name := c.Verifier().Name()
		if l.Origin == name {
			return fmt.Errorf("log %q has the witness's own name: nobody could tell their signatures apart", l.Origin)
		}
		for _, k := range l.Keys {
			if k.Name() == name {
				return fmt.Errorf("log %q has a key by the witness's own name %q: nobody could tell their signatures apart", l.Origin, name)
			}
		}
	}
	return nil
}

// Verifiers returns the keys that the witness signs with.
func (w *Witness) Verifiers() []checkpoint.Verifier {
	keys := make([]checkpoint.Verifier, len(w.cfg.Cosigners))
	for i, c := range w.cfg.Cosigners {
		keys[i] = c.Verifier()
	}
	return keys
}

// Logs returns how many logs the witness knows.
func (w *Witness) Logs() int {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return len(w.logs)
}

func (w *Witness) log(origin string) *known {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.logs[origin]
}
