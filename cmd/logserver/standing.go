package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"indelible/checkpoint"
	"indelible/guard"
	"indelible/internal/config"
	"indelible/merkle"
	"indelible/quorum"
	"indelible/storage"
)

// standing is what is known where.
type standing struct {
	head      storage.Head
	published storage.Published
	register  guard.State // unless opened.lost
	witnesses []memory    // those of the policy, if one is given
	without   absences    // the witnesses whose word does not count
}

// memory is what a witness remembers of the log: a checkpoint that it cosigned, or
// what it claims.
type memory struct {
	name   string
	opened checkpoint.Opened // if err is nil
	at     int64             // when it cosigned, in POSIX seconds; 0 if its signature is not on it
	claim  *quorum.Claim     // what it says without proof; nil for nothing
	err    error             // why no checkpoint is known
}

// stand asks all of them, and the witnesses twice over: first they are shown what
// is published. A head is in the database before the register knows it, and in
// the register before it is published or a witness sees it. They are asked the
// other way round, so that beside a server at work none seems to be behind.
func stand(ctx context.Context, v config.Values, o *opened, without absences) (s standing, err error) {
	s.without = without
	if s.witnesses, err = recall(ctx, v, o); err != nil {
		return s, err
	}
	if s.published, err = o.store.Published(ctx, o.record.ID); err != nil {
		return s, err
	}
	s.register.Newest = guard.Empty() // as long as nobody knows more
	if o.register != nil {
		if s.register, err = o.register.Confirm(ctx); err != nil {
			return s, err
		}
	}
	s.head, err = o.store.LockedHead(ctx, o.record.ID)
	return s, err
}

// recall asks the policy's witnesses for what they remember of the log.
func recall(ctx context.Context, v config.Values, o *opened) (all []memory, err error) {
	w, err := newWitnesses(v, o.record.Keys, quorum.Config{})
	if err != nil || w == nil {
		return nil, err
	}
	note, size, err := o.latest(ctx)
	if err != nil {
		return nil, err
	}
	found, err := w.Recall(ctx, note, published{o, size})
	if err != nil {
		return nil, err
	}
	for _, m := range found {
		all = append(all, remembers(o, m))
	}
	policy, err := loadPolicy(v)
	if err != nil {
		return nil, err
	}
	for _, pw := range policy.Witnesses {
		if pw.URL == "" {
			all = append(all, memory{name: pw.Name, err: errors.New("the policy has no URL to ask it at")})
		}
	}
	return all, nil
}

// published is the tree of the checkpoint that witnesses are shown. Mirrors are
// asked what they have, and sent nothing: the database may be the wrong one.
type published struct {
	o    *opened
	size int64
}

func (p published) Consistency(ctx context.Context, from int64) ([]merkle.Hash, error) {
	return p.o.prove(ctx, from, p.size)
}

func (p published) Subtree(context.Context, int64, int64) ([]merkle.Hash, error) {
	return nil, errNotSent
}

func (p published) Entries(context.Context, int64, int64) ([][]byte, error) {
	return nil, errNotSent
}

var errNotSent = errors.New("the mirror lacks entries of the published checkpoint, and this command sends none")

// latest is the checkpoint that witnesses are shown: the published one. To sign
// that of the empty tree, where nothing is published, says nothing new.
func (o *opened) latest(ctx context.Context) (note []byte, size int64, err error) {
	pub, err := o.store.Published(ctx, o.record.ID)
	if err != nil || pub.Version > 0 {
		return pub.Note, pub.Size, err
	}
	note, err = checkpoint.Sign(checkpoint.Checkpoint{Origin: o.record.Origin, Root: merkle.EmptyRoot()}, o.signer)
	return note, 0, err
}

// prove proves from the database's tiles that the tree of a size extends a
// smaller one.
func (o *opened) prove(ctx context.Context, from, size int64) ([]merkle.Hash, error) {
	plan, err := merkle.PlanConsistency(from, size)
	if err != nil {
		return nil, err
	}
	src := &source{store: o.store, logID: o.record.ID, size: size}
	return plan.Compute(func(t merkle.Tile) (*merkle.Nodes, error) {
		data, err := src.Tile(ctx, t)
		if err != nil {
			return nil, err
		}
		hashes, err := merkle.DecodeTile(data)
		if err != nil {
			return nil, err
		}
		return merkle.Expand(hashes)
	})
}

