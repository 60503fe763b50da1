package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"

	"indelible/storage"
	"indelible/storage/internal/rows"
)

// Reader is a SQLite file that is only read, beside a process that has it open:
// it takes no lock that another waits for, since in WAL mode readers and the
// writer do not. Whatever would write fails.
type Reader struct{ *rows.Store }

var _ storage.Store = Reader{}

// OpenBeside opens a file that is there, to be read. Its schema must be this
// program's. Each read sees what was committed when it began: of two, the later
// one may see more.
func OpenBeside(ctx context.Context, path string) (Reader, error) {
	// In mode ro the file is never written, and the index of its WAL is: that is
	// how readers and the writer tell each other where they are.
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?mode=ro&_pragma=busy_timeout(10000)")
	if err != nil {
		return Reader{}, err
	}
	db.SetMaxOpenConns(2)
	r := Reader{rows.New(db, db, dialect(path))}
	if err := r.CheckSchema(ctx, schema()); err != nil {
		return Reader{}, errors.Join(fmt.Errorf("open %s: %w", path, remedy(path, err)), r.Close())
	}
	return r, nil
}
