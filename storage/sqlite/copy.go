package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
)

// Copy writes a copy of a file, as it is at one moment, to another that is not
// there yet, beside a process that has the first open and writes to it. The copy
// is readable to its owner alone, complete in one file, and on disk when Copy
// returns. If Copy fails, it leaves nothing.
func Copy(ctx context.Context, from, to string) (err error) {
	if to, err = filepath.Abs(to); err != nil { // which is never taken for a URI
		return err
	}
	// VACUUM INTO takes an empty file for one that is not there, and would make
	// a new one readable to all.
	f, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, os.Remove(to))
		}
	}()
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: from}).EscapedPath()+"?mode=ro&_pragma=busy_timeout(10000)")
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `VACUUM INTO ?`, to)
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	if err := f.Sync(); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
