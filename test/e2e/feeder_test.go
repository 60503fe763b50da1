//go:build unix

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"indelible/checkpoint"
	"indelible/witness"
)

// below is a log whose checkpoint and tiles are below a prefix and nothing is at
// the root, as Rekor v2's are.
func below(t *testing.T, prefix string, s *server) string {
	t.Helper()
	to := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: s.http})
	mux := http.NewServeMux()
	mux.Handle(prefix+"/checkpoint", http.StripPrefix(prefix, to))
	mux.Handle(prefix+"/tile/", http.StripPrefix(prefix, to))
	proxy := httptest.NewServer(mux)
	t.Cleanup(proxy.Close)
	return proxy.URL + prefix
}

// looking runs a logwitness that looks at logs, and has its data in a folder.
// cosigned waits until it has cosigned a size.
func looking(t *testing.T, feed string) (folder string, cosigned func(log checkpoint.Verifier, size int64)) {
	t.Helper()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(in("feed"), []byte(feed+"quorum none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := must(t, nil, "logwitness", "keygen", "--name", "witness.example/w1", "--out", in("key"))
	addrs := freeAddrs(t, 2)
	cmd := exec.Command(filepath.Join(bins, "logwitness"), "serve", "--listen", addrs[0], "--admin", addrs[1],
		"--data-dir", in("data"), "--key", in("key"), "--feed", in("feed"), "--feed-interval", "50ms")
	var said buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Logf("logwitness: %v\n%s", err, tail(said.String()))
		}
	})
	key, err := checkpoint.ParseVerifier(strings.TrimSpace(out))
	if err != nil {
		t.Fatal(err)
	}
	return in("data"), func(log checkpoint.Verifier, size int64) {
		t.Helper()
		eventually(t, fmt.Sprintf("size %d of %s cosigned", size, log.Name()), func() error {
			res, err := http.Get("http://" + addrs[0] + "/" + witness.OriginHash(log.Name()) + "/checkpoint")
			if err != nil {
				return err
			}
			defer res.Body.Close()
			note, err := io.ReadAll(res.Body)
			if err != nil {
				return err
			}
			o, err := checkpoint.Open(note, []checkpoint.Verifier{log}, key)
			if err == nil && (o.Size != size || !o.VerifiedBy(key)) {
				err = fmt.Errorf("size %d:\n%s", o.Size, note)
			}
			return err
		})
	}
}

// A witness that goes and looks at our logs, one of them below a prefix. One then
// forks: its key signs another history, from another database. That is evidence,
// which logcli takes as it is, and in no other form.
func TestFeeder(t *testing.T) {
	dir := t.TempDir()
	s := newServer(t, "--origin", origin, "--data-dir", filepath.Join(dir, "one"))
	other := newServer(t, "--origin", "other.example", "--data-dir", filepath.Join(dir, "other"))
	s.start()
	s.ready()
	other.start()
	other.ready()
	feed := fmt.Sprintf("log %s http://%s\nlog %s %s\n", s.vkey()[0], s.http, other.vkey()[0], below(t, "/api/v2", other))
	folder, cosigned := looking(t, feed)
	u, v := newUser(t, s), newUser(t, other)
	u.exits(0, "number 0", "add", u.file("a", "a"))
	cosigned(s.vkey()[0], 1)
	u.exits(0, "number 2", "add", u.file("b", "b"), u.file("c", "c"))
	cosigned(s.vkey()[0], 3)
	v.exits(0, "number 1", "add", v.file("a", "a"), v.file("b", "b"))
	cosigned(other.vkey()[0], 2)
	v.exits(0, "number 3", "add", v.file("c", "c"), v.file("d", "d"))
	cosigned(other.vkey()[0], 4)

	log := s.vkey()[0]
	s.kill()
	again := []string{"--origin", origin, "--data-dir", filepath.Join(dir, "two"), "--log-key", filepath.Join(dir, "one/log.key")}
	must(t, nil, "logserver", append([]string{"init", "--adopt-key"}, again...)...)
	s.args = append(s.args, again...)
	s.start()
	s.ready()
	u = newUser(t, s) // who does not remember what the log was before
	u.exits(0, "number 3", "add", u.file("A", "A"), u.file("B", "B"), u.file("C", "C"), u.file("D", "D"))
	var file string
	eventually(t, "evidence", func() error {
		files, err := filepath.Glob(filepath.Join(folder, "evidence/*.evidence"))
		if err != nil || len(files) != 1 {
			return fmt.Errorf("%q %w", files, err)
		}
		file = files[0]
		return nil
	})
	u.exits(0, "PROVEN", "evidence", "verify", file, "--log-key", log.String())
	text := u.read(file)
	for _, change := range [][2]string{{"log.example", "lag.example"}, {"\n3\n", "\n2\n"}, {"must never", "may"}, {"— ", "—  "}} {
		changed := strings.Replace(text, change[0], change[1], 1)
		if changed == text {
			t.Fatalf("it does not hold %q:\n%s", change[0], text)
		}
		u.exits(1, "", "evidence", "verify", u.file("changed", changed), "--log-key", log.String())
	}
	cosigned(log, 3) // the fork is not
	v.exits(0, "number 4", "add", v.file("e", "e"))
	cosigned(other.vkey()[0], 5) // the other log goes on
}
