package log

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"indelible/merkle"
	"indelible/storage"
)

const (
	// scrubChunk is how many entries the scrub reads at once: of the largest ones, 2
	// MiB.
	scrubChunk = 32
	// scrubRest is how many times as long as it read the scrub rests at least, so
	// that large entries and a slow database slow it down.
	scrubRest = 19
	// shortestRound is how long a round takes at least.
	shortestRound = time.Minute
	// scrubPause is how long the scrub waits after an error of the database, and
	// scrubTries is after how many errors entries that are not there are lost.
	scrubPause = 5 * time.Second
	scrubTries = 5
	// recheckEvery is how often the parts that were found damaged are looked at
	// again: they may have been restored.
	recheckEvery = time.Minute
)

// edgeLevel is the level of a part that is the tree's right edge.
const edgeLevel = -2

// ScrubState is how far the scrub is.
type ScrubState struct {
	Position int64         // the index of the entry that it looks at next
	Rounds   int64         // whole rounds since the log was started
	Ended    time.Time     // when the last whole round ended
	Took     time.Duration // how long that took
}

// scrub goes round the published log, at Config.ScrubRate, and compares what the
// database returns with the published tree: entries with their leaf hashes, these
// with the tiles, the tiles with their parents, and the right edge with the signed
// root. Each round begins somewhere else, so that a process that is often started
// again, and several replicas, look at different parts.
func (l *Log) scrub(ctx context.Context) {
	if l.cfg.ScrubRate == 0 {
		return
	}
	s := &scrubber{l: l}
	for ctx.Err() == nil {
		if _, err := l.AwaitNewer(ctx, 0); err != nil {
			return
		}
		begin := time.Now()
		s.round(ctx)
		if ctx.Err() != nil {
			return
		}
		s.state.Rounds++
		s.state.Ended, s.state.Took = time.Now(), time.Since(begin)
		l.cfg.Events.scrubbed(s.state)
		for rest := shortestRound - time.Since(begin); rest > 0; rest = shortestRound - time.Since(begin) {
			pause(ctx, rest)
			if ctx.Err() != nil {
				return
			}
		}
		s.recheck(ctx)
	}
}

// scrubber is what the goroutine of scrub owns.
type scrubber struct {
	l       *Log
	state   ScrubState
	checked time.Time // when the damaged parts were looked at again
}

// round looks at each tile of the tree that is published at its beginning, and at
// the entries below it.
func (s *scrubber) round(ctx context.Context) {
	v := s.l.view.Load()
	tiles := (v.Size + merkle.TileWidth - 1) / merkle.TileWidth
	first := rand.Int64N(tiles)
	for i := range tiles {
		index := (first + i) % tiles
		s.state.Position = index * merkle.TileWidth
		s.l.cfg.Events.scrubbed(s.state)
		s.retry(ctx, func(last bool) error { return s.tile(ctx, v, index, last) })
		if time.Since(s.checked) > recheckEvery {
			s.recheck(ctx)
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// retry tries again while the database fails, and says when it is for the last
// time. What was found damaged is noted already.
func (s *scrubber) retry(ctx context.Context, look func(last bool) error) {
	for try := 1; ctx.Err() == nil; try++ {
		err := look(try >= scrubTries)
		if err == nil || errors.Is(err, ErrDamaged) || try >= scrubTries {
			return
		}
		pause(ctx, scrubPause)
	}
}

// tile checks a tile of level 0 with its entries; where it completes tiles above
// it, those; and if it is the last one, the right edge.
func (s *scrubber) tile(ctx context.Context, v *view, index int64, last bool) error {
	t := merkle.Tile{Index: index, Width: int(min(merkle.TileWidth, v.Size-index*merkle.TileWidth))}
	var found error
	nodes, whole, err := v.partial(t)
	if !whole {
		nodes, err = s.full(ctx, v, 0, index)
	}
	if err != nil {
		found = err
	} else if err := s.entries(ctx, nodes, t, last); err != nil {
		return err
	}
	if !errors.Is(found, ErrDamaged) && found != nil {
		return found
	}
	for level, at := 1, index; t.Width == merkle.TileWidth && at%merkle.TileWidth == merkle.TileWidth-1; level++ {
		at /= merkle.TileWidth
		if _, err := s.full(ctx, v, level, at); err != nil {
			return err
		}
	}
	if (index+1)*merkle.TileWidth >= v.Size {
		return s.edge(ctx, v)
	}
	return found
}

// full reads a full tile from the database, and not from memory.
func (s *scrubber) full(ctx context.Context, v *view, level int, index int64) (*merkle.Nodes, error) {
	n, err := s.l.loadRow(ctx, v, level, index)
	if err == nil {
		s.l.healed(part{level, index})
	}
	return n, err
}

// entries checks the entries below a tile.
func (s *scrubber) entries(ctx context.Context, nodes *merkle.Nodes, t merkle.Tile, last bool) error {
	start := t.Index * merkle.TileWidth
	for from, end := start, start+int64(t.Width); from < end; from += scrubChunk {
		begin, to := time.Now(), min(end, from+scrubChunk)
		rows, err := s.l.cfg.Store.Entries(ctx, s.l.cfg.Record.ID, from, to)
		if errors.Is(err, storage.ErrCorrupt) || last && errors.Is(err, storage.ErrNotFound) {
			err = s.l.corrupt(ctx, from, to, err)
		}
		if err != nil && !errors.Is(err, ErrDamaged) {
			return err
		}
		for i := range rows {
			want, _ := nodes.At(0, int(rows[i].Index-start))
			if s.l.match(&rows[i], want) == nil {
				s.l.healed(part{entryLevel, rows[i].Index})
			}
		}
		s.rest(ctx, to-from, time.Since(begin))
	}
	return nil
}

// rest keeps to the rate.
func (s *scrubber) rest(ctx context.Context, entries int64, took time.Duration) {
	pause(ctx, max(time.Duration(entries)*time.Second/time.Duration(s.l.cfg.ScrubRate), scrubRest*took))
}

// edge checks the partial tiles of all levels, and with them the root.
func (s *scrubber) edge(ctx context.Context, v *view) error {
	at := part{edgeLevel, 0}
	edge, err := loadEdge(ctx, s.l.rows(), v.Size)
	switch {
	case errors.Is(err, storage.ErrCorrupt):
		return s.l.damagedf(at, "%v", err)
	case err != nil:
		return err
	case edge.Root() != v.Root:
		return s.l.damagedf(at, "the database's partial tiles give the tree of size %d the root %x, and %x was signed", v.Size, edge.Root(), v.Root)
	}
	s.l.healed(at)
	return nil
}

// recheck looks at the parts again that were found damaged.
func (s *scrubber) recheck(ctx context.Context) {
	s.checked = time.Now()
	v := s.l.view.Load()
	for _, p := range s.l.found() {
		switch p.level {
		case edgeLevel:
			s.edge(ctx, v) // what it finds is known
		case entryLevel:
			if _, err := s.l.entry(ctx, v, p.index); err == nil {
				s.l.healed(p)
			}
		default:
			s.full(ctx, v, p.level, p.index)
		}
	}
}
