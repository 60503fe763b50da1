package log

import (
	"context"
	"sync"
	"time"

	"indelible/merkle"
)

// Published is a checkpoint that was made public.
type Published struct {
	Size int64
	Root merkle.Hash
	Note []byte    // the signed checkpoint; must not be modified
	At   time.Time // when it was published
}

// view is what readers see: a published checkpoint and the right edge of its
// tree. It never changes, so an answer made from one view is consistent.
type view struct {
	Published
	edge  merkle.Edge
	nodes []func() (*merkle.Nodes, error) // by level: the partial tile, expanded when first asked for
}

func newView(p Published, edge merkle.Edge) *view {
	v := &view{Published: p, edge: edge}
	for level := range edge.Levels() {
		v.nodes = append(v.nodes, sync.OnceValues(func() (*merkle.Nodes, error) {
			return merkle.Expand(edge.Partial(level))
		}))
	}
	return v
}

// partial returns the view's partial tile of a level if t lies in it.
func (v *view) partial(t merkle.Tile) (*merkle.Nodes, bool, error) {
	if t.Level >= v.edge.Levels() || t.Index != merkle.TilesAt(t.Level, v.Size) {
		return nil, false, nil
	}
	n, err := v.nodes[t.Level]()
	return n, true, err
}

// show makes a newer checkpoint the one that readers see.
func (l *Log) show(v *view) {
	l.view.Store(v)
	l.waiters.wake()
}

// current returns the present view.
func (l *Log) current() (*view, error) {
	v := l.view.Load()
	if v == nil {
		if err := l.Ready(); err != nil {
			return nil, l.overdue(err)
		}
		return nil, ErrUnavailable
	}
	return v, nil
}

// followSoon bounds the wait for what another replica published already.
const followSoon = time.Second

// reaching returns the present view. If that does not reach a size which
// somebody asks for, another replica may have published it a moment ago, and
// the view is brought up to date first: a client that got 201 from one server must find
// the entry on every other.
func (l *Log) reaching(ctx context.Context, size int64) (*view, error) {
	v, err := l.current()
	if err != nil || size <= v.Size {
		return v, err
	}
	pub, err := l.cfg.Store.Published(ctx, l.cfg.Record.ID)
	if err != nil || pub.Size <= v.Size {
		return v, nil // what is asked for is not there, as far as we know
	}
	l.follow.put(struct{}{})
	ctx, cancel := context.WithTimeout(ctx, followSoon)
	defer cancel()
	l.AwaitNewer(ctx, v.Size) // its error is that of ctx, and the view tells
	return l.current()
}

// Published returns the newest published checkpoint.
func (l *Log) Published() (Published, error) {
	v, err := l.current()
	if err != nil {
		return Published{}, err
	}
	return v.Published, nil
}

// AwaitNewer waits until a checkpoint of a size above than is published, and
// returns the newest. With than = -1 that is the present one.
func (l *Log) AwaitNewer(ctx context.Context, than int64) (Published, error) {
	for {
		changed := l.waiters.next()
		if v := l.view.Load(); v != nil && v.Size > than {
			return v.Published, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Published{}, ctx.Err()
		}
	}
}
