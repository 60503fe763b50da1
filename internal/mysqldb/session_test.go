//go:build unix

package mysqldb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"indelible/internal/dbtest"
)

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

// user is how an ordinary user connects to an empty database.
func user(t *testing.T) string {
	t.Helper()
	if err := server.Exec(t.Context(), "DROP DATABASE IF EXISTS d", "CREATE DATABASE d"); err != nil {
		t.Fatal(err)
	}
	dsn, err := server.User(t.Context(), "d")
	if err != nil {
		t.Fatal(err)
	}
	return dsn
}

func set(t *testing.T, setting string) {
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

func open(t *testing.T, dsn string) *Database {
	t.Helper()
	d, err := New(dsn, Options{AnswerWithin: 30 * time.Second, SyncWait: "7"})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// ask reads one value in a new session.
func ask(t *testing.T, dsn, expression string) (value string, err error) {
	t.Helper()
	db := open(t, dsn).Open(1, nil)
	defer db.Close()
	err = db.QueryRowContext(t.Context(), "SELECT "+expression).Scan(&value)
	return value, err
}

// asked and whole are what a session must be. MySQL has some of it by other names.
const (
	asked = `CONCAT_WS(' ', @@autocommit + 0, @@completion_type, @@sql_mode, @@sql_select_limit, @@max_join_size, @@sql_big_selects + 0, @@tx_read_only + 0,
		@@tx_isolation, @@sql_safe_updates + 0, @@unique_checks + 0, @@time_zone, @@sql_auto_is_null + 0, @@character_set_client,
		@@character_set_results, @@collation_connection, DATABASE(), @@wsrep_sync_wait, @@in_transaction)`
	whole = "1 NO_CHAIN STRICT_TRANS_TABLES,STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION 18446744073709551615 18446744073709551615 1 0 " +
		"READ-COMMITTED 0 1 +00:00 0 binary binary binary d 7 0"
)

// mySQL is what to ask a server of MySQL, which has no Galera and does not tell of
// a transaction.
func mySQL(asked, whole string) (string, string) {
	asked = strings.NewReplacer("@@tx_", "@@transaction_", ", @@wsrep_sync_wait, @@in_transaction", "").Replace(asked)
	return asked, strings.TrimSuffix(whole, " 7 0")
}

func TestSessionIsSet(t *testing.T) {
	check := func(t *testing.T, dsn string) {
		t.Helper()
		asked, whole := asked, whole
		if server.MySQL() {
			asked, whole = mySQL(asked, whole)
		}
		if got, err := ask(t, dsn, asked); err != nil || got != whole {
			t.Errorf("the session is\n%s, not\n%s: %v", got, whole, err)
		}
	}
	for _, setting := range append(server.Hostile(), "log_bin_trust_function_creators = 1") {
		t.Run(setting, func(t *testing.T) {
			dsn := user(t)
			set(t, setting)
			check(t, dsn)
		})
	}
	for _, statement := range server.HostileToUsers() {
		t.Run("init_connect "+statement, func(t *testing.T) {
			dsn := user(t)
			set(t, "init_connect = '"+strings.ReplaceAll(statement, "'", "''")+"'")
			if strings.HasPrefix(statement, "USE") { // which nothing can put right
				if _, err := ask(t, dsn, "1"); !errors.Is(err, ErrSession) || !strings.Contains(err.Error(), "database is information_schema, and must be d") {
					t.Fatal(err)
				}
				return
			}
			check(t, dsn)
		})
	}
}

// A session that is not what was asked for is refused, with the setting's name,
// value and the value that it must have.
func TestSwallowedSet(t *testing.T) {
	proxy, err := server.NewDeaf("SET ")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { proxy.Close() })
	tx := "tx_"
	if server.MySQL() {
		tx = "transaction_"
	}
	for setting, want := range map[string]string{
		"autocommit = 0":          "autocommit is OFF, and must be ON",
		"completion_type = 1":     "completion_type is CHAIN, and must be NO_CHAIN",
		"sql_select_limit = 100":  "sql_select_limit is 100, and must be 18446744073709551615",
		"sql_mode = 'ANSI'":       "sql_mode is REAL_AS_FLOAT,PIPES_AS_CONCAT,ANSI_QUOTES,IGNORE_SPACE",
		tx + "read_only = 1":      "transaction_read_only is ON, and must be OFF",
		"sql_safe_updates = 1":    "sql_safe_updates is ON, and must be OFF",
		"sql_notes = 1":           "transaction_isolation is REPEATABLE-READ, and must be READ-COMMITTED", // every server's default
		"max_join_size = 1000000": "max_join_size is 1000000, and must be",
	} {
		t.Run(setting, func(t *testing.T) {
			dsn := strings.Replace(user(t), server.Addr(), proxy.Addr(), 1)
			set(t, setting)
			_, err := ask(t, dsn, "1")
			if !errors.Is(err, ErrSession) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "proxy") {
				t.Error(err)
			}
		})
	}
}

