package main

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"indelible/checkpoint"
	"indelible/merkle"
	"indelible/mirror/source"
	"indelible/mirror/sourcetest"
)

// anyLog is a person who asks a log that has tiles alone.
func anyLog(t *testing.T, size int64) (*world, *sourcetest.Log) {
	t.Helper()
	l := sourcetest.New(t, "other.example", size)
	w := newWorld(t)
	w.env["INDELIBLE_URL"] = l.URL
	w.env["INDELIBLE_LOG_KEY"] = l.Key.String()
	return w, l
}

// heads are the files of what is remembered, and of evidence.
func (w *world) heads() (heads, proven []string) {
	w.t.Helper()
	heads, err := filepath.Glob(filepath.Join(w.dir, "config/indelible/logs/*.heads/*"))
	if err == nil {
		proven, err = filepath.Glob(filepath.Join(w.dir, "config/indelible/evidence/*.evidence"))
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return heads, proven
}

// commands that get a checkpoint from any log.
func (w *world) reading() [][]string {
	return [][]string{{"checkpoint"}, {"get", "0"}, {"list"}, {"prove", "0"}, {"fsck"}, {"trust", "add"}}
}

// A log that has other entries than it had is found by every command, and proven.
func TestForkSinceLastTime(t *testing.T) {
	for _, size := range []int64{300, 350} { // of the same size, and larger
		w, l := anyLog(t, 300)
		w.run(exitDone, "checkpoint")
		fork := sourcetest.New(t, "other.example", 299)
		for i := int64(299); i < size; i++ {
			fork.Add([]byte("another"))
		}
		w.env["INDELIBLE_URL"] = fork.URL
		old := w.file("old", string(l.Note(300)))
		for _, args := range append(w.reading(), []string{"consistency", old}) {
			_, errs := w.run(exitUnverified, args...)
			says(t, errs, "the log forked", "The evidence is ", ".evidence", ".heads")
		}
		heads, proven := w.heads()
		if len(heads) != 1 || !strings.HasPrefix(filepath.Base(heads[0]), "300-") || len(proven) != 1 {
			t.Fatalf("%q %q", heads, proven)
		}
		w.run(exitDone, "evidence", "verify", proven[0])
		w.env["INDELIBLE_URL"] = l.URL
		w.run(exitDone, "checkpoint") // the log that was there before
	}
}

// An answer that is behind is an error that may pass, and nothing is said of a fork.
func TestStale(t *testing.T) {
	w, l := anyLog(t, 300)
	w.run(exitDone, "get", "7")
	l.Grow(700)
	w.run(exitDone, "list")
	l.Grow(290)
	for _, args := range w.reading() {
		out, errs := w.run(exitUnasked, args...)
		says(t, errs, "size 290", "size 700", "behind", "Ask again later")
		if strings.Contains(errs+out, "fork") {
			t.Errorf("%q: %s", args, errs)
		}
	}
	// Where the larger tree's tiles are not there, that is said.
	l.Replace("tile/0/002.p/188", http.NotFound)
	l.Replace("tile/1/000.p/2", http.NotFound)
	_, errs := w.run(exitUnasked, "checkpoint")
	says(t, errs, "it showed a larger one, of size 700, before", "does not prove")
	l.Replace("tile/0/002.p/188", nil)
	l.Replace("tile/1/000.p/2", nil)
	l.Grow(701)
	w.run(exitDone, "checkpoint")
	if heads, proven := w.heads(); len(heads) != 1 || !strings.HasPrefix(filepath.Base(heads[0]), "701-") || len(proven) != 0 {
		t.Errorf("%q %q", heads, proven)
	}
}

// A log that signs times contradicts itself if it shows a smaller tree later.
func TestShrunk(t *testing.T) {
	l := sourcetest.NewCT(t, "ct.example", 300)
	w := newWorld(t)
	w.env["INDELIBLE_URL"], w.env["INDELIBLE_LOG_KEY"] = l.URL, l.Key.String()
	w.run(exitDone, "trust", "add")
	l.Milliseconds += 60_000
	l.Grow(290)
	_, errs := w.run(exitUnverified, "trust", "add")
	says(t, errs, "the log shrank", "size 300", "size 290")
	_, proven := w.heads()
	if len(proven) != 1 {
		t.Fatal(proven)
	}
	out, _ := w.run(exitDone, "evidence", "verify", proven[0])
	says(t, out, "PROVEN")
}

// What was added is in the log, and its proof is written, also where the log forked.
func TestForkAndAdd(t *testing.T) {
	w := newWorld(t)
	w.run(exitDone, "add", w.file("a", "a"), w.file("b", "b"))
	w.log.entries[0] = []byte("another")
	f := w.file("f", "artifact")
	out, errs := w.run(exitUnverified, "add", f)
	says(t, out, "f is in log log.example")
	says(t, errs, "the log forked")
	if _, err := os.Stat(f + proofSuffix); err != nil {
		t.Error(err)
	}
}

// Who has no place to remember anything is told, and can ask.
func TestUnwritableHome(t *testing.T) {
	w, _ := anyLog(t, 5)
	w.env["XDG_CONFIG_HOME"] = filepath.Join(w.dir, "nowhere")
	if err := os.Symlink("missing", w.env["XDG_CONFIG_HOME"]); err != nil {
		t.Fatal(err)
	}
	_, errs := w.run(exitDone, "checkpoint")
	says(t, errs, "Note: the log's tree head is not remembered")
}

func TestDamagedHead(t *testing.T) {
	w, l := anyLog(t, 5)
	w.run(exitDone, "checkpoint")
	heads, _ := w.heads()
	l.Grow(6)
	for _, text := range []string{"", "nonsense", "other.example\n6\n"} {
		if err := os.WriteFile(heads[0], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, errs := w.run(exitUnasked, "checkpoint")
		says(t, errs, heads[0], "damaged", "delete")
	}
}

// keyOf is a key of log.example.
func keyOf(n byte) []checkpoint.Verifier {
	seed := [ed25519.SeedSize]byte{n}
	v, err := checkpoint.NewVerifier("log.example", ed25519.NewKeyFromSeed(seed[:]).Public())
	if err != nil {
		panic(err)
	}
	return []checkpoint.Verifier{v}
}

// history is a chain of heads, and extends says which are of it.
func history(size int64, fork byte) source.Head { return historyBy(keyOf(0), size, fork) }

func historyBy(keys []checkpoint.Verifier, size int64, fork byte) source.Head {
	h := source.Head{Size: size, Root: merkle.LeafHash([]byte{fork, byte(size)})}
	h.Note = checkpoint.Note{
		Text:       checkpoint.Checkpoint{Origin: "log.example", Size: h.Size, Root: h.Root}.Text(),
		Signatures: []checkpoint.Signature{{Name: "log.example", KeyID: keys[0].KeyHash(), Blob: []byte{1}}},
	}.Marshal()
	return h
}

var errFork = errors.New("fork")

func ofOneHistory(older, newer source.Head) error {
	for fork := range byte(2) {
		if history(older.Size, fork).Root == older.Root && history(newer.Size, fork).Root == newer.Root {
			return nil
		}
	}
	return errFork
}

// Whatever the order in which processes remember heads of one log, the newest is
// left; and of two histories that come at one time, one is found.
func TestHeadsAtOnce(t *testing.T) {
	for round := range 30 {
		dir := heads(filepath.Join(t.TempDir(), "logs", "x.heads"))
		var wait sync.WaitGroup
		errs := make([]error, 16)
		for i := range errs {
			head := history(int64(10+i/2), 0)
			if round%2 == 1 && i == 7 {
				head = history(40, 1)
			}
			wait.Go(func() { errs[i] = dir.extend(head, keyOf(0), ofOneHistory) })
		}
		wait.Wait()
		forks := 0
		for i, err := range errs {
			if errors.Is(err, errFork) {
				forks++
			} else if err != nil && !errors.As(err, new(*behindError)) {
				t.Errorf("head %d: %v", i, err)
			}
		}
		left, err := dir.others(nil, keyOf(0))
		if round%2 == 0 && (forks > 0 || len(left) != 1) || round%2 == 1 && forks == 0 || err != nil {
			t.Fatalf("round %d: %d forks, %d heads, %v", round, forks, len(left), err)
		}
		if _, newest := left[headName(history(17, 0))]; round%2 == 0 && !newest {
			t.Errorf("round %d: the newest head is lost", round)
		}
	}
}

// Two logs of one name have keys of their own, as one that was begun again has. Neither is
// a fork of the other, and both are remembered.
func TestHeadsOfTwoKeys(t *testing.T) {
	dir := heads(filepath.Join(t.TempDir(), "x.heads"))
	for _, h := range []struct {
		key        byte
		size, fork int64
		fails      bool
	}{{0, 5, 0, false}, {1, 7, 1, false}, {0, 6, 0, false}, {1, 8, 1, false}, {1, 9, 0, true}, {0, 9, 1, true}} {
		err := dir.extend(historyBy(keyOf(h.key), h.size, byte(h.fork)), keyOf(h.key), ofOneHistory)
		if errors.Is(err, errFork) != h.fails || !h.fails && err != nil {
			t.Errorf("%+v: %v", h, err)
		}
	}
	for key, size := range map[byte]int64{0: 6, 1: 8} {
		left, err := dir.others(nil, keyOf(key))
		if _, ok := left[headName(history(size, key))]; err != nil || len(left) != 1 || !ok {
			t.Errorf("of key %d: %v, %v", key, left, err)
		}
	}
}

// Two processes that both passed the first look do not both pass the second.
func TestHeadsSecondLook(t *testing.T) {
	dir := heads(filepath.Join(t.TempDir(), "x.heads"))
	first := true
	err := errors.Join(dir.extend(history(5, 0), keyOf(0), ofOneHistory), dir.extend(history(6, 0), keyOf(0), func(older, newer source.Head) error {
		if first {
			first = false
			if err := writeOwn(dir.file(history(7, 1)), history(7, 1).Note); err != nil { // another process
				return err
			}
		}
		return ofOneHistory(older, newer)
	}))
	if !errors.Is(err, errFork) {
		t.Errorf("%v", err)
	}
	if dir.has(history(6, 0)) {
		t.Error("the head that was refused is remembered")
	}
}

func TestTrustAdd(t *testing.T) {
	w := newWorld(t)
	w.log.entries = append(w.log.entries, []byte("one"))
	url := w.env["INDELIBLE_URL"]
	delete(w.env, "INDELIBLE_URL")
	out, _ := w.run(exitDone, "trust", "add", url, "-o", "json")
	says(t, out, `"treeSize":1`, w.log.signer.Verifier().String())
	if len(w.log.entries) != 1 {
		t.Error("something was added")
	}
	w.run(exitDone, "checkpoint", "--url", url)
	if heads, _ := w.heads(); len(heads) != 1 {
		t.Error(heads)
	}

	w = newWorld(t)
	_, errs := w.run(exitUnverified, "trust", "add", "--fingerprint", "SHA256:"+strings.Repeat("0", 64))
	says(t, errs, "none of the log's keys has the fingerprint", "(SHA256:")
	_, fingerprint, _ := strings.Cut(errs, "(SHA256:")
	w.run(exitUsage, "trust", "add", "--fingerprint", fingerprint[:64])
	w.run(exitUsage, "checkpoint") // nothing was remembered
	w.run(exitDone, "trust", "add", "--fingerprint", "SHA256:"+strings.ToUpper(fingerprint[:64]))
	w.run(exitDone, "checkpoint")
	w.run(exitUnverified, "trust", "add", "--log-key", newWorld(t).log.signer.Verifier().String())
}

// Every format of log is found out and trusted; a log without keys needs them given.
func TestTrustAddAnyLog(t *testing.T) {
	tiles, ct, rekor := sourcetest.New(t, "tiles.example", 5), sourcetest.NewCT(t, "ct.example", 5), sourcetest.NewRekorV1(t, "rekor.example", 4, 5)
	w := newWorld(t)
	for format, log := range map[string]struct {
		url string
		key checkpoint.Verifier
	}{"tlog-tiles": {tiles.URL, tiles.Key}, "static-ct": {ct.URL, ct.Key}, "rekor-v1": {rekor.URL, rekor.Key}} {
		_, errs := w.run(exitUsage, "trust", "add", log.url)
		says(t, errs, "--log-key")
		out, _ := w.run(exitDone, "trust", "add", log.url, "--log-key", log.key.String(), "-o", "json")
		says(t, out, fmt.Sprintf(`"format":%q`, format), `"treeSize":5`)
	}
	out, _ := w.run(exitDone, "trust", "add", rekor.URL, "--log-key", rekor.Key.String(), "--origin", "rekor.example - 1000", "-o", "json")
	says(t, out, `"treeSize":4`)
	out, _ = w.run(exitDone, "get", "3", "--url", tiles.URL) // by what is remembered
	says(t, out, "in log tiles.example", "entry 3")
}

// What is trusted can stand in the environment, and a flag takes its place.
func TestEnvironment(t *testing.T) {
	w := newWorld(t)
	f := w.file("f", "artifact")
	w.run(exitDone, "add", f)
	log, other := w.log.signer.Verifier().String(), newWorld(t).log.signer.Verifier().String()
	w.env["INDELIBLE_LOG_KEY"] = other
	w.run(exitUnverified, "verify", f)
	w.run(exitDone, "verify", f, "--log-key", log)
	policy := func(key string) string { return w.file("policy", "log "+key+"\nquorum none\n") }
	w.run(exitDone, "verify", f, "--policy", policy(log))
	w.env["INDELIBLE_POLICY"] = policy(other)
	_, errs := w.run(exitUsage, "verify", f)
	says(t, errs, "INDELIBLE_POLICY")
	delete(w.env, "INDELIBLE_LOG_KEY")
	w.run(exitUnverified, "verify", f)
	w.run(exitDone, "verify", f, "--log-key", log)
	delete(w.env, "INDELIBLE_POLICY")
	w.env["INDELIBLE_SIGNER"] = "SHA256:" + strings.Repeat("0", 64)
	w.run(exitUnverified, "verify", f)
	w.run(exitDone, "verify", f, "--signer", w.ownFingerprint())
	w.env["INDELIBLE_SIGNER"] = ""
	w.run(exitDone, "verify", f)
}

// get, list, prove and consistency need no API of the log's.
func TestAnyTiles(t *testing.T) {
	w, l := anyLog(t, 600)
	old := w.file("old", string(l.Note(300)))
	out, _ := w.run(exitDone, "get", "400")
	says(t, out, "400 of 600 in log other.example (proven)", "a time that the log does not say", "entry 400")
	out, _ = w.run(exitDone, "list", "--start", "-300", "--limit", "0")
	says(t, out, "Entries 300 to 599 of 600, proven to be in log other.example")
	out, _ = w.run(exitDone, "consistency", old)
	says(t, out, "has only grown")
	proof := w.file("f"+proofSuffix, "")
	w.run(exitDone, "prove", "400", "--out", proof)
	l.Grow(700)
	w.run(exitDone, "prove", strings.TrimSuffix(proof, proofSuffix))
	if text, err := os.ReadFile(proof); err != nil || !strings.Contains(string(text), "\n700\n") {
		t.Errorf("%s, %v", text, err)
	}
	w.run(exitDone, "verify", "--any-signer", "--proof", proof, w.file("artifact", "entry 400"))
	_, errs := w.run(exitUnasked, "get", strings.Repeat("00", 32))
	says(t, errs, "tiles alone", "index")
	w.run(exitUnasked, "get", "700")
}

// Commands that look at what a log says of itself go on with the next URL, too.
func TestSeveralURLsOfOneLog(t *testing.T) {
	w := newWorld(t)
	w.servesRekor()
	w.run(exitDone, "add", w.file("f", "artifact"))
	const gone = "http://127.0.0.1:1"
	urls := []string{"--url", gone, "--url", w.url}
	w.run(exitDone, append(urls, "trust", "export", "--dir", filepath.Join(w.dir, "trust"), "--public-url", "https://log.example")...)
	out, _ := w.run(exitUnverified, append(urls, "doctor", "--read-only", "--public-url", "https://log.example")...)
	says(t, unwrapped(out), "! reachable ", "GET "+gone+"/checkpoint", "✓ reachable "+w.url)
	w.run(exitDone, "monitor", gone, w.url, "--identity", "x@example.com", "--state", filepath.Join(w.dir, "state.json"))
}

// What one URL does not have another one has.
func TestSeveralURLs(t *testing.T) {
	w, l := anyLog(t, 600)
	down := sourcetest.New(t, "other.example", 0)
	down.Before(func(rw http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) })
	w.env["INDELIBLE_URL"] = down.URL + " " + l.URL
	w.run(exitDone, "get", "0")
	delete(w.env, "INDELIBLE_URL")
	w.run(exitDone, "list", "--url", down.URL, "--url", l.URL)
	if down.Asked("") == 0 {
		t.Error("the first URL was not asked")
	}
	w.env["INDELIBLE_URL"] = ""
	w.run(exitUsage, "checkpoint")
}
