package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"indelible/internal/dbtest"
	"indelible/internal/mysqldb"
	"indelible/storage"
	"indelible/storage/internal/rows"
	"indelible/storage/storagetest"
)

func start(t *testing.T, args ...string) *dbtest.Server {
	t.Helper()
	server, err := dbtest.Start(context.Background(), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Remove() })
	return server
}

func database(t *testing.T, server *dbtest.Server, name string) string {
	t.Helper()
	if err := server.Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return server.DSN(name)
}

func open(t *testing.T, dsn string) *Store {
	t.Helper()
	s, err := Open(t.Context(), dsn, Options{Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestContract(t *testing.T) {
	server := start(t)
	n := 0
	storagetest.Run(t, func(t *testing.T) storage.Store {
		n++
		return open(t, database(t, server, fmt.Sprint("test", n)))
	})
}

func TestSchema(t *testing.T) {
	server := start(t)
	dsn := database(t, server, "bare")
	if _, err := Open(t.Context(), dsn, Options{}); err == nil || errors.Is(err, rows.ErrSchema) || !strings.Contains(err.Error(), "there is no log in it yet: create it with logserver init") {
		t.Fatalf("an empty database: %v", err)
	}
	// Several that migrate at once take turns.
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			s, err := Open(t.Context(), dsn, Options{Migrate: true})
			if err != nil {
				t.Error(err)
				return
			}
			s.Close()
		})
	}
	wg.Wait()
	s, err := Open(t.Context(), dsn, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := server.Exec(t.Context(), `INSERT INTO bare.schema_versions VALUES (9, 8)`); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), dsn, Options{}); err == nil || !strings.Contains(err.Error(), "newer program") {
		t.Fatalf("a schema from the future: %v", err)
	}
}

