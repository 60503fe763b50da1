package memory

import (
	"context"
	"fmt"
	"strings"

	"indelible/storage"
)

func (s *Store) SetOnce(ctx context.Context, logID int64, name, value string) (stands string, err error) {
	err = s.with(ctx, logID, func(l *log) error {
		if _, ok := l.facts[name]; !ok {
			l.facts[name] = value
		}
		stands = l.facts[name]
		return nil
	})
	return stands, err
}

func (s *Store) Facts(ctx context.Context, logID int64, prefix string) (map[string]string, error) {
	facts := make(map[string]string)
	err := s.with(ctx, logID, func(l *log) error {
		for name, value := range l.facts {
			if strings.HasPrefix(name, prefix) {
				facts[name] = value
			}
		}
		return nil
	})
	return facts, err
}

func (s *Store) IndexState(ctx context.Context, logID int64) (st storage.IndexState, err error) {
	err = s.with(ctx, logID, func(l *log) error {
		st = l.index
		return nil
	})
	return st, err
}

func (s *Store) IndexReset(ctx context.Context, logID int64, was storage.IndexState, format int) (st storage.IndexState, err error) {
	err = s.with(ctx, logID, func(l *log) error {
		if l.index.ID != was.ID {
			return fmt.Errorf("index %d, not %d: %w", l.index.ID, was.ID, storage.ErrConflict)
		}
		s.indexes++
		st = storage.IndexState{ID: s.indexes, Format: format}
		l.index, l.found = st, make(map[int64][]int64)
		return nil
	})
	return st, err
}

func (s *Store) IndexAppend(ctx context.Context, logID int64, was storage.IndexState, to int64, rows []storage.IndexRow) error {
	return s.with(ctx, logID, func(l *log) error {
		switch {
		case !ascend(rows) || to <= was.Size:
			return fmt.Errorf("index rows of [%d, %d): %w", was.Size, to, storage.ErrCorrupt)
		case l.index.ID != was.ID || l.index.Size != was.Size || was.ID == 0:
			return fmt.Errorf("index %d has size %d: %w", l.index.ID, l.index.Size, storage.ErrConflict)
		}
		for _, r := range rows {
			l.found[r.Key] = append(l.found[r.Key], r.Index)
		}
		l.index.Size = to
		return nil
	})
}

func ascend(rows []storage.IndexRow) bool {
	for i := range rows[:max(0, len(rows)-1)] {
		if a, b := rows[i], rows[i+1]; a.Key > b.Key || a.Key == b.Key && a.Index >= b.Index {
			return false
		}
	}
	return true
}

func (s *Store) IndexFind(ctx context.Context, logID, key, after int64, limit int) (st storage.IndexState, entries []int64, err error) {
	err = s.with(ctx, logID, func(l *log) error {
		st = l.index
		for _, index := range l.found[key] {
			if index > after && len(entries) < limit {
				entries = append(entries, index)
			}
		}
		return nil
	})
	return st, entries, err
}

// IndexSweep has nothing to do: what was reset is gone.
func (s *Store) IndexSweep(ctx context.Context, _ int) (bool, error) { return false, ctx.Err() }
