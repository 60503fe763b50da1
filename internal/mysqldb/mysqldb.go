// Package mysqldb opens the MySQL and MariaDB databases of the log, of its
// register and of the witness. All three open them here and nowhere else.
//
// A session begins with settings that others chose: SET GLOBAL, init_connect, a
// proxy. Under some of them a statement is not committed, is refused, or
// answers with fewer rows than there are. So nothing that a session inherits is
// trusted: every new connection sets what the promises of this program need,
// reads back what holds, and is closed with an error of [ErrSession] if that is
// something else. A proxy may swallow a SET.
//
// What only an administrator may set (binlog_format, max_allowed_packet and
// others) is read at the same place, and demanded.
package mysqldb

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// ErrDSN does not repeat the DSN, which holds a password.
var ErrDSN = errors.New("the DSN is not valid: it must be user:password@tcp(host:3306)/database, with options after a ?")

// Access is what a connection needs beside the DSN.
type Access struct {
	// TLS are files for the connections to the server.
	TLS TLS
	// Source reads the DSN again when the server refuses the user and the
	// password; nil: they do not change.
	Source func() (string, error)
}

// Options are what a user of a database needs of it.
type Options struct {
	Access
	// AnswerWithin is how long the server may take for one answer, where the DSN
	// does not say.
	AnswerWithin time.Duration
	// Interpolate puts arguments into statements here: one round trip, with
	// nothing prepared. Otherwise statements are prepared on the server.
	Interpolate bool
	// SyncWait is Galera's wsrep_sync_wait, where the server knows it: which
	// statements wait until the node has what the cluster committed before.
	SyncWait string

	waits bool
}

// Database is one database on a server.
type Database struct {
	cfg     *mysql.Config
	options Options
	account *current // of new connections
}

// New reads a DSN, which is go-sql-driver's: user:password@tcp(host:3306)/database.
// It does not connect.
func New(dsn string, o Options) (*Database, error) {
	cfg, err := configure(dsn, o)
	if err != nil {
		return nil, err
	}
	return &Database{cfg: cfg, options: o, account: newCurrent(cfg)}, nil
}

// configure reads a DSN, and adds what every connection is made with.
func configure(dsn string, o Options) (*mysql.Config, error) {
	cfg, err := parse(dsn)
	if err != nil {
		return nil, err
	}
	if err := refused(cfg, o); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDSN, err)
	}
	if err := o.TLS.fits(cfg); err != nil {
		return nil, err
	}
	cfg.InterpolateParams = o.Interpolate
	// After a failover the old primary answers, and refuses to write: such a
	// connection is dropped, so that the next finds the new one.
	cfg.RejectReadOnly = true
	cfg.ClientFoundRows = true   // the rows an UPDATE matched, changed or not
	cfg.CheckConnLiveness = true // a connection that the server closed is not used
	// Every column is of bytes. As text the server would count the characters of
	// each body, which is an eighth of all it does for an append.
	cfg.Collation = "binary"
	cfg.Logger = &mysql.NopLogger{} // errors are returned as well
	// The server's limit counts, and is read where statements are made to fit.
	cfg.MaxAllowedPacket = mysql.NewConfig().MaxAllowedPacket
	cfg.Timeout = cmp.Or(cfg.Timeout, 5*time.Second)
	cfg.ReadTimeout = cmp.Or(cfg.ReadTimeout, o.AnswerWithin)
	cfg.WriteTimeout = cmp.Or(cfg.WriteTimeout, o.AnswerWithin)
	return cfg, nil
}

// parse reads a DSN. The driver panics at an option that it once had.
func parse(dsn string) (*mysql.Config, error) {
	_, options, _ := strings.Cut(dsn[strings.LastIndexByte(dsn, '/')+1:], "?")
	for option := range strings.SplitSeq(options, "&") {
		if err := wrong(option); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDSN, err)
		}
	}
	cfg, err := mysql.ParseDSN(dsn)
	switch {
	case err == nil:
		return cfg, nil
	case strings.Contains(dsn, "://"):
		return nil, fmt.Errorf("%w: it is a URL; a DSN has no scheme, and its address stands in tcp(…)", ErrDSN)
	case !strings.Contains(dsn, "("):
		return nil, fmt.Errorf("%w: its address does not stand in tcp(…) or unix(…)", ErrDSN)
	case !strings.Contains(dsn[strings.LastIndexByte(dsn, ')')+1:], "/"):
		return nil, fmt.Errorf("%w: no /database follows the address", ErrDSN)
	}
	return nil, ErrDSN
}

