package feeder

import (
	"bytes"
	"context"
	"crypto/mldsa"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/evidence"
	"indelible/evidence/folder"
	"indelible/merkle"
	"indelible/witness"
)

// A log that grows is cosigned at every size, across tiles of all widths.
func TestGrows(t *testing.T) {
	log := newLog(t, "log.example", 1)
	w := newWorld(t, log)
	h := newHistory("a", 70000, 70000)
	for _, size := range []int{0, 1, 2, 3, 7, 8, 255, 256, 257, 300, 512, 65535, 65536, 65537, 70000} {
		log.show(h[:size])
		if err := w.look(); err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
		head := w.head(log)
		if head.Size != int64(size) || head.Root != h[:size].root() {
			t.Fatalf("size %d: the witness cosigned %d", size, head.Size)
		}
		o, err := checkpoint.Open(head.Note, log.keys, w.witness.Verifiers()...)
		if err != nil || !o.VerifiedBy(w.witness.Verifiers()[0]) {
			t.Errorf("size %d: %v", size, err)
		}
	}
	w.proven(log)
}

// Histories that part are found out at every pair of sizes: proven, never
// cosigned.
func TestForks(t *testing.T) {
	for _, sizes := range [][2]int{{1, 2}, {3, 7}, {4, 8}, {7, 8}, {8, 9}, {255, 256}, {256, 257}, {256, 600}, {300, 301}, {511, 1025}} {
		for _, parts := range []int{0, sizes[0] - 1} {
			log := newLog(t, "log.example", 1)
			w := newWorld(t, log)
			log.show(newHistory("a", sizes[0], parts))
			if err := w.look(); err != nil {
				t.Fatal(err)
			}
			log.show(newHistory("b", sizes[1], parts))
			if err := w.look(); !errors.Is(err, ErrContradiction) {
				t.Errorf("sizes %v that part at %d: %v", sizes, parts, err)
			}
			w.proven(log, evidence.Fork)
			if w.head(log).Size != int64(sizes[0]) {
				t.Errorf("sizes %v that part at %d: it was cosigned", sizes, parts)
			}
		}
	}
}

// A log that writes extension lines is like any other.
func TestExtensionLines(t *testing.T) {
	log := newLog(t, "log.example", 1)
	w := newWorld(t, log)
	for i, size := range []int{5, 5, 9} {
		log.extend = fmt.Sprintf("Time: %d\n", i)
		log.show(newHistory("a", size, 5))
		if err := w.look(); err != nil || w.head(log).Size != int64(size) {
			t.Fatalf("size %d: %v", size, err)
		}
	}
	w.proven(log)
	log.show(newHistory("b", 12, 5))
	if err := w.look(); !errors.Is(err, ErrContradiction) {
		t.Error(err)
	}
	w.proven(log, evidence.Fork)
}

