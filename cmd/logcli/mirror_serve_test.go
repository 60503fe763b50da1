package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"indelible/checkpoint"
	"indelible/mirror"
	"indelible/mirror/sourcetest"
)

// served runs logcli mirror serve until the test ends or stop is called.
func served(t *testing.T, args ...string) (url string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan int, 1)
	var problems bytes.Buffer
	go func() {
		done <- run(ctx, append([]string{"mirror", "serve", "--listen", "127.0.0.1:0"}, args...), func(string) (string, bool) { return "", false }, nil, w, &problems)
		w.Close()
	}()
	var b [1 << 16]byte
	n, _ := r.Read(b[:])
	go io.Copy(io.Discard, r)
	_, rest, ok := strings.Cut(string(b[:n]), " at ")
	url, _, _ = strings.Cut(rest, "/<hex")
	if !ok {
		t.Fatalf("%s\n%s", b[:n], problems.String())
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if code := <-done; code != 0 {
			t.Errorf("exit code %d: %s", code, problems.String())
		}
	}
	t.Cleanup(stop)
	return url, stop
}

// A log is pushed to a mirror, which serves it and cosigned it; another mirror
// gets it from the first one's directory; a restart goes on.
func TestMirrorServeAndPush(t *testing.T) {
	u := newWorld(t)
	l := sourcetest.New(t, "mirrored.example", 300)
	vkeyOfLog := l.Key.String()
	dir := filepath.Join(t.TempDir(), "mirror")
	url, stop := served(t, dir, "--name", "mirror.example/m1", "--log-key", vkeyOfLog)
	keys, err := filepath.Glob(filepath.Join(dir, ".mirror/keys/*"))
	if err != nil || len(keys) != 2 {
		t.Fatal(keys, err)
	}
	for _, k := range keys {
		if info, err := os.Stat(k); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", k, info.Mode(), err)
		}
	}
	about := get(t, url+"/mirror.v0.json")
	vkey := about[strings.LastIndex(about, `"mirror.example/m1+`)+1:]
	vkey, _, _ = strings.Cut(vkey, `"`)
	out, _ := u.run(0, "mirror", "push", l.URL, url, "--log-key", vkeyOfLog, "--mirror-key", vkey)
	if !strings.Contains(out, "has all 300 entries") || !strings.Contains(out, "cosignature verifies") {
		t.Error(out)
	}
	by, err := checkpoint.ParseVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	cosigned := func(url string, size int64, by checkpoint.Verifier) {
		t.Helper()
		o, err := checkpoint.Open([]byte(get(t, url+"/"+mirror.Folder(l.Origin)+"/checkpoint")), []checkpoint.Verifier{l.Key}, by)
		if err != nil || o.Size != size || !o.VerifiedBy(by) {
			t.Errorf("size %d, by %v: %v", o.Size, o.Verified, err)
		}
	}
	cosigned(url, 300, by)
	stop()
	l.Grow(900)
	url, _ = served(t, dir, "--name", "mirror.example/m1", "--log-key", vkeyOfLog)
	u.run(0, "mirror", "push", l.URL, url, "--log-key", vkeyOfLog, "--mirror-key", vkey)
	cosigned(url, 900, by)
	// From one mirror's directory to another mirror, which verifies for itself.
	other, _ := served(t, filepath.Join(t.TempDir(), "other"), "--name", "mirror.example/m2", "--log-key", vkeyOfLog)
	if out, _ := u.run(0, "mirror", "push", dir, other, "--compress=false"); !strings.Contains(out, "has all 900 entries") {
		t.Error(out)
	}
	if _, said := u.run(1, "mirror", "push", dir, other, "--mirror-key", vkey); !strings.Contains(said, "no cosignature by --mirror-key") {
		t.Error(said)
	}
	// The copies of another process are cosigned too.
	third, _ := served(t, dir, "--name", "mirror.example/m3")
	about = get(t, third+"/mirror.v0.json")
	vkey = about[strings.LastIndex(about, `"mirror.example/m3+`)+1:]
	vkey, _, _ = strings.Cut(vkey, `"`)
	if by, err = checkpoint.ParseVerifier(vkey); err != nil {
		t.Fatal(err)
	}
	cosigned(third, 900, by)
}

func get(t *testing.T, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(fmt.Sprintf("%s: %d", url, res.StatusCode), err, string(data))
	}
	return string(data)
}