// What only an administrator may set is demanded.
func TestDemanded(t *testing.T) {
	dsn := user(t)
	set(t, "binlog_format = 'STATEMENT'")
	_, err := ask(t, dsn, "1")
	if !errors.Is(err, ErrSession) || !strings.Contains(err.Error(), "binlog_format is STATEMENT, and must be ROW or MIXED") || strings.Contains(err.Error(), "proxy") {
		t.Error(err)
	}
}

// Each new connection is looked at, also those of a pool that is in use.
func TestEachConnectionIsLookedAt(t *testing.T) {
	dsn := user(t)
	db := open(t, dsn).Open(1, map[string]string{"wait_timeout": "77"})
	defer db.Close()
	first, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got string
	if err := first.QueryRowContext(t.Context(), "SELECT @@wait_timeout").Scan(&got); err != nil || got != "77" {
		t.Errorf("wait_timeout is %s: %v", got, err)
	}
	set(t, "binlog_format = 'STATEMENT'")
	if err := first.PingContext(t.Context()); err != nil {
		t.Error(err)
	}
	db.SetMaxIdleConns(-1)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.PingContext(t.Context()); !errors.Is(err, ErrSession) {
		t.Errorf("a second connection: %v", err)
	}
}

func TestDSN(t *testing.T) {
	const secret = "s3cret"
	for _, bad := range []string{
		"", "nonsense " + secret, "u:" + secret + "@tcp(h:1)", "u:" + secret + "@tcp(h:1)/", "u:" + secret + "@tcp(h:1)/db?multiStatements=true",
		"u:" + secret + "@tcp(h:1)/db?interpolateParams=true", "u:" + secret + "@tcp(h:1)/db?timeout=x",
		"u:" + secret + "@tcp(h:1)/db?autocommit=0", "u:" + secret + "@tcp(h:1)/db?parseTime=true&sql_mode=''",
		"u:" + secret + "@tcp(h:1)/db?allowAllFiles=true", "u:" + secret + "@tcp(h:1)/db?parseTime=true&strict=true",
		"u:" + secret + "@tcp(h:1)/db?tls=true&allowFallbackToPlaintext=true", "u:" + secret + "@tcp(h:1)/db?allowFallbackToPlaintext=true",
	} {
		_, err := New(bad, Options{})
		if !errors.Is(err, ErrDSN) {
			t.Errorf("%q: %v", bad, err)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("the error holds the password: %v", err)
		}
	}
	for dsn, says := range map[string]string{
		"u:" + secret + "@tcp(h:1)/db?charset=utf8mb4":                   "the option charset is not used",
		"u:" + secret + "@tcp(h:1)/db?parseTime=true&collation=utf8_bin": "the option collation is not used",
		"u:" + secret + "@tcp(h:1)/db?timeout=5":                         "the option timeout has a value that it cannot have; a time has a unit, as in 5s",
		"u:" + secret + "@tcp(h:1)/db?parseTime=" + secret:               "the option parseTime has",
		"u:" + secret + "@tcp(h:1)/db?tls=" + secret:                     "",
		"mysql://u:" + secret + "@h/db":                                  "it is a URL",
		"u:" + secret + "@h:3306/db":                                     "does not stand in tcp(…)",
		"u:" + secret + "@tcp(h:1)":                                      "no /database follows",
		"u:p/x?" + secret + "=%zz&timeout=" + secret + "@tcp(h:1)":       "a value that it cannot have",
	} {
		if _, err := New(dsn, Options{}); !strings.Contains(fmt.Sprint(err), says) || strings.Contains(fmt.Sprint(err), secret) {
			t.Errorf("%s: %v", dsn, err)
		}
	}
	if _, err := New("u@tcp(h:1)/db?autocommit=0", Options{}); !strings.Contains(fmt.Sprint(err), "autocommit") {
		t.Errorf("the option is not named: %v", err)
	}
	// What may be set, and what may not be turned off.
	d, err := New("u:"+secret+"@tcp(h:1)/db?tls=skip-verify&readTimeout=0s&clientFoundRows=false&rejectReadOnly=false&checkConnLiveness=false", Options{AnswerWithin: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if c := d.cfg; c.ReadTimeout == 0 || c.WriteTimeout == 0 || c.Timeout == 0 || !c.ClientFoundRows || !c.RejectReadOnly || !c.CheckConnLiveness {
		t.Errorf("%+v", c)
	}
	dsn := "u:" + secret + "@tcp(h:1)/db"
	if !HasPassword(dsn) || HasPassword("u@tcp(h:1)/db") || strings.Contains(Describe(dsn), secret) {
		t.Error(Describe(dsn))
	}
	if got := Where("root:" + secret + "@tcp(db.example.com)/log?tls=true"); got != "db.example.com:3306/log" {
		t.Error(got)
	}
	if got := Where("root:" + secret); got != "(not valid)" {
		t.Error(got)
	}
}

// BenchmarkConnect is what a connection costs, with its session and without.
func BenchmarkConnect(b *testing.B) {
	if err := server.Exec(b.Context(), "CREATE DATABASE IF NOT EXISTS d"); err != nil {
		b.Fatal(err)
	}
	d, err := New(server.DSN("d"), Options{SyncWait: "1"})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		c, err := (&connector{cfg: d.cfg, database: d}).Connect(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}