func TestTwoHeads(t *testing.T) {
	log := newLog(t, "log.example", 1)
	w := newWorld(t, log)
	for _, name := range []string{"a", "b"} {
		log.show(newHistory(name, 14, 5))
		if err := w.look(); (err != nil) != (name == "b") || name == "b" && !errors.Is(err, ErrContradiction) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.proven(log, evidence.TwoHeads)
}

// A log whose key has another name than it has contradicts itself like any other.
func TestKeyOfAnotherName(t *testing.T) {
	for kind, second := range map[evidence.Kind]int{evidence.TwoHeads: 14, evidence.Fork: 20} {
		log := newLog(t, "operator.example", 1)
		log.origin = "log2026.example"
		w := newWorld(t, log)
		log.show(newHistory("a", 14, 5))
		if err := w.look(); err != nil {
			t.Fatal(err)
		}
		log.show(newHistory("b", second, 5))
		if err := w.look(); !errors.Is(err, ErrContradiction) {
			t.Error(err)
		}
		w.proven(log, kind)
	}
}

// A list gives each log its key's name. One that signs as another is neither
// cosigned nor accused.
func TestListOfAnotherName(t *testing.T) {
	log := newLog(t, "operator.example", 1)
	w := newWorld(t, log)
	feed := w.feeder(Events{}).feeds[0]
	log.origin = "log2026.example"
	log.show(newHistory("a", 14, 5))
	if err := feed.look(t.Context()); err == nil || !strings.Contains(err.Error(), `is of the log "log2026.example"`) {
		t.Error(err)
	}
	w.proven(log)
}

// However much a log writes beside its heads, what the witness cosigned and what
// contradicts it make a file.
func TestLargeTwoHeads(t *testing.T) {
	for _, lines := range []int{400, 1200} { // of 100 bytes
		log := newLog(t, "log.example", 1)
		w := newWorld(t, log)
		log.extend = strings.Repeat(strings.Repeat("x", 99)+"\n", lines)
		log.show(newHistory("a", 7, 0))
		if err := w.look(); err != nil {
			t.Fatal(err)
		}
		log.show(newHistory("b", 7, 0))
		note, err := log.note()
		if err != nil {
			t.Fatal(err)
		}
		if _, made, err := KeepTwoHeads(w.evidence, witness.Log{Origin: log.origin, Keys: log.keys}, w.head(log), note); err != nil || !made {
			t.Fatalf("%d lines: made: %v, %v", lines, made, err)
		}
		w.proven(log, evidence.TwoHeads)
	}
}

// A smaller tree alone proves nothing. If it is of another history, the larger
// one proves it as soon as the log serves tiles of it, or outgrows it.
func TestShrinks(t *testing.T) {
	a, b := newHistory("a", 600, 300), newHistory("b", 700, 300)
	log := newLog(t, "log.example", 1)
	w := newWorld(t, log)
	behind := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, ErrBehind) || errors.Is(err, ErrContradiction) {
			t.Errorf("%s: %v", what, err)
		}
		w.proven(log)
	}
	log.show(a)
	if err := w.look(); err != nil {
		t.Fatal(err)
	}
	log.show(a[:400])
	behind("its own past", w.look())
	log.show(nil)
	behind("nothing at all", w.look())
	log.signed, log.tiles = a[:400], a
	behind("its own past, with all its tiles", w.look())
	log.show(b[:400])
	behind("another past", w.look())
	log.show(b)
	if err := w.look(); !errors.Is(err, ErrContradiction) {
		t.Errorf("another past that grew: %v", err)
	}
	w.proven(log, evidence.Fork)
	log.show(a)
	if err := w.look(); err != nil {
		t.Errorf("back in its own history: %v", err)
	}
}

// A smaller checkpoint of another history, while the tiles are those of the
// larger tree.
func TestShrinksAndForks(t *testing.T) {
	a, b := newHistory("a", 600, 300), newHistory("b", 600, 300)
	log := newLog(t, "log.example", 1)
	w := newWorld(t, log)
	log.show(a)
	if err := w.look(); err != nil {
		t.Fatal(err)
	}
	log.signed, log.tiles = b[:400], a
	if err := w.look(); !errors.Is(err, ErrContradiction) {
		t.Error(err)
	}
	w.proven(log, evidence.Fork)
}

// A log that signs times states what was the largest tree.
func TestShrinksWithTimes(t *testing.T) {
	log := newLog(t, "log.example", 1)
	pq, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	s, err := checkpoint.NewCosigner(log.origin, pq)
	if err != nil {
		t.Fatal(err)
	}
	now := int64(1000)
	log.signers = append(log.signers, s.Signer(func() int64 { return now }))
	log.keys = append(log.keys, s.Verifier())
	w := newWorld(t, log)
	h := newHistory("a", 20, 20)
	log.show(h)
	if err := w.look(); err != nil {
		t.Fatal(err)
	}
	log.show(h[:14])
	now = 999
	if err := w.look(); !errors.Is(err, ErrBehind) {
		t.Errorf("signed before: %v", err)
	}
	w.proven(log)
	now = 1001
	if err := w.look(); !errors.Is(err, ErrContradiction) {
		t.Errorf("signed later: %v", err)
	}
	w.proven(log, evidence.Shrunk)
}

// Tiles that are not those of the checkpoint prove nothing, and nothing is
// cosigned.
func TestLiesInTiles(t *testing.T) {
	a, b := newHistory("a", 600, 300), newHistory("b", 600, 300)
	log := newLog(t, "log.example", 1)
	w := newWorld(t, log)
	log.show(a[:400])
	if err := w.look(); err != nil {
		t.Fatal(err)
	}
	log.signed, log.tiles = a, b
	if err := w.look(); !errors.Is(err, client.ErrUntrusted) || errors.Is(err, ErrContradiction) {
		t.Error(err)
	}
	log.status = http.StatusInternalServerError
	if err := w.look(); err == nil || errors.Is(err, ErrContradiction) {
		t.Error(err)
	}
	log.status = 0
	log.keys = nil
	log.signers = newLog(t, log.origin, 2).signers
	if err := w.lookAs(newLog(t, log.origin, 1)); !errors.Is(err, client.ErrUntrusted) {
		t.Errorf("another key: %v", err)
	}
	w.proven(log)
	if w.head(log).Size != 400 {
		t.Error("it was cosigned")
	}
}

