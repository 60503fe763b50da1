package quorum

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"indelible/checkpoint"
)

// Confirm returns nil if the quorum knows nothing newer of the log than a
// checkpoint that the log signed before: each witness is shown it as one that it
// cosigned already, and cosigns it again. ErrAhead means that a witness claims
// more than that, and than known, which is asked then, returns: another replica
// may have gone on meanwhile. One that claimed it before counts until it cosigns,
// even if it does not answer now. ErrQuorum means that too few answered. With
// FailOpen that is no error.
func (w *Witnesses) Confirm(ctx context.Context, note []byte, tree Tree, known func(context.Context) (int64, error)) error {
	g, err := w.gather(note, tree, true)
	if err != nil {
		return err
	}
	g.ready()
	g.askAll(ctx)
	late, err := g.hear(ctx)
	if err != nil {
		return err
	}
	g.handOn()
	if err := g.judge(ctx, known); err != nil || w.cfg.Policy.MetBy(g.by) {
		return err
	}
	why := ErrQuorum
	if late {
		why = fmt.Errorf("%w: after %s no answer yet from %d of %d", ErrQuorum, w.cfg.Wait, len(g.hopeful), len(w.lanes))
	}
	missing := g.missing(why)
	if !w.cfg.FailOpen {
		return missing
	}
	if w.cfg.Unconfirmed != nil {
		w.cfg.Unconfirmed(missing)
	}
	return nil
}

// hear waits for all answers, for the others once the quorum has answered or
// cannot any more, and in the end for none. late is whether some were given up.
func (g *gathering) hear(ctx context.Context) (late bool, err error) {
	enough, timer := time.NewTimer(hearFor), time.NewTimer(g.w.cfg.Wait)
	defer enough.Stop()
	defer timer.Stop()
	heard := false
	for len(g.hopeful) > 0 && !(heard && (g.w.cfg.Policy.MetBy(g.by) || !g.mayBeMet())) {
		select {
		case a := <-g.r.answer:
			g.asked--
			g.take(a)
		case <-enough.C:
			heard = true
		case <-timer.C:
			return true, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	return false, nil
}

// judge returns an error for each claim beyond what the log knows. A witness that
// claims less than that confirms it.
func (g *gathering) judge(ctx context.Context, known func(context.Context) (int64, error)) error {
	var errs []error
	for _, l := range g.w.lanes {
		c := l.claimed()
		if c == nil {
			continue
		}
		size, err := known(ctx)
		switch {
		case err != nil:
			return err
		case c.Other || c.Size > size:
			errs = append(errs, c.against(size, g.failed[l]))
		default:
			g.by = append(g.by, l.witness.Key)
		}
	}
	return errors.Join(errs...)
}

// against is the error that a claim is to a log that knows a size. said is how the
// witness put it.
func (c Claim) against(size int64, said error) error {
	says := fmt.Sprintf("says that it cosigned size %d of this log", c.Size)
	if c.Other {
		says = "says that the tree it cosigned is another one"
	}
	err := fmt.Errorf("%w: witness %s %s, and the newest that this log knows to be signed is size %d: nothing is appended or signed; "+
		"put the newest database and register back, or, if the witness is wrong, take its URL out of the policy", ErrAhead, c.Witness, says, size)
	if said != nil {
		err = fmt.Errorf("%w (%w)", err, said)
	}
	return err
}

// Memory is what a witness says and shows of a log.
type Memory struct {
	Witness checkpoint.PolicyWitness
	// Asked is the checkpoint that was shown to it, with its cosignature; nil if
	// it did not cosign, for the reason NotAsked.
	Asked    []byte
	NotAsked error
	Claim    *Claim // what it says that it cosigned instead; nil for nothing
	Shown    []byte // the checkpoint that it shows; nothing in it is verified
	NotShown error  // why there is none
}

// recallFor is how long witnesses are waited for that are asked what they
// remember.
const recallFor = 10 * time.Second

// Recall asks all witnesses at once what they remember of the log: each is shown a
// checkpoint that the log signed before, as by Confirm, and is asked for the one
// that it shows itself. Nothing is asked twice.
func (w *Witnesses) Recall(ctx context.Context, note []byte, tree Tree) ([]Memory, error) {
	ctx, cancel := context.WithTimeout(ctx, recallFor)
	defer cancel()
	r, err := w.newRound(note, tree, true)
	if err != nil {
		return nil, err
	}
	found := make([]Memory, len(w.lanes))
	var all sync.WaitGroup
	for i, l := range w.lanes {
		all.Go(func() { found[i] = l.recall(ctx, r) })
	}
	all.Wait()
	return found, nil
}

func (l *lane) recall(ctx context.Context, r *round) Memory {
	a := l.cosign(ctx, r)
	m := Memory{Witness: l.witness, Claim: l.claimed(), NotAsked: a.err}
	if a.err == nil {
		m.Asked, _ = l.w.add(r.note, a)
	}
	m.Shown, m.NotShown = l.remembered(ctx, r.opened.Origin)
	return m
}
