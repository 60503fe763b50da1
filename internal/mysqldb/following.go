package mysqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// ErrHidden: the server does not tell this user whether it replicates from
// another. A replica may lag, so what it lacks proves nothing.
var ErrHidden = errors.New("the database server does not tell this user whether it is a replica: " +
	"GRANT REPLICATION CLIENT ON *.* TO that user")

// Querier is a database or one connection.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Following says how the server replicates from another at present, as
// "Slaves_running is 1"; it is empty for a server that does not. MariaDB tells
// every user. MySQL tells those with REPLICATION CLIENT, and for others the error
// is ErrHidden.
func Following(ctx context.Context, db Querier) (how string, err error) {
	status, err := table(ctx, db, `SHOW GLOBAL STATUS LIKE 'Slaves_running'`)
	if err != nil {
		return "", err
	}
	if len(status) > 0 {
		if n := status[0]["value"]; n != "0" {
			return "Slaves_running is " + n, nil
		}
		return "", nil
	}
	// MySQL has no Slaves_running since 8.4.
	channels, err := table(ctx, db, `SHOW REPLICA STATUS`)
	var e *mysql.MySQLError
	if errors.As(err, &e) && e.Number == privilegeNeeded {
		return "", fmt.Errorf("%w (%w)", ErrHidden, err)
	}
	for _, row := range channels {
		for _, name := range []string{"Replica_IO_Running", "Replica_SQL_Running"} {
			if v := row[strings.ToLower(name)]; v != "No" {
				return fmt.Sprintf("%s is %s, from %s", name, v, row["source_host"]), nil
			}
		}
	}
	return "", err
}

// privilegeNeeded is the server's error number 1227.
const privilegeNeeded = 1227

// table returns the rows of a SHOW, by the names of their columns in lower case.
func table(ctx context.Context, db Querier, query string) (all []map[string]string, err error) {
	r, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("read the server's state: %w", err)
	}
	defer r.Close()
	names, err := r.Columns()
	if err != nil {
		return nil, err
	}
	values, into := make([]sql.NullString, len(names)), make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	for r.Next() {
		if err := r.Scan(into...); err != nil {
			return nil, err
		}
		row := make(map[string]string, len(names))
		for i, name := range names {
			row[strings.ToLower(name)] = values[i].String
		}
		all = append(all, row)
	}
	return all, r.Err()
}