// lookAs looks at the only log once, with the keys of another.
func (w *world) lookAs(other *fakeLog) error {
	for _, l := range w.logs {
		l.keys = other.keys
	}
	return w.look()
}

// One contradiction is one file, which nobody writes over; and a log that goes
// from one history to the other does not fill the disk.
func TestOncePerContradiction(t *testing.T) {
	log := newLog(t, "log.example", 1)
	w := newWorld(t, log)
	a, b := newHistory("a", 100, 0), newHistory("b", 101, 0)
	written := 0
	feed := w.feeder(Events{Contradicted: func(string, evidence.Kind, string) { written++ }}).feeds[0]
	for size := 1; size < 2*folder.MaxFiles; size++ {
		log.show(a[:size])
		if err := feed.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			log.show(b[:size+1])
			if err := feed.look(t.Context()); !errors.Is(err, ErrContradiction) {
				t.Fatal(err)
			}
		}
		if files, err := os.ReadDir(w.evidence); err != nil || len(files) != min(size, folder.MaxFiles) || written != len(files) {
			t.Fatalf("%d contradictions: %d files, %d were told of, %v", size, len(files), written, err)
		}
	}
}

// A witness whose database was restored counts from its register.
func TestRestoredWitness(t *testing.T) {
	log := newLog(t, "log.example", 1)
	w := newWorld(t, log)
	h := newHistory("a", 600, 600)
	log.show(h[:300])
	if err := w.look(); err != nil {
		t.Fatal(err)
	}
	old := w.head(log)
	log.show(h[:400])
	if err := w.look(); err != nil {
		t.Fatal(err)
	}
	w.state.heads[log.origin] = old
	log.show(h[:350])
	if err := w.look(); !errors.Is(err, ErrBehind) {
		t.Errorf("before what is registered: %v", err)
	}
	log.show(newHistory("b", 600, 350))
	if err := w.look(); !errors.Is(err, witness.ErrInconsistent) {
		t.Errorf("another history: %v", err)
	}
	for _, size := range []int{400, 600} {
		log.show(h[:size])
		w.state.heads[log.origin] = old
		if err := w.look(); err != nil || w.head(log).Size != int64(size) {
			t.Errorf("size %d: %v", size, err)
		}
	}
	w.proven(log)
}

// An idle log gets a new cosignature once in a while; one that the witness does
// not know is told of.
func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog(t, "log.example", 1)
		log.show(newHistory("a", 14, 14))
		w := newWorld(t, log)
		var fed []time.Duration
		start := time.Now()
		f := w.feeder(Events{Fed: func(string, int64) { fed = append(fed, time.Since(start)) }})
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Minute)
		defer cancel()
		if err := f.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if len(fed) != 3 || fed[0] > time.Minute || fed[1]-fed[0] < time.Hour || fed[1]-fed[0] > time.Hour+2*time.Minute {
			t.Errorf("cosigned at %v", fed)
		}
		w.state.logs = nil
		w2, err := witness.New(t.Context(), witness.Config{State: w.state, Register: w.state, Cosigners: cosigners(t)})
		if err != nil {
			t.Fatal(err)
		}
		w.witness = w2
		if err := w.look(); !errors.Is(err, witness.ErrUnknownLog) {
			t.Error(err)
		}
	})
}

func cosigners(t *testing.T) []*checkpoint.Cosigner {
	t.Helper()
	pq, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), bytes.Repeat([]byte{8}, 32))
	if err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.NewCosigner("witness.example/w2", pq)
	if err != nil {
		t.Fatal(err)
	}
	return []*checkpoint.Cosigner{c}
}

