package mysqldb

import (
	"errors"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// Overtaken reports whether an error says that another transaction came first and
// that this one was rolled back. It is 1213 for a deadlock, and for a conflict with
// another node of a Galera cluster. In a MySQL group, a transaction that lost
// against another member's fails with 3101 at its commit; where it had to be ended
// while it still ran, it fails with 1180, which names the deadlock.
func Overtaken(err error) bool {
	var e *mysql.MySQLError
	if !errors.As(err, &e) {
		return false
	}
	return e.Number == 1213 || e.Number == 3101 || e.Number == 1180 && strings.Contains(e.Message, "error 149 ")
}
