package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"indelible/internal/dbtest"
	"indelible/internal/freeport"
)

// readClients is how many clients read tiles.
const readClients = 64

// bench is one run: a folder, a database server, and the table that fills.
type bench struct {
	o      options
	dir    string
	table  table
	db     *dbtest.Server // nil for SQLite
	stderr io.Writer
	logs   int
}

func newBench(ctx context.Context, o options, stderr io.Writer) (*bench, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	b := &bench{o: o, dir: dir, stderr: stderr}
	if err := b.prepare(ctx); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bench) prepare(ctx context.Context) (err error) {
	if b.o.bin == "" {
		if b.o.bin, err = b.build(ctx, "logserver"); err != nil {
			return err
		}
	}
	if b.o.engine != "mysql" {
		return nil
	}
	if b.o.make != "" {
		if err := os.Setenv("TEST_DATABASE", b.o.make); err != nil {
			return err
		}
	}
	// The log of InnoDB has one name in MariaDB, and another in MySQL.
	args := []string{"--innodb-buffer-pool-size=" + b.o.pool, "--loose-innodb-log-file-size=1G", "--loose-innodb-redo-log-capacity=1G"}
	if b.o.binlog {
		args = append(args, "--log-bin=bin", "--sync-binlog=1", "--server-id=1")
	} else {
		args = append(args, "--skip-log-bin")
	}
	if b.db, err = dbtest.Start(ctx, args...); err != nil {
		return err
	}
	version, err := b.db.Version(ctx)
	fmt.Fprintf(b.stderr, "database: %s\n", version)
	return err
}

// build builds one of this tree's programs.
func (b *bench) build(ctx context.Context, name string) (string, error) {
	bin := filepath.Join(b.dir, name)
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", bin, "./cmd/"+name).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w: %s", name, err, out)
	}
	return bin, nil
}

func (b *bench) close() {
	if b.db != nil {
		b.db.Remove()
	}
	os.RemoveAll(b.dir)
}

// openDatabase makes an empty database and connects to it.
func (b *bench) openDatabase(ctx context.Context, name string) (*sql.DB, error) {
	if err := b.db.Exec(ctx, "DROP DATABASE IF EXISTS "+name, "CREATE DATABASE "+name); err != nil {
		return nil, err
	}
	return sql.Open("mysql", b.db.DSN(name))
}

// lastDatabase connects to the database of the log that was made last, to read.
func (b *bench) lastDatabase() (*sql.DB, error) {
	name := "bench_log" + strconv.Itoa(b.logs)
	if b.db == nil {
		return sql.Open("sqlite", "file:"+filepath.Join(b.dir, name, "log.db")+"?mode=ro&_pragma=busy_timeout(10000)")
	}
	return sql.Open("mysql", b.db.DSN(name))
}

// process is a server under measurement.
type process struct {
	cmd         *exec.Cmd
	http, grpc  string
	admin       string
	done        chan struct{}
	databasePID int
}

// stop ends a server, one that does not end by itself as well.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(startTimeout):
		p.cmd.Process.Kill()
		<-p.done
	}
}

// madeLog is a log that no server runs yet.
type madeLog struct {
	vkey string
	args []string // what tells a server its log
}

// makeLog makes a fresh log, of an origin of its own.
func (b *bench) makeLog(ctx context.Context) (madeLog, error) {
	b.logs++
	name := "bench_log" + strconv.Itoa(b.logs)
	l := madeLog{args: []string{"--data-dir", filepath.Join(b.dir, name), "--origin", fmt.Sprintf("log%d.bench.example", b.logs), "--storage", b.o.engine}}
	if b.o.engine == "mysql" {
		if err := b.db.Exec(ctx, "CREATE DATABASE "+name); err != nil {
			return l, err
		}
		l.args = append(l.args, "--mysql-dsn", b.db.DSN(name))
	}
	out, err := exec.CommandContext(ctx, b.o.bin, append([]string{"init"}, l.args...)...).CombinedOutput()
	if err != nil {
		return l, fmt.Errorf("logserver init: %w: %s", err, out)
	}
	_, rest, _ := strings.Cut(string(out), " vkey ")
	l.vkey, _, _ = strings.Cut(strings.TrimSpace(rest), "\n")
	return l, nil
}

// startLog makes a fresh log and a server for it.
func (b *bench) startLog(ctx context.Context, more ...string) (*process, error) {
	l, err := b.makeLog(ctx)
	if err != nil {
		return nil, err
	}
	return b.startServer(ctx, append(l.args, more...))
}

// startServer starts a logserver on a log that is there.
func (b *bench) startServer(ctx context.Context, args []string) (*process, error) {
	ports, err := freeport.Addrs(3)
	if err != nil {
		return nil, err
	}
	p := &process{http: "http://" + ports[0], grpc: ports[1], admin: "http://" + ports[2]}
	args = append(slices.Clone(args), "--http", ports[0], "--grpc", ports[1], "--admin", ports[2], "--entry-kinds", "hashedrekord,dsse,raw", "--log-level", "warn")
	p.cmd = exec.Command(b.o.bin, args...)
	p.cmd.Stderr = b.stderr
	if b.db != nil {
		p.databasePID = b.db.PID()
	}
	return p, p.start(ctx, p.admin+"/readyz")
}