// remembers verifies what a witness says and shows: what the log's key did not
// sign proves nothing. What it shows may be older than what it cosigned now.
func remembers(o *opened, got quorum.Memory) memory {
	m := memory{name: got.Witness.Name, claim: got.Claim}
	asked, err := o.openedBy(got.Asked, got.NotAsked, got.Witness.Key)
	if shown, unshown := o.openedBy(got.Shown, got.NotShown, got.Witness.Key); unshown == nil && (err != nil || shown.Size > asked.Size) {
		m.opened = shown
	} else if m.opened = asked; err != nil {
		m.err = fmt.Errorf("%w; and to add-checkpoint: %w", unshown, err)
	}
	if m.err == nil {
		m.at, _ = m.opened.Timestamp(got.Witness.Key)
	}
	return m
}

// openedBy verifies a note that a witness gave.
func (o *opened) openedBy(note []byte, missing error, witness checkpoint.Verifier) (checkpoint.Opened, error) {
	own, err := o.verifiers()
	if missing != nil || err != nil {
		return checkpoint.Opened{}, errors.Join(missing, err)
	}
	return checkpoint.Open(note, own, witness)
}

// claims are what witnesses say beyond what they prove, without those that do not
// count.
func (s standing) claims() (all []memory) {
	for _, m := range s.witnesses {
		proven := m.err == nil && m.claim != nil && !m.claim.Other && m.opened.Size >= m.claim.Size
		if m.claim != nil && !proven && !slices.Contains(s.without, m.name) {
			all = append(all, m)
		}
	}
	return all
}

// unknown is why it is not known what the witness remembers; nil if it is. A size
// that the register knows is: all heads up to that lie on one way.
func (s standing) unknown(m memory) error {
	switch c := m.claim; {
	case c != nil && !c.Other && c.Size <= s.register.Newest.Size:
		return nil
	case c != nil && (m.err != nil || m.opened.Size < c.Size):
		return fmt.Errorf("it says that it cosigned size %d, and does not show that checkpoint", c.Size)
	case m.err == nil && m.at == 0:
		return errors.New("it shows a checkpoint without its own signature")
	}
	return m.err
}

// absences are the witnesses without which an operator goes on.
type absences []string

func (a *absences) flag(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar((*[]string)(a), "without-witness", nil,
		"go on without this witness of --witness-policy, which does not answer; may be given more than once")
}

// note says what was gone without, for the record.
func (a absences) note(why string) string {
	if len(a) == 0 {
		return why
	}
	return fmt.Sprintf("(without asking %s) %s", strings.Join(a, ", "), why)
}

// asked refuses to go on while it is not known what a witness remembers. One that
// does not answer may be the only one that knows what was signed.
func (s standing) asked() error { return errors.Join(append(s.unasked(), s.named())...) }

// unasked says of each witness that could not be asked why.
func (s standing) unasked() (errs []error) {
	for _, m := range s.witnesses {
		if err := s.unknown(m); err != nil && !slices.Contains(s.without, m.name) {
			errs = append(errs, fmt.Errorf("what witness %s remembers of the log is not known: %w; try again when it answers, or, "+
				"once the tree head was compared with what it cosigned by other means, give --without-witness %s", m.name, err, m.name))
		}
	}
	return errs
}

// named refuses names that no witness has.
func (s standing) named() error {
	var errs []error
	for _, name := range s.without {
		if !slices.ContainsFunc(s.witnesses, func(m memory) bool { return m.name == name }) {
			errs = append(errs, fmt.Errorf("--without-witness %s: no witness of --witness-policy has that name", name))
		}
	}
	return errors.Join(errs...)
}

// signedHead is a tree head that was signed, and who knows that.
type signedHead struct {
	where string
	size  int64
	root  merkle.Hash
	at    int64 // when it was known, in Unix milliseconds; 0 if that is not told
}

// inRegister is where the register's head is known, and inPoison one that others
// showed when the log was poisoned.
const (
	inRegister = "the register"
	inPoison   = "the register's poison record"
)

// signed are the heads that the database must extend, smallest first.
func (s standing) signed() []signedHead {
	newest := s.register.Newest
	all := []signedHead{{inRegister, newest.Size, newest.Root, newest.Time}}
	if shown := s.register.Shown; shown.Size > 0 {
		all = append(all, signedHead{inPoison, shown.Size, shown.Root, shown.Time})
	}
	for _, m := range s.witnesses {
		if m.err == nil {
			all = append(all, signedHead{"witness " + m.name, m.opened.Size, m.opened.Root, m.at * 1000})
		}
	}
	slices.SortStableFunc(all, func(a, b signedHead) int { return cmp.Compare(a.size, b.size) })
	return all
}

