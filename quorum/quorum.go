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
// says it knows more of the log than the log does is asked for the checkpoint,
// and only that is evidence.
package quorum

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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
	// Wait is how long Cosign waits for the quorum; 10 s. What comes later is
	// not lost.
	Wait time.Duration
	// FailOpen publishes without the quorum what it was waited for in vain.
	FailOpen bool
	// Late is called with a note and the keys of those who cosigned it after
	// Cosign returned; it may be nil.
	Late func(note []byte, cosigners []checkpoint.Verifier)
	// Ahead is called with what a witness keeps that says it cosigned a larger
	// checkpoint. Nothing in it is verified. It may be nil.
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
	setDefault(&cfg.Wait, 10*time.Second)
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
	witness    string
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
	// Proofs may be asked for after this call returned, by late witnesses.
	r := &round{opened: opened, note: note, prove: prove, answer: make(chan answer, len(w.lanes))}
	for _, l := range w.lanes {
		l.ask(context.WithoutCancel(ctx), r)
	}
	return w.gather(ctx, r)
}

// gather waits for answers until the quorum is met or cannot be.
func (w *Witnesses) gather(ctx context.Context, r *round) ([]byte, error) {
	timer := time.NewTimer(w.cfg.Wait)
	defer timer.Stop()
	note, why := r.note, []error(nil)
	missing := len(w.lanes)
	for !w.met(note) {
		if missing == 0 {
			return w.short(note, why)
		}
		select {
		case a := <-r.answer:
			missing--
			if a.err != nil {
				why = append(why, fmt.Errorf("witness %s: %w", a.witness, a.err))
				continue
			}
			note = w.add(note, a)
		case <-timer.C:
			return w.giveUp(r, note, missing, why)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	w.handOn(r, missing)
	return note, nil
}

// short ends a round in which all witnesses answered, and too few cosigned.
func (w *Witnesses) short(note []byte, why []error) ([]byte, error) {
	if w.cfg.FailOpen {
		return note, nil
	}
	return nil, errors.Join(append([]error{ErrQuorum}, why...)...)
}

// giveUp ends a round that took too long.
func (w *Witnesses) giveUp(r *round, note []byte, missing int, why []error) ([]byte, error) {
	w.handOn(r, missing)
	if w.cfg.FailOpen {
		return note, nil
	}
	waited := fmt.Errorf("%w: after %s no answer yet from %d of %d", ErrQuorum, w.cfg.Wait, missing, len(w.lanes))
	return nil, errors.Join(append([]error{waited}, why...)...)
}

// met reports whether a note's cosignatures meet the quorum.
func (w *Witnesses) met(note []byte) bool {
	opened, err := checkpoint.Open(note, w.cfg.Log, w.cosigners...)
	return err == nil && w.cfg.Policy.Check(opened) == nil
}

// add adds an answer's cosignatures, which the lane has verified.
func (w *Witnesses) add(note []byte, a answer) []byte {
	if out, _, err := checkpoint.AddCosignatures(note, w.cosigners, a.signatures...); err == nil {
		return out
	}
	return note
}

// handOn gives the answers that are still to come to whoever merges them.
func (w *Witnesses) handOn(r *round, missing int) {
	if missing == 0 || w.cfg.Late == nil {
		return
	}
	go func() {
		for range missing {
			if a := <-r.answer; a.err == nil {
				w.cfg.Late(w.add(r.note, a), w.cosigners)
			}
		}
	}()
}
