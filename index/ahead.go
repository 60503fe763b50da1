package index

import (
	"context"
	"errors"
	"fmt"

	"indelible/storage"
)

// ErrAhead: the index says that it has entries which the log does not, as after
// a database was edited, or restored in parts. What is logged from now on would
// be taken for indexed, so nothing is searched until the index is started again,
// which Run does.
var ErrAhead = errors.New("the search index is ahead of the log")

// condemned is an index that was found ahead of the log.
type condemned struct {
	id  int64
	why error
}

// checkAhead compares a state of the index with the log's durable size, which is
// read where the size known to be published does not answer. ErrAhead is sure.
func (x *Index) checkAhead(ctx context.Context, st storage.IndexState, known int64) error {
	if st.Format != format {
		return nil // nothing is answered from it
	}
	if why := x.condemnedFor(st.ID); why != nil {
		return why
	}
	if st.Size <= known {
		return nil
	}
	head, err := x.cfg.Store.Head(ctx, x.cfg.LogID)
	if err != nil || st.Size <= head.Size {
		return err
	}
	return x.condemn(ctx, st)
}

// condemnedFor is why an index is not searched; nil if it is.
func (x *Index) condemnedFor(id int64) error {
	if found := x.ahead.Load(); found != nil && found.id == id {
		return found.why
	}
	return nil
}

// condemn makes sure that the index is ahead, by a head that no stale replica of
// the database can have given. It is remembered until the index is started again:
// once the log has grown, the sizes do not show it any more.
func (x *Index) condemn(ctx context.Context, st storage.IndexState) error {
	tx, err := x.cfg.Store.BeginAppend(ctx, x.cfg.LogID)
	if err != nil {
		return err
	}
	size := tx.Head().Size
	if err := tx.Rollback(); err != nil || st.Size <= size {
		return err
	}
	why := fmt.Errorf("%w: it says that it has %d entries, and the log has %d. The database was edited, or restored in parts. "+
		"The index is being rebuilt; until that has begun, nothing is searched", ErrAhead, st.Size, size)
	if was := x.ahead.Swap(&condemned{st.ID, why}); was == nil || was.id != st.ID {
		x.cfg.Events.ahead(why)
	}
	x.known.Store(0)
	if wake := x.wake.Load(); wake != nil {
		(*wake)()
	}
	return why
}