// agree says in words which of them does not fit, as far as sizes tell.
func (s standing) agree() error {
	for _, h := range slices.Backward(s.signed()) {
		switch {
		case s.head.Size < h.size:
			return fmt.Errorf("the database is behind: size %d was signed, as %s knows, and it has %d; bring it forward: restore a newer backup, fail over to the server that has the commits, or fetch what is missing from a mirror with logserver restore",
				h.size, h.where, s.head.Size)
		case s.head.Size == h.size && s.head.Root != h.root:
			return fmt.Errorf("the database went another way: at size %d another root was signed, as %s knows; find the database that has the signed tree", h.size, h.where)
		}
	}
	for _, m := range s.claims() {
		switch {
		case m.claim.Other:
			return fmt.Errorf("witness %s says that the tree it cosigned is another one than the published: find the database that has the signed tree, "+
				"or, if the witness is wrong, go on with --without-witness %s", m.name, m.name)
		case m.claim.Size > s.head.Size:
			return fmt.Errorf("the database is behind: witness %s says that it cosigned size %d, and the database has %d; bring it forward, "+
				"or, if the witness is wrong and the tree head was compared with what others have seen, go on with --without-witness %s", m.name, m.claim.Size, s.head.Size, m.name)
		}
	}
	if s.published.Size > s.head.Size {
		return fmt.Errorf("the database contradicts itself: size %d is published, and the tree head has %d; restore a newer backup", s.published.Size, s.head.Size)
	}
	return nil
}

// registerBehind returns an error if the register is older than the published checkpoint.
func (s standing) registerBehind() error {
	if r := s.register.Newest; s.published.Version > 0 && s.published.Size > r.Size {
		return fmt.Errorf("the register is older than the log: size %d is published, and it knows %d; put the newest copy of the register back", s.published.Size, r.Size)
	}
	return nil
}

// extendsSigned proves that the database's tree contains what was signed.
func extendsSigned(ctx context.Context, o *opened, s standing) error {
	var edge merkle.Edge
	for _, h := range s.signed() {
		for edge.Size() < h.size {
			leaves, err := o.store.LeafHashes(ctx, o.record.ID, edge.Size(), min(edge.Size()+4096, h.size))
			if err != nil {
				return err
			}
			edge, _ = edge.Append(leaves)
		}
		if edge.Root() != h.root {
			return fmt.Errorf("the database's tree of size %d is not the one that was signed, as %s knows", h.size, h.where)
		}
	}
	return nil
}

func (s standing) printHeads(w io.Writer) {
	fmt.Fprintf(w, "database   size %d  root %x\n", s.head.Size, s.head.Root)
	if s.published.Version == 0 {
		fmt.Fprintln(w, "published  nothing signed yet")
	} else {
		fmt.Fprintf(w, "published  size %d  root %x\n", s.published.Size, s.published.Root)
	}
	for _, m := range s.witnesses {
		switch {
		case m.claim != nil && m.claim.Other:
			fmt.Fprintf(w, "witness    %s: another tree than the published one, as it says\n", m.name)
		case m.claim != nil && (m.err != nil || m.opened.Size < m.claim.Size):
			fmt.Fprintf(w, "witness    %s: size %d, as it says; it does not show that checkpoint\n", m.name, m.claim.Size)
		case m.err != nil:
			fmt.Fprintf(w, "witness    %s: not known: %v\n", m.name, m.err)
		case m.at == 0:
			fmt.Fprintf(w, "witness    %s: size %d  root %x, without its signature\n", m.name, m.opened.Size, m.opened.Root)
		default:
			fmt.Fprintf(w, "witness    %s: size %d  root %x\n           at %s\n", m.name, m.opened.Size, m.opened.Root, time.Unix(m.at, 0).UTC().Format(time.RFC3339))
		}
	}
}

// printRegister prints what the register knows, or why it is not known.
func (s standing) printRegister(w io.Writer, o *opened, unknown error) {
	switch {
	case lost(unknown):
		fmt.Fprintf(w, "register   none: %v\n", unknown)
		return
	case unknown != nil:
		fmt.Fprintf(w, "register   not known: %v\n", unknown)
		return
	}
	r := s.register
	fmt.Fprintf(w, "register   size %d  root %x\n", r.Newest.Size, r.Newest.Root)
	if r.Newest.Time > 0 {
		fmt.Fprintf(w, "           since %s\n", stamp(r.Newest.Time))
	}
	if a := r.Accepted; a.Time > 0 {
		fmt.Fprintf(w, "           made on the word of %q at %s: %s\n", a.By, stamp(a.Time), a.Why)
	}
	if c := r.Cleared; c.Time > 0 {
		fmt.Fprintf(w, "           poison cleared on the word of %q at %s: %s\n", c.By, stamp(c.Time), c.Why)
	}
	if h := r.Shown; h.Size > 0 {
		fmt.Fprintf(w, "           poisoned at %s by a signed head that others showed: size %d  root %x\n", stamp(h.Time), h.Size, h.Root)
	}
}

// stamp is a time in Unix milliseconds as people read it.
func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }
