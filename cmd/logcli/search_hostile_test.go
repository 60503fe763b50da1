package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	pb "indelible/api/proto/indelible/v1"
	"indelible/merkle"
)

// searchWorld is a log of five entries by one key.
func searchWorld(t *testing.T) (w *world, fingerprint string) {
	t.Helper()
	w = newWorld(t)
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		w.run(exitDone, "add", w.file(name, name))
	}
	return w, w.ownFingerprint()
}

// verifyJSON verifies a search that must fail, and returns what it printed.
func (w *world) verifyJSON(fingerprint string) searchAnswer {
	w.t.Helper()
	out, errs := w.run(exitUnverified, "-o", "json", "search", "--public-key", fingerprint, "--verify")
	var got searchAnswer
	if err := json.Unmarshal([]byte(out), &got); err != nil || errs != "" {
		w.t.Fatal(err, out, errs)
	}
	if got.Verified || got.Exit != exitUnverified || got.Error == "" || got.TreeSize != 5 {
		w.t.Errorf("%s", out)
	}
	return got
}

// foundBy is who found which entry.
func foundBy(a searchAnswer) (text string) {
	for _, e := range a.Entries {
		text += fmt.Sprintf("%d %s, ", e.Index, e.FoundBy)
	}
	return text
}

// A search that says that it knows nothing, or little, is not right because it
// says so: what the log has beyond is printed, and that the search is behind.
func TestSearchBehind(t *testing.T) {
	w, fp := searchWorld(t)
	w.searchable(func(_ url.Values, p *pb.SearchEntriesResponse) { p.Entries, p.CompleteTo, p.NextPageToken = nil, 0, "" })
	out, errs := w.run(exitUnverified, "search", "--public-key", fp, "--verify")
	says(t, out, "FOUND BY", "audit", "5 entries, proven to be in log log.example, found by the audit alone.", "All entries (5) were looked through; the log's search was complete up to 0.")
	says(t, errs, "the search is behind: it is complete up to 0 of 5 entries", "It lacks 5 entries: 0, 1, 2, 3, 4, which the audit found")
	if strings.Contains(out, ", proven.") || strings.Contains(errs, "left out") {
		t.Error(out, errs)
	}

	w.searchable(func(_ url.Values, p *pb.SearchEntriesResponse) {
		p.CompleteTo = 3
		p.Entries = slices.DeleteFunc(p.Entries, func(e *pb.LoggedEntry) bool { return e.GetIndex() >= 3 })
		if len(p.Entries) < 2 {
			p.NextPageToken = ""
		}
	})
	got := w.verifyJSON(fp)
	if foundBy(got) != "0 search, 1 search, 2 search, 3 audit, 4 audit, " || got.CompleteTo != 3 || got.Behind != 2 || got.LeftOut.Count != 0 || got.Wrong.Count != 0 ||
		got.NotIndexed.Count != 2 || !slices.Equal(got.NotIndexed.First, []int64{3, 4}) {
		t.Errorf("%+v", got)
	}
	for i, e := range got.Entries {
		if string(e.Canonical) != string(w.log.entries[i]) || (e.IntegratedAt == "") != (e.FoundBy == byAudit) {
			t.Errorf("%+v", e)
		}
	}
}

// An index that is behind for a moment only is waited for.
func TestSearchCatchesUp(t *testing.T) {
	w, fp := searchWorld(t)
	asked := 0
	w.searchable(func(_ url.Values, p *pb.SearchEntriesResponse) {
		if asked++; asked <= 2 { // one begins, and one begins again
			p.Entries, p.CompleteTo, p.NextPageToken = p.Entries[:1], 1, ""
		}
	})
	out, _ := w.run(exitDone, "search", "--public-key", fp, "--verify")
	says(t, out, "5 entries, proven to be in log log.example.", "Complete up to 5 of 5 entries, proven.")
	if strings.Contains(out, "audit") {
		t.Error(out)
	}
}

