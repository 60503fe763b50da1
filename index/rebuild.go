package index

import (
	"context"
	"errors"
	"fmt"

	"indelible/storage"
)

// Rebuild rebuilds the index of a log, up to what is published, and deletes
// the old one. Servers may run: they and Rebuild then work side by side, and
// searches are answered by what the new index has. progress, which may be nil,
// is called with the size of the index and the one to be reached.
func Rebuild(ctx context.Context, store storage.Store, logID int64, progress func(size, of int64)) error {
	was, err := store.IndexState(ctx, logID)
	if err != nil {
		return err
	}
	published, err := store.Published(ctx, logID)
	if err != nil {
		return err
	}
	if was.Format > format {
		return newer(was.Format)
	}
	st, err := store.IndexReset(ctx, logID, was, format)
	if err != nil {
		return err
	}
	if err := catchUp(ctx, store, logID, st, published.Size, progress); err != nil {
		return err
	}
	for more := true; more; {
		if more, err = store.IndexSweep(ctx, sweepRows); err != nil {
			return err
		}
	}
	return nil
}

// catchUp indexes entries up to a size, or sees others do it.
func catchUp(ctx context.Context, store storage.Store, logID int64, st storage.IndexState, size int64, progress func(size, of int64)) error {
	var all []storage.IndexRow
	for st.Size < size {
		next, made, err := advance(ctx, store, logID, stored(store, logID), st, size, all)
		switch {
		case err == nil:
			st, all = next, made
		case errors.Is(err, storage.ErrConflict): // a server was faster
			if st, err = store.IndexState(ctx, logID); err != nil {
				return err
			}
			if st.Format != format {
				return newer(st.Format)
			}
		default:
			return err
		}
		if progress != nil {
			progress(st.Size, size)
		}
	}
	return nil
}

func newer(have int) error {
	return fmt.Errorf("the index has format %d, and this program makes format %d: use the newer program, which serves the log", have, format)
}
