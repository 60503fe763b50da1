// Package sqlstate keeps a witness's state in a SQLite file, for one process, or
// in MySQL 9.7 or MariaDB 10.11 and later.
//
//	witness_logs   origin, vkeys (one a line), requests a day, contact
//	witness_heads  origin, size, root, time, note: what was cosigned last
//	witness_facts  which register belongs to the database
//
// A log has a row in both tables from the start, so that every change of a head
// is one UPDATE whose WHERE names the head that it comes from: the row count
// says who won. What many logs change while one transaction commits goes into
// the next one together.
package sqlstate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"indelible/checkpoint"
	"indelible/merkle"
	"indelible/witness"
	"indelible/witness/internal/group"
)

// Store is the state in one database.
type Store struct {
	read, write *sql.DB
	dialect     dialect
	swaps       *group.Queue[swap]
	lock        interface{ Close() error } // keeps other processes away; nil if they are welcome
	made        bool
	remove      func(context.Context) error
	source      func() error // CheckSource; nil: there is no DSN

	selectHead, updateHead *sql.Stmt
}

var _ witness.State = (*Store)(nil)

// dialect is what differs between the databases.
type dialect struct {
	schema    []string
	ignore    string // the verb that inserts a row unless it is there
	isolation sql.IsolationLevel
	warnings  func(ctx context.Context, db *sql.DB) ([]string, error)
	refuses   func(error) bool // the rows are not taken, and will not be the next time
}

const (
	// maxOrigin is the most bytes that an origin may have.
	// SPEC: tlog-cosignature: a byte counts those of log_origin.
	maxOrigin = 255
	// maxContact is the most bytes of who runs a log.
	maxContact = 1024
)

// unlimited is the LIMIT of a query for all rows: the setting sql_select_limit
// cuts only those without one, and without an error.
const unlimited = ` LIMIT 9223372036854775807`

// open brings the schema up to date, and prepares what is asked often.
func open(ctx context.Context, s *Store) error {
	s.swaps = group.New(maxGroup, s.swapAll)
	if err := s.migrate(ctx); err != nil {
		return err
	}
	var err error
	if s.selectHead, err = s.read.PrepareContext(ctx, `SELECT size, root, time, note FROM witness_heads WHERE origin = ?`); err != nil {
		return err
	}
	s.updateHead, err = s.write.PrepareContext(ctx, `UPDATE witness_heads SET size = ?, root = ?, time = ?, note = ?
		WHERE origin = ? AND size = ? AND root = ? AND time = ?`)
	return err
}

// Close closes the database. Nothing must be running.
func (s *Store) Close() error {
	err := s.closePools()
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

func (s *Store) closePools() error { return errors.Join(s.read.Close(), s.write.Close()) }

// Made reports whether the file, or the tables, were made when s was opened.
func (s *Store) Made() bool { return s.made }

// Remove closes a database that was made when s was opened, and removes it: the
// file, or the tables. It is for a start that failed. What a witness has cosigned
// in, or has given a register to, stays.
func (s *Store) Remove(ctx context.Context) error {
	if err := s.unused(ctx); err != nil {
		return errors.Join(fmt.Errorf("the new database stays: %w", err), s.Close())
	}
	return s.remove(ctx)
}

// unused reports an error if a witness relies on the database.
func (s *Store) unused(ctx context.Context) error {
	id, err := s.RegisterID(ctx)
	if err != nil {
		return err
	}
	var cosigned int
	if err := s.write.QueryRowContext(ctx, `SELECT COUNT(*) FROM witness_heads WHERE size > 0`).Scan(&cosigned); err != nil {
		return err
	}
	if !s.made || id != "" || cosigned > 0 {
		return errors.New("a witness uses it")
	}
	return nil
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	var n int
	return s.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM witness_facts`).Scan(&n)
}

// TryWrite has the database write something, durably, that means nothing: a
// witness that only pings it does not know whether it can cosign.
func (s *Store) TryWrite(ctx context.Context) error {
	const name = "tried"
	tx, err := s.write.BeginTx(ctx, &sql.TxOptions{Isolation: s.dialect.isolation})
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it is nothing
	if _, err := tx.ExecContext(ctx, s.dialect.ignore+` INTO witness_facts (name, value) VALUES (?, '')`, name); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE witness_facts SET value = ? WHERE name = ?`, time.Now().UTC().Format(time.RFC3339Nano), name); err != nil {
		return err
	}
	return tx.Commit()
}

// CheckSource reads the DSN again, and returns an error if a restart is needed
// for it.
func (s *Store) CheckSource() error {
	if s.source == nil {
		return nil
	}
	return s.source()
}

// Warnings says which of the database's settings weaken what a witness promises.
func (s *Store) Warnings(ctx context.Context) ([]string, error) {
	return s.dialect.warnings(ctx, s.read)
}

