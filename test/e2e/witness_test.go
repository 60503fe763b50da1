//go:build unix

package e2e

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/witness"
)

// remembering is a witness's database and its register, which forget with the
// test.
type remembering struct {
	mu         sync.Mutex
	logs       []witness.Log
	heads      map[string]witness.Head
	registered map[string]witness.Head
	older      map[int64]witness.Head // of the log under test, by size
}

func (m *remembering) Logs(context.Context) ([]witness.Log, error) { return m.logs, nil }

func (m *remembering) AddLogs(_ context.Context, logs []witness.Log) error {
	m.logs = append(m.logs, logs...)
	return nil
}

func (m *remembering) Head(_ context.Context, origin string) (witness.Head, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.heads[origin], nil
}

func (m *remembering) Swap(_ context.Context, origin string, from, to witness.Head) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if have := m.heads[origin]; have.Size != from.Size || have.Root != from.Root || have.Time != from.Time {
		return witness.ErrMoved
	}
	m.heads[origin], m.older[to.Size] = to, to
	return nil
}

func (m *remembering) Newest(origin string) (witness.Head, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.registered[origin], nil
}

func (m *remembering) Advance(_ context.Context, origin string, to witness.Head) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if to.Size > m.registered[origin].Size {
		m.registered[origin] = to
	}
	return nil
}

// watcher is a witness behind a port, which tests can spoil.
type watcher struct {
	name, url string
	key       checkpoint.Verifier
	real      http.Handler
	memory    *remembering

	mu    sync.Mutex
	spoil func(http.ResponseWriter, *http.Request) (done bool) // before a cosignature; nil for none

	hides atomic.Bool // what it cosigned
}

// newWatcher runs a witness of one log until the test ends.
func newWatcher(t *testing.T, n byte, log []checkpoint.Verifier) *watcher {
	t.Helper()
	name := fmt.Sprintf("w%d", n)
	key, err := checkpoint.NewCosigner(name+".example", ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	m := &remembering{heads: map[string]witness.Head{}, registered: map[string]witness.Head{}, older: map[int64]witness.Head{}, logs: []witness.Log{{Origin: origin, Keys: log}}}
	w, err := witness.New(t.Context(), witness.Config{State: m, Register: m, Cosigners: []*checkpoint.Cosigner{key}})
	if err != nil {
		t.Fatal(err)
	}
	wa := &watcher{name: name, key: key.Verifier(), memory: m, real: w.Handler("https://witness.example", func(_ context.Context, err error) { t.Errorf("witness %s: %v", name, err) })}
	on, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	wa.url = "http://" + on.Addr().String()
	server := &http.Server{Handler: wa}
	go server.Serve(on)
	t.Cleanup(func() { server.Close() })
	return wa
}

func (w *watcher) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	spoil := w.spoil
	w.mu.Unlock()
	if w.hides.Load() && r.Method == http.MethodGet {
		http.Error(rw, "not now", http.StatusServiceUnavailable)
		return
	}
	if spoil != nil && r.Method == http.MethodPost && spoil(rw, r) {
		return
	}
	w.real.ServeHTTP(rw, r)
}

func (w *watcher) is(spoil func(http.ResponseWriter, *http.Request) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spoil = spoil
}

// forget restores the witness from an older copy, of when it cosigned a size.
func (w *watcher) forget(size int64) {
	m := w.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heads[origin], m.registered[origin] = m.older[size], m.older[size]
}

// What can be wrong with a witness.
func down(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }

func garbage(rw http.ResponseWriter, _ *http.Request) bool {
	rw.Write(bytes.Repeat([]byte{0xff, '\n', '0'}, 1000))
	return true
}

// held answers when it is let, if it is still waited for then; left counts those
// who went before.
type held struct {
	let  chan struct{}
	left atomic.Int64
}

func newHeld() *held { return &held{let: make(chan struct{})} }

func (h *held) spoil(_ http.ResponseWriter, r *http.Request) bool {
	// Read first: the server notices that the client is gone only then.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return true
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	select {
	case <-h.let:
		return false
	case <-r.Context().Done():
		h.left.Add(1)
		return true
	}
}

// silent never answers.
func silent(rw http.ResponseWriter, r *http.Request) bool { return newHeld().spoil(rw, r) }

// watched is a log with a policy of three witnesses, of which two must cosign.
type watched struct {
	*server
	witnesses [3]*watcher
	policy    string // file
	keys      []checkpoint.Verifier
}

