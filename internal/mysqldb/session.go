package mysqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// ErrSession: a new session is not what the promises of this program need.
var ErrSession = errors.New("the database server gives sessions that this program cannot use")

// unlimited is the largest value of a limit. DEFAULT would be the server's.
const unlimited = "18446744073709551615"

// variable is a setting of the session that a promise needs.
type variable struct {
	names []string          // the same in MySQL and MariaDB; a server knows one or both
	want  string            // as people read it
	set   string            // as SQL; empty: only an administrator may set it
	fine  func(string) bool // nil: equal to want
	means string            // what another value does
	maybe bool              // a server need not know it; it is set where it does
}

// variables are all of them, in the order in which they are set.
func variables(o Options) []variable {
	one := func(name, want, set, means string) variable {
		return variable{names: []string{name}, want: want, set: set, means: means}
	}
	all := []variable{
		one("autocommit", "ON", "1", "a statement would not be committed"),
		one("completion_type", "NO_CHAIN", "0", "a commit would begin another transaction"),
		{
			names: []string{"sql_mode"}, want: "STRICT_ALL_TABLES,STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION",
			set: "'STRICT_ALL_TABLES,STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'", fine: ourMode, means: "statements would mean something else",
		},
		one("sql_select_limit", unlimited, unlimited, "an answer would lack rows"),
		one("max_join_size", unlimited, unlimited, "a query would be refused"),
		one("sql_big_selects", "ON", "1", "a query would be refused"),
		one("sql_safe_updates", "OFF", "0", "a change would be refused"),
		one("sql_auto_is_null", "OFF", "0", "a query would mean something else"),
		one("unique_checks", "ON", "1", "one row could be there twice"),
		one("time_zone", "+00:00", "'+00:00'", "a lease would last too long when the clocks change"),
		one("character_set_client", "binary", "binary", "bytes would be changed"),
		one("character_set_connection", "binary", "binary", "bytes would be changed"),
		one("character_set_results", "binary", "binary", "bytes would be changed"),
		one("collation_connection", "binary", "binary", "two names could be taken for one"),
		{names: []string{"transaction_isolation", "tx_isolation"}, want: "READ-COMMITTED", means: "a read would not see what was committed"},
		{names: []string{"transaction_read_only", "tx_read_only"}, want: "OFF", means: "a change would be refused"},
		{names: []string{"wsrep_sync_wait"}, want: o.SyncWait, set: o.SyncWait, maybe: true, means: "a read would not wait for other nodes"},
		{names: []string{"wsrep_dirty_reads"}, want: "OFF", set: "OFF", maybe: true, means: "a node that is cut off would answer"},
		// Nobody but an administrator can set these.
		{names: []string{"sql_log_bin"}, want: "ON", maybe: true, means: "replicas would not get what is written"},
		{names: []string{"skip_replication"}, want: "OFF", maybe: true, means: "replicas would not get what is written"},
	}
	if o.waits {
		all = append(all, variable{
			names: []string{"group_replication_consistency"}, want: "BEFORE", set: "'BEFORE'", maybe: true,
			means: "a member of a group that lags would answer from the past",
		})
	}
	return all
}

func ourMode(mode string) bool {
	got := strings.Split(mode, ",")
	slices.Sort(got)
	return slices.Equal(got, []string{"NO_ENGINE_SUBSTITUTION", "STRICT_ALL_TABLES", "STRICT_TRANS_TABLES"})
}

// minPacket is the least max_allowed_packet with which a program starts: the
// largest entry, of 65,535 bytes, fits into a statement.
const minPacket = 128 << 10

// CheckPacket refuses a server to which a whole entry cannot be sent. It is asked
// at the start; where the value shrinks later, statements are made to fit.
func CheckPacket(ctx context.Context, db *sql.DB) error {
	var bytes int64
	err := db.QueryRowContext(ctx, `SELECT @@max_allowed_packet`).Scan(&bytes)
	if err == nil && bytes < minPacket {
		err = fmt.Errorf("%w: max_allowed_packet is %d, and must be %d or more: an entry would not fit into a statement; set it for all new sessions, and in the server's configuration",
			ErrSession, bytes, minPacket)
	}
	return err
}

