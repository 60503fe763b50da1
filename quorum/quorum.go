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
// for the checkpoint, and only that is evidence.
package quorum

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"indelible/checkpoint"
	"indelible/merkle"
)

// Prove proves that the tree of size from is a prefix of the one that is to be
// cosigned.
type Prove = func(ctx context.Context, from int64) ([]merkle.Hash, error)

// Config is what Witnesses are made from.
type Config struct {
	Policy *checkpoint.Policy    // required
	Log    []checkpoint.Verifier // the log's keys; required
	Client *http.Client          // one that follows no redirects, with no time limit of its own
	// Timeout is how long one witness may take for an answer; 30 s.
	Timeout time.Duration
	// Wait is how long Cosign waits for the quorum; 30 s. What comes later is
	// not lost.
	Wait time.Duration
	// FailOpen publishes without the quorum what it was waited for in vain.
	FailOpen bool
	// Late is called with a note and the keys of those who cosigned it after
	// Cosign returned; it may be nil.
	Late func(note []byte, cosigners []checkpoint.Verifier)
	// Ahead is called with what a witness keeps that says it cosigned a larger
	// checkpoint, or one that this is not consistent with. Nothing in it is
	// verified. It may be nil.
	Ahead func(note []byte)
	// Answered is called after each answer of a witness, or none; it may be nil.
	Answered func(witness string, took time.Duration, err error)
}

// Witnesses ask the witnesses of a policy.
type Witnesses struct {
	cfg       Config
	cosigners []checkpoint.Verifier
	lanes     []*lane
}

// retryEvery is how often a witness that failed is asked again for the same
// checkpoint.
const retryEvery = time.Second

// ErrQuorum: too few witnesses cosigned in time.
var ErrQuorum = errors.New("the quorum of witnesses is not met")

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
	w := &Witnesses{cfg: cfg, cosigners: cfg.Policy.Cosigners()}
	var reachable []checkpoint.Verifier
	for _, pw := range cfg.Policy.Witnesses {
		if pw.URL == "" {
			continue
		}
		if !strings.HasPrefix(pw.URL, "http://") && !strings.HasPrefix(pw.URL, "https://") {
			return nil, fmt.Errorf("witness %s has the URL %q; it must begin with https:// or http://", pw.Name, pw.URL)
		}
		reachable = append(reachable, pw.Key)
		w.lanes = append(w.lanes, newLane(w, pw))
	}
	if !cfg.Policy.MetBy(reachable) {
		return nil, fmt.Errorf("the quorum %q of the policy cannot be met by the %d of its %d witnesses that have a URL",
			cfg.Policy.Quorum, len(reachable), len(cfg.Policy.Witnesses))
	}
	return w, nil
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

// round is one checkpoint on its way through the witnesses.
type round struct {
	opened checkpoint.Opened
	note   []byte // as the log signed it
	prove  Prove
	answer chan answer // room for one of each lane
}

// answer is what became of one witness's part in a round.
type answer struct {
	lane       *lane
	signatures []checkpoint.Signature
	err        error
}

// Cosign returns the note with cosignatures that meet the policy's quorum. It
// must not be called for two checkpoints at once.
func (w *Witnesses) Cosign(ctx context.Context, note []byte, prove Prove) ([]byte, error) {
	opened, err := checkpoint.Open(note, w.cfg.Log)
	if err != nil {
		return nil, fmt.Errorf("the log's own checkpoint: %w", err)
	}
	r := &round{opened: opened, note: note, prove: prove, answer: make(chan answer, len(w.lanes))}
	g := &gathering{w: w, r: r, note: note, failed: make(map[*lane]error)}
	for _, l := range w.lanes {
		g.ask(ctx, l)
		g.hopeful = append(g.hopeful, l)
	}
	return g.wait(ctx)
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
	var idle []*lane
	for !g.w.cfg.Policy.MetBy(g.by) {
		if !g.mayBeMet() {
			return g.giveUp(ErrQuorum)
		}
		select {
		case a := <-g.r.answer:
			if g.take(a); a.err != nil {
				idle = append(idle, a.lane)
			}
		case <-again.C:
			for _, l := range idle {
				g.ask(ctx, l)
			}
			idle = nil
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
	g.asked--
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
	all := []error{why}
	for _, l := range g.w.lanes {
		if err := g.failed[l]; err != nil {
			all = append(all, fmt.Errorf("witness %s: %w", l.witness.Name, err))
		}
	}
	return nil, errors.Join(all...)
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
