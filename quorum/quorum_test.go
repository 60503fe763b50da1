package quorum

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"indelible/checkpoint"
	"indelible/merkle"
)

const origin = "log.example"

// tree is a log: its leaves' roots and proofs are the oracle's business.
type tree struct {
	key    *checkpoint.KeySigner
	leaves []merkle.Hash
}

func newTree(t *testing.T, size int) *tree {
	t.Helper()
	key, err := checkpoint.NewSigner(origin, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	tr := &tree{key: key}
	for i := range size {
		tr.leaves = append(tr.leaves, merkle.LeafHash(fmt.Append(nil, "leaf ", i)))
	}
	return tr
}

func root(leaves []merkle.Hash) merkle.Hash {
	edge, _ := merkle.Edge{}.Append(leaves)
	return edge.Root()
}

func (tr *tree) note(t *testing.T, size int) []byte {
	t.Helper()
	note, err := checkpoint.Sign(checkpoint.Checkpoint{Origin: origin, Size: int64(size), Root: root(tr.leaves[:size])}, tr.key)
	if err != nil {
		t.Fatal(err)
	}
	return note
}

// prove is RFC 6962's definition, word for word.
func (tr *tree) prove(size int) Tree { return proofs{prove: tr.consistency(size)} }

// proofs is a Tree for witnesses, which need no more.
type proofs struct {
	Tree
	prove func(ctx context.Context, from int64) ([]merkle.Hash, error)
}

func (p proofs) Consistency(ctx context.Context, from int64) ([]merkle.Hash, error) {
	return p.prove(ctx, from)
}

func (tr *tree) consistency(size int) func(ctx context.Context, from int64) ([]merkle.Hash, error) {
	var sub func(m int, d []merkle.Hash, whole bool) []merkle.Hash
	sub = func(m int, d []merkle.Hash, whole bool) []merkle.Hash {
		if m == len(d) {
			if whole {
				return nil
			}
			return []merkle.Hash{root(d)}
		}
		k := 1
		for 2*k < len(d) {
			k *= 2
		}
		if m <= k {
			return append(sub(m, d[:k], whole), root(d[k:]))
		}
		return append(sub(m-k, d[k:], false), root(d[:k]))
	}
	return func(_ context.Context, from int64) ([]merkle.Hash, error) {
		return sub(int(from), tr.leaves[:size], true), nil
	}
}

// fake is a witness over HTTP that does what the spec asks, unless told
// otherwise.
type fake struct {
	t   *testing.T
	key *checkpoint.Cosigner
	log *tree
	url string

	mu     sync.Mutex
	size   int
	asked  int
	hold   chan struct{} // answers wait for it
	answer func(w http.ResponseWriter) bool
	shows  []byte        // at the monitoring path
	done   chan struct{} // closed at the end of the test
}

func fakeKey(t *testing.T, n byte) *checkpoint.Cosigner {
	t.Helper()
	key, err := checkpoint.NewCosigner(fmt.Sprintf("w%d.example", n), ed25519.NewKeyFromSeed(bytes.Repeat([]byte{100 + n}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newFake(t *testing.T, log *tree, n byte) *fake {
	t.Helper()
	f := &fake{t: t, key: fakeKey(t, n), log: log, done: make(chan struct{})}
	server := httptest.NewServer(f)
	t.Cleanup(func() {
		close(f.done)
		server.Close()
	})
	f.url = server.URL
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.asked++
	hold, answer, shows := f.hold, f.answer, f.shows
	f.mu.Unlock()
	if r.Method == http.MethodGet {
		if shows == nil {
			http.NotFound(w, r)
			return
		}
		w.Write(shows)
		return
	}
	if hold != nil {
		select {
		case <-hold:
		case <-f.done:
			return
		}
	}
	if answer != nil && answer(w) {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		f.t.Error(err)
	}
	f.cosign(w, body)
}

func (f *fake) cosign(w http.ResponseWriter, body []byte) {
	head, note, _ := bytes.Cut(body, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	var old int64
	if _, err := fmt.Sscanf(lines[0], "old %d", &old); err != nil {
		f.t.Errorf("request %q", body)
	}
	var proof []merkle.Hash
	for _, line := range lines[1:] {
		h, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(h) != 32 {
			f.t.Errorf("proof line %q", line)
			return
		}
		proof = append(proof, merkle.Hash(h))
	}
	o, err := checkpoint.Open(note, []checkpoint.Verifier{f.log.key.Verifier()})
	if err != nil {
		f.t.Error(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if int(old) != f.size {
		w.Header().Set("Content-Type", sizeType)
		w.WriteHeader(http.StatusConflict)
		fmt.Fprintf(w, "%d\n", f.size)
		return
	}
	if err := merkle.VerifyConsistency(old, o.Size, root(f.log.leaves[:old]), o.Root, proof); err != nil {
		f.t.Errorf("from %d to %d: %v", old, o.Size, err)
	}
	f.size = int(o.Size)
	sig, err := f.key.Cosign(o.Checkpoint, time.Now().Unix())
	if err != nil {
		f.t.Error(err)
	}
	w.Write(checkpoint.MarshalSignatures([]checkpoint.Signature{sig}))
}

func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

// policy makes one of some witnesses, k of which suffice.
func policy(t *testing.T, k int, fakes ...*fake) *checkpoint.Policy {
	t.Helper()
	var b strings.Builder
	members := ""
	for i, f := range fakes {
		fmt.Fprintf(&b, "witness w%d %s %s\n", i, f.key.Verifier(), f.url)
		members += fmt.Sprintf(" w%d", i)
	}
	fmt.Fprintf(&b, "group g %d%s\nquorum g\n", k, members)
	p, err := checkpoint.ParsePolicy([]byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newWitnesses(t *testing.T, log *tree, cfg Config) *Witnesses {
	t.Helper()
	cfg.Log = []checkpoint.Verifier{log.key.Verifier()}
	w, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// cosigned is how many of the fakes cosigned a note.
func cosigned(t *testing.T, log *tree, note []byte, fakes ...*fake) int {
	t.Helper()
	var keys []checkpoint.Verifier
	for _, f := range fakes {
		keys = append(keys, f.key.Verifier())
	}
	o, err := checkpoint.Open(note, []checkpoint.Verifier{log.key.Verifier()}, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return len(o.Verified) - 1
}

func TestCosign(t *testing.T) {
	log := newTree(t, 40)
	a, b := newFake(t, log, 1), newFake(t, log, 2)
	b.size = 7 // it followed the log before, which this process does not know
	w := newWitnesses(t, log, Config{Policy: policy(t, 2, a, b)})
	for _, size := range []int{7, 8, 8, 13, 40} {
		note, err := w.Cosign(t.Context(), log.note(t, size), log.prove(size))
		if err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
		if n := cosigned(t, log, note, a, b); n != 2 {
			t.Errorf("size %d: %d cosignatures", size, n)
		}
	}
	// One more question to b, to learn where it stands.
	if a.count() != 5 || b.count() != 6 {
		t.Errorf("asked %d and %d times", a.count(), b.count())
	}
}

// Two of three suffice, whatever the third does.
func TestOneOfThreeIsUseless(t *testing.T) {
	garbage := func(w http.ResponseWriter) bool { fmt.Fprint(w, "garbage"); return true }
	foreign := func(log *tree) func(http.ResponseWriter) bool {
		other := newFake(t, log, 9)
		return func(w http.ResponseWriter) bool {
			sig, err := other.key.Cosign(checkpoint.Checkpoint{Origin: origin, Size: 3, Root: root(log.leaves[:3])}, 7)
			if err != nil {
				t.Error(err)
			}
			w.Write(checkpoint.MarshalSignatures([]checkpoint.Signature{sig}))
			return true
		}
	}
	for name, spoil := range map[string]func(f *fake, log *tree){
		"dead":            func(f *fake, _ *tree) { f.answer = func(http.ResponseWriter) bool { panic(http.ErrAbortHandler) } },
		"silent":          func(f *fake, _ *tree) { f.hold = make(chan struct{}) },
		"garbage":         func(f *fake, _ *tree) { f.answer = garbage },
		"somebody else's": func(f *fake, log *tree) { f.answer = foreign(log) },
		"endless": func(f *fake, _ *tree) {
			f.answer = func(w http.ResponseWriter) bool {
				for {
					if _, err := w.Write(make([]byte, 1<<16)); err != nil {
						return true
					}
				}
			}
		},
		"ahead": func(f *fake, _ *tree) { f.size = 11 },
		"always elsewhere": func(f *fake, _ *tree) {
			n := 0
			f.answer = func(w http.ResponseWriter) bool {
				n = 3 - n
				w.Header().Set("Content-Type", sizeType)
				w.WriteHeader(http.StatusConflict)
				fmt.Fprintf(w, "%d\n", n)
				return true
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			log := newTree(t, 12)
			good, other, bad := newFake(t, log, 1), newFake(t, log, 2), newFake(t, log, 3)
			spoil(bad, log)
			w := newWitnesses(t, log, Config{Policy: policy(t, 2, good, other, bad), Wait: time.Minute})
			for _, size := range []int{3, 5, 9} {
				note, err := w.Cosign(t.Context(), log.note(t, size), log.prove(size))
				if err != nil || cosigned(t, log, note, good, other) != 2 {
					t.Fatalf("size %d: %v", size, err)
				}
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	status := func(code int, body string) func(http.ResponseWriter) bool {
		return func(w http.ResponseWriter) bool {
			http.Error(w, body, code)
			return true
		}
	}
	log := newTree(t, 5)
	timeless := func(w http.ResponseWriter) bool {
		key := newFake(t, log, 1).key.Verifier()
		text := checkpoint.Checkpoint{Origin: origin, Size: 5, Root: root(log.leaves)}.Text()
		signed := ed25519.Sign(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{101}, 32)), append([]byte("cosignature/v1\ntime 0\n"), text...))
		line := checkpoint.Signature{Name: key.Name(), KeyID: key.KeyHash(), Blob: append(make([]byte, 8), signed...)}
		w.Write(checkpoint.MarshalSignatures([]checkpoint.Signature{line}))
		return true
	}
	for name, test := range map[string]struct {
		answer func(http.ResponseWriter) bool
		says   string
	}{
		"no time":         {timeless, "has no time"},
		"unknown log":     {status(404, "who?"), "have its operator add the log's vkey"},
		"other key":       {status(403, "no"), "by another key"},
		"bad proof":       {status(422, "no"), "consistency proof from size 0"},
		"broken":          {status(500, "oh"), `answered 500; it said "oh\n"`},
		"conflict, typed": {status(409, "7"), "does not tell its size"},
		"redirect": {func(w http.ResponseWriter) bool {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(302)
			return true
		}, `answered 302, a redirect to "http://127.0.0.1:1/", which is not followed`},
		"redirect with a password": {func(w http.ResponseWriter) bool {
			w.Header().Set("Location", "http://u:s3cr3t@127.0.0.1:1/?s3cr3t")
			w.WriteHeader(307)
			return true
		}, `a redirect to "http://xxxxx@127.0.0.1:1/?xxxxx"`},
		"wrong size": {func(w http.ResponseWriter) bool {
			w.Header().Set("Content-Type", sizeType)
			w.WriteHeader(409)
			fmt.Fprint(w, "007\n")
			return true
		}, "no number"},
		"ahead": {func(w http.ResponseWriter) bool {
			w.Header().Set("Content-Type", sizeType)
			w.WriteHeader(409)
			fmt.Fprint(w, "700\n")
			return true
		}, "cosigned size 700 already, and shows no checkpoint"},
		"no signature of its own": {func(w http.ResponseWriter) bool {
			fmt.Fprint(w, "— x AAAAAAAA\n")
			return true
		}, "no signature by the policy's key w1.example"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, log, 1)
			f.answer = test.answer
			w := newWitnesses(t, log, Config{Policy: policy(t, 1, f)})
			_, err := w.Cosign(t.Context(), log.note(t, 5), log.prove(5))
			if !errors.Is(err, ErrQuorum) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v", err)
			}
		})
	}
}

// What a witness's URL has that is secret is in no error.
func TestNoPasswordInErrors(t *testing.T) {
	log := newTree(t, 5)
	f := newFake(t, log, 1)
	for _, url := range []string{"http://s3cr3t@127.0.0.1:1", "http://u:s3cr3t@127.0.0.1:1", "ftp://u:s3cr3t@h", "http://u:s3/cr3t@h"} {
		f.url = url
		w, err := New(Config{Policy: policy(t, 1, f), Log: []checkpoint.Verifier{log.key.Verifier()}})
		if err == nil {
			_, err = w.Cosign(t.Context(), log.note(t, 5), log.prove(5))
		}
		if err == nil || strings.Contains(err.Error(), "cr3t") || !strings.Contains(err.Error(), "xxxxx@") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// What comes after the quorum is handed on, and a slow witness is asked next
// for the newest checkpoint, not for each.
func TestLate(t *testing.T) {
	log := newTree(t, 20)
	quick, slow := newFake(t, log, 1), newFake(t, log, 2)
	slow.hold = make(chan struct{})
	late := make(chan []byte, 10)
	w := newWitnesses(t, log, Config{Policy: policy(t, 1, quick, slow), Wait: time.Minute, Timeout: time.Hour, Late: func(note []byte, keys []checkpoint.Verifier) {
		if len(keys) != 2 {
			t.Errorf("%d keys", len(keys))
		}
		late <- note
	}})
	for size := 1; size <= 20; size++ {
		if _, err := w.Cosign(t.Context(), log.note(t, size), log.prove(size)); err != nil {
			t.Fatal(err)
		}
	}
	close(slow.hold)
	var sizes []int64
	for range 2 {
		note := <-late
		o, err := checkpoint.Open(note, []checkpoint.Verifier{log.key.Verifier()})
		if err != nil || cosigned(t, log, note, slow) != 1 {
			t.Fatal(err)
		}
		sizes = append(sizes, o.Size)
	}
	// The quick one's answers may be late as well, but these are the slow one's.
	if slices.Sort(sizes); sizes[0] != 1 || sizes[1] != 20 {
		t.Errorf("cosigned late: %v", sizes)
	}
	if n := slow.count(); n != 2 {
		t.Errorf("the slow witness was asked %d times", n)
	}
}

func TestTooLate(t *testing.T) {
	log := newTree(t, 5)
	f := newFake(t, log, 1)
	f.hold = make(chan struct{})
	p := policy(t, 1, f)
	w := newWitnesses(t, log, Config{Policy: p, Wait: 10 * time.Millisecond})
	if _, err := w.Cosign(t.Context(), log.note(t, 5), log.prove(5)); !errors.Is(err, ErrQuorum) || !strings.Contains(err.Error(), "no answer yet from 1 of 1") {
		t.Error(err)
	}
	open := newWitnesses(t, log, Config{Policy: p, Wait: 10 * time.Millisecond, FailOpen: true})
	note, err := open.Cosign(t.Context(), log.note(t, 5), log.prove(5))
	if err != nil || cosigned(t, log, note, f) != 0 {
		t.Errorf("fail open: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	patient := newWitnesses(t, log, Config{Policy: p, Wait: time.Hour})
	if _, err := patient.Cosign(ctx, log.note(t, 5), log.prove(5)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(f.hold)
}

func TestAheadAndRecall(t *testing.T) {
	log := newTree(t, 9)
	f, silent := newFake(t, log, 1), newFake(t, log, 2)
	f.size, f.shows = 9, log.note(t, 9)
	told := make(chan []byte, 1)
	w := newWitnesses(t, log, Config{Policy: policy(t, 2, f, silent), Ahead: func(c Claim) { told <- c.Note }})
	if _, err := w.Cosign(t.Context(), log.note(t, 5), log.prove(5)); !errors.Is(err, ErrQuorum) || !strings.Contains(err.Error(), "another replica") {
		t.Error(err)
	}
	if note := <-told; !bytes.Equal(note, f.shows) {
		t.Errorf("told %q", note)
	}
	// A command asks both ways.
	recalled, err := newWitnesses(t, log, Config{Policy: w.cfg.Policy}).Recall(t.Context(), log.note(t, 5), log.prove(5))
	if err != nil || len(recalled) != 2 {
		t.Fatal(err)
	}
	if m := recalled[0]; m.Claim == nil || m.Claim.Size != 9 || m.Asked != nil || !bytes.Equal(m.Shown, f.shows) {
		t.Errorf("%+v", m)
	}
	if m := recalled[1]; m.Claim != nil || m.NotShown == nil || cosigned(t, log, m.Asked, silent) != 1 {
		t.Errorf("%+v", m)
	}
}

// A witness that holds another tree is asked for it, however it says so.
func TestAnotherTree(t *testing.T) {
	for name, answer := range map[string]func(w http.ResponseWriter){
		"422": func(w http.ResponseWriter) { http.Error(w, "not consistent", http.StatusUnprocessableEntity) },
		"409": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", sizeType)
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, "5\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			log := newTree(t, 9)
			f := newFake(t, log, 1)
			f.shows = log.note(t, 5)
			f.answer = func(w http.ResponseWriter) bool { answer(w); return true }
			told := make(chan []byte, 1)
			w := newWitnesses(t, log, Config{Policy: policy(t, 1, f), Ahead: func(c Claim) { told <- c.Note }})
			_, err := w.Cosign(t.Context(), log.note(t, 5), log.prove(5))
			if !errors.Is(err, ErrQuorum) || !strings.Contains(err.Error(), name) {
				t.Error(err)
			}
			select {
			case note := <-told:
				if !bytes.Equal(note, f.shows) {
					t.Errorf("told %q", note)
				}
			default:
				t.Error("nobody was told")
			}
		})
	}
}

// While one is waited for, those that failed get another chance.
func TestFailedWitnessesAreAskedAgain(t *testing.T) {
	log := newTree(t, 5)
	good, restarts, silent := newFake(t, log, 1), newFake(t, log, 2), newFake(t, log, 3)
	silent.hold = make(chan struct{})
	asked := 0
	restarts.answer = func(w http.ResponseWriter) bool {
		if asked++; asked > 1 {
			return false
		}
		w.WriteHeader(http.StatusBadGateway)
		return true
	}
	w := newWitnesses(t, log, Config{Policy: policy(t, 2, good, restarts, silent), Wait: time.Minute, Timeout: time.Minute})
	note, err := w.Cosign(t.Context(), log.note(t, 5), log.prove(5))
	if err != nil || cosigned(t, log, note, good, restarts) != 2 {
		t.Error(err)
	}
	close(silent.hold)
}

// A quorum that cannot be met any more is not waited for.
func TestHopelessRoundsEnd(t *testing.T) {
	log := newTree(t, 5)
	a, b, silent := newFake(t, log, 1), newFake(t, log, 2), newFake(t, log, 3)
	silent.hold = make(chan struct{})
	for _, f := range []*fake{a, b} {
		f.answer = func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusBadGateway); return true }
	}
	w := newWitnesses(t, log, Config{Policy: policy(t, 2, a, b, silent), Wait: time.Hour, Timeout: time.Hour})
	if _, err := w.Cosign(t.Context(), log.note(t, 5), log.prove(5)); !errors.Is(err, ErrQuorum) || strings.Count(err.Error(), "it answered 502") != 2 {
		t.Error(err)
	}
	close(silent.hold)
}

// A witness that asks to be left alone is.
func TestRetryAfter(t *testing.T) {
	log := newTree(t, 5)
	f := newFake(t, log, 1)
	f.answer = func(w http.ResponseWriter) bool {
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	}
	w := newWitnesses(t, log, Config{Policy: policy(t, 1, f)})
	for _, says := range []string{"answered 429", "left alone"} {
		if _, err := w.Cosign(t.Context(), log.note(t, 5), log.prove(5)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v", err)
		}
	}
	if f.count() != 1 {
		t.Errorf("asked %d times", f.count())
	}
}

func TestNewRefuses(t *testing.T) {
	log := newTree(t, 1)
	f := newFake(t, log, 1)
	unreachable := policy(t, 1, f)
	unreachable.Witnesses[0].URL = ""
	if _, err := New(Config{Policy: unreachable, Log: []checkpoint.Verifier{log.key.Verifier()}}); err == nil || !strings.Contains(err.Error(), "cannot be met") {
		t.Error(err)
	}
	odd := policy(t, 1, f)
	odd.Witnesses[0].URL = "ftp://w"
	if _, err := New(Config{Policy: odd, Log: []checkpoint.Verifier{log.key.Verifier()}}); err == nil || !strings.Contains(err.Error(), "ftp://w") {
		t.Error(err)
	}
	if _, err := New(Config{}); err == nil {
		t.Error("a policy is required")
	}
}
