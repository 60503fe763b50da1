//go:build unix

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"indelible/checkpoint"
	"indelible/evidence"
	"indelible/merkle"
	"indelible/witness"
)

// tiled serves a tree of up to 255 leaves, which may be another one later.
func tiled(t *testing.T, shows *atomic.Pointer[tree]) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		tr := shows.Load()
		switch r.URL.Path {
		case "/checkpoint":
			rw.Write(tr.note(t))
		case fmt.Sprintf("/tile/0/000.p/%d", tr.size()):
			rw.Write(merkle.EncodeTile(tr.leaves))
		default:
			http.NotFound(rw, r)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// A log that does not come is looked at, cosigned and served; when it forks, the
// evidence is in the folder, and counted.
func TestFeed(t *testing.T) {
	var shows atomic.Pointer[tree]
	log := newTree(t, "quiet.example")
	shows.Store(log.with("a", "b", "c"))
	url := tiled(t, &shows)
	s := newServer(t, nil)
	list := fmt.Sprintf("log %s %s\nquorum none\n", log.key.Verifier(), url)
	if err := os.WriteFile(s.path("feed"), []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	s.args = append(s.args, "--feed", s.path("feed"), "--feed-interval", "20ms")
	s.start()
	cosigned := func(tr *tree) func() error {
		return func() error {
			note, err := get("http://" + s.listen + "/" + witness.OriginHash(log.origin) + "/checkpoint")
			if err != nil {
				return err
			}
			o, err := checkpoint.Open([]byte(note), []checkpoint.Verifier{log.key.Verifier()}, s.verifier)
			if err == nil && (!o.VerifiedBy(s.verifier) || o.Size != tr.size()) {
				err = fmt.Errorf("the witness serves\n%s", note)
			}
			return err
		}
	}
	eventually(t, "cosigned", cosigned(shows.Load()))
	shows.Store(log.with("a", "b", "c", "d"))
	eventually(t, "cosigned when it grew", cosigned(shows.Load()))
	shows.Store(log.with("a", "b", "C", "d", "e"))
	eventually(t, "evidence", func() error {
		files, err := filepath.Glob(s.path("data/evidence/*.evidence"))
		if err != nil || len(files) != 1 {
			return fmt.Errorf("%q, %w", files, err)
		}
		data, err := os.ReadFile(files[0])
		if err != nil {
			return err
		}
		_, err = evidence.Verify(data, []checkpoint.Verifier{log.key.Verifier()})
		return err
	})
	eventually(t, "counted", func() error {
		metrics, err := get("http://" + s.admin + "/metrics")
		if err == nil && !strings.Contains(metrics, "indelible_witness_contradictions_total 1\n") {
			err = fmt.Errorf("%s", metrics)
		}
		return err
	})
	s.says("A LOG CONTRADICTED ITSELF", "quiet.example")
	s.stop()
}

// Two heads of one size that come to the witness are evidence too, written once.
func TestTwoHeads(t *testing.T) {
	twoHeads(t, manyTrees(t, 1)[0])
}

// The list may give a log a key of another name.
func TestTwoHeadsByAnotherName(t *testing.T) {
	key, err := checkpoint.NewSigner("operator.example", keyOf("operator"))
	if err != nil {
		t.Fatal(err)
	}
	twoHeads(t, &tree{origin: "log.example/2026", key: key})
}

func twoHeads(t *testing.T, log *tree) {
	t.Helper()
	s := newServer(t, []*tree{log})
	three, other := log.with("a", "b", "c"), log.with("A", "B", "C")
	s.start()
	s.want(three, 0, 200, "")
	s.want(other, 3, 422, "does not extend")
	s.want(other, 0, 409, "3\n")
	s.want(log.with("A", "B"), 0, 409, "3\n")
	s.want(three.with("d"), 3, 200, "")
	s.stop()
	files, err := filepath.Glob(s.path("data/evidence/*.evidence"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%q %v", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	e, err := evidence.Verify(data, []checkpoint.Verifier{log.key.Verifier()})
	if err != nil || e.Kind != evidence.TwoHeads || e.First.Size != 3 || e.First.Origin != log.origin {
		t.Errorf("%v\n%s", err, data)
	}
	if n := strings.Count(s.out.String(), "A LOG CONTRADICTED ITSELF"); n != 1 {
		t.Errorf("told %d times", n)
	}
}

func TestRefusedFeed(t *testing.T) {
	for says, list := range map[string]string{
		"policy line 1": "log nonsense\n",
		"no URL":        fmt.Sprintf("log %s\nquorum none\n", newTree(t, "quiet.example").key.Verifier()),
		"begin with":    fmt.Sprintf("log %s nonsense\nquorum none\n", newTree(t, "quiet.example").key.Verifier()),
	} {
		s := newServer(t, nil, "--feed", "")
		if err := os.WriteFile(s.path("feed"), []byte(list), 0o600); err != nil {
			t.Fatal(err)
		}
		s.args[len(s.args)-1] = s.path("feed")
		s.refuses(says)
	}
	s := newServer(t, nil, "--feed", "/not/there")
	s.refuses("no such file")
	s = newServer(t, nil, "--feed-interval", "0s")
	s.refuses("--feed-interval")
}
