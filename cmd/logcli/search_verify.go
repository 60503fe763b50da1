package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/fsck"
	"indelible/merkle"
)

// verified looks through the whole log, as the checkpoint at the beginning has
// it, for what the search should have found, and compares the two as they come.
// The entries that it looks through are those that lead to the checkpoint's
// root, so every hit is proven by the way.
//
// A search that is behind at first is asked again, as an index follows the log.
// What it still does not know then is printed all the same, as the audit's.
func (s *searching) verified(ctx context.Context, c *client.Client) error {
	at, err := c.Checkpoint(ctx)
	if err != nil {
		return err
	}
	s.answer.Origin, s.answer.TreeSize, s.answer.CompleteTo = at.Origin, at.Size, at.Size
	v := &comparing{s: s, at: at, log: &looking{Client: c, keys: s.keys, noted: map[int64][]match{}}}
	waits := 0
	for _, key := range s.keys {
		a := &saying{client: c, at: at, key: key, waits: &waits, last: -1}
		defer a.close()
		v.search = append(v.search, a)
	}
	if err := v.run(ctx); err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = fmt.Errorf("%d of %d entries were looked through in %s, which is not enough: give a longer --timeout: %w", v.done, at.Size, s.p.timeout, err)
		}
		return err
	}
	return s.judged()
}

// comparing compares a search with the log, bundle by bundle.
type comparing struct {
	s      *searching
	at     checkpoint.Opened
	log    *looking
	search []*saying // by the keys' order
	done   int64     // entries that were compared
}

func (v *comparing) run(ctx context.Context) error {
	for _, a := range v.search { // a log without a search says so before it is looked through
		if err := a.upTo(ctx, 0); err != nil {
			return err
		}
	}
	if err := v.audit(ctx); err != nil {
		return err
	}
	for _, a := range v.search {
		if err := a.upTo(ctx, v.at.Size); err != nil {
			return err
		}
		v.s.answer.CompleteTo = min(v.s.answer.CompleteTo, a.completeTo)
	}
	return nil
}

// audit compares what was audited, a bundle at a time. What stops it is not
// what a stopped audit says.
func (v *comparing) audit(ctx context.Context) error {
	auditing, stop := context.WithCancel(ctx)
	defer stop()
	show := v.s.p.progress(v.at.Size)
	if show == nil {
		show = func(_, _ int64) {}
	}
	var failed error
	_, err := audit(auditing, v.log, v.at, fsck.Progress(func(done, total int64) {
		if failed == nil {
			failed = v.bundle(ctx, done)
		}
		if failed != nil {
			stop()
			return
		}
		show(done, total)
	}))
	if failed != nil {
		return failed
	}
	return err
}

// bundle compares the bundle that ends where the entries are that were audited.
func (v *comparing) bundle(ctx context.Context, end int64) error {
	for _, e := range v.log.bundle(end - 1) {
		if err := v.entry(ctx, e); err != nil {
			return err
		}
	}
	for _, a := range v.search {
		if err := v.none(ctx, a, end); err != nil {
			return err
		}
	}
	v.done = end
	return nil
}

// entry compares what the search says of an entry that has some of the keys.
func (v *comparing) entry(ctx context.Context, e match) error {
	var at *int64
	leaf, behind, leftOut := merkle.LeafHash(e.canonical), false, false
	for _, key := range e.keys {
		a := v.search[key]
		if err := v.none(ctx, a, e.index); err != nil {
			return err
		}
		if err := a.upTo(ctx, e.index+1); err != nil {
			return err
		}
		switch hit, ok := a.first(e.index + 1); {
		case ok && hit.leaf == leaf:
			at = &hit.integratedAt
			a.drop()
		case a.completeTo > e.index: // or it has other bytes, of which none takes note
			leftOut = true
			v.s.answer.claimed = max(v.s.answer.claimed, a.completeTo)
		default:
			behind = true
		}
	}
	if leftOut {
		v.s.answer.LeftOut.add(e.index)
	} else if behind {
		v.s.answer.NotIndexed.add(e.index)
	}
	v.s.keep(e.index, e.canonical, at)
	return nil
}

