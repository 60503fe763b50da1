package mysql

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-sql-driver/mysql"
)

// errDSN does not repeat the DSN, which holds a password.
var errDSN = errors.New("the DSN is not valid: it must be user:password@tcp(host:3306)/database, with options after a ?")

// config reads a DSN and sets what the log depends on.
func config(dsn string) (*mysql.Config, error) {
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, errDSN
	}
	switch {
	case cfg.DBName == "":
		return nil, fmt.Errorf("%w: it names no database", errDSN)
	case cfg.MultiStatements:
		return nil, fmt.Errorf("%w: multiStatements must stay off", errDSN)
	case cfg.InterpolateParams:
		return nil, fmt.Errorf("%w: interpolateParams must stay off, since statements are prepared on the server", errDSN)
	}
	// After a failover the old primary answers, and refuses to write: such a
	// connection is dropped, so that the next finds the new one.
	cfg.RejectReadOnly = true
	cfg.ClientFoundRows = true      // the rows an UPDATE matched, changed or not
	cfg.Logger = &mysql.NopLogger{} // errors are returned as well
	setDefault(&cfg.Timeout, 5*time.Second)
	setDefault(&cfg.ReadTimeout, 30*time.Second)
	setDefault(&cfg.WriteTimeout, 30*time.Second)
	return cfg, nil
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

// HasPassword reports whether a DSN carries a password, which must then not
// stand on a command line.
func HasPassword(dsn string) bool {
	cfg, err := mysql.ParseDSN(dsn)
	return err != nil || cfg.Passwd != ""
}

// Describe is a DSN without its password, for people.
func Describe(dsn string) string {
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		return "(not valid)"
	}
	return describe(cfg)
}

func describe(cfg *mysql.Config) string {
	return fmt.Sprintf("%s@%s/%s", cfg.User, cfg.Addr, cfg.DBName)
}
