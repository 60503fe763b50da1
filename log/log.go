// Package log is the heart of the product: an append-only Merkle tree over a
// database, which takes entries and answers each with a proof.
//
// # The way of an entry
//
//	Add ─► queue ─► append ─► read back, guard, sign ─► publish ─► proof
//
// Entries that arrive while the previous append is at work form the next batch
// (group commit): there is no timer, one entry on an idle log costs one commit,
// and a busy log grows its batches by itself. A batch is appended in one
// transaction, which locks the tree-head row first. Everything after the commit
// is a second stage that runs beside the next append: what was committed is read
// back and hashed again, compared with the tree head, entered in the register,
// signed, shown to witnesses, and published; one checkpoint covers all that was
// appended meanwhile. Only then the callers get their answers.
//
// # What is never done
//
// No reader is shown anything beyond the published size. No tree head is signed
// that was not read back from the database, that does not extend the one in the
// register (package guard), or before the register holds it. An entry that is in
// the log is not added again: whoever adds it, at the same time, after a crash
// or a year later, gets the index it has.
//
// # When things fail
//
// Errors of the database are tried again, and adds wait as long as their
// contexts let them. A commit whose outcome is unknown is resolved by looking
// the entries up. A contradiction (a head that is behind or beside what is
// known, an entry that does not hash to its leaf) poisons the log: it is
// recorded in the register and in the database, and nothing is appended or
// signed until an operator acts. Reads go on.
//
// What is read from the database for a client is compared with the published
// tree first: an entry with its leaf hash, a hash tile with its parent. What does
// not match is an error, ErrDamaged, and is never served; everything else is.
//
// An error that waiting does not cure (storage.ErrRefused: rows that are larger
// than a statement may be, a value that does not fit its column) is never tried
// again unchanged: the batch is halved, and the single entry that still does not
// fit is refused to its caller.
//
// # Who owns what
//
// A Log has four goroutines, started by Run. The appender owns the right edge of
// the durable tree; the publisher owns the chain of verified heads and the
// lease. They share the queue, under its own lock, and the current view, which is
// swapped whole. The watcher looks for what would stop an add before one comes:
// the clock, and a database that is silent or takes no writes. The scrub compares
// the database with the published tree. Everything else runs in the callers' goroutines: proofs are computed there.
package log

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"indelible/checkpoint"
	"indelible/guard"
	"indelible/internal/bytecache"
	"indelible/merkle"
	"indelible/storage"
)

// Errors that callers act upon. The text around them says more.
var (
	// ErrQueueFull: too much is waiting already. Try again a little later.
	ErrQueueFull = errors.New("the queue is full")
	// ErrTooMuch: more at once than the queue ever holds. Trying again does not
	// help.
	ErrTooMuch = errors.New("more at once than this log takes")
	// ErrStopping: the log is shutting down, or not running.
	ErrStopping = errors.New("the log is stopping")
	// ErrNotFound: no published entry, tile or bundle answers to that.
	ErrNotFound = errors.New("not in the log")
	// ErrRefused: the database does not take this entry, and trying again does not
	// help.
	ErrRefused = errors.New("the log's database does not take this entry")
	// ErrOutOfRange: an index or a tree size that the published tree does not
	// have, or sizes in the wrong order.
	ErrOutOfRange = errors.New("out of range")
	// ErrPoisoned: the log found a contradiction and signs no more.
	ErrPoisoned = errors.New("the log is poisoned")
	// ErrUnwitnessed: too few witnesses cosign what the log would publish.
	ErrUnwitnessed = errors.New("too few of the log's witnesses cosign at present")
	// ErrNotAppending, ErrNotPublishing: what the log tries again and again, and
	// why an add was not answered in time. The cause is for the operator, whom
	// Ready tells.
	ErrNotAppending  = errors.New("the log cannot append to its database at present")
	ErrNotPublishing = errors.New("the log cannot publish what it appended at present")
	// ErrUnavailable: nothing is published yet, or the database does not answer.
	ErrUnavailable = errors.New("the log is not available")
)

// Log is one log. Open makes one, Run makes it work; reads and adds may come
// from any number of goroutines.
type Log struct {
	cfg  Config
	keys []checkpoint.Verifier // of every key that may sign for the log

	queue *queue
	// committed is the newest head whose commit this process was told of. Others'
	// commits can be seen before they are durable, and a crash takes them back.
	committed atomic.Pointer[storage.Head]
	cache     *bytecache.Cache[tileKey, *merkle.Nodes] // full tiles
	recent    recent

	view    atomic.Pointer[view] // what readers see; replaced whole, sizes only grow
	waiters broadcast            // woken at each new view

	late   inbox[lateNote] // cosignatures to be merged
	claims inbox[Claim]    // what witnesses say against the log, to be judged
	follow inbox[struct{}] // readers who ask for what another replica published

	witnessing atomic.Bool // witnesses are being waited for
	confirmed  atomic.Bool // witnesses know nothing newer; else nothing is appended or signed
	decided    broadcast   // woken when confirmed becomes true, or the log is poisoned

	troubled chan struct{} // capacity 1: the start or trouble ended, and the database is to be tried

	mu       sync.Mutex
	state    state
	poisoned string         // why, once state is statePoisoned
	shown    guard.Head     // the largest signed head that others showed and the database does not bear out
	trouble  [stages]error  // what keeps failing at present, by stage
	doubts   int            // how often something failed that makes us doubt the database
	proven   int            // doubts when the database was last seen to take a write; -1: it never was
	findings map[part]error // what the database does not return as it was logged
}