// Logs that do not answer, that fail and that forked do not stop another, and
// are asked ever less often.
func TestOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, slow, broken, forked := newLog(t, "good.example", 1), newLog(t, "slow.example", 2), newLog(t, "broken.example", 3), newLog(t, "forked.example", 4)
		slow.slow, broken.status = true, http.StatusServiceUnavailable
		w := newWorld(t, good, slow, broken, forked)
		forked.show(newHistory("a", 10, 5))
		w.logs = map[string]*fakeLog{forked.origin: forked}
		if err := w.look(); err != nil {
			t.Fatal(err)
		}
		forked.show(newHistory("b", 12, 5))
		maps.Copy(w.logs, map[string]*fakeLog{good.origin: good, slow.origin: slow, broken.origin: broken})
		var mu sync.Mutex
		failures := make(map[string]int)
		fed := 0
		h := newHistory("a", 1000, 1000)
		good.show(h[:1])
		f := w.feeder(Events{
			Fed: func(_ string, size int64) {
				mu.Lock()
				defer mu.Unlock()
				fed++
				good.show(h[:size+1])
			},
			Failed: func(origin string, err error, _ time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				failures[origin]++
				if origin == slow.origin && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s: %v", origin, err)
				}
			},
		})
		ctx, cancel := context.WithTimeout(t.Context(), 6*time.Hour)
		defer cancel()
		if err := f.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if fed < 300 || failures[good.origin] > 0 {
			t.Errorf("the good log was fed %d times in six hours, and failed %d times", fed, failures[good.origin])
		}
		for _, bad := range []*fakeLog{slow, broken, forked} {
			if n := failures[bad.origin]; n < 8 || n > 12 {
				t.Errorf("%s failed %d times in six hours", bad.origin, n)
			}
		}
		w.proven(forked, evidence.Fork)
	})
}

func TestAfter(t *testing.T) {
	c := Config{Interval: time.Minute, MaxInterval: time.Hour}
	for failures, want := range map[int]time.Duration{0: time.Minute, 1: 2 * time.Minute, 5: 32 * time.Minute, 6: time.Hour, 1000: time.Hour} {
		if got := c.after(failures, nil); got < want || got > want+want/8 {
			t.Errorf("after %d failures: %v; want %v and an eighth at most", failures, got, want)
		}
	}
	busy := &witness.TooManyError{Origin: "x", PerDay: 1}
	if got := c.after(1, busy); got < busy.RetryAfter() {
		t.Errorf("the witness says after %v; it is %v", busy.RetryAfter(), got)
	}
}

func TestParseList(t *testing.T) {
	one, other := newLog(t, "one.example", 1).keys[0].String(), newLog(t, "other.example", 2).keys[0].String()
	second := newLog(t, "one.example", 3).keys[0].String()
	logs, err := ParseList([]byte("# ours\nlog " + one + " https://one.example/\nlog " + other + " https://other.example/x\nlog " + second + " https://one.example/\nquorum none\n"))
	if err != nil || len(logs) != 2 || logs[0].Origin != "one.example" || len(logs[0].Keys) != 2 || logs[1].URL != "https://other.example/x" {
		t.Errorf("%v, %v", logs, err)
	}
	for name, list := range map[string]string{
		"no URL":    "log " + one + "\nquorum none\n",
		"two URLs":  "log " + one + " https://a/\nlog " + second + " https://b/\nquorum none\n",
		"no quorum": "log " + one + " https://a/\n",
		"a witness": "log " + one + " https://a/\nwitness w witness.example+82bca4dd+BNdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea\nquorum w\n",
		"too many":  many(t),
		"nonsense":  "nonsense\n",
	} {
		if logs, err := ParseList([]byte(list)); err == nil {
			t.Errorf("%s: %v", name, logs)
		}
	}
}

func many(t *testing.T) string {
	t.Helper()
	var list strings.Builder
	for i := range maxLogs + 1 {
		seed := merkle.LeafHash([]byte{byte(i), byte(i >> 8)})
		list.WriteString("log " + logNumber(t, seed).String() + " https://a/\n")
	}
	return list.String() + "quorum none\n"
}

func TestNew(t *testing.T) {
	w := newWorld(t, newLog(t, "log.example", 1))
	for name, cfg := range map[string]Config{
		"no witness":  {Evidence: w.evidence},
		"no folder":   {Witness: w.witness},
		"not there":   {Witness: w.witness, Evidence: filepath.Join(w.evidence, "x")},
		"no such URL": {Witness: w.witness, Evidence: w.evidence, Logs: []Log{{Origin: "x", URL: "ftp://x"}}},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := New(Config{Witness: w.witness, Evidence: w.evidence}); err != nil {
		t.Error(err)
	}
}
