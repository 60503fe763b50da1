package mysql

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// errDSN does not repeat the DSN, which holds a password.
var errDSN = errors.New("the DSN is not valid: it must be user:password@tcp(host:3306)/database, with options after a ?")

// parse reads a DSN. The driver panics at an option that it once had.
func parse(dsn string) (*mysql.Config, error) {
	_, options, _ := strings.Cut(dsn[strings.LastIndexByte(dsn, '/')+1:], "?")
	for option := range strings.SplitSeq(options, "&") {
		if name, _, _ := strings.Cut(option, "="); name == "strict" {
			return nil, fmt.Errorf("%w: the option strict is gone; leave it out", errDSN)
		}
	}
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, errDSN
	}
	return cfg, nil
}

// config reads a DSN and sets what the log depends on.
func config(dsn string) (*mysql.Config, error) {
	cfg, err := parse(dsn)
	if err != nil {
		return nil, err
	}
	if err := refused(cfg); err != nil {
		return nil, fmt.Errorf("%w: %w", errDSN, err)
	}
	// After a failover the old primary answers, and refuses to write: such a
	// connection is dropped, so that the next finds the new one.
	cfg.RejectReadOnly = true
	cfg.ClientFoundRows = true   // the rows an UPDATE matched, changed or not
	cfg.CheckConnLiveness = true // a connection that the server closed is not used
	// Every column is of bytes. As text the server would count the characters of
	// each body, which is an eighth of all it does for an append.
	cfg.Collation = "binary"
	cfg.Logger = &mysql.NopLogger{} // errors are returned as well
	setDefault(&cfg.Timeout, 5*time.Second)
	setDefault(&cfg.ReadTimeout, 30*time.Second)
	setDefault(&cfg.WriteTimeout, 30*time.Second)
	return cfg, nil
}

// refused says which of a DSN's options would change what the log's statements
// mean. Options that the driver does not know are variables of the session:
// with autocommit=0 a single statement would be lost without an error.
func refused(cfg *mysql.Config) error {
	switch {
	case cfg.DBName == "":
		return errors.New("it names no database")
	case cfg.MultiStatements:
		return errors.New("multiStatements must stay off")
	case cfg.InterpolateParams:
		return errors.New("interpolateParams must stay off, since statements are prepared on the server")
	case cfg.AllowAllFiles:
		return errors.New("allowAllFiles must stay off, since it lets the server read any file of this machine")
	case len(cfg.Params) > 0:
		return fmt.Errorf("%s is not an option but sets a variable of the session, which the log relies on to be the server's: leave it out",
			slices.Sorted(maps.Keys(cfg.Params))[0])
	}
	return nil
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

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
	return describe(cfg)
}

// Where is the server and the database that a DSN names, and not who uses them.
func Where(dsn string) string {
	cfg, err := parse(dsn)
	if err != nil {
		return "(not valid)"
	}
	return cfg.Addr + "/" + cfg.DBName
}

func describe(cfg *mysql.Config) string {
	return fmt.Sprintf("%s@%s/%s", cfg.User, cfg.Addr, cfg.DBName)
}
