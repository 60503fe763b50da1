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
// is ErrHidden. For a member of a group that is not part of it the error is
// ErrOutside.
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
	if err := outside(ctx, db); err != nil {
		return "", err
	}
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

// ErrOutside: the server is configured as a member of a MySQL group, and is cut off
// from it, or has not joined it since its start.
var ErrOutside = errors.New("the database server belongs to a MySQL group, and is not ONLINE in the group's majority at present: " +
	"it may lack what the group has committed; see performance_schema.replication_group_members there. " +
	"A server that is no longer to be a member must not have group_replication_group_name set")

// outside returns ErrOutside. A member that starts without its group takes writes
// like a server of its own. Which members there are, ordinary users may not read;
// but they may call a function that members outside of the group refuse.
func outside(ctx context.Context, db Querier) error {
	group, err := table(ctx, db, `SHOW GLOBAL VARIABLES LIKE 'group_replication_group_name'`)
	if err != nil || len(group) == 0 || group[0]["value"] == "" {
		return err
	}
	_, err = table(ctx, db, `SELECT group_replication_get_write_concurrency()`)
	return refusesOutside(err)
}

// refusesOutside tells a member's refusal of the function from other errors.
func refusesOutside(err error) error {
	var e *mysql.MySQLError
	if errors.As(err, &e) && e.Number == functionRefuses {
		return fmt.Errorf("%w (%w)", ErrOutside, err)
	}
	return err
}

// functionRefuses is the server's error number 1123.
const functionRefuses = 1123

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
