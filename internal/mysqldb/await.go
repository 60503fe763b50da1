package mysqldb

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/go-sql-driver/mysql"
)

const (
	// reachWithin is how long a server may take to answer one try of [Await].
	reachWithin = 5 * time.Second
	// tryEvery is the pause between two tries.
	tryEvery = 500 * time.Millisecond
)

// Await connects to the server of a DSN, and tries again until the server answers
// or the time is over. It returns nil if the time is 0. Only a server that cannot
// be reached is waited for: no connection, no answer, a name that does not resolve,
// a server that starts, stops, has too many connections, or is not in its Galera
// cluster yet. Everything else, such as a wrong password, a database that does not
// exist or a certificate that does not verify, is returned at once. The log gets
// one line when the waiting begins and one when it ends.
func Await(ctx context.Context, dsn string, access Access, within time.Duration, log *slog.Logger) error {
	if within <= 0 {
		return nil
	}
	d, err := New(dsn, Options{Access: access, AnswerWithin: reachWithin, SyncWait: "1"})
	if err != nil {
		return err
	}
	began := time.Now()
	err = d.reach(ctx)
	if !Unreachable(err) {
		return located(d, err)
	}
	log.Warn("waiting for the database, which cannot be reached", "database", Where(dsn), "at most", within.String(), "error", err)
	for Unreachable(err) && ctx.Err() == nil && time.Since(began) < within {
		select {
		case <-time.After(min(tryEvery, within-time.Since(began))):
			err = d.reach(ctx)
		case <-ctx.Done():
		}
	}
	waited := time.Since(began).Round(time.Millisecond).String()
	switch {
	case err == nil:
		log.Info("the database answers", "database", Where(dsn), "waited", waited)
		return nil
	case ctx.Err() != nil:
		err = ctx.Err()
	case Unreachable(err):
		err = fmt.Errorf("no answer within --wait-for-database %s: %w", within, err)
	}
	log.Error("the wait for the database has ended without it", "database", Where(dsn), "waited", waited, "error", err)
	return located(d, err)
}

func located(d *Database, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("database %s: %w", d, err)
}

// reach makes one connection as they are all made, and closes it.
func (d *Database) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	conn, err := (&connector{cfg: d.cfg, database: d}).Connect(ctx)
	if err != nil {
		return err
	}
	return conn.Close()
}

// Unreachable reports whether an error says that the server cannot be reached at
// present, so that it may be another time.
func Unreachable(err error) bool {
	var refusal *mysql.MySQLError
	if errors.As(err, &refusal) {
		return slices.Contains([]uint16{
			1040, // too many connections
			1047, // not in its Galera cluster's majority
			1053, // it shuts down
		}, refusal.Number)
	}
	for _, gone := range []error{driver.ErrBadConn, mysql.ErrInvalidConn, io.EOF, io.ErrUnexpectedEOF, context.DeadlineExceeded} {
		if errors.Is(err, gone) {
			return true
		}
	}
	var network *net.OpError
	if errors.As(err, &network) {
		return network.Op != "remote error" && network.Op != "local error" // these are refusals of TLS
	}
	var name *net.DNSError
	return errors.As(err, &name)
}
