package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"indelible/internal/config"
	"indelible/internal/mysqldb"
	"indelible/internal/words"
	"indelible/storage/sqlite"
)

// withoutRegister is why no backup has the register.
const withoutRegister = "The register is not in this backup, on purpose: put back together with the database, it would let the log sign a second history. " +
	"The keys are not in it either."

func (p *program) backupCommand() *cobra.Command {
	to, options := "", ""
	cmd := &cobra.Command{
		Use:   "backup --to FILE",
		Short: "Copy the database of a running log, or print the command that does",
		Long: "On SQLite: copy the database, beside a server that writes to it, as it is at one moment. The copy is audited, and\n" +
			"kept only if it extends what the register and the witnesses of --witness-policy know was signed before. It is\n" +
			"on disk when the command ends, and only its owner can read it.\n\n" +
			"On MySQL and MariaDB: print a shell script that dumps the database into FILE with the server's own program, as\n" +
			"it is at one moment, with the position in the binary log where there is one. The script names an option file\n" +
			"with the user and the password, which this command writes.\n\n" +
			"A FILE that is there is never overwritten. " + withoutRegister + "\ndocs/backup.md has the way back.",
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&to, "to", "", "the file of the backup, which must not be there yet (required)")
	cmd.Flags().StringVar(&options, "options", "", "MySQL and MariaDB: option file for the client programs; one that this command did not write stays as it is (default backup.cnf in the data directory)")
	cmd.RunE = p.with(func(ctx context.Context, v config.Values) error {
		if to == "" {
			return errors.New("give --to: the file of the backup")
		}
		if _, err := os.Lstat(to); err == nil {
			return fmt.Errorf("--to %s is there already, and is not overwritten: give another name", to)
		}
		if v.Text("storage") == "mysql" {
			return p.dumpCommand(ctx, v, to, options)
		}
		return p.copySQLite(ctx, v, to)
	})
	return cmd
}

// copySQLite copies the database under another name, which becomes its own when
// the copy was audited.
func (p *program) copySQLite(ctx context.Context, v config.Values, to string) error {
	o, err := openAnyway(ctx, v, reading)
	if err != nil {
		return err
	}
	defer o.close()
	s, err := stand(ctx, v, o, nil) // what was signed before the copy
	if err != nil {
		return err
	}
	partial := to + ".partial." + rand.Text()
	if err := sqlite.Copy(ctx, pathsOf(v).db, partial); err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	size, err := p.auditCopy(ctx, o, s, partial)
	if err == nil {
		if err = os.Link(partial, to); errors.Is(err, os.ErrExist) {
			err = fmt.Errorf("--to %s is there by now, and is not overwritten", to)
		}
	}
	if err = errors.Join(err, os.Remove(partial)); err != nil {
		return fmt.Errorf("no backup was kept: %w", err)
	}
	if err := syncDir(filepath.Dir(to)); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "Backed up log %q to %s: %s, all of them audited.\n%s\n", o.record.Origin, to, words.Count(size, "entry"), withoutRegister)
	if o.lost != nil {
		fmt.Fprintf(p.stderr, "warning: what the register knows is not known: %v\n", o.lost)
	}
	return nil
}

// auditCopy checks all that a copy holds, and that it extends what was signed
// before it was made.
func (p *program) auditCopy(ctx context.Context, o *opened, s standing, path string) (size int64, err error) {
	store, err := sqlite.OpenBeside(ctx, path)
	if err != nil {
		return 0, err
	}
	copied := &opened{store: store, record: o.record, signer: o.signer}
	defer func() { err = errors.Join(err, copied.close()) }()
	if s.head, err = store.LockedHead(ctx, o.record.ID); err != nil {
		return 0, err
	}
	if s.published, err = store.Published(ctx, o.record.ID); err != nil {
		return 0, err
	}
	return p.audit(ctx, copied, s)
}

// dumpCommand prints the script that dumps a database of MySQL or MariaDB.
func (p *program) dumpCommand(ctx context.Context, v config.Values, to, options string) error {
	dsn, err := dsnOf(v)
	if err != nil {
		return err
	}
	d, err := mysqldb.New(dsn, mysqldb.Options{Access: databaseAccess(v), AnswerWithin: askWithin, SyncWait: "1"})
	if err != nil {
		return err
	}
	client, err := d.Client(ctx)
	if err != nil {
		return err
	}
	if options == "" {
		options = filepath.Join(v.Text("data-dir"), "backup.cnf")
	}
	for _, path := range []*string{&to, &options} { // for a script that runs elsewhere
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	if err := writeOptions(options, client.Options); err != nil {
		return fmt.Errorf("write the option file: %w; give another with --options", err)
	}
	_, err = fmt.Fprint(p.stdout, dumpScript(client, options, to))
	return err
}

// ours is the first line of an option file that may be written again.
const ours = "# Written by logserver backup from the DSN. Take this line out to keep what you change.\n"

// writeOptions writes an option file, unless there is one that somebody else wrote.
func writeOptions(path, text string) error {
	there, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return err
	case !strings.HasPrefix(string(there), ours):
		return nil
	}
	temporary := path + "." + rand.Text()
	err = os.WriteFile(temporary, []byte(ours+text), 0o600)
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		os.Remove(temporary) // it has the password
	}
	return err
}

// dumpScript dumps into another file, which gets its name when it is whole and on
// disk. If the dump fails, it leaves nothing, so that it can be run again.
func dumpScript(c mysqldb.Client, options, to string) string {
	program, position := "mysqldump", " --source-data=2"
	more := " --no-tablespaces --set-gtid-purged=OFF" // which needs fewer rights, and can be loaded into the same server
	if c.MariaDB {
		program, position, more = "mariadb-dump", " --master-data=2", ""
	}
	about := "# The position in the binary log is in the comment that begins with CHANGE at the top of the dump.\n"
	if !c.BinaryLog {
		position, about = "", "# The server has no binary log, and so there is no position in one.\n"
	}
	return "# " + withoutRegister + "\n" + about +
		"set -euC\numask 077\n" +
		fmt.Sprintf("to=%s partial=%s\n", quote(to), quote(to+".partial")) +
		`if [ -e "$to" ]; then echo "$to is there already, and is not overwritten: give another name" >&2; exit 1; fi` + "\n" +
		`: >"$partial"` + "\n" + // which fails if another dump is under way
		`trap 'rm -f "$partial"' EXIT` + "\ntrap 'exit 1' HUP INT TERM\n" +
		fmt.Sprintf("%s --defaults-extra-file=%s --single-transaction --quick --hex-blob%s%s %s", program, quote(options), more, position, quote(c.Database)) + ` >>"$partial"` + "\n" +
		`tail -n 1 "$partial" | grep -q '^-- Dump completed' || { echo "the dump is not whole" >&2; exit 1; }` + "\n" +
		`sync "$partial"` + "\n" + `ln "$partial" "$to"` + "\n"
}

// quote makes one word of the shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
