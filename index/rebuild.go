package index

import (
	"context"
	"errors"
	"fmt"

	"indelible/storage"
)

// Rebuild makes the index of a log anew, up to what is published, and deletes
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
	var all []storage.IndexRow
	for st.Size < published.Size {
		next, made, err := advance(ctx, store, logID, st, published.Size, all)
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
			progress(st.Size, published.Size)
		}
	}
	for more := true; more; {
		if more, err = store.IndexSweep(ctx, sweepRows); err != nil {
			return err
		}
	}
	return nil
}

func newer(have int) error {
	return fmt.Errorf("the index has format %d, and this program makes format %d: use the newer program, which serves the log", have, format)
}
