package database

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
var errDSN = errors.New("the register's DSN is not valid: it must be user:password@tcp(host:3306)/database, with options after a ?")

// answerWithin is how long the server may take for one answer, where the DSN
// does not say.
const answerWithin = 5 * time.Second

// parse reads a DSN and sets what the register depends on.
func parse(dsn string) (*mysql.Config, error) {
	// The driver panics at this option, which it once had.
	if _, options, _ := strings.Cut(dsn, "?"); slices.ContainsFunc(strings.Split(options, "&"), func(o string) bool {
		return strings.HasPrefix(o, "strict=")
	}) {
		return nil, fmt.Errorf("%w: the option strict is gone; leave it out", errDSN)
	}
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, errDSN
	}
	switch {
	case cfg.DBName == "":
		return nil, fmt.Errorf("%w: it names no database", errDSN)
	case cfg.AllowAllFiles:
		return nil, fmt.Errorf("%w: allowAllFiles must stay off, since it lets the server read any file of this machine", errDSN)
	case len(cfg.Params) > 0:
		return nil, fmt.Errorf("%w: %s sets a variable of the session, which the register relies on to be the server's: leave it out",
			errDSN, slices.Sorted(maps.Keys(cfg.Params))[0])
	}
	cfg.MultiStatements = false
	cfg.InterpolateParams = true    // one round trip a statement, with nothing prepared
	cfg.RejectReadOnly = true       // a demoted primary answers; its connections are dropped
	cfg.ClientFoundRows = true      // the rows an UPDATE matched, changed or not
	cfg.CheckConnLiveness = true    // a connection that the server closed is not used
	cfg.Logger = &mysql.NopLogger{} // errors are returned as well
	for _, d := range []*time.Duration{&cfg.Timeout, &cfg.ReadTimeout, &cfg.WriteTimeout} {
		if *d == 0 {
			*d = answerWithin
		}
	}
	return cfg, nil
}