// Several keys are searched for in one index, which is waited for once.
func TestSearchCatchesUpForAllKeys(t *testing.T) {
	w, _ := searchWorld(t)
	asked := map[string]int{}
	w.searchable(func(q url.Values, p *pb.SearchEntriesResponse) {
		if key := q.Get("artifact"); asked[key] == 0 {
			asked[key]++
			p.Entries, p.CompleteTo, p.NextPageToken = nil, 0, ""
		}
	})
	out, _ := w.run(exitDone, "search", "--artifact", w.file("a", "a"), "--verify")
	says(t, out, "1 entry, proven to be in log log.example.", "Complete up to 5 of 5 entries, proven.")
	if len(asked) < 2 {
		t.Error("it asked for ", asked)
	}
}

// What is left out below what the answer says it knows is another fault.
func TestSearchLeavesOut(t *testing.T) {
	w, fp := searchWorld(t)
	w.searchable(func(_ url.Values, p *pb.SearchEntriesResponse) { p.Entries = p.Entries[:1] })
	out, errs := w.run(exitUnverified, "search", "--public-key", fp, "--verify")
	says(t, out, "5 entries, proven to be in log log.example; 2 of them found by the audit alone.")
	says(t, errs, "the search is wrong: it left out 2 entries: 1, 3, and said that it was complete up to 5.", "index rebuild")
	if strings.Contains(errs, "behind") {
		t.Error(errs)
	}
	got := w.verifyJSON(fp)
	if foundBy(got) != "0 search, 1 audit, 2 search, 3 audit, 4 search, " || got.LeftOut.Count != 2 || got.Behind != 0 || got.NotIndexed.Count != 0 {
		t.Errorf("%+v", got)
	}
	// Other bytes, of the same key.
	w.searchable(func(_ url.Values, p *pb.SearchEntriesResponse) {
		if p.Entries[0].GetIndex() == 2 {
			p.Entries[0].Canonical = w.log.entries[4]
		}
	})
	got = w.verifyJSON(fp)
	if foundBy(got) != "0 search, 1 search, 2 audit, 3 search, 4 search, " || got.Wrong.Count != 1 || !slices.Equal(got.Wrong.First, []int64{2}) || got.LeftOut.Count != 1 {
		t.Errorf("%+v", got)
	}
}

// A log that would answer for ever is asked no more as soon as it says what it
// has not signed.
func TestSearchEndless(t *testing.T) {
	w, fp := searchWorld(t)
	asked := 0
	w.searchable(func(_ url.Values, p *pb.SearchEntriesResponse) {
		p.Entries = nil
		for i := range 256 {
			p.Entries = append(p.Entries, &pb.LoggedEntry{Index: int64(asked*256 + i), Canonical: w.log.entries[0]})
		}
		p.NextPageToken, p.CompleteTo, p.TreeSize = "x", 1<<62, 1<<62
		asked++
	})
	for _, flag := range []string{"--verify", "--limit=0"} {
		asked = 0
		_, errs := w.run(exitUnverified, "search", "--public-key", fp, flag)
		says(t, errs, "complete up to 4611686018427387904 entries, and the log's checkpoint has 5")
		if asked != 1 {
			t.Errorf("%s: asked %d times", flag, asked)
		}
	}
}

// --timeout is for the whole command, however much there is to look through.
func TestSearchVerifyTimeout(t *testing.T) {
	w, fp := searchWorld(t)
	w.searchable(nil)
	var reached atomic.Bool
	w.log.replace["/tile/entries/000.p/5"] = func(_ http.ResponseWriter, r *http.Request) {
		reached.Store(true)
		<-r.Context().Done()
	}
	_, errs := w.run(exitUnasked, "search", "--public-key", fp, "--verify", "--timeout", "3s")
	if reached.Load() { // a slow machine may not come so far
		says(t, errs, "0 of 5 entries were looked through in 3s", "--timeout")
	}
}

