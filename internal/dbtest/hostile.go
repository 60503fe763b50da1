//go:build unix

package dbtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// Hostile are settings with which a server gives sessions that do not keep what
// a program relies on.
func (s *Server) Hostile() []string {
	mode, readOnly, isolation := "ORACLE", "tx_read_only", "tx_isolation"
	if s.make.MySQL() {
		mode, readOnly, isolation = "ANSI", "transaction_read_only", "transaction_isolation"
	}
	return []string{
		"autocommit = 0", "completion_type = 1", "completion_type = 2", "sql_select_limit = 2", "sql_mode = '" + mode + "'", "sql_mode = ''",
		"max_join_size = 1", readOnly + " = 1", isolation + " = 'SERIALIZABLE'", "sql_safe_updates = 1", "unique_checks = 0",
		"time_zone = '+05:45'", "sql_auto_is_null = 1",
	}
}

// MySQL reports whether the server is MySQL, not MariaDB.
func (s *Server) MySQL() bool { return s.make.MySQL() }

// HostileToUsers are statements for init_connect, which does not run for users
// who administer the server.
func (s *Server) HostileToUsers() []string {
	statements := []string{"SET NAMES latin1", "START TRANSACTION", "USE information_schema"}
	for _, setting := range s.Hostile() {
		statements = append(statements, "SET SESSION "+setting)
	}
	return statements
}

// Set changes a setting for new sessions, as NAME = VALUE, and returns what puts
// it back.
func (s *Server) Set(ctx context.Context, setting string) (back func() error, err error) {
	name, _, _ := strings.Cut(setting, " =")
	db, err := sql.Open("mysql", s.DSN(""))
	if err != nil {
		return nil, err
	}
	// One connection, which was begun before, has the settings of before.
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	end := func(err error) error { return errors.Join(err, conn.Close(), db.Close()) }
	if _, err := conn.ExecContext(ctx, "SET @was = @@GLOBAL."+name); err != nil {
		return nil, end(err)
	}
	if _, err := conn.ExecContext(ctx, "SET GLOBAL "+setting); err != nil {
		return nil, end(fmt.Errorf("SET GLOBAL %s: %w", setting, err))
	}
	return func() error {
		_, err := conn.ExecContext(context.WithoutCancel(ctx), "SET GLOBAL "+name+" = @was")
		return end(err)
	}, nil
}

// User is how to connect to a database as a user with all rights in it, and
// outside of it none but to ask whether the server is a replica.
func (s *Server) User(ctx context.Context, database string) (dsn string, err error) {
	err = s.Exec(ctx, "CREATE USER IF NOT EXISTS app@'%'", "GRANT ALL ON "+database+".* TO app@'%'", "GRANT REPLICATION CLIENT ON *.* TO app@'%'")
	return fmt.Sprintf("app@tcp(%s)/%s", s.Addr(), database), err
}

// Account makes a user with a password and all rights in a database of its own
// name, or changes the password.
func (s *Server) Account(ctx context.Context, database, password string) (dsn string, err error) {
	user := database + "_user"
	err = s.Exec(ctx, "CREATE DATABASE IF NOT EXISTS "+database, "CREATE USER IF NOT EXISTS "+user+"@'%'",
		"GRANT ALL ON "+database+".* TO "+user+"@'%'", "GRANT REPLICATION CLIENT ON *.* TO "+user+"@'%'",
		"ALTER USER "+user+"@'%' IDENTIFIED BY '"+password+"'")
	return fmt.Sprintf("%s:%s@tcp(%s)/%s", user, password, s.Addr(), database), err
}

// Disconnect ends the connections of the user that Account made.
func (s *Server) Disconnect(ctx context.Context, database string) error {
	db, err := sql.Open("mysql", s.DSN(""))
	if err != nil {
		return err
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, "SELECT id FROM information_schema.processlist WHERE user = ?", database+"_user")
	if err != nil {
		return err
	}
	defer rows.Close()
	var ids []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return err
		}
		ids = append(ids, id)
	}
	for _, id := range ids {
		var gone *mysql.MySQLError
		if _, err := db.ExecContext(ctx, fmt.Sprint("KILL ", id)); err != nil && (!errors.As(err, &gone) || gone.Number != noSuchThread) {
			return err
		}
	}
	return rows.Err()
}

// noSuchThread is the server's error number 1094.
const noSuchThread = 1094
