package sqlstate

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"indelible/checkpoint"
	"indelible/internal/dbtest"
	"indelible/internal/mysqldb"
	"indelible/merkle"
	"indelible/witness"
)

// on runs a test on both databases. open opens the same one again.
func on(t *testing.T, test func(t *testing.T, open func() *Store)) {
	t.Run("SQLite", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "a b?c#d%.db") // a name that a URL would read otherwise
		test(t, opener(t, func(ctx context.Context) (*Store, error) { return OpenSQLite(ctx, path) }))
	})
	t.Run("MariaDB", func(t *testing.T) {
		dsn := database(t)
		test(t, opener(t, func(ctx context.Context) (*Store, error) { return OpenMySQL(ctx, dsn, mysqldb.Access{}) }))
	})
}

func opener(t *testing.T, open func(context.Context) (*Store, error)) func() *Store {
	return func() *Store {
		t.Helper()
		s, err := open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if w, err := s.Warnings(t.Context()); err != nil || len(w) > 0 {
			t.Fatal(w, err)
		}
		return s
	}
}

// server is what TestMain started.
var server *dbtest.Server

func TestMain(m *testing.M) {
	var err error
	if server, err = dbtest.Start(context.Background(), "--log-bin", "--server-id=1"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	server.Remove()
	os.Exit(code)
}

// database makes one that is empty.
func database(t *testing.T) string {
	t.Helper()
	if err := server.Exec(t.Context(), "DROP DATABASE IF EXISTS w", "CREATE DATABASE w"); err != nil {
		t.Fatal(err)
	}
	return server.DSN("w")
}

// A server that acknowledges what it can lose is refused, with the way out.
func TestNotDurable(t *testing.T) {
	dsn := database(t)
	if err := server.Exec(t.Context(), "SET GLOBAL innodb_flush_log_at_trx_commit = 2"); err != nil {
		t.Fatal(err)
	}
	_, err := OpenMySQL(t.Context(), dsn, mysqldb.Access{})
	if err == nil || !strings.Contains(err.Error(), "innodb_flush_log_at_trx_commit is 2") {
		t.Fatal(err)
	}
	_, way, _ := strings.Cut(err.Error(), "It must be 1: ")
	mend, _, _ := strings.Cut(way, ",")
	if err := server.Exec(t.Context(), mend); err != nil {
		t.Fatal(mend, err)
	}
	s, err := OpenMySQL(t.Context(), dsn, mysqldb.Access{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func newLog(t *testing.T, origin string, seed byte) witness.Log {
	t.Helper()
	s, err := checkpoint.NewSigner("log.example", ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return witness.Log{Origin: origin, Keys: []checkpoint.Verifier{s.Verifier()}, PerDay: int64(seed), Contact: "somebody"}
}

func newHead(size int64) witness.Head {
	return witness.Head{Size: size, Root: merkle.LeafHash([]byte{byte(size)}), Time: 1_700_000_000 + size, Note: fmt.Appendf(nil, "note %d", size)}
}

func TestState(t *testing.T) {
	on(t, func(t *testing.T, open func() *Store) {
		ctx, s := t.Context(), open()
		a, b := newLog(t, "a.example", 1), newLog(t, "A.example", 2) // two, whatever the collation
		if err := s.AddLogs(ctx, []witness.Log{a, b}); err != nil {
			t.Fatal(err)
		}
		if h, err := s.Head(ctx, a.Origin); err != nil || !reflect.DeepEqual(h, witness.Head{}) {
			t.Errorf("at first: %+v, %v", h, err)
		}
		one, two := newHead(1), newHead(2)
		for _, step := range []struct {
			from, to witness.Head
			want     error
		}{
			{one, two, witness.ErrMoved},
			{witness.Head{}, one, nil},
			{witness.Head{}, two, witness.ErrMoved},
			{one, one, nil}, // nothing changes, and yet it was there
			{witness.Head{Size: 1, Root: one.Root, Time: 5}, two, witness.ErrMoved},
			{witness.Head{Size: 1, Root: two.Root, Time: one.Time}, two, witness.ErrMoved},
			{one, two, nil},
		} {
			if err := s.Swap(ctx, a.Origin, step.from, step.to); !errors.Is(err, step.want) {
				t.Errorf("%+v: %v", step, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open()
		defer s.Close()
		if h, err := s.Head(ctx, a.Origin); err != nil || !reflect.DeepEqual(h, two) {
			t.Errorf("%+v, %v", h, err)
		}
		if logs, err := s.Logs(ctx); err != nil || !reflect.DeepEqual(logs, []witness.Log{b, a}) {
			t.Errorf("%+v, %v", logs, err)
		}
		if _, err := s.Head(ctx, "c.example"); err == nil {
			t.Error("a head of a log that is not there")
		}
		var heads []string
		err := s.EachHead(ctx, func(origin string, h witness.Head) error {
			heads = append(heads, fmt.Sprintf("%s %d %v", origin, h.Size, h.Root == two.Root))
			return nil
		})
		if err != nil || strings.Join(slices.Sorted(slices.Values(heads)), ",") != "A.example 0 false,a.example 2 true" {
			t.Errorf("%v, %v", heads, err)
		}
	})
}

// Keys change where they are still those that were looked at.
func TestSetKeys(t *testing.T) {
	on(t, func(t *testing.T, open func() *Store) {
		ctx, s := t.Context(), open()
		defer s.Close()
		a, b := newLog(t, "a.example", 1), newLog(t, "a.example", 2)
		if err := s.AddLogs(ctx, []witness.Log{a}); err != nil {
			t.Fatal(err)
		}
		if err := s.SetKeys(ctx, a.Origin, b.Keys, b.Keys); err == nil || !strings.Contains(err.Error(), "other keys") {
			t.Error(err)
		}
		both := append(slices.Clone(b.Keys), a.Keys...)
		for _, step := range [][2][]checkpoint.Verifier{{a.Keys, both}, {both, both}, {{both[1], both[0]}, b.Keys}} {
			if err := s.SetKeys(ctx, a.Origin, step[0], step[1]); err != nil {
				t.Fatal(err)
			}
		}
		logs, err := s.Logs(ctx)
		if err != nil || len(logs) != 1 || !reflect.DeepEqual(logs[0].Keys, b.Keys) || logs[0].PerDay != a.PerDay {
			t.Errorf("%+v, %v", logs, err)
		}
	})
}

// A list adds, and changes nothing.
func TestAddLogs(t *testing.T) {
	on(t, func(t *testing.T, open func() *Store) {
		ctx, s := t.Context(), open()
		defer s.Close()
		a := newLog(t, "a.example", 1)
		if err := s.AddLogs(ctx, []witness.Log{a}); err != nil {
			t.Fatal(err)
		}
		if err := s.Swap(ctx, a.Origin, witness.Head{}, newHead(7)); err != nil {
			t.Fatal(err)
		}
		changed, same, b := newLog(t, "a.example", 2), a, newLog(t, "b.example", 3)
		same.PerDay = 99
		long, chatty := newLog(t, strings.Repeat("l", 256), 4), newLog(t, "c.example", 5)
		chatty.Contact = strings.Repeat("x", 1025)
		for _, c := range []struct {
			log  witness.Log
			says string
		}{
			{changed, "a list cannot change it"},
			{long, "256 bytes"},
			{chatty, "1025 bytes"},
			{witness.Log{Origin: "d.example"}, "no key"},
		} {
			err := s.AddLogs(ctx, []witness.Log{c.log, same, b})
			if !errors.Is(err, witness.ErrLogRefused) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v", c.says, err)
			}
		}
		logs, err := s.Logs(ctx)
		if err != nil || !reflect.DeepEqual(logs, []witness.Log{a, b}) {
			t.Errorf("%+v, %v", logs, err)
		}
		if h, err := s.Head(ctx, a.Origin); err != nil || h.Size != 7 {
			t.Errorf("%+v, %v", h, err)
		}
	})
}

// Of many that come from one head one wins, and heads of many logs change
// together.
func TestRace(t *testing.T) {
	on(t, func(t *testing.T, open func() *Store) {
		ctx, s := t.Context(), open()
		defer s.Close()
		const logs = 300 // more than one group
		var list []witness.Log
		for i := range logs {
			list = append(list, newLog(t, fmt.Sprintf("log%d.example", i), 1))
		}
		if err := s.AddLogs(ctx, list); err != nil {
			t.Fatal(err)
		}
		var won atomic.Int64
		var all sync.WaitGroup
		for _, l := range list {
			for i := range int64(3) {
				all.Go(func() {
					err := s.Swap(ctx, l.Origin, witness.Head{}, newHead(i+1))
					if err == nil {
						won.Add(1)
					} else if !errors.Is(err, witness.ErrMoved) {
						t.Error(err)
					}
				})
			}
		}
		all.Wait()
		if won.Load() != logs {
			t.Errorf("%d won of %d", won.Load(), logs)
		}
	})
}

func TestRegisterID(t *testing.T) {
	on(t, func(t *testing.T, open func() *Store) {
		ctx, s := t.Context(), open()
		defer s.Close()
		if id, err := s.RegisterID(ctx); err != nil || id != "" {
			t.Fatal(id, err)
		}
		if err := s.SetRegister(ctx, "", "one"); err != nil {
			t.Fatal(err)
		}
		if err := s.SetRegister(ctx, "", "two"); err == nil {
			t.Error("a second register took the first one's place")
		}
		if err := s.SetRegister(ctx, "one", "two"); err != nil {
			t.Error(err)
		}
		if id, err := s.RegisterID(ctx); err != nil || id != "two" {
			t.Error(id, err)
		}
	})
}

func TestNewerSchema(t *testing.T) {
	on(t, func(t *testing.T, open func() *Store) {
		s := open()
		defer s.Close()
		if _, err := s.write.ExecContext(t.Context(), `INSERT INTO witness_schema VALUES (9)`); err != nil {
			t.Fatal(err)
		}
		if err := s.migrate(t.Context()); !errors.Is(err, ErrSchema) {
			t.Error(err)
		}
	})
}

// What somebody else damaged is an error, and never an empty head.
func TestDamaged(t *testing.T) {
	on(t, func(t *testing.T, open func() *Store) {
		ctx, s := t.Context(), open()
		defer s.Close()
		if err := s.AddLogs(ctx, []witness.Log{newLog(t, "a.example", 1)}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.write.ExecContext(ctx, `UPDATE witness_heads SET size = -3`); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Head(ctx, "a.example"); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Error(err)
		}
		if _, err := s.write.ExecContext(ctx, `UPDATE witness_logs SET vkeys = 'x'`); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Logs(ctx); err == nil || !strings.Contains(err.Error(), "a.example") {
			t.Error(err)
		}
	})
}

func TestOneProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "witness.db")
	s, err := OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSQLite(t.Context(), path); !errors.Is(err, ErrLocked) {
		t.Error(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// No error repeats a password.
func TestDSN(t *testing.T) {
	for _, dsn := range []string{
		"nonsense", "u:geheim@tcp(h)", "u:geheim@tcp(h)/", "u:geheim@tcp(h)/d?strict=true", "u:geheim@tcp(h)/d?autocommit=0",
		"u:geheim@tcp(h)/d?multiStatements=true", "u:geheim@tcp(127.0.0.1:1)/d?timeout=1s",
	} {
		if _, err := OpenMySQL(t.Context(), dsn, mysqldb.Access{}); err == nil || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v", dsn, err)
		}
	}
}

// A trial writes each time, and fails where the database takes no writes.
func TestTryWrite(t *testing.T) {
	on(t, func(t *testing.T, open func() *Store) {
		s := open()
		tried := func() (value string) {
			t.Helper()
			if err := s.TryWrite(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := s.write.QueryRow(`SELECT value FROM witness_facts WHERE name = 'tried'`).Scan(&value); err != nil {
				t.Fatal(err)
			}
			return value
		}
		if first := tried(); tried() == first {
			t.Errorf("%q was written once", first)
		}
		if _, err := s.write.Exec(`DROP TABLE witness_facts`); err != nil {
			t.Fatal(err)
		}
		if s.TryWrite(t.Context()) == nil {
			t.Error("no error without its table")
		}
	})
}
