package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	pb "indelible/api/proto/indelible/v1"
	"indelible/entry"
)

// searchable makes the fake log answer searches, honestly unless change says
// otherwise, in pages of two entries.
func (w *world) searchable(change func(q url.Values, page *pb.SearchEntriesResponse)) {
	w.log.replace["/v1/entries:search"] = func(rw http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		page := w.log.search(q)
		if change != nil {
			change(q, page)
		}
		w.log.answer(rw, page)
	}
}

func (l *fakeLog) search(q url.Values) *pb.SearchEntriesResponse {
	after, err := strconv.Atoi(q.Get("pageToken"))
	if err != nil {
		after = -1
	}
	page := &pb.SearchEntriesResponse{CompleteTo: int64(len(l.entries)), TreeSize: int64(len(l.entries))}
	for i, e := range l.entries {
		has, err := entry.IndexKeys(e)
		if err != nil {
			l.t.Error(err)
		}
		found := slices.ContainsFunc(has, func(k entry.IndexKey) bool { return q.Get(string(k.By)) == k.Value })
		if !found || i <= after {
			continue
		}
		if len(page.Entries) == 2 {
			page.NextPageToken = fmt.Sprint(page.Entries[1].GetIndex())
			break
		}
		page.Entries = append(page.Entries, &pb.LoggedEntry{Index: int64(i), Canonical: e, IntegratedAt: 1_700_000_000_000})
	}
	return page
}

// ownFingerprint is that of the key that the first add made.
func (w *world) ownFingerprint() string {
	w.t.Helper()
	out, _ := w.run(exitDone, "-o", "json", "get", fmt.Sprint(len(w.log.entries)-1))
	var got struct{ Signers []signedBy }
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got.Signers) != 1 {
		w.t.Fatal(err, out)
	}
	return got.Signers[0].Fingerprint
}

func TestSearch(t *testing.T) {
	w := newWorld(t)
	a := w.file("a", "artifact a")
	w.run(exitDone, "add", a)
	for _, name := range []string{"b", "c", "d", "e"} {
		w.run(exitDone, "add", w.file(name, name))
	}
	w.searchable(nil)
	out, _ := w.run(exitDone, "search", "--artifact", a)
	says(t, out, "INDEX", "hashedrekord", "2023-11-14T22:13:20Z", "1 entry, proven to be in log log.example.", "Complete up to 5 of 5 entries: the log's word")
	digest := fmt.Sprintf("%x", sha256.Sum256([]byte("artifact a")))
	again, _ := w.run(exitDone, "search", "--artifact", "SHA256:"+strings.ToUpper(digest))
	if again != out {
		t.Errorf("by digest:\n%s", again)
	}
	out, _ = w.run(exitDone, "search", "--artifact", a, "--verify")
	says(t, out, "1 entry, proven", "Complete up to 5 of 5 entries, proven.")

	fp := w.ownFingerprint()
	for _, key := range []string{fp, strings.TrimPrefix(fp, "SHA256:"), w.publicKeyFile()} {
		out, _ = w.run(exitDone, "search", "--public-key", key, "--verify")
		says(t, out, "5 entries, proven to be in log log.example.", "Complete up to 5 of 5 entries, proven.")
	}
	out, _ = w.run(exitDone, "search", "--public-key", fp, "--limit", "3")
	says(t, out, "3 entries, proven", "there are more")
	if strings.Count(out, "hashedrekord") != 3 {
		t.Error(out)
	}
	out, _ = w.run(exitDone, "search", "--subject", "nobody@example.com")
	says(t, out, "No entry found.", "Complete up to 5 of 5")

	out, _ = w.run(exitDone, "-o", "json", "search", "--public-key", fp, "--limit", "0")
	var got searchAnswer
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got.Entries) != 5 || got.More || got.CompleteTo != 5 || got.TreeSize != 5 || got.Verified || got.Origin != "log.example" {
		t.Fatal(err, out)
	}
	for i, e := range got.Entries {
		if e.Index != int64(i) || string(e.Canonical) != string(w.log.entries[i]) || e.Kind != entry.KindHashedRekord {
			t.Errorf("%+v", e)
		}
	}
}

