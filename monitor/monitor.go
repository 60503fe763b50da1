package monitor

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"indelible/checkpoint"
	"indelible/evidence"
	"indelible/evidence/folder"
	"indelible/internal/filelock"
	"indelible/internal/wait"
	"indelible/merkle"
	"indelible/mirror/source"
)

// FromNow begins a new state at the newest head: nothing before it is read.
const FromNow = -1

// Config is what a Monitor is made from. Zero values mean what is said.
type Config struct {
	Log      source.Log            // required
	Keys     []checkpoint.Verifier // of the log, for evidence; without them none is made
	Patterns []Pattern
	// State is the file of the state, in a folder that is there; required.
	State string
	// Start is the first entry that is read where there is no state yet, or FromNow.
	Start int64
	Sink  Sink // required
	// Evidence is the folder that evidence is written to; that of State.
	Evidence string
	// StaleAfter is how old the newest head can become; 0: no limit. Where no
	// signature states a time, it counts from when the log last grew.
	StaleAfter time.Duration
	// Budget is how long one look at the log can take; 0: no limit.
	Budget time.Duration
	// Parallel is how many blocks are read at a time; 8. Of blocks with answers of over
	// 4 MiB one is read at a time.
	Parallel int
}

// Monitor watches one log. Its methods must not be called at the same time.
type Monitor struct {
	cfg     Config
	matcher *Matcher
	file    stateFile
	lock    *os.File
	large   sync.Mutex // for the block that is larger than maxShared
	state   State
	saved   time.Time
	metrics metrics
}

const (
	// looks is how often a log is asked again that shows a smaller tree than before,
	// and lookAgain is the pause: one of its servers or caches may be behind.
	looks     = 4
	lookAgain = 5 * time.Second
	// saveEvery is how long the state can be behind what was read and delivered.
	saveEvery = 2 * time.Second
)