// ok reports whether a value is what is needed.
func (v variable) ok(value string) bool {
	if v.fine != nil {
		return v.fine(value)
	}
	return strings.EqualFold(value, v.want)
}

// settle makes a new session what it must be, and reads back whether it is. What
// is set here is known to every server; init_connect may have begun a transaction.
func settle(ctx context.Context, conn driver.Conn, database string, o Options) error {
	all := variables(o)
	for _, statement := range []string{
		"ROLLBACK AND NO CHAIN NO RELEASE",
		"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE",
		assignments(all, func(v variable) bool { return !v.maybe }),
	} {
		if err := exec(ctx, conn, statement); err != nil {
			return fmt.Errorf("set the session's variables: %w", err)
		}
	}
	have, err := holds(ctx, conn, all)
	if err != nil {
		return err
	}
	if o.waits && have["group_replication_group_name"] != "" {
		// What is written outside of the group is lost to it. Where the majority is lost,
		// a commit hangs, and its session stays: then none are begun.
		if err := each(ctx, conn, "SELECT group_replication_get_write_concurrency()", func([]string) {}); err != nil {
			return refusesOutside(err)
		}
	}
	differs := func(v variable) bool { value, known := v.in(have); return v.maybe && known && !v.ok(value) }
	if more := assignments(all, differs); more != "" {
		if err := exec(ctx, conn, more); err != nil {
			return fmt.Errorf("set the session's variables: %w", err)
		}
		if have, err = holds(ctx, conn, all); err != nil {
			return err
		}
	}
	return judge(ctx, conn, database, all, have)
}

// assignments is one SET of those variables that can be set.
func assignments(all []variable, which func(variable) bool) string {
	var set []string
	for _, v := range all {
		if v.set != "" && which(v) {
			set = append(set, v.names[0]+" = "+v.set)
		}
	}
	if len(set) == 0 {
		return ""
	}
	return "SET " + strings.Join(set, ", ")
}

// in returns the variable's value, if the server knows it by any name. Of two
// values the wrong one counts.
func (v variable) in(have map[string]string) (value string, known bool) {
	for _, name := range v.names {
		if got, ok := have[name]; ok && (!known || !v.ok(got)) {
			value, known = got, true
		}
	}
	return value, known
}

// holds reads what the session's variables are.
func holds(ctx context.Context, conn driver.Conn, all []variable) (map[string]string, error) {
	names := []string{"log_bin", "binlog_format", "group_replication_group_name"}
	for _, v := range all {
		names = append(names, v.names...)
	}
	have := make(map[string]string)
	err := each(ctx, conn, "SHOW SESSION VARIABLES WHERE Variable_name IN ('"+strings.Join(names, "', '")+"')", func(row []string) {
		have[strings.ToLower(row[0])] = row[1]
	})
	return have, err
}

// judge says what of a session is not as it must be.
func judge(ctx context.Context, conn driver.Conn, database string, all []variable, have map[string]string) error {
	var wrong []string
	proxy := false
	for _, v := range all {
		value, known := v.in(have)
		switch {
		case known && v.ok(value) || !known && v.maybe:
		case !known:
			wrong, proxy = append(wrong, fmt.Sprintf("%s is not known, and must be %s: %s", v.names[0], v.want, v.means)), true
		default:
			wrong = append(wrong, fmt.Sprintf("%s is %s, and must be %s: %s", v.names[0], emptyIs(value), v.want, v.means))
			proxy = proxy || v.set != "" || len(v.names) > 1
		}
	}
	if on(have["log_bin"]) && strings.EqualFold(have["binlog_format"], "STATEMENT") {
		wrong = append(wrong, "binlog_format is STATEMENT, and must be ROW or MIXED: InnoDB would refuse every write with READ COMMITTED (SET GLOBAL binlog_format = ROW)")
	}
	used := ""
	if err := each(ctx, conn, "SELECT COALESCE(DATABASE(), '')", func(row []string) { used = row[0] }); err != nil {
		return err
	}
	if !strings.EqualFold(used, database) {
		wrong, proxy = append(wrong, fmt.Sprintf("the session's database is %s, and must be %s", emptyIs(used), database)), true
	}
	if len(wrong) == 0 {
		return nil
	}
	text := strings.Join(wrong, "; ")
	if proxy {
		text += "; each connection sets its own variables, and reads them back: the server, or a proxy before it, did not take them; have the proxy pass SET on, or name the server itself in the DSN"
	} else {
		text += "; set it for all new sessions, and in the server's configuration"
	}
	return fmt.Errorf("%w: %s", ErrSession, text)
}

