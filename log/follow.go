package log

import (
	"context"
	"fmt"
	"time"

	"indelible/checkpoint"
	"indelible/merkle"
	"indelible/storage"
)

// follow shows readers what another replica published, once it is proven to
// extend what they saw.
func (p *publisher) follow(ctx context.Context) error {
	p.l.follow.take()
	pub, err := p.l.cfg.Store.Published(ctx, p.l.cfg.Record.ID)
	if err != nil {
		return fmt.Errorf("read the published checkpoint: %w", err)
	}
	if pub.Version <= p.version {
		// An older row is a stale read; or the newer one was seen before it was
		// durable, and was lost in a crash. The next swap will tell.
		p.version = pub.Version
		return p.followed()
	}
	seen, known := int64(-1), merkle.Edge{}
	if v := p.l.view.Load(); v != nil {
		seen, known = v.Size, v.edge
	}
	if pub.Size < seen {
		return nil // a stale read
	}
	v, err := p.l.open(ctx, pub, known)
	if err != nil {
		return err
	}
	p.version = pub.Version
	p.rhythm.beat(time.Now())
	if v.Size > p.edge.Size() {
		p.edge = v.edge
	}
	enough, was := p.l.enough(v.Note), p.l.view.Load()
	// Our own note of the same tree has enough: it stays, beside the row's.
	p.apart = !enough && was != nil && was.Size == v.Size && was.Root == v.Root
	p.uncosigned = !enough && !p.apart
	if enough {
		p.l.show(v)
		p.l.cfg.Events.followed(pub.Size)
	}
	return p.followed()
}

// followed is what following comes to when nothing failed.
func (p *publisher) followed() error {
	if p.uncosigned {
		return errUncosigned
	}
	return nil
}

// open checks a published checkpoint of this log and makes a view of it.
func (l *Log) open(ctx context.Context, pub storage.Published, known merkle.Edge) (*view, error) {
	opened, err := checkpoint.Open(pub.Note, l.keys)
	if err != nil {
		return nil, contradictf("the checkpoint published at size %d is not this log's: %v", pub.Size, err)
	}
	if opened.Size != pub.Size || opened.Root != pub.Root {
		return nil, contradictf("the published checkpoint's row says size %d and root %x, its note size %d and root %x", pub.Size, pub.Root, opened.Size, opened.Root)
	}
	edge, err := extendEdge(ctx, l.rows(), known, pub.Size, pub.Root)
	if err != nil {
		return nil, err
	}
	return newView(Published{Size: pub.Size, Root: pub.Root, Note: pub.Note, At: time.UnixMilli(pub.At).UTC()}, edge), nil
}
