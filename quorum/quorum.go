// Package quorum has a log's checkpoints cosigned by the witnesses of a policy
// (c2sp.org/tlog-witness, c2sp.org/tlog-policy).
//
// All witnesses are asked at once, each with a consistency proof from what it
// cosigned last. Waiting ends when those that answered meet the policy's quorum;
// what comes later is handed on, to be merged. A witness that is dead, slow or
// lying, or that follows behind, holds up nothing but itself: it is asked for
// one checkpoint at a time, and next for the newest there is then.
//
//	POST <url>/add-checkpoint
//
//	old 20852163
//	CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//
//	example.com/behind-the-sofa
//	20852164
//	…
//
// What a witness says is believed only as far as its signature goes. One that
// says it knows more of the log than the log does, or another history, is asked
// for the checkpoint, and only that is evidence. Its word alone stops a log that
// asks by Confirm, and proves nothing.
package quorum

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"indelible/checkpoint"
	"indelible/internal/redact"
	"indelible/mirror/push"
)

// Tree is the tree of the checkpoint that is to be cosigned: what is proven to a
// witness, and sent to a mirror.
type Tree = push.Tree

// Config is what Witnesses are made from.
type Config struct {
	Policy *checkpoint.Policy    // required
	Log    []checkpoint.Verifier // the log's keys; required
	// Mirrors names those of the policy's witnesses that are mirrors (C2SP
	// tlog-mirror): the entries are sent to them, and they cosign what they store.
	Mirrors []string
	Client  *http.Client // one that follows no redirects, with no time limit of its own
	// Timeout is how long one witness may take for an answer; 30 s.
	Timeout time.Duration
	// Wait is how long Cosign waits for the quorum; 30 s. What comes later is
	// not lost.
	Wait time.Duration
	// Fresh is for how long a cosignature counts that came for a checkpoint which
	// the quorum has not cosigned yet; 5 minutes. Until then its witness is not
	// asked for another.
	Fresh time.Duration
	// FailOpen publishes without the quorum what it was waited for in vain.
	FailOpen bool
	// Unconfirmed is called when FailOpen lets a log go on whose checkpoint the
	// quorum did not confirm; it may be nil.
	Unconfirmed func(err error)
	// Late is called with a note and the keys of those who cosigned it after
	// Cosign returned; it may be nil.
	Late func(note []byte, cosigners []checkpoint.Verifier)
	// Ahead is called with what a witness claims that says it cosigned a larger
	// checkpoint, or one that this is not consistent with. It may be nil.
	Ahead func(c Claim)
	// Answered is called after each answer of a witness, or none; it may be nil.
	Answered func(witness string, took time.Duration, err error)
}

// Witnesses ask the witnesses of a policy.
type Witnesses struct {
	cfg       Config
	cosigners []checkpoint.Verifier
	lanes     []*lane

	mu   sync.Mutex
	text string                // of the checkpoint that the quorum is to cosign
	met  bool                  // and has
	kept map[*lane]cosignature // that came for it
}

// cosignature is what a witness answered with, and when.
type cosignature struct {
	signatures []checkpoint.Signature
	at         time.Time
}

const (
	// retryEvery is how often it is looked whether a witness that failed may be
	// asked again for the same checkpoint.
	retryEvery = time.Second
	// hearFor is for how long Confirm waits for the witnesses that the quorum does
	// not need: one of them may know more than the others.
	hearFor = 3 * time.Second
)

var (
	// ErrQuorum: too few witnesses cosigned in time.
	ErrQuorum = errors.New("the quorum of witnesses is not met")
	// ErrAhead: a witness says that it cosigned more of the log, or another tree,
	// than the log knows.
	ErrAhead = errors.New("a witness knows more than the log")
)

