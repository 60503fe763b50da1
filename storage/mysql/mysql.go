// Package mysql keeps logs in MySQL 9.7 or MariaDB 10.11 and later, for any
// number of processes.
//
// Package mysqldb makes the sessions: nothing that one inherits from the server
// is trusted.
//
// It uses what both have in common: InnoDB, READ COMMITTED (said with every
// transaction as well), row locks. No GET_LOCK, no auto-increment, no table without a
// primary key. Statements are prepared on the server, which is 40 % faster
// for the multi-row inserts than having the client put them together.
//
// # Galera
//
// A log may be written to through every node of a Galera cluster at once. Locks
// end at the node; what orders appends is that each UPDATEs the tree-head row:
// of two that began from one head, the cluster commits one, and the other fails
// as a deadlock does and is begun again. Every session asks for reads that show
// what the cluster had committed before (wsrep_sync_wait), and for none from a
// node that is cut off (wsrep_dirty_reads); both are set wherever the server
// knows them, and mean nothing on a server of its own.
//
// # Group replication
//
// A MySQL group orders appends in the same way. Sessions that write or lock begin
// each transaction when their member has applied what the group committed before
// (group_replication_consistency is BEFORE), so that LockedHead, which can cause the
// log to be poisoned, does not answer from the past.
//
// # Stopped nodes
//
// A Galera node that was stopped for a while can answer from the past for a
// moment, until it notices. LockedHead can cause the log to be poisoned, so it
// first commits a row, which needs the consent of the others.
package mysql

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"indelible/internal/mysqldb"
	"indelible/internal/sqlerror"
	"indelible/storage"
	"indelible/storage/internal/rows"
)

// Store is one database on a server.
type Store struct {
	*rows.Store
	database *mysqldb.Database
}

var _ storage.Store = (*Store)(nil)

// Options are how a database is opened. The zero value is what is wanted.
type Options struct {
	// Migrate creates or updates the schema; else it is only checked.
	Migrate bool
	// Try tries all that a log does where there is no schema yet. What is wrong is
	// returned in place of ErrEmpty.
	Try bool
	// Waiting is told what Migrate waits for, when it does. It may be left out.
	Waiting func(what string)
	mysqldb.Access
	// Readers is how many connections read at once; 16. A few more write.
	Readers int
	// Abandoned is after what time the server ends the transaction of a client
	// that says nothing more, and gives its locks back; a minute, to the second.
	// A machine that vanished never closes its connection, and by the server's
	// own setting it would keep the tree head locked for hours.
	Abandoned time.Duration
}

// writers is how many connections append and publish at once. An append waits
// for the tree head's lock, so more would only wait.
const writers = 4

// answerWithin is how long the server may take for one answer, where the DSN
// does not say.
const answerWithin = 30 * time.Second

// Open connects to a database. The DSN is go-sql-driver's:
// user:password@tcp(host:3306)/database.
func Open(ctx context.Context, dsn string, o Options) (*Store, error) {
	// Galera: a read waits until this node has applied what was committed before.
	d, err := mysqldb.New(dsn, mysqldb.Options{Access: o.Access, AnswerWithin: answerWithin, SyncWait: "1"})
	if err != nil {
		return nil, err
	}
	// Nothing relies on wait_timeout: if a proxy does not pass it on, the server's
	// own value holds.
	abandoned := fmt.Sprintf("%.0f", cmp.Or(o.Abandoned, time.Minute).Seconds())
	read := d.Open(cmp.Or(o.Readers, 16), nil)
	write := d.Current().Open(writers, map[string]string{"wait_timeout": abandoned})
	words := dialect(d.Exposed())
	words.Session, words.Judge, err = d.Current().Held(ctx, read)
	s := &Store{rows.New(read, write, words), d}
	if err == nil {
		err = mysqldb.CheckPacket(ctx, read)
	}
	if err == nil {
		// That it may be asked. A member of a group may join it later.
		if _, err = mysqldb.Following(ctx, read); errors.Is(err, mysqldb.ErrOutside) {
			err = nil
		}
	}
	if err == nil && o.Migrate {
		err = s.create(ctx, read, write, o.Waiting)
	} else if err == nil {
		err = s.check(ctx)
		if o.Try && errors.Is(err, ErrEmpty) {
			err = cmp.Or(try(ctx, read, write), err)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("database %s: %w", d, err), s.Close())
	}
	return s, nil
}

// CheckSource reads the DSN again, and returns an error if a restart is needed
// for it.
func (s *Store) CheckSource() error { return s.database.CheckSource() }

// create makes the tables, or brings them up to date.
func (s *Store) create(ctx context.Context, read, write *sql.DB, waiting func(string)) error {
	var err error
	if errors.Is(s.check(ctx), ErrEmpty) {
		err = try(ctx, read, write)
	} else {
		err = takes(ctx, read)
	}
	if err != nil {
		return err
	}
	return s.Migrate(ctx, schema(), waiting)
}

