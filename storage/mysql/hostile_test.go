package mysql

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"indelible/internal/dbtest"
	"indelible/internal/mysqldb"
	"indelible/storage"
	"indelible/storage/internal/rows"
)

// grown is how many entries life appends at a time.
const grown = 5

func leaf(i int) storage.Hash { return sha256.Sum256([]byte{byte(i)}) }

// grow appends entries, as a log does.
func grow(ctx context.Context, s *Store, logID int64) error {
	tx, err := s.BeginAppend(ctx, logID)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	size := tx.Head().Size
	w := storage.Append{Head: storage.Head{Size: size + grown}}
	for i := range grown {
		w.Entries = append(w.Entries, storage.Entry{Index: size + int64(i), LeafHash: leaf(int(size) + i), Body: []byte{1}})
	}
	if err := tx.Write(ctx, w); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// life is what a log does with its database. Everything is read through another
// Store, and so on other connections.
func life(t *testing.T, dsn string) error {
	t.Helper()
	ctx := t.Context()
	s, err := Open(ctx, dsn, Options{Migrate: true})
	if err != nil {
		return err
	}
	defer s.Close()
	l, err := s.CreateLog(ctx, storage.Log{Origin: "a", Instance: "i", Register: "r"}, storage.Head{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := grow(ctx, s, l.ID); err != nil {
			t.Fatal(err)
		}
	}
	for version := range int64(3) { // the first in a transaction, the second in one statement
		if _, err := s.Publish(ctx, l.ID, storage.Published{Version: version, Size: 3 * version, Note: []byte("n"), Keep: version == 2}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.SetOnce(ctx, l.ID, "name", "value"); err != nil {
		t.Fatal(err)
	}
	other, err := Open(ctx, dsn, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	complete(t, other, l.ID)
	if p, err := other.Published(ctx, l.ID); err != nil || p.Version != 3 || p.Size != 6 {
		t.Errorf("published is %+v: %v", p, err)
	}
	if v, err := other.SetOnce(ctx, l.ID, "name", "another"); err != nil || v != "value" {
		t.Errorf("the fact is %q: %v", v, err)
	}
	if _, err := other.LockedHead(ctx, l.ID); err != nil {
		t.Error(err)
	}
	return nil
}

// complete asks for all that life wrote.
func complete(t *testing.T, s *Store, logID int64) {
	t.Helper()
	ctx := t.Context()
	var hashes []storage.Hash
	for i := range 2 * grown {
		hashes = append(hashes, leaf(i))
	}
	if found, err := s.FindLeaves(ctx, logID, hashes); err != nil || len(found) != len(hashes) {
		t.Errorf("%d of %d leaf hashes were found: %v", len(found), len(hashes), err)
	}
	if entries, err := s.Entries(ctx, logID, 0, 2*grown); err != nil || len(entries) != 2*grown {
		t.Error(err)
	}
	if hashes, err := s.LeafHashes(ctx, logID, 1, 2*grown); err != nil || len(hashes) != 2*grown-1 {
		t.Error(err)
	}
	if entries, err := s.EntriesAt(ctx, logID, []int64{0, 3, 4, 9}); err != nil || len(entries) != 4 {
		t.Error(err)
	}
	if logs, err := s.Logs(ctx); err != nil || len(logs) != 1 {
		t.Errorf("%d logs: %v", len(logs), err)
	}
}

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
	if err := server.Exec(t.Context(), "DROP DATABASE IF EXISTS test", "CREATE DATABASE test"); err != nil {
		t.Fatal(err)
	}
	dsn, err := server.User(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	return dsn
}

// Whatever sessions a server gives: a log works, or is refused before anything
// is made, by the setting's name.
func TestHostileSettings(t *testing.T) {
	server := start(t, "--log-bin", "--server-id=1")
	try := func(setting, refusal string) {
		t.Run(setting, func(t *testing.T) {
			dsn := user(t, server)
			set(t, server, setting)
			err := life(t, dsn)
			if refusal == "" && err != nil || refusal != "" && (err == nil || !strings.Contains(err.Error(), refusal)) {
				t.Fatal(err)
			}
			if tables := count(t, server); refusal != "" && tables != 0 {
				t.Errorf("%d tables were made", tables)
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
	try("read_only = 1", "read_only is ON")
	try("binlog_format = 'STATEMENT'", "binlog_format is STATEMENT")
	try("max_allowed_packet = 65536", "max_allowed_packet is 65536")
}

func count(t *testing.T, server *dbtest.Server) (tables int) {
	t.Helper()
	db, err := sql.Open("mysql", server.DSN("")+"?sql_big_selects=1")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'test'`).Scan(&tables); err != nil {
		t.Fatal(err)
	}
	return tables
}

// A proxy that swallows what a session asks for is refused.
func TestSwallowedSet(t *testing.T) {
	server := start(t)
	dsn := user(t, server)
	proxy, err := server.NewDeaf("SET ")
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	set(t, server, "autocommit = 0")
	_, err = Open(t.Context(), strings.Replace(dsn, server.Addr(), proxy.Addr(), 1), Options{Migrate: true})
	if !errors.Is(err, mysqldb.ErrSession) || !strings.Contains(err.Error(), "autocommit is OFF, and must be ON") {
		t.Fatal(err)
	}
}

// A proxy that gives a client another session between two transactions is found out
// in the transaction, before anything is written.
func TestSwappedSession(t *testing.T) {
	server := start(t)
	dsn := user(t, server)
	direct := open(t, dsn)
	defer direct.Close()
	l, err := direct.CreateLog(t.Context(), storage.Log{Origin: "a"}, storage.Head{})
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := server.NewDeaf("")
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	s, err := Open(t.Context(), strings.Replace(dsn, server.Addr(), proxy.Addr(), 1), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := appendOne(t.Context(), s, l.ID); err != nil {
		t.Fatal(err)
	}
	for statement, want := range map[string]string{
		"SET autocommit = 0":                           "autocommit is OFF, and must be ON",
		"SET sql_mode = ''":                            "sql_mode is empty, and must be STRICT_ALL_TABLES",
		"SET completion_type = 1":                      "completion_type is CHAIN, and must be NO_CHAIN",
		"SET sql_select_limit = 2":                     "sql_select_limit is 2, and must be",
		"SET NAMES latin1":                             "character_set_client is latin1, and must be binary",
		"SET time_zone = '+05:45'":                     "time_zone is +05:45, and must be +00:00",
		"SET unique_checks = 0":                        "unique_checks is OFF, and must be ON",
		"SET SESSION TRANSACTION READ ONLY":            "",
		"USE information_schema":                       "",
		"SET SESSION sql_auto_is_null = 1":             "sql_auto_is_null is ON, and must be OFF",
		"SET SESSION max_join_size = 1":                "",
		"SET SESSION sql_safe_updates = 1":             "sql_safe_updates is ON, and must be OFF",
		"SET character_set_results = NULL":             "character_set_results is empty, and must be binary",
		"SET SESSION collation_connection=utf8mb4_bin": "collation_connection is utf8mb4_bin, and must be binary",
	} {
		t.Run(statement, func(t *testing.T) {
			for name, ask := range map[string]func(s *Store) error{
				"append":      func(s *Store) error { return appendOne(t.Context(), s, l.ID) },
				"locked head": func(s *Store) error { _, err := s.LockedHead(t.Context(), l.ID); return err },
			} {
				s, err := Open(t.Context(), strings.Replace(dsn, server.Addr(), proxy.Addr(), 1), Options{})
				if err != nil {
					t.Fatal(err)
				}
				proxy.Swap(statement)
				err = ask(s)
				proxy.Swap("DO 0")
				s.Close()
				named := errors.Is(err, mysqldb.ErrSession) && strings.Contains(err.Error(), want) && strings.Contains(err.Error(), "proxy")
				if err == nil || want != "" && !named { // the server itself refuses the others
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	if h, err := direct.Head(t.Context(), l.ID); err != nil || h.Size != 1 {
		t.Errorf("something was appended: size %d, %v", h.Size, err)
	}
}

// The look-ups do not rest on the session alone: their statements say how many
// rows they take.
func TestLookupsHaveLimits(t *testing.T) {
	server := start(t)
	dsn := user(t, server)
	if err := life(t, dsn); err != nil {
		t.Fatal(err)
	}
	pool := func() *sql.DB {
		db, err := sql.Open("mysql", dsn+"?sql_select_limit=2&collation=binary")
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	s := &Store{Store: rows.New(pool(), pool(), dialect(""))}
	defer s.Close()
	complete(t, s, 1)
}
