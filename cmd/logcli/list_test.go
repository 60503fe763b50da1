package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// listOut is what logcli list -o json prints.
type listOut struct {
	Origin   string
	TreeSize int64
	Entries  []listed
	Next     int64
	Error    string
	Exit     int
}

func readList(t *testing.T, text string) (l listOut) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &l); err != nil || l.Entries == nil {
		t.Fatalf("%v: %s", err, text)
	}
	return l
}

// listWorld has eight entries: raw ones, one with a key, one with a certificate.
func listWorld(t *testing.T) *world {
	w := newWorld(t)
	for i := range 6 {
		w.run(exitDone, "add", "--kind", "raw", w.file("raw", fmt.Sprint("raw ", i)))
	}
	f := w.file("f", "artifact")
	w.run(exitDone, "add", f)
	ca, key := w.authority("ca"), newKey(t)
	cert, _ := ca.issue("cert", key.Public(), ca.of("\n\x1b[31ma.very.long.name.of.somebody@example.com", "", time.Now().Add(20*time.Minute)))
	w.run(exitDone, "add", "--key", w.keyFile("key", key), "--certificate", cert, f)
	return w
}

func TestList(t *testing.T) {
	w := listWorld(t)
	w.log.asked = nil
	out, _ := w.run(exitDone, "list")
	says(t, out, "INDEX  LOGGED AT (UTC)", "2023-11-14 22:13:20", "nobody", "SHA256:", "c7c5c1d70c5d", "Entries 0 to 7 of 8, proven to be in log log.example.")
	for line := range strings.Lines(out) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if n := strings.Count(out, "\n"); n != 1+8+2 {
		t.Errorf("%d lines:\n%s", n, out)
	}
	if strings.Contains(out, "\x1b") {
		t.Errorf("%q", out)
	}
	text, _ := w.run(exitDone, "list", "-o", "json")
	got := readList(t, text)
	if got.Origin != "log.example" || got.TreeSize != 8 || got.Next != 8 || len(got.Entries) != 8 || got.Error != "" {
		t.Errorf("%+v", got)
	}
	for i, e := range got.Entries {
		if e.Index != int64(i) || len(e.LeafHash) != 32 || (e.Kind == "raw") != (i < 6) || (e.Digest == "") != (i < 6) || (len(e.Signers) == 0) != (i < 6) {
			t.Errorf("%+v", e)
		}
	}
	if s := got.Entries[7].Signers[0]; !strings.Contains(s.Identity, "somebody@example.com") || got.Entries[6].Signers[0].Identity != "" {
		t.Errorf("%+v", got.Entries[6:])
	}
}

func TestListRanges(t *testing.T) {
	w := listWorld(t)
	for args, want := range map[string]string{
		"":                         "0 1 2 3 4 5 6 7 next 8",
		"--limit 0":                "0 1 2 3 4 5 6 7 next 8",
		"--limit 4":                "0 1 2 3 next 4",
		"--limit 3":                "0 1 2 next 3",
		"--start 7":                "7 next 8",
		"--start 3 --limit 2":      "3 4 next 5",
		"--start -2":               "6 7 next 8",
		"--start -5 --limit 1":     "3 next 4",
		"--start -99 --limit 1":    "0 next 1",
		"--start 8":                "next 8",
		"--start 99":               "next 99",
		"--start 9000 --limit 0":   "next 9000",
		"--limit 9000000000000000": "0 1 2 3 4 5 6 7 next 8",
	} {
		text, _ := w.run(exitDone, append([]string{"list", "-o", "json"}, strings.Fields(args)...)...)
		got := readList(t, text)
		said := ""
		for _, e := range got.Entries {
			said += fmt.Sprint(e.Index, " ")
		}
		if said += fmt.Sprint("next ", got.Next); said != want {
			t.Errorf("%s: %s, want %s", args, said, want)
		}
	}
	out, _ := w.run(exitDone, "list", "--start", "3", "--limit", "2")
	says(t, out, "Entries 3 to 4 of 8", "More with --start 5.")
	out, _ = w.run(exitDone, "list", "--start", "8")
	says(t, out, "has 8 entries; number 8 is beyond them")
	w.run(exitUsage, "list", "--limit", "-1")
	w.run(exitUsage, "list", "--start", "x")
	w.run(exitUsage, "list", "5")
}

// A log that lists something else than it signed is found out; what was proven
// before that has been listed.
func TestListLies(t *testing.T) {
	w := listWorld(t)
	honest := w.log.list
	for name, lie := range map[string]struct {
		code   int
		answer http.HandlerFunc
	}{
		"another entry": {exitUnverified, func(rw http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(rw, `{"entries":[{"canonical":"Zm9yZ2Vk"}]}`)
		}},
		"nothing":   {exitUnasked, func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, `{}`) }},
		"no answer": {exitUnasked, func(rw http.ResponseWriter, _ *http.Request) { fail(rw, http.StatusInternalServerError, "broken") }},
	} {
		w.log.replace["/v1/entries"] = func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("start") == "3" {
				lie.answer(rw, r)
				return
			}
			honest(rw, r)
		}
		text, errs := w.run(lie.code, "list", "-o", "json")
		if got := readList(t, text); len(got.Entries) != 3 || got.Next != 3 || got.Error == "" || got.Exit != lie.code || errs != "" {
			t.Errorf("%s: %+v %s", name, got, errs)
		}
		out, errs := w.run(lie.code, "list")
		if strings.Count(out, "\n") != 4 || strings.Contains(out, "proven") || errs == "" {
			t.Errorf("%s:\n%s%s", name, out, errs)
		}
		if got := readList(t, first(w.run(lie.code, "list", "--start", "3", "-o", "json"))); len(got.Entries) != 0 || got.Exit != lie.code {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func first(out, _ string) string { return out }