// A migration whose process was killed is taken up soon, and meanwhile it is said
// what is waited for.
func TestMigrationKilled(t *testing.T) {
	server := start(t)
	dsn := database(t, server, "killed")
	open(t, dsn).Close()
	if err := server.Exec(t.Context(), `DELETE FROM killed.schema_versions`,
		`UPDATE killed.schema_lease SET holder = 'killed', expires_at = UNIX_TIMESTAMP() * 1000 + 2000`); err != nil {
		t.Fatal(err)
	}
	var told []string
	s, err := Open(t.Context(), dsn, Options{Migrate: true, Waiting: func(what string) { told = append(told, what) }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if len(told) != 1 || !strings.Contains(told[0], "another process") {
		t.Errorf("it says that it waits for %q", told)
	}
	left := int64(0)
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow(`SELECT expires_at - UNIX_TIMESTAMP() * 1000 FROM schema_lease`).Scan(&left); err != nil || left > 15_000 {
		t.Errorf("one that is killed now is waited for %d ms: %v", left, err)
	}
}

func TestWarnings(t *testing.T) {
	s := open(t, database(t, start(t), "test"))
	defer s.Close()
	if w, err := s.Warnings(t.Context()); err != nil || len(w) > 0 {
		t.Fatalf("a durable server: %v, %v", w, err)
	}
	laxServer := start(t, "--innodb-flush-log-at-trx-commit=2", "--log-bin=bin", "--sync-binlog=0", "--sql-mode=")
	lax := open(t, database(t, laxServer, "test"))
	defer lax.Close()
	w, err := lax.Warnings(t.Context())
	all := strings.Join(w, "\n")
	if err != nil || !strings.Contains(all, "innodb_flush_log_at_trx_commit is 2") || !strings.Contains(all, "sync_binlog is 0") {
		t.Fatal(w, err)
	}
	if strings.Contains(all, "sql_mode") || strings.Contains(all, "InnoDB") { // the session has a mode of its own
		t.Fatal(w)
	}
	if err := laxServer.Exec(t.Context(), `ALTER TABLE test.tiles ENGINE=MyISAM`); err != nil {
		t.Fatal(err)
	}
	if w, err = lax.Warnings(t.Context()); err != nil || !strings.Contains(strings.Join(w, "\n"), "table tiles is in MyISAM") {
		t.Fatal(w, err)
	}
}

func TestServerRestarts(t *testing.T) {
	server := start(t)
	s := open(t, database(t, server, "test"))
	defer s.Close()
	l, err := s.CreateLog(t.Context(), storage.Log{Origin: "a", Instance: "i", Register: "r"}, storage.Head{})
	if err != nil {
		t.Fatal(err)
	}
	tx, err := s.BeginAppend(t.Context(), l.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.FindLeaves(t.Context(), []storage.Hash{{}}); err == nil {
		t.Fatal("a dead server answered")
	}
	tx.Rollback()
	if err := server.Restart(context.Background()); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(2 * time.Minute)
	for {
		tx, err := s.BeginAppend(t.Context(), l.ID)
		if err == nil {
			tx.Rollback()
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// A server that hides from the log's user whether it is a replica may lag, and
// what it lacks would prove nothing: no log is opened there.
func TestHiddenReplica(t *testing.T) {
	server := start(t)
	dsn := strings.Replace(database(t, server, "test"), "root@", "app@", 1)
	if err := server.Exec(t.Context(), `CREATE USER app@'%'`, `GRANT ALL ON test.* TO app@'%'`); err != nil {
		t.Fatal(err)
	}
	try := func() error {
		s, err := Open(t.Context(), dsn, Options{Migrate: true})
		if err == nil {
			err = s.Close()
		}
		return err
	}
	// MariaDB tells every user.
	if err := try(); errors.Is(err, mysqldb.ErrHidden) != server.MySQL() || err != nil && !server.MySQL() {
		t.Fatal(err)
	}
	if err := server.Exec(t.Context(), `GRANT REPLICATION CLIENT ON *.* TO app@'%'`); err != nil {
		t.Fatal(err)
	}
	if err := try(); err != nil {
		t.Fatal(err)
	}
}

func TestReadOnlyServer(t *testing.T) {
	server := start(t)
	if err := server.Exec(t.Context(), `CREATE USER app@'%'`, `GRANT ALL ON test.* TO app@'%'`, `GRANT REPLICATION CLIENT ON *.* TO app@'%'`); err != nil {
		t.Fatal(err)
	}
	dsn := strings.Replace(database(t, server, "test"), "root@", "app@", 1)
	s := open(t, dsn)
	defer s.Close()
	l, err := s.CreateLog(t.Context(), storage.Log{Origin: "a"}, storage.Head{})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Exec(t.Context(), `SET GLOBAL read_only = 1`); err != nil {
		t.Fatal(err)
	}
	for name, write := range map[string]func() error{
		"create": func() error {
			_, err := s.CreateLog(t.Context(), storage.Log{Origin: "b"}, storage.Head{})
			return err
		},
		"append":  func() error { return appendOne(t.Context(), s, l.ID) },
		"poison":  func() error { return s.Poison(t.Context(), l.ID, "reason") },
		"publish": func() error { _, err := s.Publish(t.Context(), l.ID, storage.Published{}); return err },
		"ping":    func() error { return s.Ping(t.Context()) },
	} {
		if err := write(); !errors.Is(err, ErrReadOnly) || !strings.Contains(err.Error(), "read_only is ON") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if w, err := s.Warnings(t.Context()); err != nil || !strings.Contains(strings.Join(w, "\n"), "read_only is ON") {
		t.Fatal(w, err)
	}
	if err := server.Exec(t.Context(), `SET GLOBAL read_only = 0`); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Ping(t.Context()), appendOne(t.Context(), s, l.ID)); err != nil {
		t.Fatal(err)
	}
}

func appendOne(ctx context.Context, s *Store, logID int64) error {
	tx, err := s.BeginAppend(ctx, logID)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	index := tx.Head().Size
	if err := tx.Write(ctx, storage.Append{Entries: []storage.Entry{{Index: index, Body: []byte("x")}}, Head: storage.Head{Size: index + 1}}); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// A lock that is not given in time is an error, and the next try succeeds.
func TestLockTimeout(t *testing.T) {
	server := start(t, "--innodb-lock-wait-timeout=1")
	s := open(t, database(t, server, "test"))
	defer s.Close()
	l, err := s.CreateLog(t.Context(), storage.Log{Origin: "a", Instance: "i", Register: "r"}, storage.Head{})
	if err != nil {
		t.Fatal(err)
	}
	held, err := s.BeginAppend(t.Context(), l.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.BeginAppend(t.Context(), l.ID); !hasNumber(err, 1205) {
		t.Fatal(err)
	}
	held.Rollback()
	tx, err := s.BeginAppend(t.Context(), l.ID)
	if err != nil {
		t.Fatal(err)
	}
	tx.Rollback()
}

// A client that vanished does not hold the log up for ever.
func TestAbandonedLock(t *testing.T) {
	server := start(t)
	dsn := database(t, server, "test")
	s := open(t, dsn)
	defer s.Close()
	l, err := s.CreateLog(t.Context(), storage.Log{Origin: "a", Instance: "i", Register: "r"}, storage.Head{})
	if err != nil {
		t.Fatal(err)
	}
	other, err := Open(t.Context(), dsn, Options{Abandoned: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for end := time.Now().Add(time.Minute); ; { // it may be given up before it has begun
		_, err := other.BeginAppend(t.Context(), l.ID)
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	tx, err := s.BeginAppend(t.Context(), l.ID) // waits until the server has given other up
	if err != nil {
		t.Fatal(err)
	}
	tx.Rollback()
}
