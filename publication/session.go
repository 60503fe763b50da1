package publication

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"indelible/checkpoint"
	translog "indelible/log"
	"indelible/merkle"
)

// A batch is what becomes durable together before the state says so.
const (
	batchBytes = 64 << 20
	batchTime  = 10 * time.Second
)

// loads is how many bundles are read from the log at the same time.
const loads = 2

// rounds is how often a write that another replica forestalled is tried again.
const rounds = 5

var (
	// ErrOther: the place has the files of another log, or of another tree.
	ErrOther = errors.New("it is not this log's")
	// errAhead: the place has a larger tree than this server has seen.
	errAhead = errors.New("the place is ahead of this server")
)

// session is the work on an open store.
type session struct {
	p     *Publication
	store Store

	loaded bool // what follows is as in the store
	shown  translog.Published
	tag    string // of the checkpoint; empty: there is none
	state  state
	stamp  string      // tag of the state
	edge   merkle.Edge // of the first state.Size entries
}

// publish makes a checkpoint public. It does nothing if a newer one is.
func (s *session) publish(ctx context.Context, head translog.Published, lead bool) (err error) {
	if !lead {
		s.loaded = false // others write
	}
	for range rounds {
		if err = s.once(ctx, head, lead); !errors.Is(err, ErrMoved) {
			return err
		}
		s.loaded = false
	}
	return err
}

func (s *session) once(ctx context.Context, head translog.Published, lead bool) error {
	if !s.loaded {
		if err := s.load(ctx, head); err != nil {
			return err
		}
	}
	switch {
	case s.shown.Size > head.Size && !lead:
		return nil
	case s.shown.Size > head.Size || s.state.Size > head.Size:
		s.loaded = false
		return errAhead
	case s.stamp == "": // a place that is new, or whose files are to be written again
	case s.tag != "" && s.shown.Size == head.Size && (!lead || bytes.Equal(s.shown.Note, head.Note)):
		return nil
	case s.tag != "" && s.shown.Size == head.Size:
		return s.show(ctx, head)
	}
	edge, err := s.extend(ctx, head)
	if err != nil {
		return err
	}
	if err := s.partials(ctx, head, edge); err != nil {
		return err
	}
	before := s.shown.Size
	if err := s.show(ctx, head); err != nil {
		return err
	}
	return s.clean(ctx, before)
}

// load reads what the place has, and holds it against the log's tree.
func (s *session) load(ctx context.Context, head translog.Published) error {
	if err := s.loadCheckpoint(ctx, head); err != nil {
		return err
	}
	data, stamp, err := s.store.Get(ctx, stateName)
	if errors.Is(err, fs.ErrNotExist) {
		root := merkle.EmptyRoot()
		s.state, s.stamp, s.edge, s.loaded = state{Origin: s.origin(), Root: root[:]}, "", merkle.Edge{}, true
		return nil
	}
	if err != nil {
		return err
	}
	if s.state, err = parseState(data); err != nil {
		return fmt.Errorf("%s: %w; remove it, and everything is written again", stateName, err)
	}
	if s.state.Origin != s.origin() {
		return fmt.Errorf("%s: %w: it is of %q; publish to another place", stateName, ErrOther, s.state.Origin)
	}
	s.stamp, s.loaded = stamp, true
	if s.state.Size > head.Size {
		return nil // the caller sees it
	}
	s.edge, err = s.known(ctx, stateName, s.state.Size, merkle.Hash(s.state.Root))
	s.loaded = err == nil
	return err
}

