package rows

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// Migration is one step of the schema: statements that may be run again after
// they were run, in whole or in part, since a database may commit each by itself.
type Migration struct {
	Statements []string
	// Oldest is the schema that a program must know at least to use the
	// database after this step: programs of two versions run side by side
	// during an upgrade.
	Oldest int
}

// Schema is a database's history. Migration i leads to version i+1. It only
// grows.
type Schema struct {
	Bootstrap  []string // tables schema_versions and schema_lease, if not there
	Migrations []Migration
}

// ErrSchema: the database's schema is not one that this program can use.
var ErrSchema = errors.New("the database's schema does not fit this program")

// migrationLease is after what time another process takes over a migration from
// one that was killed. It is renewed all the while.
const migrationLease = 10 * time.Second

// Migrate brings the schema to this program's version. Of several processes one
// does, and the others wait, which is told once to waiting, if that is given.
func (s *Store) Migrate(ctx context.Context, schema Schema, waiting func(what string)) error {
	for _, q := range schema.Bootstrap {
		if _, err := s.write.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("create the schema: %w", err)
		}
	}
	if done, err := s.migrated(ctx, schema); done || err != nil {
		return err
	}
	holder := rand.Text()
	err := s.awaitMigrationLease(ctx, holder, waiting)
	if err == nil {
		stop := s.keepMigrationLease(ctx, holder)
		err = s.migrate(ctx, schema, holder)
		stop()
	}
	return errors.Join(err, s.releaseMigrationLease(ctx, holder)) // which may be ours after an error, too
}

// migrated reports whether there is nothing to do.
func (s *Store) migrated(ctx context.Context, schema Schema) (bool, error) {
	have, oldest, err := s.version(ctx)
	want := len(schema.Migrations)
	if err == nil && oldest > want {
		err = tooNew(have, oldest, want)
	}
	return have >= want, err
}

func (s *Store) awaitMigrationLease(ctx context.Context, holder string, waiting func(string)) error {
	now := s.dialect.NowMillis
	_, err := s.write.ExecContext(ctx, `INSERT INTO schema_lease (id, holder, expires_at) VALUES (1, '', 0)`)
	if err != nil && !s.dialect.Duplicate(err) {
		return fmt.Errorf("schema lease: %w", err)
	}
	take := `UPDATE schema_lease SET holder = ?, expires_at = ` + now + ` + ? WHERE id = 1`
	if !s.dialect.Alone {
		take += ` AND (holder = '' OR expires_at < ` + now + `)`
	}
	for {
		res, err := s.write.ExecContext(ctx, take, holder, migrationLease.Milliseconds())
		if err != nil {
			return fmt.Errorf("schema lease: %w", err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 1 {
			return err
		}
		if waiting != nil {
			waiting(fmt.Sprintf("another process that makes the database's tables, or %v since it was killed", migrationLease))
			waiting = nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("waiting for another process that migrates the schema: %w", ctx.Err())
		}
	}
}

// keepMigrationLease renews the lease until it is stopped: a statement may take
// hours. Whether it is still ours is asked before each statement.
func (s *Store) keepMigrationLease(ctx context.Context, holder string) (stop func()) {
	if s.dialect.Alone {
		return func() {}
	}
	ctx, stop = context.WithCancel(ctx)
	go func() {
		for tick := time.Tick(migrationLease / 5); ; {
			select {
			case <-tick:
				s.renewMigrationLease(ctx, holder) // or it is tried again
			case <-ctx.Done():
				return
			}
		}
	}()
	return stop
}

func (s *Store) releaseMigrationLease(ctx context.Context, holder string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), migrationLease)
	defer cancel()
	_, err := s.write.ExecContext(ctx, `UPDATE schema_lease SET holder = '' WHERE id = 1 AND holder = ?`, holder)
	return err
}

func (s *Store) migrate(ctx context.Context, schema Schema, holder string) error {
	have, oldest, err := s.version(ctx)
	if err != nil {
		return err
	}
	if want := len(schema.Migrations); oldest > want {
		return tooNew(have, oldest, want)
	}
	for i := have; i < len(schema.Migrations); i++ {
		m := schema.Migrations[i]
		if err := s.step(ctx, m, i+1, holder); err != nil {
			return fmt.Errorf("migrate the schema to version %d: %w", i+1, err)
		}
	}
	return nil
}

// step leads to a version. Whoever lost the lease all the same runs the same
// statements to the same end as the process that has it.
func (s *Store) step(ctx context.Context, m Migration, version int, holder string) error {
	for _, q := range m.Statements {
		if err := s.renewMigrationLease(ctx, holder); err != nil {
			return err
		}
		if _, err := s.write.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	_, err := s.write.ExecContext(ctx, `INSERT INTO schema_versions (version, oldest) VALUES (?, ?)`, version, m.Oldest)
	if err != nil && s.dialect.Duplicate(err) {
		return nil // who overtook us was here first
	}
	return err
}

func (s *Store) renewMigrationLease(ctx context.Context, holder string) error {
	res, err := s.write.ExecContext(ctx, `UPDATE schema_lease SET expires_at = `+s.dialect.NowMillis+` + ? WHERE id = 1 AND holder = ?`,
		migrationLease.Milliseconds(), holder)
	if err != nil {
		return fmt.Errorf("schema lease: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return errors.New("another process took the migration over: start this one again")
}

// CheckSchema reports whether this program can use the database as it is.
func (s *Store) CheckSchema(ctx context.Context, schema Schema) error {
	have, oldest, err := s.version(ctx)
	want := len(schema.Migrations)
	switch {
	case err != nil:
		return err
	case oldest > want:
		return tooNew(have, oldest, want)
	case have < want:
		return fmt.Errorf("%w: it is at version %d, and version %d is needed: run logserver init, which also migrates", ErrSchema, have, want)
	}
	return nil
}

func (s *Store) version(ctx context.Context) (have, oldest int, err error) {
	err = s.write.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0), COALESCE(MAX(oldest), 0) FROM schema_versions`).Scan(&have, &oldest)
	if err != nil {
		err = fmt.Errorf("read the schema's version: %w", err)
	}
	return have, oldest, err
}

func tooNew(have, oldest, want int) error {
	return fmt.Errorf("%w: it is at version %d, which needs a program that knows version %d; this one knows version %d: use a newer program",
		ErrSchema, have, oldest, want)
}
