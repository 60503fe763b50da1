//go:build unix

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"indelible/client"
	"indelible/internal/dbtest"
)

// store is an object store, which is a program of its own, and a wire to it that
// can be cut.
type store struct {
	t    *testing.T
	addr string
	door *door
}

// newStore starts a store with an empty bucket, and has the environment hold
// credentials for it. The program is in a module of its own, for what it needs.
func newStore(t *testing.T) *store {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	bin := filepath.Join(t.TempDir(), "objectstore")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./objectstore")
	build.Dir = filepath.Join("..", "registers")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s := &store{t: t, addr: freeAddrs(t, 1)[0]}
	cmd := exec.Command(bin, s.addr, "bucket")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	s.door = newDoor(t, s.addr)
	eventually(t, "the store answers", func() error {
		_, err := s.do(http.MethodHead, "", nil)
		return err
	})
	return s
}

// do asks the store past the wire, and without conditions.
func (s *store) do(method, key string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.addr+"/bucket/"+key, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %s", method, key, res.Status, data)
	}
	return data, err
}

func (s *store) must(method, key string, body []byte) []byte {
	s.t.Helper()
	data, err := s.do(method, key, body)
	if err != nil {
		s.t.Fatal(err)
	}
	return data
}

// where is the place of a register below a prefix.
func (s *store) where(prefix string) string {
	return "s3://bucket/" + prefix + "?region=here&endpoint=" + url.QueryEscape("http://"+s.door.addr())
}

func keptInObject(t *testing.T) kept {
	s := newStore(t)
	const key = "logs/a/register"
	return kept{
		where: s.where("logs/a"),
		save: func(*testing.T) func() {
			data := s.must(http.MethodGet, key, nil)
			return func() { s.must(http.MethodPut, key, data) }
		},
		lose: func(*testing.T) { s.must(http.MethodDelete, key, nil) },
		cut:  func(*testing.T) { s.door.move(freeAddrs(t, 1)[0]) },
		mend: func(*testing.T) { s.door.move(s.addr) },
	}
}

// sharing are two servers of one log, in a database, that share a register.
type sharing struct {
	servers []*server
	clients []*client.Client
	args    []string
}

func newSharing(t *testing.T, args ...string) *sharing {
	t.Helper()
	s := &sharing{args: args}
	for range 2 {
		s.servers = append(s.servers, newServer(t, args...))
	}
	s.start()
	keys := s.servers[0].vkey()
	for _, one := range s.servers {
		s.clients = append(s.clients, one.client(keys))
	}
	return s
}

func (s *sharing) start() {
	for _, one := range s.servers {
		one.start()
		one.ready()
	}
}

func (s *sharing) stop() {
	for _, one := range s.servers {
		one.stop()
	}
}

// TestRestoredUnderASharedRegister puts an older dump of the database under two
// servers that share a register in an object store or in a database: neither
// appends or signs, both say why, a restart changes nothing, and the newest dump
// ends it.
func TestRestoredUnderASharedRegister(t *testing.T) {
	db := newMariaDB(t)
	for name, kind := range map[string]func(*testing.T) kept{"object": keptInObject, "database": keptInDatabase} {
		for _, runs := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, running %v", name, runs), func(t *testing.T) {
				restoredUnder(t, db, kind(t), fmt.Sprintf("%s%v", name, runs), runs)
			})
		}
	}
}

func restoredUnder(t *testing.T, db *dbtest.Server, k kept, name string, runs bool) {
	s := newSharing(t, mysqlArgs(t, db, name, "--register", k.where)...)
	l := newLedger(t)
	l.add(s.clients[0], "before")
	older := dump(t, db, name)
	l.add(s.clients[1], "second")
	l.add(s.clients[0], "third")
	newer := dump(t, db, name)
	load := func(backup []byte) {
		t.Helper()
		if err := db.Load(t.Context(), name, backup); err != nil {
			t.Fatal(err)
		}
	}
	why := "rollback: the database's tree head has size 1, and "
	refuses := func() {
		t.Helper()
		for i, one := range s.servers {
			one.refusesToGoOn(l, s.clients[i], why)
		}
	}
	if !runs {
		s.stop()
		why += "the register knows that size 3 was signed"
	}
	load(older)
	if runs {
		refuses()
		s.stop()
	}
	for _, one := range s.servers {
		one.start()
	}
	refuses()
	for _, one := range s.servers {
		one.prints("then logserver fsck, and logserver guard clear")
	}
	s.stop()
	status := s.servers[0].guardStatus(poisoned)
	if !strings.Contains(status, "the database is behind: size 3 was signed") {
		t.Errorf("guard status:\n%s", status)
	}
	clearing := append([]string{"guard", "clear", "--reason", "test"}, s.args...)
	if out, code := run(t, nil, "logserver", clearing...); code != 1 || !strings.Contains(out, "not cleared: the database is behind") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if entries, head := sizes(t, db, name); entries != 1 || head != 1 {
		t.Errorf("something was appended: there are %d entries, and the tree head has size %d", entries, head)
	}

	load(newer)
	must(t, nil, "logserver", append([]string{"fsck"}, s.args...)...)
	must(t, nil, "logserver", clearing...)
	s.start()
	for i, c := range s.clients {
		l.add(c, fmt.Sprint("after ", i))
		l.settle(c)
	}
	s.stop()
}