// publicKeyFile is a file with the public key of the first entry.
func (w *world) publicKeyFile() string {
	w.t.Helper()
	parsed, err := entry.Parse(w.log.entries[0])
	if err != nil {
		w.t.Fatal(err)
	}
	return w.file("key.der", string(parsed.Signers()[0].SPKI))
}

func TestSearchUsage(t *testing.T) {
	w := newWorld(t)
	w.run(exitDone, "add", w.file("a", "a"))
	w.searchable(nil)
	none := filepath.Join(w.dir, "none")
	for _, c := range []struct {
		args []string
		says string
	}{
		{nil, "give one of --artifact"},
		{[]string{"--subject", "a", "--issuer", "b"}, "give one of --artifact"},
		{[]string{"--artifact", none}, "no file that can be read"},
		{[]string{"--payload", "sha256:12"}, "no file that can be read"},
		{[]string{"--public-key", none}, "no fingerprint"},
		{[]string{"--public-key", w.file("garbage", "garbage")}, "garbage"},
		{[]string{"--subject", "a", "--limit", "-1"}, "--limit -1"},
		{[]string{"--subject", "a", "b"}, "unknown command"},
	} {
		_, errs := w.run(exitUsage, append([]string{"search"}, c.args...)...)
		says(t, errs, c.says)
	}
	delete(w.log.replace, "/v1/entries:search")
	_, errs := w.run(exitUnasked, "search", "--subject", "a")
	says(t, errs, "this log has no search")
}

// A log that lies about what it has is found out.
func TestSearchLies(t *testing.T) {
	w := newWorld(t)
	w.run(exitDone, "add", w.file("a", "a"))
	w.env["XDG_CONFIG_HOME"] = filepath.Join(w.dir, "other")
	w.run(exitDone, "add", w.file("b", "b"))
	fp := w.ownFingerprint()
	for _, name := range []string{"c", "d", "e"} {
		w.run(exitDone, "add", w.file(name, name))
	}
	for name, c := range map[string]struct {
		lie    func(q url.Values, page *pb.SearchEntriesResponse)
		plain  int // exit code of a search without --verify
		verify string
	}{
		"one left out": {func(_ url.Values, p *pb.SearchEntriesResponse) { p.Entries = p.Entries[1:] }, exitDone, "it left out 2 entries: 1, 3, and said that it was complete up to 5"},
		"none at all":  {func(_ url.Values, p *pb.SearchEntriesResponse) { p.Entries, p.NextPageToken = nil, "" }, exitDone, "it left out 4 entries: 1, 2, 3, 4"},
		"another's": {func(_ url.Values, p *pb.SearchEntriesResponse) {
			p.Entries[0].Index, p.Entries[0].Canonical = 0, w.log.entries[0]
		}, exitUnverified, ""},
		"at another index":    {func(_ url.Values, p *pb.SearchEntriesResponse) { p.Entries[0].Index = 0 }, exitUnverified, ""},
		"not in order":        {func(_ url.Values, p *pb.SearchEntriesResponse) { slices.Reverse(p.Entries) }, exitUnverified, "the log's answer does not verify"},
		"beyond the log":      {func(_ url.Values, p *pb.SearchEntriesResponse) { p.CompleteTo, p.TreeSize = 9, 9 }, exitUnverified, "complete up to 9 entries, and the log's checkpoint has 5"},
		"more than published": {func(_ url.Values, p *pb.SearchEntriesResponse) { p.CompleteTo = 9 }, exitUnverified, "the log's answer does not verify"},
		"a page for ever":     {func(_ url.Values, p *pb.SearchEntriesResponse) { p.Entries, p.NextPageToken = p.Entries[:0], "0" }, exitUnverified, "the log's answer does not verify"},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.searchable(c.lie)
			w.run(c.plain, "search", "--public-key", fp)
			out, errs := w.run(exitUnverified, "search", "--public-key", fp, "--verify")
			says(t, errs, c.verify)
			if strings.Contains(out, ", proven.") {
				t.Errorf("it printed %s", out)
			}
		})
	}
}
