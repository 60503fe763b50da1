//go:build unix

package e2e

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/internal/dbtest"
	"indelible/merkle"
)

// The programs of an earlier version are in the folder UPGRADE_FROM, where make
// upgrades builds them. Without it, what they left behind is in storedState, and
// two servers of this version take turns.
const storedState = "testdata/state-of-8dcc954.tar.gz"

func earlier() string { return cmp.Or(os.Getenv("UPGRADE_FROM"), bins) }

// mustBy is must, of the programs in a folder.
func mustBy(t *testing.T, folder, dir, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(folder, program), args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "XDG_CONFIG_HOME="+filepath.Join(dir, "config"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// A state is what a log and its witness left behind in a folder: data, register,
// log.sql, witness, promises.json, README with its proof, config of logcli.
type state struct {
	dir string
	db  *dbtest.Server // nil: SQLite
}

// promises are what a ledger knows.
type promises struct {
	Index map[string]int64 `json:"index"`
	Roots map[int64]string `json:"roots"`
}

func (s state) path(name string) string { return filepath.Join(s.dir, name) }

func (s state) logArgs(more ...string) []string {
	args := []string{"--data-dir", s.path("data"), "--register", s.path("register"), "--origin", origin}
	if s.db != nil {
		args = append(args, "--storage", "mysql", "--mysql-dsn", s.db.DSN("log"))
	}
	return append(args, more...)
}

// witness runs the log's witness, and returns the arguments of a log that asks it.
func (s state) witness(t *testing.T, programs string) (stop func(), args []string) {
	t.Helper()
	addrs := freeAddrs(t, 2)
	w := []string{
		"serve", "--listen", addrs[0], "--admin", addrs[1], "--key", s.path("witness/key"), "--logs", s.path("witness/logs"),
		"--data-dir", s.path("witness/data"), "--register", s.path("witness/register"),
	}
	if s.db != nil {
		if err := os.WriteFile(s.path("witness/dsn"), []byte(s.db.DSN("witness")), 0o600); err != nil {
			t.Fatal(err)
		}
		w = append(w, "--storage", "mysql", "--mysql-dsn-file", s.path("witness/dsn"))
	}
	cmd := exec.Command(filepath.Join(programs, "logwitness"), w...)
	out := new(buffer)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		if t.Failed() {
			t.Logf("logwitness:\n%s", tail(out.String()))
		}
	})
	eventually(t, "the witness answers", func() error {
		res, err := http.Get("http://" + addrs[1] + "/readyz")
		if err != nil {
			return err
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return errors.New(res.Status)
		}
		return nil
	})
	vkey, err := os.ReadFile(s.path("witness/key.vkey"))
	if err != nil {
		t.Fatal(err)
	}
	policy := fmt.Sprintf("witness w %s http://%s\nquorum w\n", strings.TrimSpace(string(vkey)), addrs[0])
	if err := os.WriteFile(s.path("policy"), []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	return func() {
		cmd.Process.Signal(os.Interrupt)
		<-ended
	}, s.logArgs("--witness-policy", s.path("policy"))
}

// fill makes a log by an earlier version, with a witness, and entries.
func (s state) fill(t *testing.T, programs string) {
	t.Helper()
	if s.db != nil {
		if err := s.db.Exec(t.Context(), "CREATE DATABASE log", "CREATE DATABASE witness"); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.MkdirAll(s.path("witness"), 0o700), os.WriteFile(s.path("README"), []byte("a file\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	out := mustBy(t, programs, s.dir, "logserver", append([]string{"init"}, s.logArgs()...)...)
	vkey := regexp.MustCompile(`(?m)^  vkey +(\S+)$`).FindStringSubmatch(out)[1]
	mustBy(t, programs, s.dir, "logwitness", "keygen", "--name", "witness.example", "--out", s.path("witness/key"))
	if err := os.WriteFile(s.path("witness/logs"), []byte("logs/v0\nvkey "+vkey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stop, args := s.witness(t, programs)
	server := newServer(t, args...)
	server.programs = programs
	server.start()
	server.ready()
	l, c := newLedger(t), server.client(server.vkey())
	ended := l.load(4, c)
	l.grows(300)
	ended()
	mustBy(t, programs, s.dir, "logcli", "add", "--url", "http://"+server.http, s.path("README"))
	l.settle(c)
	server.stop()
	stop()
	s.keep(t, l)
}

// keep writes what must be true later, and dumps the databases.
func (s state) keep(t *testing.T, l *ledger) {
	t.Helper()
	p := promises{Index: l.index, Roots: map[int64]string{}}
	for size, o := range l.checkpoints {
		p.Roots[size] = fmt.Sprintf("%x", o.Root)
	}
	text, err := json.Marshal(p)
	if err == nil {
		err = os.WriteFile(s.path("promises.json"), text, 0o600)
	}
	for _, name := range []string{"log", "witness"} {
		if s.db != nil && err == nil {
			var dump []byte
			if dump, err = s.db.Dump(t.Context(), name); err == nil {
				err = os.WriteFile(s.path(name+".sql"), dump, 0o600)
			}
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// load puts the databases in the place of those of a server.
func (s state) load(t *testing.T) {
	t.Helper()
	for _, name := range []string{"log", "witness"} {
		if s.db == nil {
			return
		}
		dump, err := os.ReadFile(s.path(name + ".sql"))
		if err == nil {
			err = s.db.Load(t.Context(), name, dump)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// ledger is what was promised before.
func (s state) ledger(t *testing.T) *ledger {
	t.Helper()
	text, err := os.ReadFile(s.path("promises.json"))
	var p promises
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil || len(p.Index) < 300 {
		t.Fatalf("%d promises, %v", len(p.Index), err)
	}
	l := newLedger(t)
	l.prefix = "later "
	for text, index := range p.Index {
		l.index[text], l.at[index] = index, text
	}
	for size, root := range p.Roots {
		hash, err := hex.DecodeString(root)
		if err != nil {
			t.Fatal(err)
		}
		var o checkpoint.Opened
		o.Size, o.Root = size, merkle.Hash(hash)
		l.checkpoints[size] = o
	}
	return l
}

// goesOn opens what an earlier version left behind: nothing is lost, and new
// entries follow.
func (s state) goesOn(t *testing.T) {
	t.Helper()
	stop, args := s.witness(t, bins)
	server := newServer(t, args...)
	server.start()
	server.ready()
	l, c := s.ledger(t), server.client(server.vkey())
	ended := l.load(4, c)
	l.grows(100)
	ended()
	l.settle(c)
	mustBy(t, bins, s.dir, "logcli", "verify", s.path("README"))
	mustBy(t, bins, s.dir, "logcli", "add", "--url", "http://"+server.http, s.path("README"))
	mustBy(t, bins, s.dir, "logcli", "fsck", "--url", "http://"+server.http)
	server.stop()
	mustBy(t, bins, s.dir, "logserver", append([]string{"fsck"}, args...)...)
	mustBy(t, bins, s.dir, "logserver", append([]string{"guard", "status"}, args...)...)
	stop()
}

// TestUpgrade opens the database, the register and the witness's state that an
// earlier version left behind.
func TestUpgrade(t *testing.T) {
	dir := t.TempDir()
	db := newMariaDB(t)
	states := map[string]state{"sqlite": {dir: filepath.Join(dir, "sqlite")}, "mariadb": {filepath.Join(dir, "mariadb"), db}}
	if programs := os.Getenv("UPGRADE_FROM"); programs != "" {
		for _, s := range states {
			if err := os.Mkdir(s.dir, 0o700); err != nil {
				t.Fatal(err)
			}
			s.fill(t, programs)
		}
		if to := os.Getenv("UPGRADE_STATE"); to != "" {
			pack(t, dir, to)
		}
	} else if out, err := exec.Command("tar", "-xzpf", storedState, "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for name, s := range states {
		t.Run(name, func(t *testing.T) {
			s.load(t)
			s.goesOn(t)
		})
	}
}

func pack(t *testing.T, dir, to string) {
	t.Helper()
	if out, err := exec.Command("tar", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-czf", to, "-C", dir, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// TestRollingUpgrade replaces one of two servers of a log by this version, under
// load, goes back, and replaces both. Two versions run side by side meanwhile.
func TestRollingUpgrade(t *testing.T) {
	db := newMariaDB(t)
	if err := db.Exec(context.Background(), "CREATE DATABASE log"); err != nil {
		t.Fatal(err)
	}
	s := state{t.TempDir(), db}
	mustBy(t, earlier(), s.dir, "logserver", append([]string{"init"}, s.logArgs()...)...)
	servers, clients := []*server{}, []*client.Client{}
	for range 2 {
		one := newServer(t, s.logArgs()...)
		one.programs = earlier()
		one.start()
		one.ready()
		servers, clients = append(servers, one), append(clients, one.client(one.vkey()))
	}
	l := newLedger(t)
	ended := l.load(8, clients...)
	l.grows(200)
	mustBy(t, bins, s.dir, "logserver", append([]string{"init"}, s.logArgs()...)...) // brings the tables up to date
	l.grows(200)
	for _, step := range []struct {
		server   int
		programs string
	}{{0, bins}, {0, earlier()}, {0, bins}, {1, bins}} {
		one := servers[step.server]
		one.stop()
		one.programs = step.programs
		one.start()
		one.ready()
		l.grows(300)
	}
	ended()
	for i, one := range servers {
		l.settle(clients[i])
		one.stop()
		if strings.Contains(one.out.String(), "POISONED") {
			t.Errorf("server %d:\n%s", i, one.out.String())
		}
	}
	for _, programs := range []string{earlier(), bins} {
		mustBy(t, programs, s.dir, "logserver", append([]string{"fsck"}, s.logArgs()...)...)
		mustBy(t, programs, s.dir, "logserver", append([]string{"guard", "status"}, s.logArgs()...)...)
	}
	version, err := db.Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("RESULT %s | %d", version, l.len())
}