// Another log's object in the place of this log's, while servers run, and when
// they start. The log is not poisoned where it has not started.
func TestObjectOfAnotherLog(t *testing.T) {
	o := newStore(t)
	other := newServer(t, "--data-dir", filepath.Join(t.TempDir(), "data"), "--origin", "other.example", "--register", o.where("b"))
	must(t, nil, "logserver", append([]string{"init"}, other.args...)...)
	foreign := o.must(http.MethodGet, "b/register", nil)

	s := newServer(t, "--data-dir", filepath.Join(t.TempDir(), "data"), "--origin", origin, "--register", o.where("a"))
	s.start()
	s.ready()
	c, l := s.client(s.vkey()), newLedger(t)
	l.add(c, "before")
	s.stop()
	own := o.must(http.MethodGet, "a/register", nil)
	o.must(http.MethodPut, "a/register", foreign)
	s.refusesStart(`is the register of log "other.example"`)
	o.must(http.MethodPut, "a/register", own)
	s.start()
	s.ready()
	l.add(c, "it goes on")

	own = o.must(http.MethodGet, "a/register", nil)
	o.must(http.MethodPut, "a/register", foreign)
	s.says(c, `it was replaced by that of log "other.example"`)
	s.stop()
	s.refusesStart("give the log's own with --register")
	o.must(http.MethodPut, "a/register", own)
	s.refusesNothing(t, l, c)
	s.stop()
	if got := o.must(http.MethodGet, "b/register", nil); !bytes.Equal(got, foreign) {
		t.Errorf("the other log's register was written to: %s", got)
	}
}

// An object that does not check, under a server that runs and before one starts.
func TestDamagedObject(t *testing.T) {
	o := newStore(t)
	s := newServer(t, "--data-dir", filepath.Join(t.TempDir(), "data"), "--origin", origin, "--register", o.where("a"))
	s.start()
	s.ready()
	c, l := s.client(s.vkey()), newLedger(t)
	l.add(c, "before")
	own := o.must(http.MethodGet, "a/register", nil)
	o.must(http.MethodPut, "a/register", own[:len(own)/2])
	s.says(c, "the register failed: ")
	s.stop()
	s.refusesStart("restore the register from its newest copy")
	o.must(http.MethodPut, "a/register", own)
	s.refusesNothing(t, l, c)
	s.stop()
}

// TestTwoWritersOfAnObject has two servers publish one log whose register is an
// object, under load through both, while the wire to the store is cut now and then
// and one server is killed: whoever wins, all heads are of one tree.
func TestTwoWritersOfAnObject(t *testing.T) {
	db, k := newMariaDB(t), keptInObject(t)
	s := newSharing(t, mysqlArgs(t, db, "log", "--register", k.where)...)
	l := newLedger(t)
	stop := l.load(8, s.clients...)
	goOn := func(what string) {
		t.Helper()
		n := l.len()
		eventually(t, what, func() error {
			if now := l.len(); now < n+100 {
				return fmt.Errorf("%d entries after %d; %w", now, n, errors.Join(s.servers[0].readiness(), s.servers[1].readiness()))
			}
			return nil
		})
	}
	for i := range 4 {
		goOn("adds")
		k.cut(t)
		k.mend(t)
		goOn("adds after the store was away")
		one := s.servers[i%2]
		one.kill()
		goOn("adds through the other server")
		one.start()
		one.ready()
	}
	stop()
	t.Logf("%d adds", l.len())
	for _, c := range s.clients {
		l.settle(c)
	}
	s.stop()
	must(t, nil, "logserver", append([]string{"fsck"}, s.args...)...)
}