// none takes note of what the search says of entries below an index, where the
// log has nothing of the kind.
func (v *comparing) none(ctx context.Context, a *saying, end int64) error {
	for {
		if err := a.upTo(ctx, end); err != nil {
			return err
		}
		hit, ok := a.first(end)
		if !ok {
			return nil
		}
		v.s.answer.Wrong.add(hit.index)
		a.drop()
	}
}

// verdict is what a search that was verified is guilty of; nothing, if it is
// right. Error says it in words.
type verdict struct {
	LeftOut    tally  `json:"leftOut,omitzero"`    // below what the search was said to be complete up to
	NotIndexed tally  `json:"notIndexed,omitzero"` // beyond that
	Wrong      tally  `json:"wrong,omitzero"`      // found, where the log has something else
	Behind     int64  `json:"behind,omitzero"`     // entries of the tree that the search does not know
	Error      string `json:"error,omitempty"`
	Exit       int    `json:"exit,omitzero"`

	claimed int64 // what the search was said to be complete up to when it left something out
}

// judged prints the answer, and what is wrong with the search.
func (s *searching) judged() error {
	a := &s.answer
	a.Behind = a.TreeSize - a.CompleteTo
	wrong := a.fault()
	if wrong == "" {
		a.Verified = true
		return s.print()
	}
	err := unverified(errors.New(wrong))
	a.Error, a.Exit = wrong, code(err)
	if failed := s.print(); failed != nil {
		return failed
	}
	if s.p.output == "json" {
		return reported{err}
	}
	return err
}

// fault says what is wrong with the search; empty if nothing is.
func (a searchAnswer) fault() string {
	var what []string
	if a.LeftOut.Count > 0 {
		what = append(what, fmt.Sprintf("it left out %s, and said that it was complete up to %d", a.LeftOut, a.claimed))
	}
	if a.Wrong.Count > 0 {
		what = append(what, fmt.Sprintf("it found %s, where the log has something else", a.Wrong))
	}
	var faults []string
	if len(what) > 0 {
		faults = append(faults, fmt.Sprintf("the search is wrong: %s.\nThe operator rebuilds the index with: logserver index rebuild", strings.Join(what, "; ")))
	}
	if a.Behind > 0 {
		faults = append(faults, a.behindBy())
	}
	return strings.Join(faults, "\n")
}

// behindBy says how far the search is behind.
func (a searchAnswer) behindBy() string {
	lacks := "The audit found nothing there that it lacks."
	if a.NotIndexed.Count > 0 {
		lacks = fmt.Sprintf("It lacks %s, which the audit found.", a.NotIndexed)
	}
	return fmt.Sprintf("the search is behind: it is complete up to %d of %d entries, and no further after %s of asking again; an index that follows the log is behind by about a second at most.\n%s\n"+
		"While the operator rebuilds the index, ask again later; otherwise the server's log says what keeps it", a.CompleteTo, a.TreeSize, laterAll, lacks)
}

// mostNamed is how many entries a message names.
const mostNamed = 20

// tally counts entries, and names the first.
type tally struct {
	Count int64   `json:"count"`
	First []int64 `json:"first"` // at most mostNamed
}

func (t *tally) add(index int64) {
	if t.Count++; len(t.First) < mostNamed {
		t.First = append(t.First, index)
	}
}

func (t tally) String() string {
	var names []string
	for _, i := range t.First {
		names = append(names, fmt.Sprint(i))
	}
	text := "entry " + strings.Join(names, "")
	if t.Count > 1 {
		text = fmt.Sprintf("%d entries: %s", t.Count, strings.Join(names, ", "))
	}
	if t.Count > mostNamed {
		text += ", …"
	}
	return text
}
