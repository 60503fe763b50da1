package sigstore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// password is of the users' private keys.
const password = "correct horse"

// world is a log of its own, and the folder of somebody who uses it: where all
// programs run. In it, after newWorld:
//
//	cosign.key, cosign.pub   ECDSA P-256
//	trust/                   what the log's clients need, by logcli trust export
type world struct {
	t     *testing.T
	url   string // of the log; its origin is the host
	dir   string
	proxy string
	out   buffer // the server's
	stop  func() // ends the server
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// newWorld's log has every kind of signature line in its checkpoints; that of
// newServer only its own, as logserver makes it without settings.
func newWorld(t *testing.T, flags ...string) *world {
	t.Helper()
	w := newFolder(t)
	w.serve(append(w.witnessed(), flags...))
	w.must("logcli", "trust", "export", "--url", w.url, "--dir", "trust")
	w.must("cosign3", "generate-key-pair")
	return w
}

// newServer is a world with a server, and an empty folder.
func newServer(t *testing.T, flags ...string) *world {
	t.Helper()
	w := newFolder(t)
	w.serve(flags)
	return w
}

func newFolder(t *testing.T) *world {
	t.Helper()
	return &world{t: t, dir: t.TempDir(), proxy: nobody(t)}
}

// nobody is a proxy that no request may reach: all that is to be reached is
// this machine, for which clients use none.
func nobody(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("a program wanted to reach %s %s", r.Method, r.Host)
		http.Error(w, "no network", http.StatusBadGateway)
	})}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return "http://" + l.Addr().String()
}

// serve starts a logserver. Its origin is the host of its URL without the
// port, as cosign demands of Rekor v2.
func (w *world) serve(flags []string) {
	w.t.Helper()
	w.stop = w.start(&w.out, "logserver", append([]string{
		"--data-dir", filepath.Join(w.t.TempDir(), "log"), "--origin", "localhost",
		"--http", anyPort, "--grpc", anyPort, "--admin", anyPort,
	}, flags...)...)
	w.url = "http://localhost:" + said(w.t, &w.out, `HTTP +https?://127\.0\.0\.1:(\d+)\n`)
}

// anyPort has a server choose the port: one that a test had found to be free could
// be another's by the time that the server listens.
const anyPort = "127.0.0.1:0"

// said returns what a server says of itself, when it has said it.
func said(t *testing.T, out *buffer, form string) (what string) {
	t.Helper()
	until(t, out, func() error {
		m := regexp.MustCompile(form).FindStringSubmatch(out.String())
		if m == nil {
			return fmt.Errorf("the server does not say %q", form)
		}
		what = m[1]
		return nil
	})
	return what
}

// until tries something until it succeeds, for a while.
func until(t *testing.T, out *buffer, try func() error) {
	t.Helper()
	end := time.After(2 * time.Minute)
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-end:
			t.Fatalf("%v:\n%s", err, tail(out.String()))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// start runs one of the servers, and waits until it is ready. It ends with the
// test, or when it is stopped.
func (w *world) start(out *buffer, name string, args ...string) (stop func()) {
	w.t.Helper()
	cmd := exec.Command(filepath.Join(bin, name), args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	stop = func() {
		cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	}
	w.t.Cleanup(func() {
		stop()
		if w.t.Failed() {
			w.t.Logf("%s:\n%s", name, tail(out.String()))
		}
	})
	ready(w.t, ended, out)
	return stop
}

var admin = regexp.MustCompile(`(?m)^  admin +(http://\S+)\n`)

// ready waits until a server has said where it is to be asked, and says there that
// it is ready.
func ready(t *testing.T, ended <-chan struct{}, out *buffer) {
	t.Helper()
	until(t, out, func() error {
		select {
		case <-ended:
			t.Fatalf("the server ended:\n%s", tail(out.String()))
		default:
		}
		m := admin.FindStringSubmatch(out.String())
		if m == nil {
			return errors.New("the server does not say where its admin port is")
		}
		return ok(m[1] + "/readyz")
	})
}

func ok(url string) error {
	res, err := http.Get(url)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", res.Status, body)
	}
	return nil
}

func tail(s string) string { return s[max(0, len(s)-4000):] }

// env is the environment of the programs: nothing of the machine's own, and no
// way out of it.
func (w *world) env() []string {
	return []string{
		"PATH=" + bin + ":/usr/local/bin:/usr/bin:/bin", "HOME=" + w.dir, "TUF_ROOT=" + filepath.Join(w.dir, "tuf"), "DOCKER_CONFIG=" + w.dir,
		"HTTP_PROXY=" + w.proxy, "HTTPS_PROXY=" + w.proxy, "http_proxy=" + w.proxy, "https_proxy=" + w.proxy,
		"NO_PROXY=localhost,127.0.0.1", "no_proxy=localhost,127.0.0.1",
		"COSIGN_PASSWORD=" + password, "TMPDIR=" + w.t.TempDir(),
	}
}

// in gives the same world, with all that is in the folder, to another test.
func (w *world) in(t *testing.T) *world {
	return &world{t: t, url: w.url, proxy: w.proxy, dir: w.dir}
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) write(name, content string) string {
	w.t.Helper()
	if err := os.WriteFile(w.path(name), []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return name
}

func (w *world) read(name string) string {
	w.t.Helper()
	b, err := os.ReadFile(w.path(name))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// program prepares a program. Assignments before its name, as in a shell, go
// into its environment.
func (w *world) program(args []string) *exec.Cmd {
	env := w.env()
	for strings.Contains(args[0], "=") {
		env, args = append(env, args[0]), args[1:]
	}
	program := filepath.Join(bin, args[0])
	if _, err := os.Stat(program); err != nil {
		program = args[0] // of the system's
	}
	cmd := exec.CommandContext(w.t.Context(), program, args[1:]...)
	cmd.Dir, cmd.Env = w.dir, env
	return cmd
}

// run runs a program to its end, and returns what it wrote.
func (w *world) run(args ...string) (stdout, all string, code int) {
	w.t.Helper()
	cmd := w.program(args)
	var out bytes.Buffer
	var both buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, &both), &both
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	return out.String(), both.String(), cmd.ProcessState.ExitCode()
}

// must is run for what has to succeed; it returns what went to stdout.
func (w *world) must(args ...string) string {
	w.t.Helper()
	stdout, all, code := w.run(args...)
	if code != 0 {
		w.t.Fatalf("%s: exit code %d\n%s", strings.Join(args, " "), code, all)
	}
	return stdout
}

// refused is run for what has to fail, for a reason that matches a regular
// expression.
func (w *world) refused(reason string, args ...string) {
	w.t.Helper()
	_, all, code := w.run(args...)
	switch {
	case code == 0:
		w.t.Errorf("%s succeeded; it should have failed: %s\n%s", strings.Join(args, " "), reason, all)
	case !regexp.MustCompile(reason).MatchString(all):
		w.t.Errorf("%s failed; not for the reason %q, but:\n%s", strings.Join(args, " "), reason, all)
	}
}
