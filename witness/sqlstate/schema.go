package sqlstate

import (
	"context"
	"errors"
	"fmt"
)

// version is that of the schema below. It grows with every change of it.
const version = 1

// ErrSchema: the database was made by a newer program.
var ErrSchema = errors.New("the database's schema does not fit this program")

// migrate makes what is missing. The statements may be run again, and by two
// processes at once.
func (s *Store) migrate(ctx context.Context) error {
	for _, q := range s.dialect.schema {
		if _, err := s.write.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("create the schema: %w", err)
		}
	}
	var have int
	if err := s.write.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM witness_schema`).Scan(&have); err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if have > version {
		return fmt.Errorf("%w: it has version %d, and this program knows version %d: use a newer one", ErrSchema, have, version)
	}
	_, err := s.write.ExecContext(ctx, s.dialect.ignore+` INTO witness_schema (version) VALUES (?)`, version)
	return err
}

// Times are POSIX seconds.
func sqliteSchema() []string {
	return []string{
		`CREATE TABLE IF NOT EXISTS witness_schema (version INTEGER PRIMARY KEY) STRICT`,
		`CREATE TABLE IF NOT EXISTS witness_logs (
			origin TEXT PRIMARY KEY,
			vkeys TEXT NOT NULL,
			per_day INTEGER NOT NULL,
			contact TEXT NOT NULL) STRICT`,
		`CREATE TABLE IF NOT EXISTS witness_heads (
			origin TEXT PRIMARY KEY,
			size INTEGER NOT NULL,
			root BLOB NOT NULL,
			time INTEGER NOT NULL,
			note BLOB NOT NULL) STRICT`,
		`CREATE TABLE IF NOT EXISTS witness_facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT`,
	}
}

// Text is binary: MySQL and MariaDB differ in their default collations, and
// would take two origins for one.
func mysqlSchema() []string {
	return []string{
		`CREATE TABLE IF NOT EXISTS witness_schema (version INT NOT NULL PRIMARY KEY) ENGINE=InnoDB`,
		`CREATE TABLE IF NOT EXISTS witness_logs (
			origin VARBINARY(255) NOT NULL PRIMARY KEY,
			vkeys MEDIUMBLOB NOT NULL,
			per_day BIGINT NOT NULL,
			contact BLOB NOT NULL) ENGINE=InnoDB`,
		`CREATE TABLE IF NOT EXISTS witness_heads (
			origin VARBINARY(255) NOT NULL PRIMARY KEY,
			size BIGINT NOT NULL,
			root BINARY(32) NOT NULL,
			time BIGINT NOT NULL,
			note MEDIUMBLOB NOT NULL) ENGINE=InnoDB`,
		`CREATE TABLE IF NOT EXISTS witness_facts (name VARBINARY(64) NOT NULL PRIMARY KEY, value VARBINARY(255) NOT NULL) ENGINE=InnoDB`,
	}
}
