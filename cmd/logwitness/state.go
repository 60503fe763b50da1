//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"indelible/internal/config"
	"indelible/internal/mysqldb"
	"indelible/internal/sdnotify"
	"indelible/internal/secret"
	"indelible/internal/words"
	"indelible/witness"
	"indelible/witness/register"
	"indelible/witness/sqlstate"
)

// openState opens the database, which is made if it is not there.
func (r *running) openState(ctx context.Context, v config.Values) (err error) {
	if err := r.made.dir(v.Text("data-dir"), 0o700); err != nil {
		return fmt.Errorf("create the data directory: %w", err)
	}
	if r.state, err = connect(ctx, v); err != nil {
		return err
	}
	if r.state.Made() {
		r.made.add(func() error {
			s := r.state
			r.state = nil
			return s.Remove(context.WithoutCancel(ctx))
		})
	}
	return nil
}

func connect(ctx context.Context, v config.Values) (*sqlstate.Store, error) {
	if v.Text("storage") == "sqlite" {
		return sqlstate.OpenSQLite(ctx, databasePath(v))
	}
	dsn, err := dsnOf(v)
	if err != nil {
		return nil, err
	}
	return sqlstate.OpenMySQL(ctx, dsn, databaseAccess(v))
}

func dsnOf(v config.Values) (string, error) {
	dsn, err := secret.Line(v.Text("mysql-dsn-file"))
	if err != nil {
		return "", fmt.Errorf("--mysql-dsn-file: %w", err)
	}
	return dsn, nil
}

// databaseAccess is what connections need beside the DSN.
func databaseAccess(v config.Values) mysqldb.Access {
	return mysqldb.Access{TLS: mysqlTLS(v), Source: func() (string, error) { return secret.Line(v.Text("mysql-dsn-file")) }}
}

// awaitDatabase waits for the database, as --wait-for-database says.
func (p *program) awaitDatabase(ctx context.Context, v config.Values, logger *slog.Logger) error {
	within := v.Duration("wait-for-database")
	if v.Text("storage") != "mysql" || within == 0 {
		return nil
	}
	dsn, err := dsnOf(v)
	if err != nil {
		return err
	}
	sdnotify.New(p.getenv, logger).Waiting(within + startWithin)
	return mysqldb.Await(ctx, dsn, databaseAccess(v), within, logger)
}

// startWithin is how long a start may take once the database answers; systemd's
// own default.
const startWithin = 90 * time.Second

func mysqlTLS(v config.Values) mysqldb.TLS {
	return mysqldb.TLS{CA: v.Text("mysql-tls-ca"), Cert: v.Text("mysql-tls-cert"), Key: v.Text("mysql-tls-key")}
}

const newRegister = "and only if it is lost, and the database is certainly the newest: logwitness register new"

// openRegister opens the register that belongs to a database. One is made for a
// database that never had one.
func (r *running) openRegister(ctx context.Context, path string) error {
	id, err := r.state.RegisterID(ctx)
	if err != nil {
		return fmt.Errorf("ask the database for its register: %w", err)
	}
	file, err := register.Open(path)
	switch {
	case errors.Is(err, os.ErrNotExist) && id == "":
		file, err = r.createRegister(ctx, path, func(func(string, witness.Head)) error { return nil })
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("the register %s is gone, and without it nobody can tell a database that was restored from an older copy: "+
			"put it back; give its place with --register; %s", path, newRegister)
	case errors.Is(err, register.ErrCorrupt):
		return fmt.Errorf("%w: restore its newest copy; %s, after moving this one away", err, newRegister)
	}
	if err != nil {
		return err
	}
	r.register = file
	// A database that is new takes the register that is there: what it knows counts.
	if id == "" {
		return r.setRegister(ctx, "")
	}
	if file.ID() != id {
		return fmt.Errorf("%s is another database's register (id %s); this one's has the id %s: give its place with --register", path, file.ID(), id)
	}
	return nil
}

// createRegister makes a register that holds what each tells.
func (r *running) createRegister(ctx context.Context, path string, each func(add func(string, witness.Head)) error) (*register.File, error) {
	file, err := register.Create(path, register.NewID(), each)
	if err == nil {
		r.made.add(func() error {
			// One that the database knows, or may know, must not be missed.
			id, err := r.state.RegisterID(context.WithoutCancel(ctx))
			if err == nil && id == file.ID() {
				err = errors.New("the database knows it")
			}
			if err != nil {
				return fmt.Errorf("the new register %s stays: %w", path, err)
			}
			return os.Remove(path)
		})
	}
	return file, err
}

// setRegister gives the database the register that is open, in place of another.
func (r *running) setRegister(ctx context.Context, was string) error {
	r.made.add(func() error {
		now, err := r.state.RegisterID(context.WithoutCancel(ctx))
		if err == nil && now == r.register.ID() {
			err = r.state.SetRegister(context.WithoutCancel(ctx), now, was)
		}
		return err
	})
	return r.state.SetRegister(ctx, was, r.register.ID())
}

// behind tells of the logs of which the register knows more than the database.
func behind(ctx context.Context, s *sqlstate.Store, r *register.File, logger *slog.Logger) error {
	n := 0
	err := s.EachHead(ctx, func(origin string, h witness.Head) error {
		known, err := r.Newest(origin)
		if err == nil && known.Size == h.Size && known.Size > 0 && known.Root != h.Root {
			logger.Error("the database and the register contradict each other: nothing of this log is cosigned", "log", origin, "size", h.Size, "way out", wayOut)
		}
		if err != nil || known.Size <= h.Size {
			return err
		}
		n++
		logger.Debug("the database is behind the register", "log", origin, "database", h.Size, "register", known.Size)
		return nil
	})
	if n > 0 {
		logger.Warn("the database was restored from an older copy, or is another: these logs go on from what the register knows, which their next checkpoints must extend", "logs", n)
	}
	return err
}

func (p *program) registerCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "register", Short: "Look after the register, the witness's memory outside its database"}
	cmd.AddCommand(p.configured(&cobra.Command{
		Use:   "new",
		Short: "Make a new register from the database, in place of one that was lost",
		Long: "Make a new register from the database, in place of one that was lost.\n\n" +
			"Only you can know that the database is the newest there was. If it was restored from an older copy, the\n" +
			"witness can then cosign two histories of one log, and nothing will notice: use another key instead.",
	}, p.newRegister))
	return cmd
}

func (p *program) newRegister(ctx context.Context, v config.Values) (err error) {
	r := p.running()
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.openState(ctx, v); err != nil {
		return err
	}
	was, err := r.state.RegisterID(ctx)
	if err != nil {
		return err
	}
	path, logs := registerPath(v), 0
	r.register, err = r.createRegister(ctx, path, func(add func(string, witness.Head)) error {
		return r.state.EachHead(ctx, func(origin string, h witness.Head) error {
			logs++
			add(origin, h)
			return nil
		})
	})
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("there is a register: %s; move it away if it is the one that cannot be used", path)
	}
	if err != nil {
		return err
	}
	if err := r.setRegister(ctx, was); err != nil {
		return err
	}
	r.made.keep()
	_, err = fmt.Fprintf(p.stdout, "Register %s was made from the database, which knows %s.\n", path, words.Count(logs, "log"))
	return err
}
