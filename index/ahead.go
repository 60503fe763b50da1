package index

import (
	"context"
	"errors"
	"fmt"

	"indelible/storage"
)

// ErrAhead: the index says that it has entries which the log does not, as after
// a database was edited, or restored in parts. What is logged from now on would
// be taken for indexed.
var ErrAhead = errors.New("the search index is ahead of the log")

// condemned is an index that was found ahead of the log.
type condemned struct {
	id  int64
	why error
}

// checkAhead compares a state of the index with the log's durable size, which is
// read where the size known to be published does not answer.
func (x *Index) checkAhead(ctx context.Context, st storage.IndexState, known int64) error {
	if st.Format != format {
		return nil // nothing is answered from it
	}
	if found := x.ahead.Load(); found != nil && found.id == st.ID {
		return found.why
	}
	if st.Size <= known {
		return nil
	}
	head, err := x.cfg.Store.Head(ctx, x.cfg.LogID)
	if err != nil {
		return err
	}
	return aheadOf(st, head.Size)
}

func aheadOf(st storage.IndexState, size int64) error {
	if st.Size <= size {
		return nil
	}
	return fmt.Errorf("%w: it says that it has %d entries, and the log has %d. The database was edited, or restored in parts. "+
		"Nothing is searched until the index is made anew: logserver index rebuild", ErrAhead, st.Size, size)
}

// condemn makes sure that the index is ahead, by a head that no stale replica of
// the database can have given, and remembers it: once the log has grown, its size
// does not show it any more.
func (x *Index) condemn(ctx context.Context, st storage.IndexState) error {
	x.known.Store(0)
	if found := x.ahead.Load(); found != nil && found.id == st.ID {
		return nil
	}
	tx, err := x.cfg.Store.BeginAppend(ctx, x.cfg.LogID)
	if err != nil {
		return err
	}
	size := tx.Head().Size
	if err := tx.Rollback(); err != nil {
		return err
	}
	if why := aheadOf(st, size); why != nil {
		x.ahead.Store(&condemned{st.ID, why})
	}
	return nil
}
