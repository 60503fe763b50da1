package mysqldb

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/go-sql-driver/mysql"
)

// ErrElsewhere: the DSN that was read again differs in more than its user and
// its password. The one in use stays.
var ErrElsewhere = errors.New("the DSN has changed in more than its user and its password")

// account is the user that a connection is made as.
type account struct{ user, password string }

// current is the account of new connections. All pools of a database share it.
type current struct {
	mu sync.Mutex
	account
}

func newCurrent(cfg *mysql.Config) *current {
	return &current{account: account{cfg.User, cfg.Passwd}}
}

func (c *current) get() account {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.account
}

func (c *current) set(a account) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.account = a
}

// CheckSource reads the DSN again, and returns an error if a restart is needed
// for it. New connections take it when the server refuses the one in use: until
// then that one may be the only one that the server accepts.
func (d *Database) CheckSource() error {
	if d.options.Source == nil {
		return nil
	}
	_, err := d.reread()
	return err
}

// reread returns the account in the DSN as it is now.
func (d *Database) reread() (account, error) {
	dsn, err := d.options.Source()
	if err != nil {
		return account{}, fmt.Errorf("the DSN could not be read again, and the one in use stays: %w", err)
	}
	next, err := configure(dsn, d.options)
	if err != nil {
		return account{}, fmt.Errorf("the DSN was read again, and the one in use stays: %w", err)
	}
	if now := d.cfg.Clone(); anonymous(next) != anonymous(now) {
		return account{}, fmt.Errorf("%w: it names %s/%s, and %s/%s stays in use; restart to change that",
			ErrElsewhere, next.Addr, next.DBName, now.Addr, now.DBName)
	}
	return account{next.User, next.Passwd}, nil
}

// anonymous is a DSN without its account.
func anonymous(cfg *mysql.Config) string {
	cfg = cfg.Clone()
	cfg.User, cfg.Passwd = "", ""
	return cfg.FormatDSN()
}

// refusesAccount reports whether a server refused the user or the password.
func refusesAccount(err error) bool {
	var e *mysql.MySQLError
	return errors.As(err, &e) && slices.Contains([]uint16{
		accessDenied,
		1698, // the same, where the server asked for no password
		1862, // the password has expired
		3118, // the account is locked (MySQL)
		4151, // the account is locked (MariaDB)
	}, e.Number)
}
