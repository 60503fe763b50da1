package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"indelible/guard"
	"indelible/guard/guardtest"
	"indelible/internal/dbtest"
	"indelible/internal/mysqldb"
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

func newDatabase(t *testing.T, server *dbtest.Server, name string) string {
	t.Helper()
	if err := server.Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return server.DSN(name)
}

func direct(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestDatabaseConforms(t *testing.T) {
	server := start(t)
	n := 0
	guardtest.Run(t, func(t *testing.T) guardtest.Place {
		n++
		dsn := newDatabase(t, server, fmt.Sprint("registers", n))
		p := newProxy(t, server.Addr())
		return &place{
			proxy: p, db: direct(t, dsn), ctx: t.Context(),
			dsn: strings.Replace(dsn, server.Addr(), p.listener.Addr().String(), 1),
		}
	})
}

// place is a register's row, reached through a proxy, and looked into directly.
type place struct {
	*proxy
	dsn string
	db  *sql.DB
	ctx context.Context // of the test
}

func (p *place) Create(ctx context.Context, origin, id string) (guardtest.Register, error) {
	r, err := Create(ctx, p.dsn, mysqldb.Access{}, guard.NewText(origin, id))
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (p *place) Open(ctx context.Context, origin string) (guardtest.Register, error) {
	r, err := Open(ctx, p.dsn, mysqldb.Access{}, origin)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (p *place) Content() (content []byte, err error) {
	err = p.db.QueryRowContext(p.ctx, `SELECT record FROM indelible_registers`).Scan(&content)
	return content, err
}

func (p *place) Put(content []byte) error {
	if text, err := guard.ParseText(content); err == nil {
		head := text.State.Newest
		if _, err := p.db.ExecContext(p.ctx, `UPDATE indelible_registers SET epoch = ?, size = ?, root = ?`, text.Epoch, head.Size, head.Root[:]); err != nil {
			return err
		}
	}
	_, err := p.db.ExecContext(p.ctx, `UPDATE indelible_registers SET record = ?`, content)
	return err
}

func (p *place) Cut() error {
	p.set(func() { p.cut = true })
	p.sever()
	return nil
}

func (p *place) Mend() error {
	p.set(func() { p.cut, p.proxy.lose, p.proxy.refuse = false, false, false })
	return nil
}

func (p *place) Lose()   { p.set(func() { p.proxy.lose = true }) }
func (p *place) Refuse() { p.set(func() { p.proxy.refuse = true }) }

func create(t *testing.T, dsn, origin string) *guard.Shared {
	t.Helper()
	r, err := Create(t.Context(), dsn, mysqldb.Access{}, guard.NewText(origin, guard.NewID()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestWriteWhoseAnswerIsLostIsFound(t *testing.T) {
	server := start(t)
	dsn := newDatabase(t, server, "registers")
	p := newProxy(t, server.Addr())
	r := create(t, strings.Replace(dsn, server.Addr(), p.listener.Addr().String(), 1), guardtest.Origin)
	p.set(func() { p.lose = true })
	if err := r.Advance(t.Context(), guard.Empty(), guardtest.Head(1)); err != nil {
		t.Fatalf("it was written: %v", err)
	}
	p.set(func() { p.refuse = true })
	if err := r.Advance(t.Context(), guardtest.Head(1), guardtest.Head(2)); err == nil || errors.Is(err, guard.ErrMoved) {
		t.Fatalf("it was not written: %v", err)
	}
}

func TestOneTableForManyLogs(t *testing.T) {
	server := start(t)
	dsn := newDatabase(t, server, "registers")
	a, b := create(t, dsn, "a.example.com"), create(t, dsn, "A.example.com")
	if err := a.Advance(t.Context(), guard.Empty(), guardtest.Head(5)); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Read(t.Context()); err != nil || got.Newest != guard.Empty() {
		t.Fatalf("%v, %v", got, err)
	}
	if _, err := Open(t.Context(), dsn, mysqldb.Access{}, "c.example.com"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

func TestRowThatContradictsItsText(t *testing.T) {
	server := start(t)
	dsn := newDatabase(t, server, "registers")
	r := create(t, dsn, guardtest.Origin)
	if _, err := direct(t, dsn).Exec(`UPDATE indelible_registers SET size = 3`); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(t.Context()); !errors.Is(err, guard.ErrCorrupt) {
		t.Fatal(err)
	}
	if err := r.Advance(t.Context(), guard.Empty(), guardtest.Head(1)); err == nil {
		t.Fatal("it was advanced")
	}
}

// A server that may be behind, or forgets, is not asked.
func TestServersThatCannotBeTrusted(t *testing.T) {
	server := start(t)
	dsn := newDatabase(t, server, "registers")
	r := create(t, dsn, guardtest.Origin)
	set := func(statement string) {
		t.Helper()
		if err := server.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	set(`SET GLOBAL read_only = 1`)
	_, err := r.Read(t.Context())
	if err == nil || !strings.Contains(err.Error(), "read-only") || errors.Is(err, guard.ErrCorrupt) {
		t.Fatal(err)
	}
	set(`SET GLOBAL read_only = 0`)
	if _, err := r.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	set(`SET GLOBAL innodb_flush_log_at_trx_commit = 2`)
	if _, err := Open(t.Context(), dsn, mysqldb.Access{}, guardtest.Origin); err == nil || !strings.Contains(err.Error(), "innodb_flush_log_at_trx_commit is 2") {
		t.Fatal(err)
	}
	set(`SET GLOBAL innodb_flush_log_at_trx_commit = 1`)
	set(`CREATE TABLE registers.tree_heads (a INT)`)
	if _, err := Open(t.Context(), dsn, mysqldb.Access{}, guardtest.Origin); err == nil || !strings.Contains(err.Error(), "holds logs") {
		t.Fatal(err)
	}
}

func TestReadsWaitForOtherNodes(t *testing.T) {
	server := start(t)
	c, err := connect(t.Context(), newDatabase(t, server, "registers"), mysqldb.Access{}, guardtest.Origin)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var waits string
	err = c.read.QueryRow(`SELECT @@session.wsrep_sync_wait`).Scan(&waits)
	if server.MySQL() { // which has no Galera
		waits, err = "7", nil
	}
	if err != nil || waits != "7" {
		t.Fatalf("wsrep_sync_wait is %q, %v", waits, err)
	}
}

// A server that does not answer in time is an error, and the write that it does
// later changes nothing but what it was made for.
func TestSlowServer(t *testing.T) {
	server := start(t)
	dsn := newDatabase(t, server, "registers")
	create(t, dsn, guardtest.Origin)
	r := openAt(t, dsn+"?readTimeout=500ms") // as soon as the server is quick enough for that
	tx, err := direct(t, dsn).Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec(`SELECT * FROM indelible_registers FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	if err := r.Advance(t.Context(), guard.Empty(), guardtest.Head(1)); err == nil || errors.Is(err, guard.ErrMoved) {
		t.Fatalf("a server that does not answer: %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	// From here on it may be slow, but never wrong.
	end := time.Now().Add(2 * time.Minute)
	for size := int64(0); size < 5; {
		state, err := r.Read(t.Context())
		if err == nil && (state.Newest.Size < size || state.Newest.Size > size+1 || state.Newest.Size > 0 && state.Newest != guardtest.Head(state.Newest.Size)) {
			t.Fatalf("it knows %v, after size %d", state.Newest, size)
		}
		if err == nil {
			size = state.Newest.Size
			err = r.Advance(t.Context(), state.Newest, guardtest.Head(size+1))
		}
		if errors.Is(err, guard.ErrCorrupt) || err != nil && time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func TestKilledServer(t *testing.T) {
	server := start(t)
	r := create(t, newDatabase(t, server, "registers"), guardtest.Origin)
	if err := r.Advance(t.Context(), guard.Empty(), guardtest.Head(1)); err != nil {
		t.Fatal(err)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(t.Context()); err == nil || errors.Is(err, guard.ErrCorrupt) {
		t.Fatalf("a server that is gone: %v", err)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Read(t.Context()); err != nil || got.Newest != guardtest.Head(1) {
		t.Fatalf("%v, %v", got, err)
	}
}

func TestDSNs(t *testing.T) {
	for _, dsn := range []string{
		"", "top-secret", "u:top-secret@tcp(h:1)", "u:top-secret@tcp(h:1)/", "u:top-secret@tcp(h:1)/d?autocommit=0",
		"u:top-secret@tcp(h:1)/d?allowAllFiles=true", "u:top-secret@tcp(h:1)/d?strict=true", "u:top-secret@tcp(h:1)/d?timeout=x",
	} {
		_, err := Open(t.Context(), dsn, mysqldb.Access{}, guardtest.Origin)
		if !errors.Is(err, mysqldb.ErrDSN) || strings.Contains(err.Error(), "top-secret") {
			t.Errorf("%q: %v", dsn, err)
		}
	}
}