// empty reports whether nothing was published yet.
func (s *session) empty(ctx context.Context) bool {
	for _, name := range []string{checkpointName, stateName} {
		if _, _, err := s.store.Get(ctx, name); !errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	return true
}

func (s *session) origin() string { return s.p.cfg.Keys[0].Name() }

func (s *session) loadCheckpoint(ctx context.Context, head translog.Published) error {
	note, tag, err := s.store.Get(ctx, checkpointName)
	if errors.Is(err, fs.ErrNotExist) {
		s.shown, s.tag = translog.Published{}, ""
		return nil
	}
	if err != nil {
		return err
	}
	o, err := checkpoint.Open(note, s.p.cfg.Keys)
	if err != nil {
		return fmt.Errorf("%s: %w: %w; publish to another place", checkpointName, ErrOther, err)
	}
	s.shown, s.tag = translog.Published{Size: o.Size, Root: o.Root, Note: note}, tag
	s.seen()
	if o.Size <= head.Size {
		_, err = s.known(ctx, checkpointName, o.Size, o.Root)
	}
	return err
}

func (s *session) seen() {
	s.p.update(func(st *Status) { st.Size, st.Known = s.shown.Size, true })
}

// known returns the edge of the log's tree at a size, whose root must be the one that a
// file says.
func (s *session) known(ctx context.Context, file string, size int64, root merkle.Hash) (merkle.Edge, error) {
	edge, err := merkle.NewEdge(size, func(level int) ([]merkle.Hash, error) {
		t := merkle.Tile{Level: level, Index: merkle.TilesAt(level, size), Width: merkle.PartialWidth(level, size)}
		if t.Width == 0 {
			return nil, nil
		}
		data, err := s.p.cfg.Log.Tile(ctx, t)
		if err != nil {
			return nil, err
		}
		return merkle.DecodeTile(data)
	})
	if err == nil && edge.Root() != root {
		err = fmt.Errorf("%s: %w: at size %d it has the root %x, and the log has %x; find out which is right before you publish to another place",
			file, ErrOther, size, root, edge.Root())
	}
	return edge, err
}

// extend writes the full bundles below a head that are not there yet, and the full
// tiles that they complete. It returns the edge at their end.
func (s *session) extend(ctx context.Context, head translog.Published) (merkle.Edge, error) {
	edge, began, bytes := s.edge, time.Now(), 0
	err := s.blocks(ctx, edge.Size()/merkle.TileWidth, head.Size/merkle.TileWidth, func(b block) (err error) {
		if edge, err = s.put(ctx, edge, b); err != nil {
			return err
		}
		if bytes += len(b.data); bytes < s.p.batch && time.Since(began) < batchTime {
			return nil
		}
		began, bytes = time.Now(), 0
		return s.save(ctx, edge, s.state)
	})
	return edge, err
}

// block is a bundle, and the leaf hashes of its entries.
type block struct {
	bundle merkle.Bundle
	data   []byte
	leaves []merkle.Hash
	err    error
}

// blocks reads full bundles, and calls each with them in order.
func (s *session) blocks(ctx context.Context, from, to int64, each func(block) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var loading sync.WaitGroup
	defer loading.Wait()
	defer cancel()
	slots := make(chan chan block, loads-1)
	loading.Go(func() {
		defer close(slots)
		for n := from; n < to; n++ {
			slot := make(chan block, 1)
			select {
			case slots <- slot:
			case <-ctx.Done():
				return
			}
			loading.Go(func() { slot <- s.block(ctx, merkle.Bundle{Index: n, Width: merkle.TileWidth}) })
		}
	})
	for slot := range slots {
		b := <-slot
		if b.err != nil {
			return b.err
		}
		if err := each(b); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// block reads a bundle and hashes its entries.
func (s *session) block(ctx context.Context, b merkle.Bundle) block {
	data, err := s.p.cfg.Log.Bundle(ctx, b)
	if err != nil {
		return block{err: err}
	}
	entries, err := merkle.ParseBundle(data, b.Width)
	leaves := make([]merkle.Hash, len(entries))
	for i, e := range entries {
		leaves[i] = merkle.LeafHash(e)
	}
	return block{bundle: b, data: data, leaves: leaves, err: err}
}

// put writes a full bundle and the tiles that it completes.
func (s *session) put(ctx context.Context, edge merkle.Edge, b block) (merkle.Edge, error) {
	next, full := edge.Append(b.leaves)
	if err := s.write(ctx, b.bundle.Path(), b.data); err != nil {
		return edge, err
	}
	for _, t := range full {
		name := merkle.Tile{Level: t.Level, Index: t.Index, Width: merkle.TileWidth}
		if err := s.write(ctx, name.Path(), merkle.EncodeTile(t.Hashes)); err != nil {
			return edge, err
		}
	}
	return next, nil
}

func (s *session) write(ctx context.Context, path string, data []byte) error {
	s.p.update(func(st *Status) { st.Files++; st.Bytes += int64(len(data)) })
	return s.store.Put(ctx, path, data)
}

// save makes what was written durable, and the state that says so.
func (s *session) save(ctx context.Context, edge merkle.Edge, next state) error {
	if err := s.store.Sync(ctx); err != nil {
		return err
	}
	root := edge.Root()
	if _, err := s.known(ctx, "what is written", edge.Size(), root); err != nil {
		return err
	}
	next.Size, next.Root = edge.Size(), root[:]
	stamp, err := s.store.Swap(ctx, stateName, next.marshal(), s.stamp)
	if err != nil {
		return err
	}
	s.state, s.stamp, s.edge = next, stamp, edge
	return nil
}

// partials writes the partial tiles and the partial bundle of a head, once the state
// says that they may be there. edge is the one before the entries of that bundle. When
// it returns, all below the head is durable, and leads to its root.
func (s *session) partials(ctx context.Context, head translog.Published, edge merkle.Edge) error {
	whole, tail := edge, block{}
	if width := int(head.Size % merkle.TileWidth); width > 0 {
		if tail = s.block(ctx, merkle.Bundle{Index: head.Size / merkle.TileWidth, Width: width}); tail.err != nil {
			return tail.err
		}
		whole, _ = edge.Append(tail.leaves)
	}
	if root := whole.Root(); root != head.Root {
		return fmt.Errorf("the entries that were written lead to the root %x at size %d, and the checkpoint says %x", root, head.Size, head.Root)
	}
	if err := s.save(ctx, edge, s.state.with(head.Size)); err != nil {
		return err
	}
	for level := range whole.Levels() {
		if hashes := whole.Partial(level); len(hashes) > 0 {
			t := merkle.Tile{Level: level, Index: merkle.TilesAt(level, head.Size), Width: len(hashes)}
			if err := s.write(ctx, t.Path(), merkle.EncodeTile(hashes)); err != nil {
				return err
			}
		}
	}
	if len(tail.leaves) > 0 {
		if err := s.write(ctx, tail.bundle.Path(), tail.data); err != nil {
			return err
		}
	}
	return s.store.Sync(ctx)
}

// show replaces the checkpoint.
func (s *session) show(ctx context.Context, head translog.Published) error {
	tag, err := s.store.Swap(ctx, checkpointName, head.Note, s.tag)
	if err != nil {
		return err
	}
	s.shown, s.tag = head, tag
	s.seen()
	return nil
}

// clean removes what only older checkpoints than the one before need.
func (s *session) clean(ctx context.Context, before int64) error {
	paths, rest := s.state.outdated(before)
	for _, p := range paths {
		if err := s.store.Remove(ctx, p); err != nil {
			return err
		}
	}
	s.state = rest // the store has it with the next checkpoint
	return nil
}