type state int

const (
	stateNew state = iota
	stateStarting
	stateRunning
	statePoisoned
	stateStopped
)

// Open makes a Log. It starts nothing and reads nothing.
func Open(cfg Config) (*Log, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	keys, err := parseKeys(cfg.Record)
	if err != nil {
		return nil, err
	}
	l := &Log{cfg: cfg, keys: keys, troubled: make(chan struct{}, 1), proven: -1}
	l.confirmed.Store(cfg.Witness == nil)
	l.queue = newQueue(cfg)
	l.recent.limit = cfg.RecentBytes
	l.cache = bytecache.New(cfg.CacheBytes, func(_ tileKey, n *merkle.Nodes) int64 { return int64(n.Bytes()) })
	return l, nil
}

func parseKeys(r storage.Log) ([]checkpoint.Verifier, error) {
	var keys []checkpoint.Verifier
	for _, vkey := range r.Keys {
		k, err := checkpoint.ParseVerifier(vkey)
		if err != nil {
			return nil, fmt.Errorf("key %q of log %q: %w", vkey, r.Origin, err)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// Run brings the log into service and keeps it there until ctx ends. Then it
// takes no more entries, answers those it accepted (for Config.DrainTimeout at
// most), and returns nil. Run is called once.
func (l *Log) Run(ctx context.Context) error {
	if !l.enter(stateNew, stateStarting) {
		return errors.New("log: Run was called before")
	}
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()

	p := &publisher{l: l}
	a := &appender{l: l}
	defer l.watched(work)()
	if !l.recover(ctx, a, p) {
		l.enter(stateStarting, stateStopped)
		l.queue.close()
		l.queue.failAll(ErrStopping)
		return nil
	}
	l.enter(stateStarting, stateRunning)
	l.lookNow() // whether the database takes writes, before the log says that it is ready

	var stages sync.WaitGroup
	appended := make(chan struct{})
	stages.Go(func() {
		defer close(appended)
		a.run(work)
	})
	stages.Go(func() { p.run(work, appended) })
	stages.Go(func() { l.scrub(ctx) })

	<-ctx.Done()
	l.queue.close()
	timer := time.AfterFunc(l.cfg.DrainTimeout, stop)
	stages.Wait()
	timer.Stop()
	l.queue.failAll(ErrStopping)
	l.enter(stateRunning, stateStopped)
	return nil
}

// enter moves from one state to another, if it is in the first.
func (l *Log) enter(from, to state) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != from {
		return false
	}
	l.state = to
	return true
}

// Origin is the log's name.
func (l *Log) Origin() string { return l.cfg.Record.Origin }

// refusal is why nothing more is added; nil if it may be.
func (l *Log) refusal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.state {
	case statePoisoned:
		return fmt.Errorf("%w: %s", ErrPoisoned, l.poisoned)
	case stateStopped:
		return ErrStopping
	}
	return nil
}

// poison ends appending and signing. The register is told first: it is what a
// restored database cannot forget.
func (l *Log) poison(ctx context.Context, reason string) {
	reason = shortReason(reason)
	l.mu.Lock()
	again := l.state == statePoisoned
	if !again {
		l.state, l.poisoned = statePoisoned, reason
	}
	l.mu.Unlock()
	if again {
		return
	}
	l.queue.failAll(fmt.Errorf("%w: %s", ErrPoisoned, reason))
	l.decided.wake()
	l.cfg.Events.poisoned(reason)
	l.recordPoison(ctx)
}

// shortReason cuts a reason to what every database's column takes.
func shortReason(reason string) string {
	const maxReason = 4096
	if len(reason) > maxReason {
		reason = reason[:maxReason]
	}
	return strings.ToValidUTF8(reason, "")
}

// recordPoison makes the poison outlive the process, even one that is about to
// end. A register that is older than the log says nothing about the log, and its
// poison stays its own: other replicas may have the right one.
func (l *Log) recordPoison(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	l.mu.Lock()
	reason, shown := l.poisoned, l.shown
	l.mu.Unlock()
	err := l.cfg.Register.Poison(ctx, reason, shown)
	if err != nil || !l.registerIsOlder(ctx) {
		err = errors.Join(err, l.cfg.Store.Poison(ctx, l.cfg.Record.ID, reason))
	}
	l.failing(stagePoison, err)
}

// registerIsOlder reports whether it is certain that the register lacks what is
// published.
func (l *Log) registerIsOlder(ctx context.Context) bool {
	pub, err := l.cfg.Store.Published(ctx, l.cfg.Record.ID)
	if err != nil {
		return false
	}
	state, err := l.cfg.Register.Confirm(ctx)
	return err == nil && pub.Size > state.Newest.Size
}

// unrecorded reports whether recordPoison failed.
func (l *Log) unrecorded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trouble[stagePoison] != nil
}

// contradiction is an error that poisons the log.
type contradiction struct{ reason string }

func (c contradiction) Error() string { return c.reason }

func contradictf(format string, args ...any) error {
	return contradiction{fmt.Sprintf(format, args...)}
}

// contradicts reports whether an error is one that poisons, and its reason.
func contradicts(err error) (string, bool) {
	var c contradiction
	if errors.As(err, &c) {
		return c.reason, true
	}
	switch {
	case errors.Is(err, storage.ErrCorrupt):
		return "the database holds contradicting rows: " + err.Error(), true
	case errors.Is(err, guard.ErrFailed), errors.Is(err, guard.ErrCorrupt):
		return "the register failed: " + err.Error(), true
	}
	return "", false
}
