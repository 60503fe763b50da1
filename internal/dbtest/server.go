//go:build unix

// Package dbtest runs private servers of MariaDB and MySQL, alone, as a Galera
// cluster or as a MySQL group, for tests and benchmarks: each in a temporary
// folder, on a free port of the loopback interface, durable as the log asks for.
// TEST_DATABASE chooses the make. Package testing is not needed.
package dbtest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	_ "github.com/go-sql-driver/mysql" // the driver

	"indelible/internal/freeport"
)

// ErrMissing: the server is not installed.
var ErrMissing = errors.New("there is no mariadbd on this machine: apt-get install mariadb-server")

// startTimeout is far more than a start takes, recovery after a crash included.
const startTimeout = 90 * time.Second

// Server is a running MariaDB, or a stopped one that can be started again.
type Server struct {
	make Make
	dir  string
	port int
	args []string
	once []string // options for the next start alone
	env  []string // beside our own environment
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
}

// Start makes a database folder and starts a server on it. args are more
// options of mariadbd, such as --log-bin.
func Start(ctx context.Context, args ...string) (*Server, error) {
	s, err := create(ctx, true, args...)
	if err != nil {
		return nil, err
	}
	if err := s.Restart(ctx); err != nil {
		return nil, errors.Join(err, s.Remove())
	}
	return s, nil
}

// create makes a server's folder, with the system's tables or, for one that
// will have them from another, without.
func create(ctx context.Context, tables bool, args ...string) (*Server, error) {
	m, err := Chosen()
	if err != nil {
		return nil, err
	}
	if _, err := m.server(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "database")
	if err != nil {
		return nil, err
	}
	s := &Server{make: m, dir: dir, args: args}
	err = os.Mkdir(s.temporary(), 0o700)
	switch {
	case err != nil:
	case tables:
		err = m.install(ctx, s)
	default:
		err = os.Mkdir(s.data(), 0o700)
	}
	if err == nil {
		s.port, err = freeport.Port()
	}
	if err != nil {
		return nil, errors.Join(err, s.Remove())
	}
	return s, nil
}

// program finds a program, in /usr/sbin as well, where Debian puts the server.
func program(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	path := filepath.Join("/usr/sbin", name)
	if _, err := os.Stat(path); err != nil {
		return "", ErrMissing
	}
	return path, nil
}

func (s *Server) data() string   { return filepath.Join(s.dir, "data") }
func (s *Server) socket() string { return filepath.Join(s.dir, "s") }

// temporary is a folder of the server's own: each that starts removes all
// temporary tables that it finds, those of another among them.
func (s *Server) temporary() string { return filepath.Join(s.dir, "tmp") }

func (s *Server) install(ctx context.Context) error {
	install, err := program("mariadb-install-db")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, install, append([]string{
		"--no-defaults", "--datadir=" + s.data(), "--auth-root-authentication-method=normal", "--skip-test-db",
		"--force", // even where the host's name cannot be looked up
	}, runAs()...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+s.temporary())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mariadb-install-db: %w: %s", err, tail(out))
	}
	return nil
}

// runAs makes the server run as who we are; it refuses root unless told.
func runAs() []string {
	if u, err := user.Current(); err == nil && u.Uid == "0" {
		return []string{"--user=root"}
	}
	return nil
}

// Options replaces the options that Start was given, from the next Restart on.
func (s *Server) Options(args ...string) { s.args = args }

// Restart starts a server that was stopped or killed, on the same port.
func (s *Server) Restart(ctx context.Context) error {
	command, err := s.make.server()
	if err != nil {
		return err
	}
	logFile, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer logFile.Close()
	command = append(append(command, s.options()...), s.once...)
	s.cmd = exec.Command(command[0], command[1:]...)
	s.once = nil
	s.cmd.Env = append(os.Environ(), s.env...)
	s.cmd.Stdout, s.cmd.Stderr = logFile, logFile
	s.cmd.SysProcAttr = dieWithUs()
	if err := s.launch(); err != nil {
		return err
	}
	return s.await(ctx)
}

// options are those of every start.
func (s *Server) options() []string {
	return append(append([]string{
		"--datadir=" + s.data(), "--tmpdir=" + s.temporary(), "--socket=" + s.socket(), "--port=" + strconv.Itoa(s.port),
		"--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=1", "--pid-file=" + filepath.Join(s.dir, "pid"), "--max-connections=500",
	}, runAs()...), s.args...)
}

