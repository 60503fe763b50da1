package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"indelible/checkpoint"
)

// shows is a witness that cosigns nothing any more and shows one checkpoint, or
// does not answer.
type shows struct {
	key    *checkpoint.Cosigner
	note   atomic.Pointer[[]byte]
	url    string
	policy string // file
}

func newShows(t *testing.T) *shows {
	t.Helper()
	key, err := checkpoint.NewCosigner("witness.example/w", ed25519.NewKeyFromSeed(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	s := &shows{key: key, policy: filepath.Join(t.TempDir(), "policy")}
	sum := sha256.Sum256([]byte("log.example.com"))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note := s.note.Load()
		if note == nil || r.URL.Path != "/"+hex.EncodeToString(sum[:])+"/checkpoint" {
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		w.Write(*note)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	s.write(t, s.url)
	return s
}

// write writes the policy, with more lines.
func (s *shows) write(t *testing.T, url string, more ...string) {
	t.Helper()
	policy := fmt.Sprintf("witness w %s %s\n%s\nquorum w\n", s.key.Verifier(), url, strings.Join(more, "\n"))
	if err := os.WriteFile(s.policy, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
}

// saw is what the witness shows from now on, cosigned by it.
func (s *shows) saw(t *testing.T, o checkpoint.Opened) {
	t.Helper()
	sig, err := s.key.Cosign(o.Checkpoint, 1_700_000_000)
	if err != nil {
		t.Fatal(err)
	}
	note, _, err := checkpoint.AddCosignatures(o.Note, []checkpoint.Verifier{s.key.Verifier()}, sig)
	if err != nil {
		t.Fatal(err)
	}
	s.note.Store(&note)
}

// grows adds entries to a log, and returns what it published then.
func grows(t *testing.T, dir string, texts ...string) (newest checkpoint.Opened) {
	t.Helper()
	s := start(t, dir)
	defer s.stop()
	for _, text := range texts {
		request, _ := signed(t, text)
		if code, body := s.ask(t, http.MethodPost, "/api/v2/log/entries", request); code != http.StatusCreated {
			t.Fatalf("%d: %s", code, body)
		}
	}
	newest, _ = served(t, s)
	return newest
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(from))); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(to, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files { // whose modes CopyFS widens
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// command runs a command of logserver on a data directory.
func command(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	var out printed
	err := commandTo(t, &out, dir, args...)
	return out.String(), err
}

func commandTo(t *testing.T, out io.Writer, dir string, args ...string) error {
	t.Helper()
	return run(t.Context(), append(args, "--data-dir", dir, "--origin", "log.example.com"), func(string) (string, bool) { return "", false }, out, out)
}

// database opens a log's, beside whoever else has it.
func database(t *testing.T, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "log.db")+"?_pragma=busy_timeout(60000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// fact is the one of a log whose name begins so.
func fact(t *testing.T, dir, name string) (value map[string]any) {
	t.Helper()
	db := database(t, dir)
	defer db.Close()
	var text []byte
	if err := db.QueryRow(`SELECT value FROM facts WHERE name LIKE ? || '%'`, name).Scan(&text); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// TestClearWhileTheWitnessIsAway has the database and the register of a log
// restored together, so that a witness alone knows what was signed, and that
// witness gone when the operator wants to go on.
func TestClearWhileTheWitnessIsAway(t *testing.T) {
	dir, older, newer, w := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "older"), filepath.Join(t.TempDir(), "newer"), newShows(t)
	grows(t, dir, "a")
	copyDir(t, dir, older)
	newest := grows(t, dir, "b", "c", "d")
	w.saw(t, newest)
	copyDir(t, dir, newer)
	copyDir(t, older, dir)
	s := start(t, dir, "--witness-policy", w.policy, "--witness-fail-open")
	poll(t, "it is poisoned", func() bool { return strings.Contains(s.log.String(), "a witness holds a checkpoint of size 4") })
	s.stop()

	clear := []string{"guard", "clear", "--reason", "x", "--by", "ada", "--witness-policy", w.policy}
	_, err := command(t, dir, clear...)
	refusedBy(t, err, "not cleared", "size 4 was signed, as witness w knows, and it has 1")
	note := w.note.Swap(nil)
	_, err = command(t, dir, clear...)
	refusedBy(t, err, "not cleared", "what witness w remembers of the log is not known", "--without-witness w")
	without := append(clear, "--without-witness", "w")
	for _, args := range [][]string{without, clear[:6], append(clear, "--without-witness", "v")} {
		_, err = command(t, dir, args...)
		refusedBy(t, err, "not cleared", "size 4 was signed, as the register's poison record knows, and it has 1")
	}
	_, err = command(t, dir, append(clear, "--without-witness", "v")...)
	refusedBy(t, err, "--without-witness v: no witness of --witness-policy has that name")
	out, err := command(t, dir, "guard", "status", "--witness-policy", w.policy)
	if exitCode(err) != statusPoisoned || !strings.Contains(out, "by a signed head that others showed: size 4 ") {
		t.Errorf("%v: %s", err, out)
	}
	_, err = command(t, dir, "fsck", "--witness-policy", w.policy, "--without-witness", "w")
	refusedBy(t, err, "as the register's poison record knows")

	// Of the same size, and another tree.
	copyDir(t, older, dir)
	other := grows(t, dir, "e", "f", "g")
	w.note.Store(note)
	s = start(t, dir, "--witness-policy", w.policy, "--witness-fail-open")
	poll(t, "it is poisoned", func() bool { return strings.Contains(s.log.String(), "fork: at size 4 ") })
	s.stop()
	w.note.Store(nil)
	_, err = command(t, dir, without...)
	refusedBy(t, err, "at size 4 another root was signed, as the register's poison record knows")
	if other.Size != newest.Size || other.Root == newest.Root {
		t.Fatal("no fork was made")
	}
}

// TestClearedIsRecorded clears a log without its witness, once the database is
// the newest again.
func TestClearedIsRecorded(t *testing.T) {
	dir, older, newer, w := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "older"), filepath.Join(t.TempDir(), "newer"), newShows(t)
	grows(t, dir, "a")
	copyDir(t, dir, older)
	w.saw(t, grows(t, dir, "b", "c", "d"))
	copyDir(t, dir, newer)
	copyDir(t, older, dir)
	s := start(t, dir, "--witness-policy", w.policy, "--witness-fail-open")
	poll(t, "it is poisoned", func() bool { return strings.Contains(s.log.String(), "a witness holds a checkpoint of size 4") })
	s.stop()
	w.note.Store(nil)
	register, err := os.ReadFile(filepath.Join(dir, "register"))
	if err != nil || !regexp.MustCompile(`(?m)^poison ".*" 4 \S+ \d+ [0-9a-f]{8}$`).Match(register) {
		t.Errorf("%v: %s", err, register)
	}
	mirror := start(t, newer)
	if out, err := command(t, dir, "restore", "--from", mirror.url); err != nil || !strings.Contains(out, "from 1 entry to 4") {
		t.Fatalf("%v: %s", err, out)
	}
	mirror.stop()
	clear := []string{"guard", "clear", "--reason", "the newest copy\nis back", "--witness-policy", w.policy, "--without-witness", "w"}
	if out, err := command(t, dir, clear...); err != nil || !strings.Contains(out, "Cleared at size 4. Reason given: the newest copy") {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := command(t, dir, "guard", "status")
	if err != nil || !strings.Contains(out, "register   size 4 ") || !regexp.MustCompile(`poison cleared on the word of ".+ at .+" at 20\d\d-.*: \(without asking w\) the newest copy`).MatchString(out) {
		t.Errorf("%v: %s", err, out)
	}
	got := fact(t, dir, "poison-cleared-")
	if got["size"] != 4.0 || got["why"] != "the newest copy\nis back" || fmt.Sprint(got["without_witnesses"]) != "[w]" || !strings.HasPrefix(fmt.Sprint(got["poison"]), "rollback: ") {
		t.Errorf("%v", got)
	}
	if newest := grows(t, dir, "e"); newest.Size != 5 {
		t.Errorf("size %d", newest.Size)
	}
}

// TestAcceptWhileTheWitnessIsAway accepts a tree head in the place of a lost
// register's.
func TestAcceptWhileTheWitnessIsAway(t *testing.T) {
	dir, w := filepath.Join(t.TempDir(), "data"), newShows(t)
	newest := grows(t, dir, "a", "b")
	if err := os.Remove(filepath.Join(dir, "register")); err != nil {
		t.Fatal(err)
	}
	accept := []string{
		"guard", "accept", "--size", "2", "--root", hex.EncodeToString(newest.Root[:]), "--by", "ada", "--why", "the disk died",
		"--witness-policy", w.policy,
	}
	refused := func(says string) {
		t.Helper()
		_, err := command(t, dir, accept...)
		refusedBy(t, err, "not accepted: what witness w remembers of the log is not known: "+says, "--without-witness w")
	}
	refused("it shows no checkpoint (503)")
	w.write(t, w.url, "witness v "+witnessKey(t))
	refused("it shows no checkpoint (503)")
	_, err := command(t, dir, append(accept, "--without-witness", "w")...)
	refusedBy(t, err, "what witness v remembers of the log is not known: the policy has no URL to ask it at", "--without-witness v")
	w.write(t, "http://127.0.0.1:1")
	refused("Get ")
	w.write(t, w.url)
	w.note.Store(&newest.Note)
	refused("it shows a checkpoint without its own signature")
	w.note.Store(nil)
	if out, err := command(t, dir, append(accept, "--without-witness", "w")...); err != nil || !strings.Contains(out, "at size 2") {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := command(t, dir, "guard", "status"); err != nil || !strings.Contains(out, ": (without asking w) the disk died") {
		t.Errorf("%v: %s", err, out)
	}
	if got := fact(t, dir, "register-accepted-"); got["by"] != "ada" || got["why"] != "the disk died" || fmt.Sprint(got["without_witnesses"]) != "[w]" {
		t.Errorf("%v", got)
	}
	// The database is audited all the same.
	audit := func(says string, args ...string) {
		t.Helper()
		if out, err := command(t, dir, append([]string{"fsck", "--witness-policy", w.policy}, args...)...); err != nil || !strings.Contains(out, says) {
			t.Errorf("%v: %s", err, out)
		}
	}
	audit("every leaf hash, tile and root follows from them, and the checkpoint and the register agree.\nwarning: what witness w remembers of the log is not known: it shows no checkpoint (503)")
	audit(`"ok":true,"warnings":["what witness w remembers`, "--output", "json")
	w.saw(t, newest)
	if out, err := command(t, dir, "fsck", "--witness-policy", w.policy); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// leased makes a log's publishing lease that of a replica, for so long.
func leased(t *testing.T, db *sql.DB, d time.Duration) {
	t.Helper()
	_, err := db.Exec(`INSERT INTO leases (log_id, name, holder, epoch, expires_at) VALUES (1, 'publish', 'replica a', 1, ?)
		ON CONFLICT (log_id, name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at`, time.Now().Add(d).UnixMilli())
	if err != nil {
		t.Error(err)
	}
}

// waited has something happen when a program prints some words, before it goes on.
type waited struct {
	printed
	says string
	then func()
}

func (w *waited) Write(b []byte) (int, error) {
	if strings.Contains(string(b), w.says) {
		w.then()
	}
	return w.printed.Write(b)
}

// TestCommandsWhileAReplicaPublishes: who changes a log does it alone. A replica
// that ended is waited for.
func TestCommandsWhileAReplicaPublishes(t *testing.T) {
	dir, older := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "older")
	newest := grows(t, dir, "a", "b")
	copyDir(t, dir, older)
	mirror := start(t, older)
	accept := []string{"guard", "accept", "--size", "2", "--root", hex.EncodeToString(newest.Root[:]), "--by", "ada", "--why", "test", "--register", filepath.Join(t.TempDir(), "register")}
	db := database(t, dir)
	for _, args := range [][]string{{"guard", "clear", "--reason", "x"}, {"restore", "--from", mirror.url}, accept} {
		leased(t, db, time.Hour)
		_, err := command(t, dir, args...)
		refusedBy(t, err, `replica "replica a" publishes at present: stop it, and all others`, "its lease runs out in 5") // 59 minutes and more

		// One that renews its lease, while that is waited for.
		const waits = `Replica "replica a" may be publishing. If it has ended, its lease runs out in `
		out := &waited{says: waits, then: func() { leased(t, db, time.Hour) }}
		leased(t, db, 5*time.Second)
		err = commandTo(t, out, dir, args...)
		refusedBy(t, err, `replica "replica a" publishes at present`)
		if !strings.Contains(out.String(), waits) {
			t.Errorf("%s", out)
		}

		// One that has ended.
		leased(t, db, 300*time.Millisecond)
		if out, err := command(t, dir, args...); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		holder := ""
		if err := db.QueryRow(`SELECT holder FROM leases WHERE name = 'publish'`).Scan(&holder); err != nil || holder != "" {
			t.Errorf("%q keeps the lease: %v", holder, err)
		}
	}
}

func poll(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(3 * time.Minute); !done(); {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}