// large serves a log of n entries by one key, and their search in pages of a
// hundred; without those that are left out.
func (w *world) large(n int, leaveOut ...int64) {
	w.t.Helper()
	digest := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return base64.StdEncoding.EncodeToString(sum[:])
	}
	first := string(w.log.entries[0])
	if strings.Count(first, digest("a")) != 1 {
		w.t.Fatal(first)
	}
	w.log.entries = nil
	for i := range n {
		w.log.entries = append(w.log.entries, []byte(strings.Replace(first, digest("a"), digest(fmt.Sprint(i)), 1)))
	}
	files := map[string][]byte{"/checkpoint": []byte(w.log.note().GetNote())}
	leaves := w.log.leaves()
	var roots []merkle.Hash
	for start := 0; start < n; start += merkle.TileWidth {
		end := min(start+merkle.TileWidth, n)
		var bundle []byte
		for _, e := range w.log.entries[start:end] {
			bundle, _ = merkle.AppendBundleEntry(bundle, e)
		}
		index := int64(start / merkle.TileWidth)
		files["/"+merkle.Bundle{Index: index, Width: end - start}.Path()] = bundle
		files["/"+merkle.Tile{Index: index, Width: end - start}.Path()] = merkle.EncodeTile(leaves[start:end])
		if end-start == merkle.TileWidth {
			edge, _ := merkle.Edge{}.Append(leaves[start:end])
			roots = append(roots, edge.Root())
		}
	}
	files["/"+merkle.Tile{Level: 1, Width: len(roots)}.Path()] = merkle.EncodeTile(roots)
	entries := w.log.entries
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/entries:search" {
			rw.Write(files[r.URL.Path])
			return
		}
		start, _ := strconv.Atoi(r.URL.Query().Get("pageToken"))
		page := &pb.SearchEntriesResponse{CompleteTo: int64(n), TreeSize: int64(n)}
		for i := start; i < min(start+100, n); i++ {
			if !slices.Contains(leaveOut, int64(i)) {
				page.Entries = append(page.Entries, &pb.LoggedEntry{Index: int64(i), Canonical: entries[i]})
			}
		}
		if start+100 < n {
			page.NextPageToken = strconv.Itoa(start + 100)
		}
		w.log.answer(rw, page)
	}))
	w.t.Cleanup(server.Close)
	w.env["INDELIBLE_URL"] = server.URL
	w.forgetHeads() // it is another log of the same name
}

// forgetHeads makes the user forget what a log showed.
func (w *world) forgetHeads() {
	w.t.Helper()
	found, err := filepath.Glob(filepath.Join(w.dir, "config/indelible/logs/*.heads"))
	for _, dir := range found {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// A search of many pages is compared with a log of many bundles.
func TestSearchVerifyLarge(t *testing.T) {
	w := newWorld(t)
	w.run(exitDone, "add", w.file("a", "a"))
	fp := w.ownFingerprint()
	args := []string{"search", "--public-key", fp, "--verify", "--log-key", w.log.signer.Verifier().String()}
	a, n := string(w.log.entries[0]), 600
	w.large(n)
	out, _ := w.run(exitDone, args...)
	says(t, out, "100 entries, proven to be in log log.example; there are more", "Complete up to 600 of 600 entries, proven.")
	out, _ = w.run(exitDone, append(args, "--limit", "0")...)
	says(t, out, "600 entries, proven to be in log log.example.\n")
	w.log.entries = [][]byte{[]byte(a)}
	w.large(n, 255, 256, 300, 599)
	out, errs := w.run(exitUnverified, append(args, "--limit", "0")...)
	says(t, out, "600 entries, proven to be in log log.example; 4 of them found by the audit alone")
	says(t, errs, "it left out 4 entries: 255, 256, 300, 599, and said that it was complete up to 600")
}