// try tries all that a log does to a database.
func try(ctx context.Context, read, write *sql.DB) error {
	if err := takes(ctx, read); err != nil {
		return err
	}
	return probe(ctx, write)
}

// takes refuses a server that takes no writes: the driver would call that a bad
// connection.
func takes(ctx context.Context, read *sql.DB) error {
	vars, err := variables(ctx, read)
	if err != nil {
		return err
	}
	return takesNone(vars)
}

// noSuchTable is the server's error number 1146.
const noSuchTable = 1146

// OtherSchema reports that the tables are those of an older or a newer program.
func OtherSchema(err error) bool { return errors.Is(err, rows.ErrSchema) }

// ErrEmpty: the database has no tables of the log's.
var ErrEmpty = errors.New("there is no log in it yet: create it with logserver init --storage mysql")

func (s *Store) check(ctx context.Context) error {
	err := s.CheckSchema(ctx, schema())
	if hasNumber(err, noSuchTable) {
		return ErrEmpty
	}
	return err
}

// dialect has the words for a connection that is exposed to others, or none.
func dialect(exposed string) rows.Dialect {
	return rows.Dialect{
		ForUpdate: ` FOR UPDATE`,
		LeafIndex: ` FORCE INDEX (by_leaf)`,
		NowMillis: `CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)`,
		Isolation: sql.LevelReadCommitted,
		Duplicate: func(err error) bool { return hasNumber(err, 1062) },
		Refused:   readOnly,
		Explain:   explain,
		// A read that cannot wait for the others says 1205, as a lock wait does.
		Elsewhere: func(err error) bool {
			return errors.Is(err, ErrNoMajority) || errors.Is(err, mysqldb.ErrOutside) || hasNumber(err, 1205)
		},
		Newest:    newest,
		Refuses:   refuses,
		MaxPacket: `SELECT @@max_allowed_packet`,
		Overtaken: mysqldb.Overtaken,
		Warnings: func(ctx context.Context, db *sql.DB) ([]string, error) {
			w, err := warnings(ctx, db)
			if exposed != "" {
				w = append(w, exposed)
			}
			return w, err
		},
	}
}

// ErrNoMajority: this node of a Galera cluster is cut off from the others, or
// has not caught up with them yet.
var ErrNoMajority = errors.New("this node of the Galera cluster is not part of its majority at present, or still catches up, and takes nothing")

// unknownCommand is the server's error number 1047, which such a node answers
// everything with.
const unknownCommand = 1047

func explain(err error) error {
	if hasNumber(err, unknownCommand) {
		return fmt.Errorf("%w: %w", ErrNoMajority, err)
	}
	return err
}

// refuses implements rows.Dialect.Refuses.
func refuses(err error) bool {
	var e *mysql.MySQLError
	return errors.As(err, &e) && sqlerror.MySQL(e.Number, string(e.SQLState[:]), e.Message)
}

func hasNumber(err error, number uint16) bool {
	var e *mysql.MySQLError
	return errors.As(err, &e) && e.Number == number
}

// ErrReadOnly: the server takes no writes at present.
var ErrReadOnly = errors.New("the database server is read-only")

// readOnly explains a connection that the driver gave up because the server
// refused to write.
func readOnly(ctx context.Context, db *sql.DB) error {
	vars, err := variables(ctx, db)
	if err != nil {
		return nil // it does not answer at all, which is another fault
	}
	return takesNone(vars)
}

// takesNone says why a server with these variables takes no writes; nil if it
// does.
func takesNone(vars map[string]string) error {
	if vars["group_replication_group_name"] != "" && on(vars["super_read_only"]) {
		return fmt.Errorf("%w (super_read_only is ON): this server is a secondary of a MySQL group, which takes no writes: name its primary in the DSN; "+
			"or it left the group, or has just become its primary", ErrReadOnly)
	}
	for _, name := range []string{"read_only", "innodb_read_only"} {
		if v, ok := vars[name]; ok && !off(v) {
			return fmt.Errorf("%w (%s is %s): if it is a replica, or was demoted, name the primary in the DSN", ErrReadOnly, name, v)
		}
	}
	return nil
}

// ErrFollows: the server is a replica that still receives what another commits.
var ErrFollows = errors.New("the database server replicates from another at present, and may lack what that one has committed: " +
	"name the primary in the DSN; or, if this is to be the primary, let it catch up and then stop its replication (STOP SLAVE; MySQL: STOP REPLICA)")

