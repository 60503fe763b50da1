package log

import (
	"context"
	"errors"
	"fmt"
	"time"

	"indelible/merkle"
)

// A database and a register that were restored together agree, and only
// witnesses know that more was signed. So a log with witnesses appends and signs
// nothing before those whose cosignatures suffice have confirmed the newest head
// of the register; nor while one of them claims more. Reads go on.

// errUnconfirmed: the witnesses have not answered yet.
var errUnconfirmed = errors.New("it waits for its witnesses to confirm that they know no newer checkpoint; until then it appends and signs nothing")

// awaitConfirmed waits until the witnesses have confirmed the log, or it is
// poisoned. It reports false when ctx ended first.
func (l *Log) awaitConfirmed(ctx context.Context) bool {
	for {
		changed := l.decided.next()
		if l.confirmed.Load() || l.refusal() != nil {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// weigh stops the log if a witness claims more than the register knows.
func (l *Log) weigh(ctx context.Context, claims []Claim) error {
	for _, c := range claims {
		if c.Size == 0 && !c.Other {
			continue
		}
		known, err := l.known(ctx)
		if err != nil {
			return err
		}
		if c.Other || c.Size > known {
			l.confirmed.Store(false)
			return fmt.Errorf("%w: witness %s claims size %d (another tree: %t), and the register knows size %d: all witnesses are asked before anything more is appended or signed",
				ErrUnwitnessed, c.Witness, c.Size, c.Other, known)
		}
	}
	return nil
}

// known is the size of the newest head that was registered by any replica.
func (l *Log) known(ctx context.Context) (int64, error) {
	state, err := l.cfg.Register.Confirm(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the register: %w", err)
	}
	return state.Newest.Size, nil
}

// confirm has the witnesses asked, and sees meanwhile what other replicas
// publish.
func (p *publisher) confirm(ctx context.Context) error {
	if err := p.watch(ctx); err != nil {
		if _, ok := contradicts(err); ok {
			return err
		}
	}
	note, edge, err := p.confirmable(ctx)
	if err != nil {
		return err
	}
	p.l.witnessing.Store(true)
	err = p.ask(ctx, note, edge)
	p.l.witnessing.Store(false)
	if unlike := p.judgeClaims(ctx); unlike != nil {
		if _, ok := contradicts(unlike); ok || err == nil {
			return unlike
		}
	}
	if _, ok := contradicts(err); ok || ctx.Err() != nil {
		return err
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnwitnessed, err)
	}
	p.confirmed = edge.Size()
	p.l.confirmed.Store(true)
	p.l.decided.wake()
	return nil
}

// confirmFirst has the witnesses asked again when this replica holds the lease for
// the first time in its life, if other replicas published since it started.
func (p *publisher) confirmFirst(ctx context.Context) error {
	if p.l.cfg.Witness == nil {
		p.led = true
		return nil
	}
	state, err := p.l.cfg.Register.Read(ctx)
	if err != nil {
		return fmt.Errorf("read the register: %w", err)
	}
	if state.Newest.Size != p.confirmed {
		p.l.confirmed.Store(false)
		if err := p.confirm(ctx); err != nil {
			return err
		}
	}
	p.led = true
	return nil
}

// confirmable is the checkpoint of the register's newest head, and its edge in
// the database. It is the published one, unless a server ended between the two;
// then that head may have been signed and cosigned, and to sign it again says
// nothing new.
func (p *publisher) confirmable(ctx context.Context) ([]byte, merkle.Edge, error) {
	state, err := p.l.cfg.Register.Read(ctx)
	if err != nil {
		return nil, merkle.Edge{}, fmt.Errorf("read the register: %w", err)
	}
	if state.Poisoned != "" {
		return nil, merkle.Edge{}, contradiction{state.Poisoned}
	}
	pub, err := p.l.cfg.Store.Published(ctx, p.l.cfg.Record.ID)
	if err != nil {
		return nil, merkle.Edge{}, fmt.Errorf("read the published checkpoint: %w", err)
	}
	if pub.Size > state.Newest.Size {
		lags := fmt.Errorf("the register says size %d, and size %d is published: it lags behind", state.Newest.Size, pub.Size)
		return nil, merkle.Edge{}, errors.Join(p.l.registerKnows(ctx, state.Newest, pub.Size), lags)
	}
	edge, err := p.l.edgeOf(ctx, state.Newest)
	if err != nil {
		return nil, edge, err
	}
	if pub.Version > 0 && pub.Size == edge.Size() {
		_, err := p.l.open(ctx, pub, edge)
		return pub.Note, edge, err
	}
	note, err := p.l.signed(state.Newest)
	return note, edge, err
}

// ask asks the witnesses, and ends when they have answered or the log turns out
// to be poisoned.
func (p *publisher) ask(ctx context.Context, note []byte, edge merkle.Edge) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.l.cfg.Witness.Confirm(ctx, note, p.l.tree(edge), p.l.known) }()
	tick := time.NewTicker(p.l.cfg.FollowEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
		case <-p.wake:
		}
		if err := p.watch(ctx); err != nil {
			if _, ok := contradicts(err); ok {
				cancel()
				<-done
				return err
			}
		}
	}
}
