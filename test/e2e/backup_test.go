//go:build unix

package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"indelible/internal/dbtest"
)

// A machine is a folder with a log as docs/backup.md speaks of it: log.yaml, data,
// register, backup, mirror.
type machine struct {
	*server
	dir string
	db  *dbtest.Server // nil: SQLite
}

// password has what an option file must quote.
const password = `pa"ss #1;\\`

func newMachine(t *testing.T, mariadb bool) *machine {
	t.Helper()
	m := &machine{dir: t.TempDir()}
	config := fmt.Sprintf("origin: %s\ndata-dir: %s\nregister: %s\n", origin, m.path("data"), m.path("register"))
	if mariadb {
		config += m.database(t)
	}
	if err := os.Mkdir(m.path("data"), 0o700); err != nil {
		t.Fatal(err)
	}
	m.write(t, "log.yaml", config)
	m.server = newServer(t, "--config", m.path("log.yaml"))
	return m
}

// database runs a server with TLS, and makes the log's database and its user as
// docs/operations.md does.
func (m *machine) database(t *testing.T) (config string) {
	t.Helper()
	m.sh(t, strings.Join(section(t, "../../docs/operations.md", "TLS to the database, with your own authority"), ""), "DB_NAME=IP:127.0.0.1")
	m.db = newMariaDB(t, "--ssl-ca="+m.path("ca.pem"), "--ssl-cert="+m.path("server.pem"), "--ssl-key="+m.path("server.key"), "--log-bin", "--binlog-format=ROW")
	statements := sqlBlocks(t)
	if err := m.db.Exec(t.Context(), statements[0]...); err != nil {
		t.Fatal(err)
	}
	m.write(t, "dsn", fmt.Sprintf("indelible:%s@tcp(%s)/indelible\n", strings.ReplaceAll(password, `\\`, `\`), m.db.Addr()))
	host, port, _ := strings.Cut(m.db.Addr(), ":")
	m.write(t, "admin.cnf", fmt.Sprintf("[client]\nuser=root\nhost=%s\nport=%s\nprotocol=TCP\n", host, port))
	return fmt.Sprintf("storage: mysql\nmysql-dsn-file: %s\nmysql-tls-ca: %s\n", m.path("dsn"), m.path("ca.pem"))
}

// sqlBlocks are the statements of docs/operations.md, by block.
func sqlBlocks(t *testing.T) (blocks [][]string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?ms)^```sql\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		var block []string
		for statement := range strings.SplitSeq(m[1], ";\n") {
			if statement != "" {
				block = append(block, strings.ReplaceAll(statement, "PASSWORD", password))
			}
		}
		blocks = append(blocks, block)
	}
	if len(blocks) != 2 {
		t.Fatalf("%d blocks of SQL", len(blocks))
	}
	return blocks
}

// section has the commands of a guide's section.
func section(t *testing.T, file, title string) []string {
	t.Helper()
	for _, s := range guide(t, file) {
		if s.title == title {
			return s.sh
		}
	}
	t.Fatalf("%s has no section %q", file, title)
	return nil
}

func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }

func (m *machine) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(m.path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// sh runs commands of a guide, and returns what they print.
func (m *machine) sh(t *testing.T, script string, env ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euc", script)
	cmd.Dir, cmd.Env = m.dir, append(os.Environ(), "PATH="+bins+":"+os.Getenv("PATH"), "XDG_CONFIG_HOME="+m.path("config"))
	if m.server != nil {
		cmd.Env = append(cmd.Env, "LOG_URL=http://"+m.http, "INDELIBLE_ADMIN="+m.admin)
	}
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, script, out)
	}
	return string(out)
}

// backups is the guide in parts.
type backups struct {
	intro, backup, mirror         string
	putBack, look, forward, audit string
}

func backupGuide(t *testing.T, mariadb bool) backups {
	t.Helper()
	const file = "../../docs/backup.md"
	drill := section(t, file, "The drill")
	if len(drill) != 5 {
		t.Fatalf("the drill has %d blocks", len(drill))
	}
	b := backups{
		intro: guide(t, file)[0].sh[0], mirror: section(t, file, "Keep a mirror")[0],
		backup: section(t, file, "Back up a log on SQLite")[0], putBack: drill[0], look: drill[2], forward: drill[3], audit: drill[4],
	}
	if mariadb {
		b.backup, b.putBack = section(t, file, "Back up a log on MySQL or MariaDB")[0], drill[1]
	}
	return b
}

// TestBackupDrill backs a log up under load, and brings all of it back on another
// machine, as docs/backup.md says.
func TestBackupDrill(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) { drill(t, false) })
	t.Run("MariaDB", func(t *testing.T) { drill(t, true) })
}

func drill(t *testing.T, mariadb bool) {
	g, m := backupGuide(t, mariadb), newMachine(t, mariadb)
	m.sh(t, g.intro+"logserver init")
	if mariadb {
		if err := m.db.Exec(t.Context(), sqlBlocks(t)[1]...); err != nil {
			t.Fatal(err)
		}
	}
	m.start()
	m.ready()
	keys := m.vkey()
	m.write(t, "log.vkey", keys[0].String()+"\n")
	c, l := m.client(keys), newLedger(t)
	stop := l.load(4, c)
	l.grows(300)
	m.sh(t, g.intro+g.backup)
	l.grows(50)
	stop()
	m.sh(t, g.intro+g.mirror)
	m.hasNoSecrets(t, g)

	there := newMachine(t, mariadb)
	for _, name := range []string{"register", "log.vkey", "backup", "mirror", "data/log.key", "data/rekor-v1.key"} {
		m.sh(t, fmt.Sprintf("cp -a %s %s", name, there.path(filepath.Dir(name))))
	}
	there.sh(t, g.intro+g.putBack)
	there.sh(t, g.intro+g.look)
	there.start()
	there.prints("THE LOG IS POISONED", "rollback: the database's tree head has size")
	if _, err := there.client(keys).Add(t.Context(), rawEntry(t, "another")); err == nil {
		t.Error("an entry was added to an older copy")
	}
	there.stop()
	there.sh(t, g.intro+g.forward)
	there.start()
	there.ready()
	there.sh(t, g.intro+g.audit)
	l.settle(there.client(keys))
	there.stop()

	// The log itself went on meanwhile. A backup after which nothing was added is
	// taken as it is.
	l.add(c, "after the drill")
	l.settle(c)
	m.stop()
	m.sh(t, "rm -r backup")
	m.sh(t, g.intro+g.backup)
	m.sh(t, g.intro+g.putBack+"logserver guard status")
	m.start()
	m.ready()
	l.add(c, "after the restore")
	l.settle(c)
}

// hasNoSecrets demands that only the owner can read what a backup writes, that a
// script has no password, and that a second backup overwrites nothing.
func (m *machine) hasNoSecrets(t *testing.T, g backups) {
	t.Helper()
	if m.db == nil {
		m.sh(t, "[ $(stat -c %a backup/log.db) = 600 ]; ! INDELIBLE_CONFIG=log.yaml "+g.backup)
		return
	}
	m.sh(t, "[ $(stat -c %a backup/log.sql) = 600 ]; [ $(stat -c %a data/backup.cnf) = 600 ]; grep -q 'CHANGE MASTER TO' backup/log.sql; ! sh backup/dump.sh")
	for _, name := range []string{"backup/dump.sh", "backup/log.sql"} {
		text, err := os.ReadFile(m.path(name))
		if err != nil || strings.Contains(string(text), "pa\"ss") {
			t.Error(errors.Join(err, fmt.Errorf("%s has the password", name)))
		}
	}
}