// newest implements rows.Dialect.Newest. Whoever may write on a read-only server
// is not told that it is one, so it is asked. It is asked last: a replica is made
// read-only before it stops replicating for a while, and a primary takes writes
// after it has stopped, so that who asked in the other order could take a replica
// for a primary.
func newest(ctx context.Context, conn *sql.Conn) (others bool, err error) {
	how, hidden := mysqldb.Following(ctx, conn)
	vars, err := variables(ctx, conn)
	if err != nil {
		return false, err
	}
	if err := takesNone(vars); err != nil {
		return false, err
	}
	if how != "" {
		return false, fmt.Errorf("%w (%s)", ErrFollows, how)
	}
	return on(vars["wsrep_on"]), hidden
}

// setting is a server variable that weakens what the log promises where it has
// another value.
type setting struct {
	name  string
	fine  func(string) bool
	want  string
	means string
}

func settings() []setting {
	return []setting{
		{"innodb_flush_log_at_trx_commit", func(v string) bool { return v == "1" }, "1", "a crash of the server can lose commits that were acknowledged"},
		// MySQL 8.0.30 has DETECT_AND_RECOVER, which is ON, and DETECT_ONLY, which is not.
		{"innodb_doublewrite", func(v string) bool { return on(v) || v == "DETECT_AND_RECOVER" }, "ON", "a power cut can leave half-written pages"},
		{"read_only", off, "OFF", "nothing can be added"},
		{"innodb_read_only", off, "OFF", "nothing can be added"},
	}
}

func warnings(ctx context.Context, db *sql.DB) ([]string, error) {
	vars, err := variables(ctx, db)
	if err != nil {
		return nil, err
	}
	var w []string
	for _, s := range settings() {
		if got, ok := vars[s.name]; ok && !s.fine(got) {
			w = append(w, fmt.Sprintf("%s is %s, not %s: %s", s.name, cmp.Or(got, "empty"), s.want, s.means))
		}
	}
	if on(vars["log_bin"]) && vars["sync_binlog"] != "1" {
		w = append(w, fmt.Sprintf("log_bin is on and sync_binlog is %s, not 1: a replica, or the server itself after a crash, can lack commits that were acknowledged", vars["sync_binlog"]))
	}
	if on(vars["wsrep_on"]) {
		w = append(w, splitBrain(vars["wsrep_provider_options"])...)
	}
	how, err := mysqldb.Following(ctx, db)
	switch {
	case errors.Is(err, mysqldb.ErrOutside):
		w = append(w, err.Error())
	case err != nil:
		return nil, err
	case how != "":
		w = append(w, fmt.Sprintf("the server replicates from another (%s): what is added here is not there", how))
	}
	tables, err := foreignEngines(ctx, db)
	return append(w, tables...), err
}

// splitBrain finds those of Galera's options with which the parts of a divided
// cluster each go on.
func splitBrain(options string) (w []string) {
	for option := range strings.SplitSeq(options, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(option), "=")
		switch name = strings.TrimSpace(name); name {
		case "pc.ignore_quorum", "pc.ignore_sb":
			if v := strings.TrimSpace(value); !strings.EqualFold(v, "false") && !strings.EqualFold(v, "no") && !off(v) {
				w = append(w, fmt.Sprintf("%s is %s in wsrep_provider_options, not false: nodes that are cut off from the others go on without them, and what they were given is lost", name, v))
			}
		}
	}
	return w
}

func on(v string) bool  { return strings.EqualFold(v, "ON") || v == "1" }
func off(v string) bool { return strings.EqualFold(v, "OFF") || v == "0" }

// foreignEngines finds tables that somebody altered, or that a server without
// InnoDB made otherwise.
func foreignEngines(ctx context.Context, db *sql.DB) (w []string, err error) {
	err = each(ctx, db, `SELECT table_name, engine FROM information_schema.tables
		WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' AND engine <> 'InnoDB' ORDER BY table_name`, func(name, engine string) {
		w = append(w, fmt.Sprintf("table %s is in %s, not in InnoDB: it has no transactions", name, engine))
	})
	return w, err
}

// querier is a database or one connection.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func variables(ctx context.Context, db querier) (map[string]string, error) {
	vars := make(map[string]string)
	err := each(ctx, db, `SHOW GLOBAL VARIABLES WHERE Variable_name IN
		('innodb_flush_log_at_trx_commit', 'innodb_doublewrite', 'read_only', 'innodb_read_only', 'super_read_only', 'group_replication_group_name', 'log_bin', 'sync_binlog', 'wsrep_on', 'wsrep_provider_options')`,
		func(name, value string) { vars[strings.ToLower(name)] = value })
	return vars, err
}

// each calls f for each row of two columns.
func each(ctx context.Context, db querier, query string, f func(a, b string)) error {
	r, err := db.QueryContext(ctx, query)
	if err != nil {
		return fmt.Errorf("read the server's settings: %w", err)
	}
	defer r.Close()
	for r.Next() {
		var a, b string
		if err := r.Scan(&a, &b); err != nil {
			return fmt.Errorf("read the server's settings: %w", err)
		}
		f(a, b)
	}
	return r.Err()
}
