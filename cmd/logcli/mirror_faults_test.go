package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"indelible/mirror"
	"indelible/mirror/sourcetest"
)

// A mirror whose disk fails ends with the reason: it cannot know what is on the
// disk, and would refuse everything until it is started again.
func TestMirrorServeEndsWhenItsDiskFails(t *testing.T) {
	u := newWorld(t)
	l := sourcetest.New(t, "mirrored.example", 300)
	dir := t.TempDir()
	r, w := io.Pipe()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var problems bytes.Buffer
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"mirror", "serve", "--listen", "127.0.0.1:0", dir, "--name", "mirror.example/m1", "--log-key", l.Key.String()},
			func(string) (string, bool) { return "", false }, nil, w, &problems)
	}()
	var b [1 << 16]byte
	n, _ := r.Read(b[:])
	go io.Copy(io.Discard, r)
	_, rest, _ := strings.Cut(string(b[:n]), " at ")
	url, _, _ := strings.Cut(rest, "/<hex")
	u.run(0, "mirror", "push", l.URL, url, "--log-key", l.Key.String())
	tiles := filepath.Join(dir, mirror.Folder(l.Origin), "tile")
	if err := os.RemoveAll(tiles); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tiles, nil, 0o600); err != nil { // no folder, so that nothing can be written below it
		t.Fatal(err)
	}
	l.Grow(900)
	pushing, stop := context.WithCancel(ctx)
	pushed := make(chan int, 1)
	go func() {
		pushed <- run(pushing, []string{"mirror", "push", l.URL, url, "--log-key", l.Key.String()}, func(string) (string, bool) { return "", false }, nil, io.Discard, io.Discard)
	}()
	code := <-done
	stop()
	<-pushed
	if code == 0 || !strings.Contains(problems.String(), "the copy cannot be written") {
		t.Errorf("exit code %d: %s", code, problems.String())
	}
}

// A copy whose state is damaged holds up no other one.
func TestMirrorServeDamagedCopy(t *testing.T) {
	u := newWorld(t)
	dir := t.TempDir()
	var logs []*sourcetest.Log
	for _, origin := range []string{"a.example", "b.example"} {
		l := sourcetest.New(t, origin, 10)
		u.run(0, "mirror", l.URL, dir, "--log-key", l.Key.String())
		logs = append(logs, l)
	}
	if err := os.WriteFile(filepath.Join(dir, ".mirror", mirror.Folder("a.example"), "state"), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	url, _ := served(t, dir, "--name", "mirror.example/m1")
	if note := get(t, url+"/"+mirror.Folder("b.example")+"/checkpoint"); !strings.Contains(note, "mirror.example/m1") {
		t.Error(note)
	}
	res, err := http.Get(url + "/" + mirror.Folder(logs[0].Origin) + "/checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	if res.Body.Close(); res.StatusCode != http.StatusInternalServerError {
		t.Errorf("the damaged copy: %d", res.StatusCode)
	}
}

// A copy remembers no password of the log's URL, and still knows the log by it.
func TestMirrorRemembersNoPassword(t *testing.T) {
	u := newWorld(t)
	dir := t.TempDir()
	l := sourcetest.New(t, "a.example", 10)
	url := strings.Replace(l.URL, "://", "://user:hunter2@", 1)
	u.run(0, "mirror", url, dir, "--log-key", l.Key.String())
	u.run(0, "mirror", url, dir)
	state, err := os.ReadFile(filepath.Join(dir, ".mirror", mirror.Folder(l.Origin), "state"))
	if err != nil || strings.Contains(string(state), "hunter2") {
		t.Errorf("%v: %s", err, state)
	}
}
