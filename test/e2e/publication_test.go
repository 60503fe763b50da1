//go:build unix

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"indelible/checkpoint"
)

// publisher is a server that publishes to a folder, and a web server that knows
// nothing but files.
type publisher struct {
	*server
	dir, url, home string
}

func publishing(t *testing.T, s *server) *publisher {
	t.Helper()
	p := &publisher{server: s, dir: filepath.Join(t.TempDir(), "public"), home: t.TempDir()}
	s.args = append(s.args, "--publish-to", p.dir, "--publish-interval", "10ms")
	files := httptest.NewServer(http.FileServer(http.Dir(p.dir)))
	t.Cleanup(files.Close)
	p.url = files.URL
	return p
}

// size is that of the public checkpoint; -1 if there is none.
func (p *publisher) size(keys []checkpoint.Verifier) int64 {
	p.t.Helper()
	note, err := os.ReadFile(filepath.Join(p.dir, "checkpoint"))
	if os.IsNotExist(err) {
		return -1
	}
	o, err := checkpoint.Open(note, keys)
	if err != nil {
		p.t.Fatal(err)
	}
	return o.Size
}

// reaches waits until the public checkpoint has a size.
func (p *publisher) reaches(keys []checkpoint.Verifier, size int64) {
	p.t.Helper()
	eventually(p.t, "the publication", func() error {
		if got := p.size(keys); got < size {
			return fmt.Errorf("it has %d entries, and not %d", got, size)
		}
		return nil
	})
}

// fsck has an auditor read the public files.
func (p *publisher) fsck(key checkpoint.Verifier) {
	p.t.Helper()
	out := must(p.t, []string{"XDG_CONFIG_HOME=" + p.home}, "logcli", "fsck", "--url", p.url, "--log-key", key.String())
	if !strings.Contains(out, "is sound") {
		p.t.Fatal(out)
	}
}

// A server that is killed while it publishes leaves files that an auditor finds whole.
func TestPublication(t *testing.T) {
	p := publishing(t, newSQLite(t))
	l := newLedger(t)
	p.start()
	p.ready()
	keys := p.vkey()
	c := p.client(keys)
	stop := l.load(16, c)
	public := int64(-1)
	for range 8 {
		<-time.After(time.Duration(50+rand.IntN(200)) * time.Millisecond)
		l.grows(rand.IntN(300))
		p.kill()
		if size := p.size(keys); size < public {
			t.Fatalf("the checkpoint went back from %d to %d", public, size)
		} else if size >= 0 {
			public = size
			p.fsck(keys[0])
		}
		p.start()
		p.ready()
	}
	stop()
	l.settle(c)
	p.reaches(keys, l.largest())
	p.fsck(keys[0])
	metrics := p.metrics(t)
	for _, want := range []string{fmt.Sprintf("indelible_publication_size %d\n", p.size(keys)), "indelible_publication_behind_seconds 0\n", "indelible_publication_failures_total 0\n"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("there is no %q in the metrics", want)
		}
	}
	t.Logf("%d entries, %d of them public when the last server was killed", l.len(), public)
}

// A database that is behind is brought forward from the public files.
func TestRestoreFromPublication(t *testing.T) {
	s, backup := onSQLite(t)
	p := publishing(t, s)
	p.start()
	p.ready()
	keys := p.vkey()
	c := p.client(keys)
	l := newLedger(t)
	l.add(c, "before")
	l.addUpTo(c, 300)
	p.stop()
	restore := backup()
	p.start()
	p.ready()
	l.addUpTo(c, 3000)
	p.reaches(keys, 3000)
	p.stop()
	restore()
	b := &behind{server: s, ledger: l, mirror: p.dir, had: 300, has: 3000}
	if out, code := b.restore(p.dir); code != 0 || !strings.Contains(out, "from 300 entries to 3000") {
		t.Fatalf("exit code %d: %s", code, out)
	}
	p.start()
	p.ready()
	l.add(c, "after")
	p.reaches(keys, 3001)
	p.fsck(keys[0])
}