// newWatched makes the log and its witnesses; more are arguments of the server.
func newWatched(t *testing.T, logArgs []string, more ...string) *watched {
	t.Helper()
	out := must(t, nil, "logserver", append([]string{"init"}, logArgs...)...)
	w := &watched{policy: filepath.Join(t.TempDir(), "policy")}
	var policy strings.Builder
	for _, m := range regexp.MustCompile(`(?m)^  vkey +(\S+)$`).FindAllStringSubmatch(out, -1) {
		key, err := checkpoint.ParseVerifier(m[1])
		if err != nil {
			t.Fatal(err)
		}
		w.keys = append(w.keys, key)
		fmt.Fprintf(&policy, "log %s\n", m[1])
	}
	for i := range w.witnesses {
		wa := newWatcher(t, byte(i+1), w.keys)
		w.witnesses[i] = wa
		fmt.Fprintf(&policy, "witness %s %s %s\n", wa.name, wa.key, wa.url)
	}
	policy.WriteString("group two 2 w1 w2 w3\nquorum two\n")
	if err := os.WriteFile(w.policy, []byte(policy.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	w.server = newServer(t, append(append(logArgs, "--witness-policy", w.policy), more...)...)
	return w
}

func sqliteArgs(t *testing.T) []string {
	return []string{"--data-dir", filepath.Join(t.TempDir(), "data"), "--origin", origin}
}

// cosigners are the names of the witnesses on the checkpoint that is served.
func (w *watched) cosigners() (names []string, opened checkpoint.Opened, err error) {
	res, err := http.Get("http://" + w.http + "/checkpoint")
	if err != nil {
		return nil, opened, err
	}
	defer res.Body.Close()
	note, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, opened, err
	}
	return w.cosignersOf(note)
}

// cosignedByAll waits until all witnesses have cosigned the newest checkpoint, and
// not only as many as must: which of them has then seen what is sure.
func (w *watched) cosignedByAll(t *testing.T, l *ledger) {
	t.Helper()
	eventually(t, "all witnesses cosign", func() error {
		names, o, err := w.cosigners()
		if err == nil && (len(names) != len(w.witnesses) || o.Size != l.largest()) {
			err = fmt.Errorf("size %d is cosigned by %v", o.Size, names)
		}
		return err
	})
}

func (w *watched) cosignersOf(note []byte) (names []string, opened checkpoint.Opened, err error) {
	var keys []checkpoint.Verifier
	for _, wa := range w.witnesses {
		keys = append(keys, wa.key)
	}
	if opened, err = checkpoint.Open(note, w.keys, keys...); err != nil {
		return nil, opened, err
	}
	for _, wa := range w.witnesses {
		if opened.VerifiedBy(wa.key) {
			names = append(names, wa.name)
		}
	}
	return names, opened, nil
}

// demanding is a client that takes nothing that the quorum did not cosign.
func (w *watched) demanding() *client.Client {
	w.t.Helper()
	data, err := os.ReadFile(w.policy)
	if err != nil {
		w.t.Fatal(err)
	}
	policy, err := checkpoint.ParsePolicy(data)
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := client.New(client.Config{URL: "http://" + w.http, Policy: policy, Tries: 1, HTTP: &http.Client{Timeout: 60 * time.Second}})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// TestQuorumWithOneUseless: two of three cosign, and what the third does holds
// nobody up.
func TestQuorumWithOneUseless(t *testing.T) {
	t.Parallel()
	w := newWatched(t, sqliteArgs(t), "--mldsa-key", filepath.Join(t.TempDir(), "mldsa.key"))
	w.start()
	w.ready()
	c, l := w.demanding(), newLedger(t)
	three := func(name string) {
		t.Helper()
		for i := range 3 {
			text := fmt.Sprint(name, " ", i)
			got, err := c.Add(t.Context(), rawEntry(t, text))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			l.promised(text, got)
		}
	}
	more := func(name string, done func() error) {
		t.Helper()
		n := 0
		eventually(t, name, func() error {
			n++
			text := fmt.Sprint(name, " ", n)
			got, err := c.Add(t.Context(), rawEntry(t, text))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			l.promised(text, got)
			return done()
		})
	}
	for _, wa := range w.witnesses {
		wa.is(down)
		three(wa.name + " down")
		w.counts(t, `indelible_witness_answers_total{result="unreachable",witness="`+wa.name+`"}`)
		wa.is(garbage)
		three(wa.name + " garbage")
		more(wa.name+" garbage, more", func() error { // it rests before it is asked again
			if said := `indelible_witness_answers_total{result="refused",witness="` + wa.name + `"}`; !strings.Contains(w.metrics(t), said) {
				return fmt.Errorf("it does not count %s", said)
			}
			return nil
		})
		wa.is(nil)
		three(wa.name + " is well")
		more(wa.name+" is well, more", func() error {
			names, _, err := w.cosigners()
			if err == nil && !slices.Contains(names, wa.name) {
				err = fmt.Errorf("cosigned by %v", names)
			}
			return err
		})
		w.counts(t, `indelible_witness_answers_total{result="cosigned",witness="`+wa.name+`"}`, `indelible_witness_seconds_count{witness="`+wa.name+`"}`)
	}
	// While one is waited for, the others are enough.
	slow := newHeld()
	w.witnesses[1].is(slow.spoil)
	three("w2 slow")
	if n := slow.left.Load(); n > 0 {
		t.Errorf("three adds took so long that w2 was given up %d times", n)
	}
	if names, o, err := w.cosigners(); err != nil || o.Size != l.largest() || len(names) != 2 {
		t.Errorf("%v, %v", names, err)
	}
	// What comes late is merged into what is served.
	close(slow.let)
	w.cosignedByAll(t, l)
	l.settle(c)
	// Once a minute, and not for each of 18 failures.
	w.prints("a witness does not cosign")
	if n := strings.Count(w.out.String(), "a witness does not cosign"); n > 12 {
		t.Errorf("%d warnings", n)
	}
}

// counts waits until the server counts something.
func (s *server) counts(t *testing.T, what ...string) {
	t.Helper()
	for _, w := range what {
		eventually(t, "it counts "+w, func() error {
			if metrics := s.metrics(t); !strings.Contains(metrics, w) {
				return errors.New(metrics)
			}
			return nil
		})
	}
}

func (s *server) metrics(t *testing.T) string {
	t.Helper()
	res, err := http.Get("http://" + s.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestQuorumNeedsTheSlowOne: with one down, an add waits for the one that takes
// 10 s, and needs no other answer of it.
func TestQuorumNeedsTheSlowOne(t *testing.T) {
	t.Parallel()
	w := newWatched(t, sqliteArgs(t))
	w.start()
	w.ready()
	c, l := w.demanding(), newLedger(t)
	l.add(c, "before")
	w.cosignedByAll(t, l)
	w.witnesses[0].is(garbage)
	slow := newHeld()
	var asked atomic.Int64
	w.witnesses[2].is(func(rw http.ResponseWriter, r *http.Request) bool {
		if asked.Add(1)-slow.left.Load() > 1 {
			return silent(rw, r)
		}
		return slow.spoil(rw, r)
	})
	var answered atomic.Bool
	added := make(chan error, 1)
	go func() {
		got, err := c.Add(context.Background(), rawEntry(t, "entry"))
		answered.Store(true)
		if err == nil {
			l.promised("entry", got)
		}
		added <- err
	}()
	<-time.After(10 * time.Second)
	if answered.Load() {
		t.Error("one witness cosigned, and the add is answered")
	}
	close(slow.let)
	if err := <-added; err != nil {
		t.Fatal(err)
	}
	w.witnesses[2].is(nil)
	l.settle(c)
}

// TestNoQuorum: where one alone cosigns, nothing is published and no add is
// answered with a proof, until two do.
func TestNoQuorum(t *testing.T) {
	t.Parallel()
	w := newWatched(t, sqliteArgs(t), "--add-timeout", "2s")
	w.start()
	w.ready()
	c, l := w.demanding(), newLedger(t)
	l.add(c, "before")
	_, before, err := w.cosigners()
	if err != nil {
		t.Fatal(err)
	}
	w.witnesses[0].is(down)
	w.witnesses[1].is(silent)
	for i, third := range []func(http.ResponseWriter, *http.Request) bool{garbage, down} {
		w.witnesses[i%2*2].is(third)
		eventually(t, "an add is told that too few cosign", func() error {
			var refusal *client.StatusError
			_, err := c.Add(t.Context(), rawEntry(t, "entry"))
			if err == nil {
				t.Fatal("one witness cosigned at most, and the add is answered")
			}
			if !errors.As(err, &refusal) || refusal.Status != http.StatusGatewayTimeout || !strings.Contains(refusal.Message, "too few of the log's witnesses cosign") {
				return fmt.Errorf("the answer is %w", err)
			}
			return nil
		})
	}
	if _, now, err := w.cosigners(); err != nil || now.Size != before.Size {
		t.Errorf("size %d is published, and before it was %d: %v", now.Size, before.Size, err)
	}
	eventually(t, "readiness says why", func() error {
		if err := w.readiness(); err == nil || !strings.Contains(err.Error(), "the quorum of witnesses is not met") {
			return fmt.Errorf("it says %v", err)
		}
		return nil
	})
	// What was accepted is not lost, and not added again.
	for _, wa := range w.witnesses {
		wa.is(nil)
	}
	eventually(t, "enough of them are asked again, and cosign", w.readiness)
	l.add(c, "entry")
	l.add(c, "after")
	if l.index["entry"] != 1 || l.index["after"] != 2 {
		t.Errorf("%v", l.index)
	}
	l.settle(c)
}

// TestPolicyComesLater: what a log published before it had a policy, it does not
// go on showing without the quorum, by any of its APIs.
func TestPolicyComesLater(t *testing.T) {
	t.Parallel()
	args := sqliteArgs(t)
	w := newWatched(t, args, "--add-timeout", "2s")
	before := newServer(t, args...)
	before.start()
	before.ready()
	newLedger(t).add(before.client(w.keys), "entry")
	before.stop()
	for _, wa := range w.witnesses {
		wa.is(down)
	}
	w.start()
	for _, path := range []string{"/checkpoint", "/v1/checkpoint", "/v1/entries/0", "/tile/entries/000.p/1", "/api/v2/checkpoint", "/api/v1/log", "/api/v1/log/entries?logIndex=0"} {
		eventually(t, path+" is not shown", func() error {
			res, err := http.Get("http://" + w.http + path)
			if err != nil {
				return err
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if res.StatusCode == http.StatusOK {
				t.Fatalf("%s answers\n%s", path, body)
			}
			if res.StatusCode != http.StatusServiceUnavailable {
				return fmt.Errorf("%s: %s: %s", path, res.Status, body)
			}
			return err
		})
	}
	if got, err := w.client(w.keys).Add(t.Context(), rawEntry(t, "entry")); err == nil {
		t.Fatalf("the entry is answered with\n%s", got.Checkpoint.Note)
	}
	for _, wa := range w.witnesses {
		wa.is(nil)
	}
	w.ready()
	l := newLedger(t)
	if l.add(w.demanding(), "entry"); l.index["entry"] != 0 {
		t.Fatalf("index %d", l.index["entry"])
	}
	if names, _, err := w.cosigners(); err != nil || len(names) < 2 {
		t.Errorf("cosigned by %v, %v", names, err)
	}
}

func TestFailOpen(t *testing.T) {
	t.Parallel()
	w := newWatched(t, sqliteArgs(t), "--witness-fail-open")
	w.start()
	w.ready()
	c := w.client(w.keys)
	w.witnesses[0].is(garbage)
	w.witnesses[1].is(down)
	w.witnesses[2].is(silent)
	got, err := c.Add(t.Context(), rawEntry(t, "entry"))
	if err != nil {
		t.Fatal(err)
	}
	if names, _, err := w.cosignersOf(got.Checkpoint.Note); err != nil || len(names) != 0 {
		t.Errorf("cosigned by %v: %v", names, err)
	}
	if _, err := w.demanding().Checkpoint(t.Context()); err == nil {
		t.Error("a client with the policy takes what the quorum did not cosign")
	}
	for _, wa := range w.witnesses {
		wa.is(nil)
	}
	n := 0
	eventually(t, "witnesses cosign again", func() error { // they rest before they are asked
		n++
		if _, err := c.Add(t.Context(), rawEntry(t, fmt.Sprint("entry after ", n))); err != nil {
			return err
		}
		_, err := w.demanding().Checkpoint(t.Context())
		return err
	})
}

// TestWitnessesRemember has a log's database and register restored together
// from an older copy: only its witnesses know.
func TestWitnessesRemember(t *testing.T) {
	args := sqliteArgs(t)
	w := newWatched(t, args)
	w.start()
	w.ready()
	c, l := w.client(w.keys), newLedger(t)
	l.add(c, "before")
	w.stop()
	older := filepath.Join(t.TempDir(), "older")
	if out, err := exec.Command("cp", "-a", args[1], older).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	w.start()
	w.ready()
	l.addMany(c, 300)
	w.cosignedByAll(t, l)
	w.stop()
	if err := errors.Join(os.Rename(args[1], args[1]+".newer"), os.Rename(older, args[1])); err != nil {
		t.Fatal(err)
	}
	w.start()
	why := "rollback: the database's tree head has size 1, and a witness holds a checkpoint of size 301 that this log's key signed"
	w.refusesToGoOn(l, c, why)
	w.stop()
	// It is remembered without the witnesses, too.
	w.args = w.args[:len(w.args)-2]
	w.start()
	w.refusesToGoOn(l, c, why)
	w.stop()
	if out, code := run(t, nil, "logserver", append([]string{"guard", "clear", "--reason", "x", "--witness-policy", w.policy}, args...)...); code != 1 || !strings.Contains(out, "not cleared") || !strings.Contains(out, "size 301") {
		t.Errorf("%d: %s", code, out)
	}
	// The way out: the newer copy.
	if err := errors.Join(os.RemoveAll(args[1]), os.Rename(args[1]+".newer", args[1])); err != nil {
		t.Fatal(err)
	}
	w.args = append(w.args, "--witness-policy", w.policy)
	w.start()
	w.ready()
	l.add(c, "after")
	l.settle(c)
}

// TestWitnessesRememberAFork is the same, of a log that went another way while
// nobody watched, with witnesses that show what they know only after it started.
func TestWitnessesRememberAFork(t *testing.T) {
	t.Parallel()
	args := sqliteArgs(t)
	w := newWatched(t, args, "--add-timeout", "2s")
	w.start()
	w.ready()
	c := w.client(w.keys)
	newLedger(t).add(c, "before")
	w.stop()
	older := filepath.Join(t.TempDir(), "older")
	if out, err := exec.Command("cp", "-a", args[1], older).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	w.start()
	w.ready()
	l := newLedger(t)
	l.addMany(c, 3)
	w.cosignedByAll(t, l)
	w.stop()
	if err := errors.Join(os.RemoveAll(args[1]), os.Rename(older, args[1])); err != nil {
		t.Fatal(err)
	}
	unwatched := newServer(t, args...)
	unwatched.start()
	unwatched.ready()
	for i := range 5 {
		newLedger(t).add(unwatched.client(w.keys), fmt.Sprint("another ", i))
	}
	unwatched.stop()

	for _, wa := range w.witnesses {
		wa.hides.Store(true)
	}
	w.start()
	w.says(c, "it did not accept the consistency proof from size 4 (422)")
	for _, wa := range w.witnesses {
		wa.hides.Store(false)
	}
	w.says(c, "the log is poisoned: fork: at size 4 the database's tree has root ")
	w.stop()
}

func TestIdleLogIsWitnessedAgain(t *testing.T) {
	w := newWatched(t, sqliteArgs(t), "--witness-refresh", "1s")
	w.start()
	w.ready()
	newLedger(t).add(w.demanding(), "entry")
	at := func() (int64, error) {
		_, o, err := w.cosigners()
		seconds, ok := o.Timestamp(w.witnesses[0].key)
		if err == nil && !ok {
			err = errors.New("w1 did not cosign it")
		}
		return seconds, err
	}
	var first int64
	eventually(t, "cosigned", func() (err error) {
		first, err = at()
		return err
	})
	eventually(t, "cosigned anew", func() error {
		now, err := at()
		if err == nil && now <= first+1 {
			err = fmt.Errorf("cosigned at %d and %d", first, now)
		}
		return err
	})
}

// TestVerifyByPolicy verifies a proof file offline, by the log's policy and by
// one that asks for more than the log's witnesses gave.
func TestVerifyByPolicy(t *testing.T) {
	w := newWatched(t, sqliteArgs(t))
	w.start()
	w.ready()
	w.witnesses[2].is(garbage)
	home := t.TempDir()
	env := []string{"HOME=" + home, "XDG_CONFIG_HOME=" + home}
	artifact := filepath.Join(home, "artifact")
	if err := os.WriteFile(artifact, []byte("artifact"), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, env, "logcli", "add", artifact, "--url", "http://"+w.http, "--policy", w.policy)
	w.stop()
	out := must(t, env, "logcli", "verify", artifact, "--policy", w.policy)
	if !strings.Contains(out, "Verified") {
		t.Error(out)
	}
	policy, err := os.ReadFile(w.policy)
	if err != nil {
		t.Fatal(err)
	}
	strict := filepath.Join(home, "strict")
	if err := os.WriteFile(strict, bytes.Replace(policy, []byte("group two 2"), []byte("group two 3"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := run(t, env, "logcli", "verify", artifact, "--policy", strict); code != 1 || !strings.Contains(out, "NOT VERIFIED") {
		t.Errorf("%d: %s", code, out)
	}
}
