package mysql

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"indelible/storage"
)

// Settings that administrators choose, beside the hostile ones. A log works with
// each, or is refused by the setting's name.
func TestSettings(t *testing.T) {
	server := start(t, "--log-bin", "--server-id=1")
	const both, mySQL, mariaDB = "both", "MySQL", "MariaDB"
	for _, c := range []struct {
		of, refusal string
		settings    []string
	}{
		{both, "", []string{
			"max_allowed_packet = 1048576", "sql_mode = 'ANSI'", "collation_server = 'latin1_swedish_ci'", "binlog_format = 'ROW'", "binlog_row_image = 'MINIMAL'",
			"innodb_default_row_format = 'redundant'", "time_zone = '-12:00'", "default_storage_engine = 'MyISAM'", "foreign_key_checks = 0",
		}},
		{both, "", []string{
			"max_allowed_packet = 1073741824", "sql_mode = 'TRADITIONAL,PAD_CHAR_TO_FULL_LENGTH,HIGH_NOT_PRECEDENCE,NO_BACKSLASH_ESCAPES'",
			"collation_server = 'ucs2_general_ci'", "binlog_format = 'MIXED'", "innodb_default_row_format = 'compact'", "time_zone = 'SYSTEM'", "explicit_defaults_for_timestamp = 0",
		}},
		{both, "", []string{"collation_server = 'binary'", "innodb_strict_mode = 1"}},
		{both, "", []string{"collation_server = 'utf8mb4_bin'"}},
		{mySQL, "", []string{"sql_require_primary_key = 1", "sql_generate_invisible_primary_key = 1", "collation_server = 'utf8mb4_0900_ai_ci'", "default_collation_for_utf8mb4 = 'utf8mb4_general_ci'"}},
		{mySQL, "", []string{"binlog_transaction_compression = 1", "sql_require_primary_key = 1"}},
		{mariaDB, "", []string{"innodb_snapshot_isolation = 1", "innodb_force_primary_key = 1", "collation_server = 'utf8mb3_general_ci'", "log_bin_compress = 1"}},
		{mariaDB, "", []string{"sql_mode = 'ORACLE,EMPTY_STRING_IS_NULL,NO_BACKSLASH_ESCAPES'"}},
		{both, "binlog_format is STATEMENT", []string{"binlog_format = 'STATEMENT'"}},
		{both, "max_prepared_stmt_count", []string{"max_prepared_stmt_count = 0"}},
		{both, "add tls=true to the DSN", []string{"require_secure_transport = 1"}},
	} {
		if c.of == mySQL && !server.MySQL() || c.of == mariaDB && server.MySQL() {
			continue
		}
		t.Run(strings.Join(c.settings, ", "), func(t *testing.T) {
			for _, setting := range c.settings {
				set(t, server, setting)
			}
			err := liveWith(t, user(t, server))
			if c.refusal == "" && err != nil || c.refusal != "" && (err == nil || !strings.Contains(err.Error(), c.refusal)) {
				t.Errorf("%v", err)
			}
		})
	}
}

// liveWith lives in a database, and appends more than one statement holds.
func liveWith(t *testing.T, dsn string) error {
	t.Helper()
	if err := life(t, dsn); err != nil {
		return err
	}
	s, err := Open(t.Context(), dsn, Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	logs, err := s.Logs(t.Context())
	if err != nil {
		return err
	}
	return appends(t, s, logs[0].ID, 40, 65535)
}

// Sessions that the server ended because they were idle are not used: the next
// append is not an error.
func TestWaitTimeout(t *testing.T) {
	server := start(t)
	dsn := user(t, server)
	set(t, server, "wait_timeout = 1")
	s, err := Open(t.Context(), dsn, Options{Migrate: true, Abandoned: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l, err := s.CreateLog(t.Context(), storage.Log{Origin: "a"}, storage.Head{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := errors.Join(appendOne(t.Context(), s, l.ID), s.Ping(t.Context())); err != nil {
			t.Fatal(err)
		}
		sessions := func() (n int) {
			db, err := sql.Open("mysql", server.DSN(""))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if err := db.QueryRow(`SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'app'`).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		for end := time.Now().Add(time.Minute); sessions() > 0; <-time.After(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("idle sessions stay")
			}
		}
	}
}

// Where the names of databases have no case, the DSN may have another than the server.
func TestLowerCaseNames(t *testing.T) {
	server := start(t, "--lower-case-table-names=1")
	if err := server.Exec(t.Context(), "CREATE DATABASE Test"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Test", "TEST", "test"} {
		s, err := Open(context.Background(), server.DSN(name), Options{Migrate: name == "Test"})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