// New makes Witnesses. The witnesses that have a URL must be able to meet the
// quorum.
func New(cfg Config) (*Witnesses, error) {
	if cfg.Policy == nil || len(cfg.Log) == 0 {
		return nil, errors.New("quorum: a policy and the log's keys are required")
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{
			Transport:     http.DefaultTransport.(*http.Transport).Clone(),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	setDefault(&cfg.Timeout, 30*time.Second)
	setDefault(&cfg.Wait, 30*time.Second)
	setDefault(&cfg.Fresh, 5*time.Minute)
	w := &Witnesses{cfg: cfg, cosigners: cfg.Policy.Cosigners()}
	var reachable []checkpoint.Verifier
	for _, pw := range cfg.Policy.Witnesses {
		if pw.URL == "" {
			continue
		}
		if _, err := url.Parse(pw.URL); err != nil || !strings.HasPrefix(pw.URL, "http://") && !strings.HasPrefix(pw.URL, "https://") {
			return nil, fmt.Errorf("witness %s has the URL %q; it must begin with https:// or http://", pw.Name, redact.URL(pw.URL))
		}
		reachable = append(reachable, pw.Key)
		w.lanes = append(w.lanes, newLane(w, pw))
	}
	if !cfg.Policy.MetBy(reachable) {
		return nil, fmt.Errorf("the quorum %q of the policy cannot be met by the %d of its %d witnesses that have a URL",
			cfg.Policy.Quorum, len(reachable), len(cfg.Policy.Witnesses))
	}
	return w, w.newMirrors()
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

// round is one checkpoint on its way through the witnesses.
type round struct {
	opened  checkpoint.Opened
	note    []byte // as the log signed it
	tree    Tree
	confirm bool        // that nothing newer is known is what is asked
	answer  chan answer // room for one of each lane
}

// answer is what became of one witness's part in a round.
type answer struct {
	lane       *lane
	signatures []checkpoint.Signature
	err        error
}

// Cosign returns the note with cosignatures that meet the policy's quorum. What
// came when the same checkpoint missed the quorum before counts, and a witness
// that failed rests before it is asked again. It must not be called for two
// checkpoints at once, nor beside Confirm.
func (w *Witnesses) Cosign(ctx context.Context, note []byte, tree Tree) ([]byte, error) {
	g, err := w.gather(note, tree, false)
	if err != nil {
		return nil, err
	}
	// No witness is bothered with a checkpoint that will not be published.
	if g.ready(); !w.cfg.FailOpen && !g.mayBeMet() {
		return g.giveUp(ErrQuorum)
	}
	g.askAll(ctx)
	cosigned, err := g.wait(ctx)
	if err == nil {
		w.finish(g.r)
	}
	return cosigned, err
}

// gather begins a round.
func (w *Witnesses) gather(note []byte, tree Tree, confirm bool) (*gathering, error) {
	r, err := w.newRound(note, tree, confirm)
	if err != nil {
		return nil, err
	}
	g := &gathering{w: w, r: r, note: r.note, failed: make(map[*lane]error), hopeful: slices.Clone(w.lanes)}
	for l, c := range w.begin(r) {
		g.take(answer{lane: l, signatures: c.signatures})
	}
	return g, nil
}

// newRound makes a round of a checkpoint as the log signed it: without the
// cosignatures that a published one has.
func (w *Witnesses) newRound(note []byte, tree Tree, confirm bool) (*round, error) {
	opened, err := checkpoint.Open(note, w.cfg.Log)
	if err != nil {
		return nil, fmt.Errorf("the log's own checkpoint: %w", err)
	}
	signed, err := checkpoint.ParseNote(note)
	if err != nil {
		return nil, fmt.Errorf("the log's own checkpoint: %w", err)
	}
	signed.Signatures = slices.DeleteFunc(signed.Signatures, func(s checkpoint.Signature) bool {
		return !slices.ContainsFunc(w.cfg.Log, func(k checkpoint.Verifier) bool { return k.Name() == s.Name && k.KeyHash() == s.KeyID })
	})
	return &round{opened: opened, note: signed.Marshal(), tree: tree, confirm: confirm, answer: make(chan answer, len(w.lanes))}, nil
}

// begin returns the cosignatures that count for a round.
func (w *Witnesses) begin(r *round) map[*lane]cosignature {
	w.mu.Lock()
	defer w.mu.Unlock()
	if text := string(r.opened.Text()); w.met || w.text != text {
		w.text, w.met, w.kept = text, false, make(map[*lane]cosignature)
	}
	maps.DeleteFunc(w.kept, func(_ *lane, c cosignature) bool { return time.Since(c.at) >= w.cfg.Fresh })
	return maps.Clone(w.kept)
}

// keep keeps a cosignature for as long as the quorum is missed.
func (w *Witnesses) keep(r *round, l *lane, signatures []checkpoint.Signature) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.met && w.text == string(r.opened.Text()) {
		w.kept[l] = cosignature{signatures, time.Now()}
	}
}

// finish forgets the cosignatures of a checkpoint that has enough: it will be
// shown again for fresh ones.
func (w *Witnesses) finish(r *round) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.met = w.met || w.text == string(r.opened.Text())
}

// Enough reports whether a checkpoint has cosignatures that meet the policy's
// quorum, or needs none since it may be published without.
func (w *Witnesses) Enough(note []byte) bool {
	if w.cfg.FailOpen {
		return true
	}
	opened, err := checkpoint.Open(note, w.cfg.Log, w.cosigners...)
	return err == nil && w.cfg.Policy.MetBy(opened.Verified)
}

// gathering is the waiting for the answers of a round.
type gathering struct {
	w       *Witnesses
	r       *round
	note    []byte // with the cosignatures that came
	by      []checkpoint.Verifier
	asked   int             // answers that are still to come
	hopeful []*lane         // those that have not answered yet, and not failed
	failed  map[*lane]error // why, last time
}

// ready notes which of the witnesses are not to be asked at present.
func (g *gathering) ready() {
	for _, l := range slices.Clone(g.hopeful) {
		if err := l.resting(); err != nil {
			g.take(answer{lane: l, err: err})
		}
	}
}

// askAll asks all from whom nothing has come.
func (g *gathering) askAll(ctx context.Context) {
	for _, l := range g.hopeful {
		g.ask(ctx, l)
	}
}

// ask asks a witness. Proofs may be asked for after Cosign returned, by late
// ones.
func (g *gathering) ask(ctx context.Context, l *lane) {
	g.asked++
	l.ask(context.WithoutCancel(ctx), g.r)
}

// wait waits for answers until the quorum is met or cannot be. A witness that
// failed is asked again while another one is waited for.
func (g *gathering) wait(ctx context.Context) ([]byte, error) {
	timer, again := time.NewTimer(g.w.cfg.Wait), time.NewTicker(retryEvery)
	defer timer.Stop()
	defer again.Stop()
	idle := slices.Collect(maps.Keys(g.failed))
	for !g.w.cfg.Policy.MetBy(g.by) {
		if !g.mayBeMet() {
			return g.giveUp(ErrQuorum)
		}
		select {
		case a := <-g.r.answer:
			g.asked--
			if g.take(a); a.err != nil {
				idle = append(idle, a.lane)
			}
		case <-again.C:
			idle = slices.DeleteFunc(idle, func(l *lane) bool {
				if l.resting() != nil {
					return false
				}
				g.ask(ctx, l)
				return true
			})
		case <-timer.C:
			return g.giveUp(fmt.Errorf("%w: after %s no answer yet from %d of %d", ErrQuorum, g.w.cfg.Wait, len(g.hopeful), len(g.w.lanes)))
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	g.handOn()
	return g.note, nil
}

func (g *gathering) take(a answer) {
	g.hopeful = slices.DeleteFunc(g.hopeful, func(l *lane) bool { return l == a.lane })
	if a.err != nil {
		g.failed[a.lane] = a.err
		return
	}
	delete(g.failed, a.lane)
	var added []checkpoint.Verifier
	g.note, added = g.w.add(g.note, a)
	g.by = append(g.by, added...)
}

// mayBeMet reports whether those that have not answered could meet the quorum.
func (g *gathering) mayBeMet() bool {
	keys := make([]checkpoint.Verifier, 0, len(g.w.lanes))
	for _, l := range g.w.lanes {
		if g.failed[l] == nil {
			keys = append(keys, l.witness.Key)
		}
	}
	return g.w.cfg.Policy.MetBy(keys)
}

// giveUp ends a round without the quorum.
func (g *gathering) giveUp(why error) ([]byte, error) {
	g.handOn()
	if g.w.cfg.FailOpen {
		return g.note, nil
	}
	return nil, g.missing(why)
}

// missing says what each witness failed with.
func (g *gathering) missing(why error) error {
	all := []error{why}
	for _, l := range g.w.lanes {
		if err := g.failed[l]; err != nil {
			all = append(all, fmt.Errorf("witness %s: %w", l.witness.Name, err))
		}
	}
	return errors.Join(all...)
}

// handOn gives the answers that are still to come to whoever merges them.
func (g *gathering) handOn() {
	w, r, asked := g.w, g.r, g.asked
	if asked == 0 || w.cfg.Late == nil {
		return
	}
	go func() {
		for range asked {
			if a := <-r.answer; a.err == nil {
				note, _ := w.add(r.note, a)
				w.cfg.Late(note, w.cosigners)
			}
		}
	}()
}

// add adds an answer's cosignatures, and returns whose they are.
func (w *Witnesses) add(note []byte, a answer) ([]byte, []checkpoint.Verifier) {
	out, added, err := checkpoint.AddCosignatures(note, w.cosigners, a.signatures...)
	if err != nil {
		return note, nil
	}
	return out, added
}