// A public file that was damaged is not what the server sends, and is written again.
func TestDamagedPublication(t *testing.T) {
	p := publishing(t, newSQLite(t))
	p.start()
	p.ready()
	keys := p.vkey()
	newLedger(t).addUpTo(p.client(keys), 600)
	p.reaches(keys, 600)
	p.stop()
	right := map[string][]byte{}
	for _, path := range []string{"tile/entries/000", "tile/0/001"} {
		file := filepath.Join(p.dir, path)
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		right[path] = bytes.Clone(data)
		data[len(data)/2] ^= 1
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p.start()
	p.ready()
	for path, want := range right {
		res, err := http.Get("http://" + p.http + "/" + path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK || !bytes.Equal(got, want) {
			t.Errorf("%s: %s, %d bytes, %v", path, res.Status, len(got), err)
		}
	}
	p.fsck(keys[0])
	eventually(t, "both files are written again", func() error {
		if !strings.Contains(p.metrics(t), "indelible_publication_mended_total 2\n") || !strings.Contains(p.out.String(), "was not what was logged") {
			return errors.New(tail(p.out.String()))
		}
		return nil
	})
}

// A folder that cannot be written is warned of, and the server stays ready.
func TestPublicationFails(t *testing.T) {
	p := publishing(t, newSQLite(t))
	if err := os.WriteFile(p.dir, nil, 0o600); err != nil { // a file is there
		t.Fatal(err)
	}
	p.start()
	p.ready()
	eventually(t, "an ERROR", func() error {
		if out := p.out.String(); !strings.Contains(out, "publish to "+p.dir) {
			return fmt.Errorf("the log says %s", tail(out))
		}
		return nil
	})
	if !strings.Contains(p.metrics(t), "indelible_publication_failures_total") || strings.Contains(p.metrics(t), "indelible_publication_size ") {
		t.Error(p.metrics(t))
	}
	p.ready()
}

// A folder with the data directory in it would make the log's key public.
func TestPublicationOfSecrets(t *testing.T) {
	dir := t.TempDir()
	for _, public := range []string{dir, filepath.Join(dir, "data"), filepath.Dir(dir)} {
		out, code := run(t, nil, "logserver", "config", "check", "--data-dir", filepath.Join(dir, "data"), "--publish-to", public)
		if code == 0 || !strings.Contains(out, "must not become public") {
			t.Errorf("%s: exit code %d: %s", public, code, out)
		}
	}
	public := filepath.Join(dir, "public")
	if err := os.Mkdir(public, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(public, link); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(public, "secret")
	if err := os.WriteFile(secret, []byte("log:password@tcp(127.0.0.1:3306)/log\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--log-key", secret},
		{"--log-key-password-file", secret},
		{"--mldsa-key", secret},
		{"--rekor-v1-key", secret},
		{"--rekor-v1-key-password-file", secret},
		{"--register", "mysql:" + secret},
		{"--mysql-dsn-file", secret, "--storage", "mysql"},
		{"--tls-key", secret, "--tls-cert", filepath.Join(dir, "tls.crt")},
	} {
		args = append(args, "--data-dir", filepath.Join(dir, "data"), "--publish-to", link)
		if out, code := run(t, nil, "logserver", append([]string{"config", "check"}, args...)...); code == 0 || !strings.Contains(out, "must not become public") {
			t.Errorf("%v: exit code %d: %s", args, code, out)
		}
	}
	for _, place := range []string{"s3://key:secret@b", "s3://b?zone=1", "gs://b"} {
		if out, code := run(t, nil, "logserver", "config", "check", "--publish-to", place); code == 0 || !strings.Contains(out, "publish-to") {
			t.Errorf("%s: exit code %d: %s", place, code, out)
		}
	}
	must(t, nil, "logserver", "config", "check", "--data-dir", filepath.Join(dir, "data"), "--publish-to", filepath.Join(dir, "data", "public"))
}
