package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// asking are the commands that ask a log, with a file that was logged.
func asking(w *world, file string) map[string][]string {
	note := w.file("checkpoint", w.log.note().GetNote())
	return map[string][]string{
		"add":             {"add", file},
		"get":             {"get", "0"},
		"list":            {"list"},
		"search":          {"search", "--artifact", file},
		"search --verify": {"search", "--artifact", file, "--verify"},
		"prove":           {"prove", "0"},
		"checkpoint":      {"checkpoint"},
		"consistency":     {"consistency", note},
		"fsck":            {"fsck"},
		"doctor":          {"doctor"},
		"trust export":    {"trust", "export", "--dir", w.dir + "/trust"},
	}
}

// said runs a command, and returns all that it says.
func (w *world) said(args []string) (code int, said string) {
	var out, errs strings.Builder
	getenv := func(n string) (string, bool) { v, ok := w.env[n]; return v, ok }
	code = run(w.t.Context(), args, getenv, strings.NewReader(""), &out, &errs)
	return code, out.String() + errs.String()
}

// logcli follows no redirect to another host, and quotes nothing that the host
// says, unless the user allows it.
func TestRedirectsAreNotFollowed(t *testing.T) {
	w := newWorld(t)
	f := w.file("f", "artifact")
	w.run(exitDone, "add", f)
	var mu sync.Mutex
	var asked []string
	other := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.Method+" "+r.URL.Path)
		fail(out, http.StatusBadRequest, "an inside secret")
	}))
	defer other.Close()
	log := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		http.Redirect(out, r, other.URL+"/inside"+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer log.Close()
	for name, args := range asking(w, f) {
		w.env["INDELIBLE_URL"] = log.URL
		c, said := w.said(args)
		if c == exitDone || !strings.Contains(said, other.URL+"/inside") || strings.Contains(said, "an inside secret") {
			t.Errorf("%s: exit code %d, %s", name, c, said)
		}
		if name != "doctor" && name != "trust export" && !strings.Contains(said, "--url "+other.URL+"/inside, or follow redirects with --follow-redirects") {
			t.Errorf("%s: it does not say what to do: %s", name, said)
		}
	}
	if len(asked) > 0 {
		t.Errorf("the other host was asked %q", asked)
	}
}

// A log behind a redirect can be used, when the user says so.
func TestRedirectsThatAreWanted(t *testing.T) {
	w := newWorld(t)
	there := w.url
	log := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		http.Redirect(out, r, there+r.URL.String(), http.StatusTemporaryRedirect)
	}))
	defer log.Close()
	w.env["INDELIBLE_URL"] = log.URL
	w.run(exitUnasked, "add", w.file("f", "artifact"))
	w.run(exitDone, "add", "--follow-redirects", w.file("f", "artifact"))
	w.run(exitDone, "checkpoint", "--follow-redirects")
}

// A log that takes a question and says nothing more ends every command, without a
// limit on how long the command may take as a whole.
func TestStalledLog(t *testing.T) {
	var all sync.WaitGroup
	for name := range asking(newWorld(t), "f") {
		all.Go(func() { stalls(t, name) })
	}
	all.Wait()
	p := &program{getenv: func(string) (string, bool) { return "", false }}
	if def := p.command().PersistentFlags().Lookup("stall-timeout").DefValue; def != "30s" {
		t.Errorf("without a flag the limit is %s", def)
	}
}

func stalls(t *testing.T, name string) {
	w := newWorld(t)
	f := w.file("f", "artifact")
	w.run(exitDone, "add", f)
	to, err := url.Parse(w.url)
	if err != nil {
		t.Error(err)
		return
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	log := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/log.vkey" {
			proxy.ServeHTTP(out, r)
			return
		}
		fmt.Fprint(out, "{")
		out.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
		case <-time.After(time.Minute): // so that this test ends without the limit, too
		}
	}))
	defer log.Close()
	w.env["INDELIBLE_URL"] = log.URL
	args := append(asking(w, f)[name], "--stall-timeout", "50ms", "--timeout", "10h")
	if c, said := w.said(args); c == exitDone || !strings.Contains(said, "not a byte came for 50ms") {
		t.Errorf("%s: exit code %d, %s", name, c, said)
	}
}

// What a URL has that only its owner may know is in no message, whatever fails.
func TestURLsWithPasswords(t *testing.T) {
	w := newWorld(t)
	f := w.file("f", "artifact")
	w.run(exitDone, "add", f)
	gone := httptest.NewServer(nil)
	gone.Close()
	w.env["INDELIBLE_URL"] = strings.Replace(gone.URL, "://", "://user:s3cr3t@", 1)
	if _, said := w.said([]string{"get", "0"}); strings.Contains(said, "s3cr3t") || strings.Count(said, "xxxxx@127.0.0.1") < 2 {
		t.Errorf("no log: %s", said)
	}
	log := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect/log.vkey":
			out.Header().Set("Location", "https://user:s3cr3t@elsewhere.example/log.vkey?token=s3cr3t")
			out.WriteHeader(http.StatusFound)
		default:
			fail(out, http.StatusNotFound, "nothing here")
		}
	}))
	defer log.Close()
	secret := func(u string) string { return strings.Replace(u, "://", "://user:s3cr3t@", 1) }
	for _, at := range []string{secret(log.URL), secret(log.URL) + "/redirect", secret(log.URL) + "?token=s3cr3t", "http://user:s3cr3t/x@h", "user:s3cr3t@h", "https://user:s3cr3t%zz@h"} {
		w.env["INDELIBLE_URL"] = at
		commands := asking(w, f)
		commands["help"] = []string{"get", "--help"}
		commands["witness"] = []string{"conformance", "witness", at}
		for name, args := range commands {
			for _, args := range [][]string{args, append([]string{"-o", "json"}, args...)} {
				if _, said := w.said(args); strings.Contains(said, "s3cr3t") {
					t.Errorf("%s, %s: %s", at, name, said)
				}
			}
		}
	}
}
