package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestExplore: the page is served from this machine with the keys that were given,
// reads the log through logcli, and answers no other site.
func TestExplore(t *testing.T) {
	w := newWorld(t)
	w.run(0, "add", w.file("a", "content"))
	ctx, cancel := context.WithCancel(t.Context())
	r, out := io.Pipe()
	var problems bytes.Buffer
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"explore"}, func(name string) (string, bool) { v, ok := w.env[name]; return v, ok }, nil, out, &problems)
		out.Close()
	}()
	var b [1024]byte
	n, _ := r.Read(b[:])
	go io.Copy(io.Discard, r)
	_, rest, _ := strings.Cut(string(b[:n]), "Open ")
	url, _, ok := strings.Cut(rest, " in a browser")
	if !ok {
		t.Fatalf("%s %s", b[:n], problems.String())
	}
	defer func() {
		cancel()
		if code := <-done; code != 0 {
			t.Errorf("exit code %d: %s", code, problems.String())
		}
	}()
	get := func(path, host string) (int, string) {
		t.Helper()
		q, err := http.NewRequestWithContext(ctx, http.MethodGet, url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Host = host
		res, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
	for path, want := range map[string]string{
		"": "that logcli remembers", "page/main.js": "import", "log/checkpoint": "log.example\n1\n", "log/tile/entries/000.p/1": "hashedrekord",
	} {
		if status, body := get(path, ""); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.200s", path, status, body)
		}
	}
	for path, want := range map[string]int{"nothing": 404, "log/log.vkey": 404, "log/v1/nothing": 404, "log/tile/../log.vkey": 404} {
		if status, body := get(path, ""); status != want {
			t.Errorf("%s: %d %.200s", path, status, body)
		}
	}
	for _, path := range []string{"v1/../x", "v1/%2e%2e/x", "v1/.%2E/x", "v1/%252e%252e/x", "v1/..%2fx", `v1/%5c.%2e%5cx`, "tile/%2e./x", "v1x", "x", ""} {
		if isRead(path) {
			t.Errorf("%q is what the page reads", path)
		}
	}
	for _, path := range []string{"checkpoint", "v1/entries:search", "v1/entries/7", "tile/0/x001/067.p/3", "tile/entries/000"} {
		if !isRead(path) {
			t.Errorf("%q is not what the page reads", path)
		}
	}
	if status, _ := get("", "evil.example"); status != 403 {
		t.Errorf("another site's name: %d", status)
	}
}

// TestExploreKnowsItsNames: a page elsewhere cannot have the name of its own server lead
// here, on whatever address the page is served.
func TestExploreKnowsItsNames(t *testing.T) {
	local, open, named := &explorer{local: true, name: "127.0.0.1"}, &explorer{}, &explorer{name: "box.example"}
	for host, want := range map[string][3]bool{
		"127.0.0.1:8093":   {true, true, true},
		"localhost:8093":   {true, true, true},
		"[::1]:8093":       {true, true, true},
		"192.0.2.7:8093":   {false, true, true},
		"[2001:db8::1]:80": {false, true, true},
		"Box.example:8093": {false, false, true},
		"evil.example":     {false, false, false},
		"127.0.0.1.evil":   {false, false, false},
		"":                 {false, false, false},
	} {
		if got := [3]bool{local.knows(host), open.knows(host), named.knows(host)}; got != want {
			t.Errorf("%q: %v, and not %v", host, got, want)
		}
	}
}