// startEcho starts this program as the server that the limits are taken from.
func (b *bench) startEcho(ctx context.Context) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ports, err := freeport.Addrs(2)
	if err != nil {
		return nil, err
	}
	p := &process{http: "http://" + ports[0], grpc: ports[1]}
	p.cmd = exec.Command(self, "serve-echo", ports[0], ports[1])
	return p, p.start(ctx, p.http+"/static/tile")
}

// startTimeout is how long a server may take to be ready.
const startTimeout = 30 * time.Second

// start starts a server and waits until it is ready. One that does not become
// so is stopped.
func (p *process) start(ctx context.Context, ready string) error {
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.done = make(chan struct{})
	go func() { p.cmd.Wait(); close(p.done) }()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		why := asked(ready)
		if why == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended", filepath.Base(p.cmd.Path))
		case <-ctx.Done():
			p.stop()
			return fmt.Errorf("%s: %w, and it is not ready: %w", filepath.Base(p.cmd.Path), ctx.Err(), why)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// asked is nil if a server answers with 200.
func asked(url string) error {
	res, err := http.Get(url)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 300))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, bytes.TrimSpace(body))
	}
	return err
}

// serveEcho is the process that startEcho starts.
func serveEcho(ctx context.Context, httpAddr, grpcAddr string) error {
	l, err := net.Listen("tcp", grpcAddr)
	if err != nil {
		return err
	}
	s := grpc.NewServer()
	s.RegisterService(echoService(), nil)
	web := http.Server{Addr: httpAddr, Handler: echoHandler()}
	defer context.AfterFunc(ctx, func() { s.Stop(); web.Close() })()
	go s.Serve(l)
	return web.ListenAndServe()
}

// conns are gRPC connections shared by clients.
type conns []*grpc.ClientConn

// dial opens a few connections: one carries a hundred calls at once.
func dial(addr string, clients int) (conns, error) {
	var cs conns
	for range max(1, min(8, clients/32)) {
		c, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
		if err != nil {
			return nil, err
		}
		cs = append(cs, c)
	}
	return cs, nil
}

func (cs conns) of(client int) *grpc.ClientConn { return cs[client%len(cs)] }

func (cs conns) close() {
	for _, c := range cs {
		c.Close()
	}
}

// web is an HTTP client with a connection for each of its users.
type web struct{ http.Client }

func newWeb(clients int) *web {
	return &web{http.Client{Transport: &http.Transport{
		MaxIdleConns: clients, MaxIdleConnsPerHost: clients, DisableCompression: true,
	}}}
}

func (w *web) close() { w.CloseIdleConnections() }

func (w *web) do(req *http.Request) (io.ReadCloser, error) {
	res, err := w.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusCreated {
		body, _ := io.ReadAll(io.LimitReader(res.Body, 300))
		res.Body.Close()
		return nil, fmt.Errorf("%s %s: %s: %s", req.Method, req.URL.Path, res.Status, body)
	}
	return res.Body, nil
}

func (w *web) post(ctx context.Context, url string, body []byte, into any) error {
	data, err := w.send(ctx, url, "application/json", body)
	if err != nil || into == nil {
		return err
	}
	return json.Unmarshal(data, into)
}

// send posts a body, and returns the answer's.
func (w *web) send(ctx context.Context, url, contentType string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", contentType)
	res, err := w.do(req)
	if err != nil {
		return nil, err
	}
	defer res.Close()
	return io.ReadAll(res)
}

func (w *web) get(ctx context.Context, url string) error {
	_, err := w.copy(ctx, url, io.Discard)
	return err
}

// body is get, for an answer that is looked at.
func (w *web) body(ctx context.Context, url string) ([]byte, error) {
	var b bytes.Buffer
	_, err := w.copy(ctx, url, &b)
	return b.Bytes(), err
}

func (w *web) copy(ctx context.Context, url string, to io.Writer) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	res, err := w.do(req)
	if err != nil {
		return 0, err
	}
	defer res.Close()
	return io.Copy(to, res)
}

// usage is what a process has used so far.
type usage struct {
	cpu    time.Duration
	memory int64 // resident bytes, now
}

func usageOfAll(all []*process) (sum usage) {
	for _, p := range all {
		u := usageOf(p.cmd.Process.Pid)
		sum.cpu, sum.memory = sum.cpu+u.cpu, sum.memory+u.memory
	}
	return sum
}

// peakOf reads how much memory a process had at most, in bytes; where there is
// no /proc, nothing is known, and it is 0.
func peakOf(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	return parsePeak(string(status))
}

// parsePeak finds the line VmHWM, in KiB, of /proc/PID/status.
func parsePeak(status string) int64 {
	for line := range strings.Lines(status) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				return 0
			}
			return kib << 10
		}
	}
	return 0
}

// usageOf reads /proc; where there is none, nothing is known.
func usageOf(pid int) usage {
	var u usage
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) > 21 {
		utime, _ := strconv.ParseInt(fields[11], 10, 64)
		stime, _ := strconv.ParseInt(fields[12], 10, 64)
		pages, _ := strconv.ParseInt(fields[21], 10, 64)
		u.cpu = time.Duration(utime+stime) * (time.Second / 100)
		u.memory = pages * int64(os.Getpagesize())
	}
	return u
}