func emptyIs(value string) string {
	if value == "" {
		return "empty"
	}
	return value
}

func on(value string) bool { return strings.EqualFold(value, "ON") || value == "1" }

func exec(ctx context.Context, conn driver.Conn, statement string) error {
	e, ok := conn.(driver.ExecerContext)
	if !ok {
		return errors.New("the driver runs no statements")
	}
	_, err := e.ExecContext(ctx, statement, nil)
	return err
}

// each calls f for each row of an answer.
func each(ctx context.Context, conn driver.Conn, query string, f func(row []string)) error {
	q, ok := conn.(driver.QueryerContext)
	if !ok {
		return errors.New("the driver runs no queries")
	}
	rows, err := q.QueryContext(ctx, query, nil)
	if err != nil {
		return fmt.Errorf("read the session's variables: %w", err)
	}
	defer rows.Close()
	values := make([]driver.Value, len(rows.Columns()))
	text := make([]string, len(values))
	for {
		err := rows.Next(values)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the session's variables: %w", err)
		}
		for i, v := range values {
			b, _ := v.([]byte)
			text[i] = string(b)
		}
		f(text)
	}
}

// Held is an SQL expression of what the variables of a session are, and what judges
// its value: an error of ErrSession names what is not as it must be. A transaction
// that asks for it knows that its session is still the one that was made: a proxy
// may give a client another, between two transactions.
func (d *Database) Held(ctx context.Context, db *sql.DB) (expression string, judge func(value string) error, err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return "", nil, err
	}
	defer conn.Close()
	var have map[string]string
	all := variables(d.options)
	if err := conn.Raw(func(c any) (err error) {
		have, err = holds(ctx, c.(driver.Conn), all)
		return err
	}); err != nil {
		return "", nil, err
	}
	var known []variable
	parts := []string{"COALESCE(DATABASE(), '')"}
	for _, v := range all {
		for _, name := range v.names {
			if _, ok := have[name]; ok {
				known = append(known, v)
				parts = append(parts, "COALESCE(@@SESSION."+name+", '')")
				break
			}
		}
	}
	return "CONCAT_WS('|', " + strings.Join(parts, ", ") + ")", func(value string) error { return held(value, d.cfg.DBName, known) }, nil
}

// held judges the value of such an expression.
func held(value, database string, known []variable) error {
	values := strings.Split(value, "|")
	if len(values) != len(known)+1 {
		return fmt.Errorf("%w: it says %q", ErrSession, value)
	}
	var wrong []string
	if !strings.EqualFold(values[0], database) {
		wrong = append(wrong, fmt.Sprintf("the session's database is %s, and must be %s", emptyIs(values[0]), database))
	}
	for i, v := range known {
		got := values[i+1]
		if v.want == "ON" || v.want == "OFF" { // an expression says 1 and 0
			got = strings.NewReplacer("1", "ON", "0", "OFF").Replace(got)
		}
		if !v.ok(got) {
			wrong = append(wrong, fmt.Sprintf("%s is %s, and must be %s: %s", v.names[0], emptyIs(got), v.want, v.means))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s; the session was made with other values: a proxy has given this client another one. "+
		"Have it keep a client's session, or name the server itself in the DSN", ErrSession, strings.Join(wrong, "; "))
}
