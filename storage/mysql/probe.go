package mysql

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
)

// probe tries all that a log does to a database, on a table of its own that it
// deletes. A database that refuses some of it is so found out before the log's
// tables are made.
func probe(ctx context.Context, db *sql.DB) error {
	table := "indelible_probe_" + rand.Text()
	_, err := db.ExecContext(ctx, `CREATE TABLE `+table+` (id BIGINT NOT NULL PRIMARY KEY, body MEDIUMBLOB NOT NULL) ENGINE=InnoDB`)
	if err != nil {
		return fmt.Errorf("the database does not take a table, of which the log needs some: %w", err)
	}
	err = probeRows(ctx, db, table)
	if err != nil {
		err = fmt.Errorf("the database does not take what the log writes; no table was made: %w", err)
	}
	if _, drop := db.ExecContext(context.WithoutCancel(ctx), `DROP TABLE `+table); drop != nil {
		err = errors.Join(err, fmt.Errorf("the table %s, which was made to try the database, cannot be deleted; delete it: %w", table, drop))
	}
	return err
}

// probeRows changes rows in a transaction as an append's is.
func probeRows(ctx context.Context, db *sql.DB, table string) error {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it is nothing
	for _, query := range []string{
		`INSERT INTO ` + table + ` (id, body) VALUES (1, '')`,
		`SELECT id FROM ` + table + ` WHERE id = 1 FOR UPDATE`,
		`UPDATE ` + table + ` SET body = 'x' WHERE id = 1`,
		`DELETE FROM ` + table + ` WHERE id = 1`,
	} {
		if _, err := tx.ExecContext(ctx, query); err != nil {
			return err
		}
	}
	return tx.Commit()
}