// Logs implements witness.State.
func (s *Store) Logs(ctx context.Context) ([]witness.Log, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT origin, vkeys, per_day, contact FROM witness_logs ORDER BY origin`+unlimited)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var logs []witness.Log
	for rows.Next() {
		var l witness.Log
		var vkeys string
		if err := rows.Scan(&l.Origin, &vkeys, &l.PerDay, &l.Contact); err != nil {
			return nil, err
		}
		for vkey := range strings.SplitSeq(vkeys, "\n") {
			key, err := checkpoint.ParseVerifier(vkey)
			if err != nil {
				return nil, fmt.Errorf("a key of log %q in the database: %w", l.Origin, err)
			}
			l.Keys = append(l.Keys, key)
		}
		logs = append(logs, l)
	}
	return logs, rows.Err()
}

// AddLogs implements witness.State.
func (s *Store) AddLogs(ctx context.Context, logs []witness.Log) error {
	have, err := s.vkeys(ctx)
	if err != nil {
		return err
	}
	var missing []witness.Log
	var refused []error
	for _, l := range logs {
		if err := mayAdd(l, have); err != nil {
			refused = append(refused, fmt.Errorf("%w: %w", witness.ErrLogRefused, err))
		} else if _, ok := have[l.Origin]; !ok {
			missing = append(missing, l)
			have[l.Origin] = lines(l.Keys)
		}
	}
	if len(missing) > 0 {
		if err := s.insertLogs(ctx, missing); err != nil {
			return err
		}
	}
	return errors.Join(refused...)
}

// vkeys returns the keys of each log, as they are stored.
func (s *Store) vkeys(ctx context.Context) (map[string]string, error) {
	logs, err := s.Logs(ctx)
	have := make(map[string]string, len(logs))
	for _, l := range logs {
		have[l.Origin] = lines(l.Keys)
	}
	return have, err
}

func mayAdd(l witness.Log, have map[string]string) error {
	was, known := have[l.Origin]
	switch {
	case len(l.Keys) == 0:
		return fmt.Errorf("log %q has no key", l.Origin)
	case len(l.Origin) == 0 || len(l.Origin) > maxOrigin:
		return fmt.Errorf("log %.60q has an origin of %d bytes; 1 to %d can be cosigned", l.Origin, len(l.Origin), maxOrigin)
	case len(l.Contact) > maxContact:
		return fmt.Errorf("log %q has a contact of %d bytes; at most %d are kept", l.Origin, len(l.Contact), maxContact)
	case known && was != lines(l.Keys):
		return fmt.Errorf("log %q has the key %s now, and is known with %s: a list cannot change it, and it stays as it was; if the log did change it: logwitness accept --log %s --vkey …",
			l.Origin, oneLine(lines(l.Keys)), oneLine(was), l.Origin)
	}
	return nil
}

// SetKeys gives a log other keys, if those that it has are still was.
func (s *Store) SetKeys(ctx context.Context, origin string, was, keys []checkpoint.Verifier) error {
	res, err := s.write.ExecContext(ctx, `UPDATE witness_logs SET vkeys = ? WHERE origin = ? AND vkeys = ?`, lines(keys), origin, lines(was))
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, fmt.Errorf("log %q has other keys than before: look at it again", origin))
	}
	return nil
}

// lines is how keys are stored: in the order of their text, so that the same
// keys in another order are the same.
func lines(keys []checkpoint.Verifier) string {
	var text []string
	for _, k := range keys {
		text = append(text, k.String())
	}
	slices.Sort(text)
	return strings.Join(text, "\n")
}

func oneLine(vkeys string) string { return strings.ReplaceAll(vkeys, "\n", ", ") }

func (s *Store) insertLogs(ctx context.Context, logs []witness.Log) error {
	tx, err := s.write.BeginTx(ctx, &sql.TxOptions{Isolation: s.dialect.isolation})
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it is nothing
	// A process that added one of them since we looked keeps it as it added it.
	log, err := tx.PrepareContext(ctx, s.dialect.ignore+` INTO witness_logs (origin, vkeys, per_day, contact) VALUES (?, ?, ?, ?)`)
	if err != nil {
		return err
	}
	head, err := tx.PrepareContext(ctx, s.dialect.ignore+` INTO witness_heads (origin, size, root, time, note) VALUES (?, 0, ?, 0, ?)`)
	if err != nil {
		return err
	}
	var none merkle.Hash
	for _, l := range logs {
		if _, err := log.ExecContext(ctx, l.Origin, lines(l.Keys), l.PerDay, l.Contact); err != nil {
			return fmt.Errorf("log %q: %w", l.Origin, err)
		}
		if _, err := head.ExecContext(ctx, l.Origin, none[:], []byte{}); err != nil {
			return fmt.Errorf("log %q: %w", l.Origin, err)
		}
	}
	return tx.Commit()
}

// Head implements witness.State.
func (s *Store) Head(ctx context.Context, origin string) (witness.Head, error) {
	var h witness.Head
	var root []byte
	err := s.selectHead.QueryRowContext(ctx, origin).Scan(&h.Size, &root, &h.Time, &h.Note)
	if errors.Is(err, sql.ErrNoRows) {
		return h, fmt.Errorf("the database does not hold log %q any more", origin)
	}
	if err != nil {
		return h, err
	}
	if len(h.Note) == 0 {
		h.Note = nil
	}
	return h, setRoot(&h, origin, root)
}

func setRoot(h *witness.Head, origin string, root []byte) error {
	if len(root) != len(h.Root) || h.Size < 0 {
		return fmt.Errorf("the database is damaged: of log %q it holds size %d and a root of %d bytes", origin, h.Size, len(root))
	}
	h.Root = merkle.Hash(root)
	return nil
}

// EachHead calls f with what was cosigned last of every log, without the notes.
func (s *Store) EachHead(ctx context.Context, f func(origin string, h witness.Head) error) error {
	rows, err := s.read.QueryContext(ctx, `SELECT origin, size, root, time FROM witness_heads`+unlimited)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var h witness.Head
		var origin string
		var root []byte
		if err := rows.Scan(&origin, &h.Size, &root, &h.Time); err != nil {
			return err
		}
		if err := setRoot(&h, origin, root); err != nil {
			return err
		}
		if err := f(origin, h); err != nil {
			return err
		}
	}
	return rows.Err()
}

// fact is the name under which the register's id is stored.
const fact = "register"

// RegisterID is the id of the register that belongs to the database; empty if
// none was given to it.
func (s *Store) RegisterID(ctx context.Context) (string, error) {
	var id string
	err := s.write.QueryRowContext(ctx, `SELECT value FROM witness_facts WHERE name = ?`, fact).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return id, err
}

// SetRegister gives the database another register, if the one it has is still
// was.
func (s *Store) SetRegister(ctx context.Context, was, id string) error {
	if _, err := s.write.ExecContext(ctx, s.dialect.ignore+` INTO witness_facts (name, value) VALUES (?, '')`, fact); err != nil {
		return err
	}
	res, err := s.write.ExecContext(ctx, `UPDATE witness_facts SET value = ? WHERE name = ? AND value = ?`, id, fact, was)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, errors.New("another process gave the database a register at the same time: start again"))
	}
	return nil
}

const (
	// maxGroup is the most heads that one transaction changes.
	maxGroup = 256
	// commitTimeout bounds a transaction.
	commitTimeout = 30 * time.Second
)

// swap is one head that is to change.
type swap struct {
	origin   string
	from, to witness.Head
}

// Swap implements witness.State. It is not given up with ctx: the transaction
// that it takes part in is that of others too, and ends within commitTimeout.
func (s *Store) Swap(_ context.Context, origin string, from, to witness.Head) error {
	return s.swaps.Do(swap{origin, from, to})
}

// swapAll changes heads in one transaction. What the database refuses is halved,
// so that one head that it does not take is refused alone.
func (s *Store) swapAll(swaps []swap) []error {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	errs := make([]error, len(swaps))
	err := s.swapIn(ctx, swaps, errs)
	if n := len(swaps); n > 1 && s.dialect.refuses(err) {
		return append(s.swapAll(swaps[:n/2]), s.swapAll(swaps[n/2:])...)
	}
	if err != nil {
		for i := range errs {
			errs[i] = err
		}
	}
	return errs
}

// swapIn fills in who came too late; its own error is that of all.
func (s *Store) swapIn(ctx context.Context, swaps []swap, errs []error) error {
	tx, err := s.write.BeginTx(ctx, &sql.TxOptions{Isolation: s.dialect.isolation})
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it is nothing
	update := tx.StmtContext(ctx, s.updateHead)
	// Rows are locked in one order, so that two processes do not wait for each other.
	for _, i := range inOrder(swaps) {
		sw := swaps[i]
		res, err := update.ExecContext(ctx, sw.to.Size, sw.to.Root[:], sw.to.Time, sw.to.Note, sw.origin, sw.from.Size, sw.from.Root[:], sw.from.Time)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		if n != 1 {
			errs[i] = witness.ErrMoved
		}
	}
	return tx.Commit()
}

// inOrder returns the swaps' places in the order of their origins; of one
// origin, in that in which they came.
func inOrder(swaps []swap) []int {
	order := make([]int, len(swaps))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return strings.Compare(swaps[a].origin, swaps[b].origin) })
	return order
}