// launch starts the process and waits for its end in a goroutine that keeps
// its thread for as long: what dieWithUs asks for hangs on that thread.
func (s *Server) launch() error {
	started, done, cmd := make(chan error), make(chan struct{}), s.cmd
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
			close(done)
		}
	}()
	s.done = done
	return <-started
}

// await waits until the server answers.
func (s *Server) await(ctx context.Context) error {
	db, err := sql.Open("mysql", s.DSN(""))
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		if err = db.PingContext(ctx); err == nil {
			return nil
		}
		select {
		case <-s.done:
			return fmt.Errorf("the database server ended: %s", s.Log())
		case <-ctx.Done():
			return fmt.Errorf("the database server does not answer: %w: %s", err, s.Log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Log is the end of what the server wrote about itself.
func (s *Server) Log() []byte {
	data, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return nil
	}
	return tail(data)
}

func tail(b []byte) []byte { return b[max(0, len(b)-2000):] }

// DSN is how to connect to a database of the server, as root.
func (s *Server) DSN(database string) string {
	return fmt.Sprintf("root@tcp(%s)/%s", s.Addr(), database)
}

// Addr is the server's host and port.
func (s *Server) Addr() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

// PID is the server's process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Exec runs statements outside of any database, as root, through the server's
// socket: whatever is required of connections from elsewhere.
func (s *Server) Exec(ctx context.Context, statements ...string) error {
	db, err := sql.Open("mysql", "root@unix("+s.socket()+")/")
	if err != nil {
		return err
	}
	defer db.Close()
	for _, q := range statements {
		if _, err := db.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("%s: %w", q, err)
		}
	}
	return nil
}

// Dump is mariadb-dump's copy of a database, as an operator's backup makes it.
func (s *Server) Dump(ctx context.Context, database string) ([]byte, error) {
	name, args := "mariadb-dump", []string{"--single-transaction", database}
	if s.make.MySQL() {
		// With the GTIDs in it, the server that made the dump refuses it.
		name, args = "mysqldump", append(args, "--set-gtid-purged=OFF")
	}
	dump, err := s.tool(ctx, name, nil, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return dump, nil
}

// Load puts a dump in the place of a database.
func (s *Server) Load(ctx context.Context, database string, dump []byte) error {
	if err := s.Exec(ctx, "DROP DATABASE IF EXISTS "+database, "CREATE DATABASE "+database); err != nil {
		return err
	}
	name := "mariadb"
	if s.make.MySQL() {
		name = "mysql"
	}
	if _, err := s.tool(ctx, name, dump, database); err != nil {
		return fmt.Errorf("load a dump: %w", err)
	}
	return nil
}

// tool runs one of MariaDB's clients, as root.
func (s *Server) tool(ctx context.Context, name string, in []byte, args ...string) ([]byte, error) {
	command, err := s.make.program(name)
	if err != nil {
		return nil, err
	}
	command = append(append(command, "--no-defaults", "--user=root", "--socket="+s.socket()), args...)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	var out, complaint bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &complaint
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, tail(complaint.Bytes()))
	}
	return out.Bytes(), nil
}

// Stop ends the server in good order.
func (s *Server) Stop() error { return s.end(syscall.SIGTERM) }

// Kill ends the server at once, as a crash would.
func (s *Server) Kill() error { return s.end(syscall.SIGKILL) }

func (s *Server) end(sig syscall.Signal) error {
	if s.cmd == nil || s.cmd.Process == nil {
		return nil
	}
	select {
	case <-s.done:
		return nil
	default:
	}
	if err := s.cmd.Process.Signal(sig); err != nil {
		return err
	}
	<-s.done
	return nil
}

// Remove ends the server and deletes its folder.
func (s *Server) Remove() error {
	return errors.Join(s.end(syscall.SIGKILL), os.RemoveAll(s.dir))
}

// ask returns one value.
func (s *Server) ask(ctx context.Context, query string) (value string, err error) {
	db, err := sql.Open("mysql", s.DSN(""))
	if err != nil {
		return "", err
	}
	defer db.Close()
	err = db.QueryRowContext(ctx, query).Scan(&value)
	return value, err
}
