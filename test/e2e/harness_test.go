//go:build unix

package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/entry"
	"indelible/internal/dbtest"
	"indelible/internal/testkit"
	"indelible/merkle"
)

const origin = "log.example"

// bins is where TestMain built the programs.
var bins string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "e2e")
	if err == nil {
		bins = dir
		var out []byte
		if out, err = exec.Command("go", "build", "-o", dir, "indelible/cmd/logserver", "indelible/cmd/logcli", "indelible/cmd/logwitness").CombinedOutput(); err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// server is a logserver that can be started again and again with the same
// arguments, on the same ports.
type server struct {
	t                 testing.TB
	args              []string
	http, grpc, admin string
	programs          string // folder of the program; bins if it is empty
	cmd               *exec.Cmd
	out               *buffer
	done              chan struct{}
}

type buffer = testkit.Buffer

func freeAddrs(t testing.TB, n int) []string {
	t.Helper()
	return testkit.Addrs(t, n)
}

func eventually(t testing.TB, what string, f func() error) {
	t.Helper()
	testkit.Eventually(t, what, f)
}

// newServer prepares a server; args say which log.
func newServer(t testing.TB, args ...string) *server {
	t.Helper()
	addrs := freeAddrs(t, 3)
	s := &server{t: t, http: addrs[0], grpc: addrs[1], admin: addrs[2]}
	s.args = append([]string{"--http", s.http, "--grpc", s.grpc, "--admin", s.admin, "--entry-kinds", "hashedrekord,dsse,raw"}, args...)
	t.Cleanup(func() {
		s.kill()
		if t.Failed() && s.out != nil {
			t.Logf("logserver %s:\n%s", strings.Join(s.args, " "), tail(s.out.String()))
		}
	})
	return s
}

func tail(s string) string { return testkit.Tail(s) }

func (s *server) start() {
	s.t.Helper()
	s.out = new(buffer)
	s.cmd = exec.Command(filepath.Join(cmp.Or(s.programs, bins), "logserver"), s.args...)
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		cmd.Wait()
		close(done)
	}(s.cmd, s.done)
}

// ready waits until the server says so.
func (s *server) ready() {
	s.t.Helper()
	eventually(s.t, "logserver ready", func() error {
		select {
		case <-s.done:
			s.t.Fatalf("logserver ended:\n%s", tail(s.out.String()))
		default:
		}
		return s.readiness()
	})
}

func (s *server) readiness() error {
	res, err := http.Get("http://" + s.admin + "/readyz")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK {
		return errors.New(string(body))
	}
	return nil
}

func (s *server) signal(sig syscall.Signal) {
	if s.cmd == nil {
		return
	}
	select {
	case <-s.done:
		return
	default:
	}
	s.cmd.Process.Signal(sig)
	<-s.done
}

func (s *server) kill() { s.signal(syscall.SIGKILL) }
func (s *server) stop() { s.signal(syscall.SIGTERM) }

// run runs a program to its end, and returns what it wrote and its exit code.
func run(t testing.TB, env []string, program string, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(filepath.Join(bins, program), args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// must is run for what has to succeed.
func must(t testing.TB, env []string, program string, args ...string) string {
	t.Helper()
	out, code := run(t, env, program, args...)
	if code != 0 {
		t.Fatalf("%s %s: exit code %d\n%s", program, strings.Join(args, " "), code, out)
	}
	return out
}

// What logserver guard status finds, by its exit codes.
const (
	poisoned    = 3
	contradicts = 4
)

// guardStatus is what logserver guard status prints of a server's log, once it ended
// with that exit code.
func (s *server) guardStatus(code int) string {
	s.t.Helper()
	out, got := run(s.t, nil, "logserver", append([]string{"guard", "status"}, s.args...)...)
	if got != code {
		s.t.Fatalf("guard status: exit code %d, not %d\n%s", got, code, out)
	}
	return out
}

// newSQLite makes a server for a fresh log in a folder.
func newSQLite(t testing.TB) *server {
	return newServer(t, "--data-dir", filepath.Join(t.TempDir(), "data"), "--origin", origin)
}

// newMariaDB starts a database server.
func newMariaDB(t testing.TB, args ...string) *dbtest.Server {
	t.Helper()
	db, err := dbtest.Start(context.Background(), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("mariadbd:\n%s", db.Log())
		}
		db.Remove()
	})
	return db
}