// New makes a Monitor, and reads its state. The state of another log is refused, and
// so is one that another Monitor uses, until it is closed.
func New(cfg Config) (*Monitor, error) {
	cfg.Parallel = cmp.Or(cfg.Parallel, 8)
	cfg.Evidence = cmp.Or(cfg.Evidence, filepath.Dir(cfg.State))
	matcher, err := NewMatcher(cfg.Patterns)
	if err != nil {
		return nil, err
	}
	m := &Monitor{cfg: cfg, matcher: matcher, file: stateFile{path: cfg.State}}
	if m.lock, err = filelock.Take(cfg.State + ".lock"); err != nil {
		return nil, fmt.Errorf("the state %s is locked by the file %s.lock: %w, or give each monitor a state of its own", cfg.State, cfg.State, err)
	}
	if err := m.load(); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// Close lets another Monitor use the state.
func (m *Monitor) Close() error { return m.lock.Close() }

// load reads the state, or begins one.
func (m *Monitor) load() error {
	cfg := m.cfg
	old, err := m.file.load()
	if err != nil {
		return err
	}
	if old != nil {
		m.state = *old
		return m.resume()
	}
	m.state = State{
		Version: stateVersion, Origin: cfg.Log.Origin(), Format: cfg.Log.Format(), Patterns: digestOf(cfg.Patterns), FirstUnreadable: -1,
		Since: Since{Index: max(cfg.Start, 0), Time: now()}, Next: max(cfg.Start, 0),
	}
	return nil
}

// now is the time, to the second.
func now() time.Time { return time.Now().UTC().Truncate(time.Second) }

func digestOf(patterns []Pattern) string {
	data, _ := json.Marshal(patterns) // texts alone
	return fmt.Sprintf("%x", sha256.Sum256(data))
}

// resume checks that a state is of this log. Other patterns count from here on.
func (m *Monitor) resume() error {
	s, log := &m.state, m.cfg.Log
	if s.Origin != log.Origin() || s.Format != log.Format() {
		return fmt.Errorf("the state %s is of the log %q (%s), and not of %q (%s); give each log a state of its own",
			m.cfg.State, s.Origin, s.Format, log.Origin(), log.Format())
	}
	if digest := digestOf(m.cfg.Patterns); s.Patterns != digest {
		s.Patterns, s.Since = digest, Since{Index: s.Next, Time: now()}
	}
	return nil
}

// State is what the monitor knows.
func (m *Monitor) State() State { return m.state }

// Report says how one look at the log went.
type Report struct {
	State
	Read  int64   // entries, in this look
	Found int64   // of these
	Left  int64   // entries below the head that were not read
	Rate  float64 // entries read a second
	// Alarms are what is wrong with the log, at most one of each kind.
	Alarms []Event
}

// Once looks at the log: it fetches the newest head, proves that it extends the one
// that is known, and reads every entry below it that was not read yet. Events are
// delivered, alarms too. Its error is that of the state or the sink.
func (m *Monitor) Once(ctx context.Context) (Report, error) {
	r, err := m.look(ctx)
	if err == nil && len(r.Alarms) > 0 {
		err = m.cfg.Sink.Deliver(ctx, r.Alarms)
	}
	return r, err
}

// look is Once, without delivering alarms.
func (m *Monitor) look(ctx context.Context) (r Report, err error) {
	begun := time.Now()
	next, found := m.state.Next, m.state.Found
	why, err := m.extend(ctx, begun)
	if m.state.Head != nil {
		err = errors.Join(err, m.save())
	}
	err = errors.Join(err, ctx.Err())
	r.State, r.Read, r.Found = m.state, m.state.Next-next, m.state.Found-found
	if h := m.state.Head; h != nil {
		r.Left = max(h.Size-m.state.Next, 0)
	}
	if took := time.Since(begun); took > 0 {
		r.Rate = float64(r.Read) / took.Seconds()
	}
	if a := m.alarmOf(why); a != nil {
		r.Alarms = append(r.Alarms, *a)
	}
	if why == nil && r.Left > 0 {
		r.Alarms = append(r.Alarms, m.alarm(Behind, behindText(r), m.state.Next))
	}
	if a := m.stale(); a != nil {
		r.Alarms = append(r.Alarms, *a)
	}
	m.metrics.set(r)
	return r, err
}

func behindText(r Report) string {
	text := fmt.Sprintf("not read in the time that there was: %s of %d", counted(r.Left, "entry", "entries"), r.Head.Size)
	if r.Rate >= 1 {
		text += fmt.Sprintf("; at %.0f a second they take %s", r.Rate, (time.Duration(float64(r.Left)/r.Rate) * time.Second).Round(time.Second))
	}
	return text
}

// extend fetches the newest head, and reads up to it. why is what is wrong with the
// log, and err with this side.
func (m *Monitor) extend(ctx context.Context, begun time.Time) (why, err error) {
	if c := m.state.Contradiction; c != nil {
		return &forked{c.Message, c.Evidence}, nil
	}
	looking := ctx
	if m.cfg.Budget > 0 {
		var cancel context.CancelFunc
		looking, cancel = context.WithDeadlineCause(ctx, begun.Add(m.cfg.Budget), errBudget)
		defer cancel()
	}
	head, why := m.newHead(looking)
	if why != nil {
		return why, nil
	}
	if err := m.take(head); err != nil {
		return nil, err
	}
	why, err = m.read(ctx, looking, head)
	if context.Cause(looking) == errBudget && !errors.Is(why, source.ErrFalse) {
		why = nil // what is left is told
	}
	return why, err
}

var errBudget = errors.New("the time for this look is over")

// newHead returns a head that is proven to extend the one that is known.
func (m *Monitor) newHead(ctx context.Context) (head source.Head, err error) {
	for n := range looks {
		if n > 0 && wait.For(ctx, lookAgain) != nil {
			break
		}
		head, err = m.cfg.Log.Head(ctx)
		if err != nil || m.state.Head == nil {
			return head, err
		}
		if head.Size >= m.state.Head.Size {
			return head, m.extends(ctx, head)
		}
	}
	return head, m.smaller(ctx, head)
}

// extends proves that a head extends the one that is known.
func (m *Monitor) extends(ctx context.Context, head source.Head) error {
	_, err := m.cfg.Log.Consistent(ctx, m.state.Head.source(), head)
	return m.contradiction(err)
}

// shrunk is the error of a log that shows a smaller tree than before.
type shrunk struct{ text, evidence string }

func (e *shrunk) Error() string { return e.text }

// forked is that of a log that forked.
type forked struct{ text, evidence string }

func (e *forked) Error() string { return e.text }

// smaller is the error of a head that is smaller than the one that is known: a fork,
// if that can be told.
func (m *Monitor) smaller(ctx context.Context, head source.Head) error {
	known := m.state.Head.source()
	if _, err := m.cfg.Log.Consistent(ctx, head, known); err != nil {
		if err := m.contradiction(err); errors.As(err, new(*forked)) {
			return err
		}
	}
	e := &shrunk{text: fmt.Sprintf("the log shows %s, and it has shown %d: it was rolled back, or what answers for it is behind", counted(head.Size, "entry", "entries"), known.Size)}
	if file, err := evidence.OfShrunk(m.cfg.Keys, known.Note, head.Note); err == nil {
		e.evidence = m.keep(evidence.Shrunk, known, &e.text, func() ([]byte, error) { return file, nil })
	}
	return e
}

// contradiction makes a fork of an error that is one: evidence is written, and it
// is remembered.
func (m *Monitor) contradiction(err error) error {
	var f *source.ForkError
	if !errors.As(err, &f) {
		return err
	}
	kind := evidence.Fork
	if f.Older.Size == f.Newer.Size {
		kind = evidence.TwoHeads
	}
	e := &forked{text: f.Error()}
	e.evidence = m.keep(kind, m.state.Head.source(), &e.text, func() ([]byte, error) { return f.Evidence(m.cfg.Keys) })
	m.state.Contradiction = &Contradiction{Time: now(), Message: e.text, Evidence: e.evidence}
	return e
}

// keep writes evidence, and returns its file. What went wrong is added to the text.
func (m *Monitor) keep(kind evidence.Kind, known source.Head, text *string, prove func() ([]byte, error)) string {
	path, _, err := folder.Keep(m.cfg.Evidence, kind, checkpoint.Checkpoint{Origin: m.state.Origin, Size: known.Size, Root: known.Root}, prove)
	if err != nil {
		*text += " (" + err.Error() + ")"
	}
	return path
}

// take makes a head the one that is known, durably.
func (m *Monitor) take(head source.Head) error {
	s := &m.state
	if s.Head == nil {
		s.Next = max(s.Next, m.first(head))
		s.Since.Index = s.Next
	}
	s.Looked = now()
	if s.Head == nil || s.Head.Size != head.Size {
		s.Changed = s.Looked
	}
	s.Head = &Head{Size: head.Size, Root: head.Root[:], Note: head.Note, Time: head.Time}
	return m.save()
}

// first is the first entry that can be read below the first head.
func (m *Monitor) first(head source.Head) int64 {
	if m.cfg.Start == FromNow {
		return head.Size
	}
	if log, ok := m.cfg.Log.(source.Tailed); ok {
		return log.Tail(head)
	}
	return 0
}

func (m *Monitor) save() error {
	m.saved = time.Now()
	return m.file.save(&m.state)
}

// alarm is one about what the state knows.
func (m *Monitor) alarm(kind Kind, text string, about ...any) Event {
	return Event{ID: eventID(kind, m.state.Origin, about...), Kind: kind, Log: m.state.Origin, At: now(), Message: text}
}

// alarmOf is the alarm of an error; nil if there is none.
func (m *Monitor) alarmOf(why error) *Event {
	var a Event
	var f *forked
	var s *shrunk
	known := int64(0)
	if m.state.Head != nil {
		known = m.state.Head.Size
	}
	switch {
	case why == nil || errors.Is(why, context.Canceled):
		return nil
	case errors.As(why, &f):
		a = m.alarm(Forked, f.text, f.text)
		a.Evidence = f.evidence
	case errors.As(why, &s):
		a = m.alarm(Shrunk, s.text, known)
		a.Evidence = s.evidence
	case errors.Is(why, source.ErrFalse):
		a = m.alarm(False, why.Error(), known, m.state.Next)
	default:
		a = m.alarm(Unreachable, why.Error(), known, m.state.Next)
	}
	return &a
}

// stale is the alarm of a head that is too old.
func (m *Monitor) stale() *Event {
	h := m.state.Head
	if h == nil || m.cfg.StaleAfter == 0 {
		return nil
	}
	at, what := h.Time, "was signed"
	if at.IsZero() {
		at, what = m.state.Changed, "was first seen, and states no time,"
	}
	age := time.Since(at)
	if age <= m.cfg.StaleAfter {
		return nil
	}
	a := m.alarm(Stale, fmt.Sprintf("the newest head, of size %d, %s %s ago, at %s", h.Size, what, age.Round(time.Second), at.UTC().Format(time.RFC3339)), h.Size, at.Unix())
	return &a
}

// checkBlock checks that a block is the one that was asked for.
func checkBlock(b source.Block, head source.Head, n int64) error {
	want := int(min(source.BlockSize, head.Size-n*source.BlockSize))
	if b.Start != n*source.BlockSize || len(b.Entries) != want || len(b.Leaves) != want {
		return fmt.Errorf("block %d has %d entries from %d on, and %d leaf hashes; asked for were %d", n, len(b.Entries), b.Start, len(b.Leaves), want)
	}
	for i, e := range b.Entries {
		if merkle.LeafHash(e) != b.Leaves[i] {
			return fmt.Errorf("entry %d does not have its leaf hash", b.Start+int64(i))
		}
	}
	return nil
}
