package database

import (
	"errors"
	"strings"
	"testing"

	"indelible/guard"
	"indelible/guard/guardtest"
	"indelible/internal/dbtest"
	"indelible/internal/mysqldb"
)

func set(t *testing.T, server *dbtest.Server, setting string) {
	t.Helper()
	back, err := server.Set(t.Context(), setting)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := back(); err != nil {
			t.Error(err)
		}
	})
}

// user is how an ordinary user connects to an empty database.
func user(t *testing.T, server *dbtest.Server) string {
	t.Helper()
	if err := server.Exec(t.Context(), "DROP DATABASE IF EXISTS registers", "CREATE DATABASE registers"); err != nil {
		t.Fatal(err)
	}
	dsn, err := server.User(t.Context(), "registers")
	if err != nil {
		t.Fatal(err)
	}
	return dsn
}

// kept is what the database holds, by a connection that has nothing to do with
// the register's.
func kept(t *testing.T, server *dbtest.Server) (size int64, err error) {
	t.Helper()
	err = direct(t, server.DSN("registers")+"?sql_big_selects=1").QueryRowContext(t.Context(), `SELECT size FROM indelible_registers`).Scan(&size)
	return size, err
}

// Whatever sessions a server gives: the register is committed, or refused by the
// setting's name before anything is made.
func TestHostileSettings(t *testing.T) {
	server := start(t, "--log-bin", "--server-id=1")
	try := func(setting, refusal string) {
		t.Run(setting, func(t *testing.T) {
			dsn := user(t, server)
			set(t, server, setting)
			r, err := Create(t.Context(), dsn, mysqldb.Access{}, guard.NewText(guardtest.Origin, guard.NewID()))
			if refusal != "" {
				if err == nil || !strings.Contains(err.Error(), refusal) {
					t.Error(err)
				}
				if _, err := kept(t, server); number(err) != noSuchTable {
					t.Errorf("a table was made: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if err := r.Advance(t.Context(), guard.Empty(), guardtest.Head(1)); err != nil {
				t.Fatal(err)
			}
			if size, err := kept(t, server); err != nil || size != 1 {
				t.Errorf("size %d is kept: %v", size, err)
			}
			if err := r.Poison(t.Context(), "a test", guard.Head{}); err != nil {
				t.Fatal(err)
			}
			again := openAt(t, dsn)
			if state, err := again.Confirm(t.Context()); err != nil || state.Newest != guardtest.Head(1) || state.Poisoned == "" {
				t.Errorf("%+v, %v", state, err)
			}
		})
	}
	for _, setting := range server.Hostile() {
		try(setting, "")
	}
	for _, statement := range server.HostileToUsers() {
		refusal := ""
		if strings.HasPrefix(statement, "USE") {
			refusal = "the session's database is information_schema"
		}
		try("init_connect = '"+strings.ReplaceAll(statement, "'", "''")+"'", refusal)
	}
	try("read_only = 1", "read-only (read_only")
	try("binlog_format = 'STATEMENT'", "binlog_format is STATEMENT")
	try("max_allowed_packet = 65536", "max_allowed_packet is 65536")
}

func TestSwallowedSet(t *testing.T) {
	server := start(t)
	dsn := user(t, server)
	proxy, err := server.NewDeaf("SET ")
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	set(t, server, "autocommit = 0")
	_, err = Create(t.Context(), strings.Replace(dsn, server.Addr(), proxy.Addr(), 1), mysqldb.Access{}, guard.NewText(guardtest.Origin, guard.NewID()))
	if !errors.Is(err, mysqldb.ErrSession) || !strings.Contains(err.Error(), "autocommit is OFF, and must be ON") {
		t.Fatal(err)
	}
}

// A commit that a proxy answers by itself registers nothing, and is found out,
// since another connection does not see it.
func TestSwallowedCommit(t *testing.T) {
	server := start(t)
	dsn := user(t, server)
	if err := create(t, dsn, guardtest.Origin).Advance(t.Context(), guard.Empty(), guardtest.Head(1)); err != nil {
		t.Fatal(err)
	}
	proxy, err := server.NewDeaf("COMMIT")
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	r, err := connect(t.Context(), strings.Replace(dsn, server.Addr(), proxy.Addr(), 1), mysqldb.Access{}, guardtest.Origin)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	was, err := r.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	next := was.Text
	next.State.Newest, next.Epoch = guardtest.Head(2), was.Epoch+1
	if _, err := r.Swap(t.Context(), was, next); err == nil {
		t.Error("the swap was taken for done")
	}
	if size, err := kept(t, server); err != nil || size != 1 {
		t.Errorf("size %d is kept: %v", size, err)
	}
}
