package client

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"indelible/checkpoint"
	"indelible/merkle"
)

// Answers that would take a hundred times their size in memory are not parsed.
func TestAnswersOfManyValues(t *testing.T) {
	f, c := newFake(t)
	empty := func(field string, n int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"%s":[{}%s]}`, field, strings.Repeat(",{}", n))
		}
	}
	hashes := func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"proof":{"hashes":[""%s]}}`, strings.Repeat(`,""`, 100_000))
	}
	f.replace["/v1/entries"], f.replace["/v1/entries:batch"] = empty("entries", 100_000), empty("outcomes", 100_000)
	f.replace["/v1/entries/3"] = hashes
	for name, ask := range map[string]func() error{
		"get":  func() error { _, err := c.Get(t.Context(), 3); return err },
		"list": func() error { _, err := c.List(t.Context(), 0, 0); return err },
		"add many": func() error {
			_, err := c.AddMany(t.Context(), []Entry{{Canonical: entryOf(3)}})
			return err
		},
	} {
		if err := ask(); !errors.Is(err, ErrUntrusted) || !strings.Contains(err.Error(), "commas") {
			t.Errorf("%s: %v", name, err)
		}
	}
	f.replace["/v1/entries/3"] = func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, strings.Repeat(" ", 1<<16)); err != nil {
				return
			}
		}
	}
	if _, err := c.Get(t.Context(), 3); !errors.Is(err, ErrTooBig) {
		t.Error(err)
	}
}

// The greatest honest answer is within the bounds.
func TestGreatestAnswers(t *testing.T) {
	f, c := newFake(t)
	longest := strings.Repeat("x", merkle.MaxBundleEntry)
	one := fmt.Sprintf(`{"index":"9223372036854775807","leafHash":%q,"canonical":%q,"integratedAt":"9223372036854775807","kind":"hashedrekord"}`,
		base64.StdEncoding.EncodeToString(make([]byte, 32)), base64.StdEncoding.EncodeToString([]byte(longest)))
	f.replace["/v1/entries"] = func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"entries":[%s],"next":"1000","treeSize":"1000"}`, strings.Repeat(one+",", maxList-1)+one)
	}
	// The tree of five has no entry 5: it was read, up to there, and not believed.
	if _, err := c.List(t.Context(), 5, maxList); !errors.Is(err, ErrUntrusted) || !strings.Contains(err.Error(), "it listed entry 5") {
		t.Error(err)
	}
	proof := fmt.Sprintf(`{"index":"1","treeSize":"5","hashes":[%s],"rootHash":""}`, strings.TrimSuffix(strings.Repeat(`"`+strings.Repeat("A", 43)+`=", `, 63), ", "))
	f.replace["/v1/entries:batch"] = func(w http.ResponseWriter, _ *http.Request) {
		out := fmt.Sprintf(`{"entry":{"index":"1"},"proof":%s,"duplicate":true}`, proof)
		fmt.Fprintf(w, `{"outcomes":[%s],"checkpoint":{"note":%q}}`, strings.Repeat(out+",", 1023)+out, f.note(5))
	}
	entries := make([]Entry, 1024)
	for i := range entries {
		entries[i] = Entry{Canonical: entryOf(i)}
	}
	outcomes, err := c.AddMany(t.Context(), entries)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range outcomes {
		if !errors.Is(o.Err, ErrUntrusted) { // 63 hashes prove nothing in a tree of five
			t.Fatal(o.Err)
		}
	}
}

// Whoever waits is told why.
func TestRetrying(t *testing.T) {
	f, c := newFake(t)
	var told []string
	c.cfg.Retrying = func(err error, wait time.Duration) {
		if wait < 100*time.Millisecond || wait > 30*time.Second {
			t.Errorf("a pause of %v", wait)
		}
		told = append(told, err.Error())
	}
	f.replace["/checkpoint"] = func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, `{"code":14,"message":"starting"}`)
	}
	if _, err := c.Checkpoint(t.Context()); err == nil || len(told) != 2 || told[0] != "starting (HTTP 503)" {
		t.Errorf("told %q, %v", told, err)
	}
}

// What a log says of itself is cut to what a person may read.
func TestLongMessages(t *testing.T) {
	f, c := newFake(t)
	f.replace["/checkpoint"] = func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"message":%q}`, strings.Repeat("ä", 10_000))
	}
	if _, err := c.Checkpoint(t.Context()); err == nil || len(err.Error()) > 2*maxMessage || !strings.Contains(err.Error(), "ä…") {
		t.Error(err)
	}
}

func TestRootAt(t *testing.T) {
	f, c := newFake(t)
	at := func(size int) checkpoint.Checkpoint {
		o, err := c.Open([]byte(f.note(size)))
		if err != nil {
			t.Fatal(err)
		}
		return o.Checkpoint
	}
	said := at(3).Root
	f.replace["/v1/proofs/consistency"] = func(w http.ResponseWriter, _ *http.Request) {
		plan, _ := merkle.PlanConsistency(3, 5)
		proof, _ := plan.Compute(func(merkle.Tile) (*merkle.Nodes, error) { return merkle.Expand(f.leaves) })
		var list []string
		for _, h := range proof {
			list = append(list, `"`+base64.StdEncoding.EncodeToString(h[:])+`"`)
		}
		fmt.Fprintf(w, `{"hashes":[%s],"fromRoot":%q}`, strings.Join(list, ","), base64.StdEncoding.EncodeToString(said[:]))
	}
	if root, proof, err := c.RootAt(t.Context(), 3, at(5)); err != nil || root != at(3).Root || len(proof) == 0 {
		t.Error(root, proof, err)
	}
	for size, want := range map[int64]merkle.Hash{0: merkle.EmptyRoot(), 5: at(5).Root} {
		if root, proof, err := c.RootAt(t.Context(), size, at(5)); err != nil || root != want || len(proof) > 0 {
			t.Errorf("size %d: %x, %v, %v", size, root, proof, err)
		}
	}
	for _, size := range []int64{-1, 6} {
		if _, _, err := c.RootAt(t.Context(), size, at(5)); err == nil {
			t.Errorf("size %d", size)
		}
	}
	said[0] ^= 1
	if _, _, err := c.RootAt(t.Context(), 3, at(5)); !errors.Is(err, ErrUntrusted) {
		t.Error("a root that it did not have:", err)
	}
}