// mysqlArgs makes a fresh log in a database and returns the arguments that
// name it, and more if there are more.
func mysqlArgs(t testing.TB, db *dbtest.Server, name string, more ...string) []string {
	t.Helper()
	if err := db.Exec(context.Background(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	args := []string{"--data-dir", filepath.Join(t.TempDir(), "data"), "--origin", origin, "--storage", "mysql", "--mysql-dsn", db.DSN(name)}
	args = append(args, more...)
	must(t, nil, "logserver", append([]string{"init"}, args...)...)
	return args
}

// vkey asks a running server for its key. The tests trust it.
func (s *server) vkey() []checkpoint.Verifier {
	s.t.Helper()
	c, err := client.New(client.Config{URL: "http://" + s.http})
	if err != nil {
		s.t.Fatal(err)
	}
	var keys []checkpoint.Verifier
	eventually(s.t, "the server says its key", func() (err error) {
		keys, err = c.Keys(context.Background())
		return err
	})
	return keys
}

// prints waits until the server has said all of the words: what it says comes by
// a pipe, after its answers.
func (s *server) prints(words ...string) {
	s.t.Helper()
	for _, w := range words {
		eventually(s.t, "it says "+w, func() error {
			if said := s.out.String(); !strings.Contains(said, w) {
				return errors.New(tail(said))
			}
			return nil
		})
	}
}

// client returns a client of the server that tries each request once.
func (s *server) client(keys []checkpoint.Verifier) *client.Client {
	s.t.Helper()
	c, err := client.New(client.Config{URL: "http://" + s.http, Keys: keys, Tries: 1, HTTP: &http.Client{Timeout: time.Minute}})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func rawEntry(t testing.TB, text string) client.Entry {
	t.Helper()
	e, err := entry.NewRaw([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return client.Entry{Canonical: e.Canonical(), Request: client.Request{Raw: []byte(text)}}
}

// ledger is what clients were promised: which entry has which index, and every
// checkpoint that was served.
type ledger struct {
	t      testing.TB
	prefix string // of all its entries

	mu          sync.Mutex
	next        int
	index       map[string]int64
	at          map[int64]string
	checkpoints map[int64]checkpoint.Opened
}

func newLedger(t testing.TB) *ledger {
	return &ledger{t: t, index: map[string]int64{}, at: map[int64]string{}, checkpoints: map[int64]checkpoint.Opened{}}
}

// text makes up an entry that was not there before, or now and then one that
// was.
func (l *ledger) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	n := l.next
	if n%10 == 0 {
		n /= 2
	}
	return fmt.Sprintf("%sentry %d", l.prefix, n)
}

// promised notes an answer; one that contradicts an earlier one is a failure.
func (l *ledger) promised(text string, got client.Logged) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if was, ok := l.index[text]; ok && was != got.Index {
		l.t.Errorf("%q was number %d, and is number %d", text, was, got.Index)
	}
	if other, ok := l.at[got.Index]; ok && other != text {
		l.t.Errorf("number %d is both %q and %q", got.Index, other, text)
	}
	l.index[text], l.at[got.Index] = got.Index, text
	l.sawLocked(got.Checkpoint)
}

// add has an entry logged, however often that takes on a busy machine.
func (l *ledger) add(c *client.Client, text string) {
	l.t.Helper()
	eventually(l.t, "an entry is logged", func() error {
		got, err := c.Add(context.Background(), rawEntry(l.t, text))
		if err == nil {
			l.promised(text, got)
		}
		return err
	})
}

func (l *ledger) sawLocked(o checkpoint.Opened) {
	if was, ok := l.checkpoints[o.Size]; ok && was.Root != o.Root {
		l.t.Errorf("two checkpoints of size %d: roots %x and %x", o.Size, was.Root, o.Root)
	}
	l.checkpoints[o.Size] = o
}

func (l *ledger) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.index)
}

// grows waits until n more entries were logged.
func (l *ledger) grows(n int) {
	l.t.Helper()
	before := l.len()
	eventually(l.t, "adds go on", func() error {
		if now := l.len(); now < before+n {
			return fmt.Errorf("%d entries after %d", now, before)
		}
		return nil
	})
}

// largest is the size of the largest checkpoint that was served.
func (l *ledger) largest() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	largest := int64(0)
	for size := range l.checkpoints {
		largest = max(largest, size)
	}
	return largest
}

// load has clients add entries to servers until stop is called. Errors are
// what happens when a server is killed; only wrong answers count.
func (l *ledger) load(clients int, to ...*client.Client) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i := range clients {
		c := to[i%len(to)]
		wg.Go(func() {
			for ctx.Err() == nil {
				text := l.text()
				got, err := c.Add(ctx, rawEntry(l.t, text))
				switch {
				case err == nil:
					l.promised(text, got)
				case errors.Is(err, client.ErrUntrusted):
					l.t.Errorf("wrong answer: %v", err)
				default:
					select {
					case <-time.After(5 * time.Millisecond):
					case <-ctx.Done():
					}
				}
			}
		})
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

// settle checks every promise against the log: it has every entry where it was
// said to be, and its tree contains every checkpoint that was served.
func (l *ledger) settle(c *client.Client) {
	l.t.Helper()
	ctx := context.Background()
	var newest checkpoint.Opened
	eventually(l.t, "the server shows the newest checkpoint that any has served", func() (err error) {
		if newest, err = c.Checkpoint(ctx); err == nil && newest.Size < l.largest() {
			err = fmt.Errorf("it shows size %d", newest.Size)
		}
		return err
	})
	var edge merkle.Edge
	roots := map[int64]merkle.Hash{0: merkle.EmptyRoot()}
	texts := map[int64]string{}
	for edge.Size() < newest.Size {
		start := edge.Size()
		var entries [][]byte
		eventually(l.t, "the server shows its entries", func() (err error) {
			entries, err = c.Entries(ctx, start, min(start+merkle.TileWidth, newest.Size))
			return err
		})
		for i, e := range entries {
			texts[start+int64(i)] = string(e)
			edge, _ = edge.Append([]merkle.Hash{merkle.LeafHash(e)})
			roots[edge.Size()] = edge.Root()
		}
	}
	if roots[newest.Size] != newest.Root {
		l.t.Fatalf("the entries do not give the root of size %d", newest.Size)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for text, index := range l.index {
		if texts[index] != text {
			l.t.Errorf("number %d was promised to %q, and is %q", index, text, texts[index])
		}
	}
	for size, o := range l.checkpoints {
		if roots[size] != o.Root {
			l.t.Errorf("the checkpoint of size %d that was served is not of this tree", size)
		}
	}
	seen := map[string]int64{}
	for index, text := range texts {
		if was, ok := seen[text]; ok {
			l.t.Errorf("%q is in the log twice, as %d and %d", text, was, index)
		}
		seen[text] = index
	}
}