// wrong says what is wrong with an option. The value is not repeated, since what
// follows a ? may be a part of a password.
func wrong(option string) error {
	name, _, _ := strings.Cut(option, "=")
	switch name {
	case "strict":
		return errors.New("the option strict is gone; leave it out")
	case "charset", "collation":
		return fmt.Errorf("the option %s is not used, since all columns are of bytes; leave it out", name)
	}
	if _, err := mysql.ParseDSN("/database?" + option); err == nil {
		return nil
	}
	if strings.Trim(name, letters) != "" {
		return errors.New("an option has a value that it cannot have")
	}
	return fmt.Errorf("the option %s has a value that it cannot have; a time has a unit, as in 5s, and a switch is true or false", name)
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// refused says which of a DSN's options would change what the statements mean.
// The driver takes an option that it does not know for a variable of the session.
func refused(cfg *mysql.Config, o Options) error {
	switch {
	case cfg.DBName == "":
		return errors.New("it names no database")
	case cfg.MultiStatements:
		return errors.New("multiStatements must stay off")
	case cfg.InterpolateParams && !o.Interpolate:
		return errors.New("interpolateParams must stay off, since statements are prepared on the server")
	case cfg.AllowAllFiles:
		return errors.New("allowAllFiles must stay off, since it lets the server read any file of this machine")
	case cfg.AllowFallbackToPlaintext && cfg.TLSConfig != "preferred":
		return errors.New("allowFallbackToPlaintext must stay off: whoever is on the way to the server could turn TLS off; tls=preferred says the same, and is warned of")
	case len(cfg.Params) > 0:
		return fmt.Errorf("%s is not an option but sets a variable of the session, which this program sets itself: leave it out",
			slices.Sorted(maps.Keys(cfg.Params))[0])
	}
	return nil
}

// Open makes a pool of connections. It does not connect. more are variables of
// the session that nothing relies on: they are set, and not read back.
func (d *Database) Open(connections int, more map[string]string) *sql.DB {
	cfg := d.cfg.Clone()
	cfg.Params = maps.Clone(more)
	db := sql.OpenDB(&connector{cfg: cfg, database: d})
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	// A connection is replaced from time to time, so that a proxy or a failover
	// can move us elsewhere.
	db.SetConnMaxLifetime(30 * time.Minute)
	return db
}

// Current is the same database with other sessions: on a member of a MySQL group,
// each of their transactions begins when the member has applied what the group
// committed before. That is a round trip through the group.
func (d *Database) Current() *Database {
	current := *d
	current.options.waits = true
	return &current
}

// String names the database and its user, without the password.
func (d *Database) String() string {
	return fmt.Sprintf("%s@%s/%s", d.cfg.User, d.cfg.Addr, d.cfg.DBName)
}

// Addr is where the server is, and Name what the database is called there.
func (d *Database) Addr() string { return d.cfg.Addr }
func (d *Database) Name() string { return d.cfg.DBName }

// HasPassword reports whether a DSN carries a password, which must then not
// stand on a command line.
func HasPassword(dsn string) bool {
	cfg, err := parse(dsn)
	return err != nil || cfg.Passwd != ""
}

// Describe is a DSN without its password, for people.
func Describe(dsn string) string {
	cfg, err := parse(dsn)
	if err != nil {
		return "(not valid)"
	}
	return (&Database{cfg: cfg}).String()
}

// Where is the server and the database that a DSN names, without their user.
func Where(dsn string) string {
	cfg, err := parse(dsn)
	if err != nil {
		return "(not valid)"
	}
	return cfg.Addr + "/" + cfg.DBName
}

// connector makes connections whose sessions are what they must be.
type connector struct {
	cfg      *mysql.Config
	database *Database
}

// Connect implements driver.Connector. When the server refuses the user and the
// password, the DSN is read again, once, and others are tried.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	tried := c.database.account.get()
	conn, err := c.connect(ctx, tried)
	if !refusesAccount(err) || c.database.options.Source == nil {
		return conn, err
	}
	next, unread := c.database.reread()
	switch {
	case unread != nil:
		return nil, fmt.Errorf("%w; %w", err, unread)
	case next == tried:
		return nil, err
	}
	c.database.account.set(next)
	return c.connect(ctx, next)
}

// connect makes one connection as that user. The files for TLS are read for each
// connection, so that renewed ones are used.
func (c *connector) connect(ctx context.Context, as account) (driver.Conn, error) {
	cfg := c.cfg.Clone()
	cfg.User, cfg.Passwd = as.user, as.password
	if err := c.database.options.TLS.apply(cfg); err != nil {
		return nil, err
	}
	plain, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	conn, err := plain.Connect(ctx)
	if err != nil {
		return nil, denied(err, cfg)
	}
	if err := settle(ctx, conn, cfg.DBName, c.database.options); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// Driver implements driver.Connector.
func (c *connector) Driver() driver.Driver { return mysql.MySQLDriver{} }

// accessDenied is the server's error number 1045, for a wrong password, and for
// an account that requires TLS or a certificate.
const accessDenied = 1045

// insecureTransport is the server's error number 3159, of one that requires TLS of
// everybody.
const insecureTransport = 3159

func denied(err error, cfg *mysql.Config) error {
	var e *mysql.MySQLError
	switch {
	case errors.As(err, &e) && e.Number == insecureTransport:
		return fmt.Errorf("%w (add tls=true to the DSN, or give --mysql-tls-ca)", err)
	case !errors.As(err, &e) || e.Number != accessDenied:
		return err
	case strings.Contains(cfg.Passwd, ":"):
		return fmt.Errorf("%w (if the user's name has a colon: a DSN ends the name at its first colon, so choose a name without one)", err)
	case cfg.TLS == nil:
		return fmt.Errorf("%w (if the password is right, the account may require TLS: add tls=true to the DSN, or give --mysql-tls-ca)", err)
	case len(cfg.TLS.Certificates) == 0:
		return fmt.Errorf("%w (if the password is right, the account may require a client certificate: give --mysql-tls-cert and --mysql-tls-key)", err)
	}
	return err
}

// local reports whether a connection stays on this machine.
func local(cfg *mysql.Config) bool {
	if cfg.Net == "unix" {
		return true
	}
	host, _, err := net.SplitHostPort(cfg.Addr)
	if err != nil {
		host = cfg.Addr
	}
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}
