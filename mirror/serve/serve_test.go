package serve

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"indelible/checkpoint"
	"indelible/merkle"
	"indelible/mirror"
	"indelible/mirror/source"
	"indelible/mirror/sourcetest"
)

// grow brings a copy to a size of the log, as a mirror does.
func grow(t *testing.T, c *mirror.Copy, l *sourcetest.Log, size int64) {
	t.Helper()
	l.Grow(max(size, c.Next()))
	head := source.Head{Size: size, Root: l.Root(size), Note: l.Note(size)}
	if err := c.Accept(head); err != nil {
		t.Fatal(err)
	}
	for c.Next() < size {
		b := source.Block{Start: c.Next() / 256 * 256}
		for i := b.Start; i < min(size, b.Start+256); i++ {
			e := sourcetest.Entry(i)
			b.Data, _ = merkle.AppendBundleEntry(b.Data, e)
			b.Leaves = append(b.Leaves, merkle.LeafHash(e))
		}
		if err := c.Append(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Commit(head); err != nil {
		t.Fatal(err)
	}
}

func newCopy(t *testing.T) (*sourcetest.Log, *mirror.Copy, string) {
	t.Helper()
	l, dir := sourcetest.New(t, "log.example", 0), t.TempDir()
	c, err := mirror.Open(mirror.Config{Dir: dir, Origin: l.Origin, Keys: []checkpoint.Verifier{l.Key}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return l, c, dir
}

func ask(h http.Handler, method, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

// open is New, of a directory that is there.
func open(t *testing.T, cfg Config) *Handler {
	t.Helper()
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// A link that leads out of the directory is not followed, and one within it is.
func TestLinks(t *testing.T) {
	l, c, dir := newCopy(t)
	grow(t, c, l, 700)
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("outside"), 0o600); err != nil {
		t.Fatal(err)
	}
	faults := 0
	h := open(t, Config{Dir: dir, Fault: func(error) { faults++ }})
	folder := mirror.Folder(l.Origin)
	for _, name := range []string{"tile/0/000", "tile/entries/001", "checkpoint"} {
		path := filepath.Join(dir, folder, name)
		for to, want := range map[string]int{outside: http.StatusInternalServerError, "../../../../../../../../" + outside: http.StatusInternalServerError, filepath.Base(path) + ".kept": http.StatusOK} {
			if err := errors.Join(os.Rename(path, path+".kept"), os.Symlink(to, path)); err != nil {
				t.Fatal(err)
			}
			if rec := ask(h, "GET", "/"+folder+"/"+name); rec.Code != want || strings.Contains(rec.Body.String(), "outside") {
				t.Errorf("%s, a link to %s: %d %.40q", name, to, rec.Code, rec.Body)
			}
			if err := errors.Join(os.Remove(path), os.Rename(path+".kept", path)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if faults != 6 {
		t.Errorf("%d faults were told of", faults)
	}
	if _, err := New(Config{Dir: filepath.Join(dir, "none")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
}

// leaves are those of the first entries.
func leaves(start, end int64) (all []byte) {
	for i := start; i < end; i++ {
		h := merkle.LeafHash(sourcetest.Entry(i))
		all = append(all, h[:]...)
	}
	return all
}

func bundle(start, end int64) (all []byte) {
	for i := start; i < end; i++ {
		all, _ = merkle.AppendBundleEntry(all, sourcetest.Entry(i))
	}
	return all
}

// Every tile of every size that there was is served, also those whose files are
// gone, with what caches and browsers need.
func TestTree(t *testing.T) {
	l, c, dir := newCopy(t)
	for _, size := range []int64{3, 300, 301, 700} {
		grow(t, c, l, size)
	}
	h := open(t, Config{Dir: dir})
	base := "/" + mirror.Folder(l.Origin) + "/"
	for path, want := range map[string][]byte{
		"tile/0/000":             leaves(0, 256),
		"tile/0/002.p/188":       leaves(512, 700),
		"tile/0/002.p/7":         leaves(512, 519),
		"tile/0/001.p/44":        leaves(256, 300),
		"tile/0/000.p/3":         leaves(0, 3),
		"tile/entries/000":       bundle(0, 256),
		"tile/entries/002.p/188": bundle(512, 700),
		"tile/entries/002.p/1":   bundle(512, 513),
		"tile/entries/001.p/45":  bundle(256, 301),
		"checkpoint":             l.Note(700),
	} {
		rec := ask(h, "GET", base+path)
		head := rec.Header()
		if rec.Code != 200 || !bytes.Equal(rec.Body.Bytes(), want) || head.Get("Access-Control-Allow-Origin") != "*" || head.Get("Etag") == "" {
			t.Errorf("%s: %d, %d bytes of %d, %q", path, rec.Code, rec.Body.Len(), len(want), head)
		}
		kind, cache := "application/octet-stream", "public, max-age=604800, immutable"
		if path == "checkpoint" {
			kind, cache = "text/plain; charset=utf-8", "public, max-age=1"
		}
		if head.Get("Content-Type") != kind || head.Get("Cache-Control") != cache {
			t.Errorf("%s: %q", path, head)
		}
		if again := ask(h, "GET", base+path, "If-None-Match", head.Get("Etag")); again.Code != http.StatusNotModified || again.Body.Len() > 0 {
			t.Errorf("%s again: %d", path, again.Code)
		}
		if only := ask(h, "HEAD", base+path); only.Code != 200 || only.Body.Len() > 0 || only.Header().Get("Content-Length") == "" {
			t.Errorf("HEAD %s: %d %q", path, only.Code, only.Header())
		}
	}
}

// No object has a second name, and nothing else of the directory has one.
func TestNothingElse(t *testing.T) {
	l, c, dir := newCopy(t)
	grow(t, c, l, 700)
	h := open(t, Config{Dir: dir, Fault: func(err error) { t.Errorf("a fault: %v", err) }})
	folder := mirror.Folder(l.Origin)
	if err := os.WriteFile(filepath.Join(dir, folder, "tile", "0", "000.new"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"/", "/" + folder, "/" + folder + "/", "/.mirror/" + folder + "/state", "/" + folder + "/../.mirror/" + folder + "/state", "/" + strings.ToUpper(folder) + "/checkpoint",
		"/" + folder + "/tile/0/000.new", "/" + folder + "/tile/00/000", "/" + folder + "/tile/0/0", "/" + folder + "/tile/0/000.p/0", "/" + folder + "/tile/0/000.p/256", "/" + folder + "/tile/0/003",
		"/" + folder + "/tile/0/002", "/" + folder + "/tile/0/002.p/189", "/" + folder + "/tile/3/000.p/1", "/" + folder + "/tile/entries/x000/000", "/" + folder + "/tile/0/000?x=1", "/" + folder + "/tile/0/%3000",
		"/" + folder + "/tile", "/" + folder + "/tile/0", "/" + folder + "//checkpoint", "/" + mirror.Folder("other") + "/checkpoint", "/mirror.v0.json", "/" + folder + "/issuer/" + folder, "/" + folder + "/tile/data/000",
	} {
		if rec := ask(h, "GET", path); rec.Code != http.StatusNotFound || rec.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d", path, rec.Code)
		}
	}
	if rec := ask(h, "POST", "/"+folder+"/checkpoint"); rec.Code != http.StatusMethodNotAllowed {
		t.Error(rec.Code)
	}
	if rec := ask(h, "OPTIONS", "/"+folder+"/checkpoint"); rec.Code != http.StatusNoContent || rec.Header().Get("Access-Control-Allow-Methods") != "GET, HEAD" {
		t.Error(rec.Code)
	}
}

// Bundles are compressed for who asks for it, if that is worth it.
func TestGzip(t *testing.T) {
	l, c, dir := newCopy(t)
	grow(t, c, l, 256)
	h := open(t, Config{Dir: dir})
	base := "/" + mirror.Folder(l.Origin) + "/"
	plain := ask(h, "GET", base+"tile/entries/000", "Accept-Encoding", "gzip;q=0, identity")
	for range 2 {
		rec := ask(h, "GET", base+"tile/entries/000", "Accept-Encoding", "br, gzip")
		if rec.Header().Get("Content-Encoding") != "gzip" || rec.Header().Get("Vary") != "Accept-Encoding" || rec.Header().Get("Etag") == plain.Header().Get("Etag") {
			t.Fatalf("%q", rec.Header())
		}
		z, err := gzip.NewReader(rec.Body)
		if err != nil {
			t.Fatal(err)
		}
		if data, err := io.ReadAll(z); err != nil || !bytes.Equal(data, bundle(0, 256)) || !bytes.Equal(plain.Body.Bytes(), data) {
			t.Error(err)
		}
	}
	if rec := ask(h, "GET", base+"tile/0/000", "Accept-Encoding", "gzip"); rec.Header().Get("Content-Encoding") != "" {
		t.Error("hashes are compressed")
	}
	h.press <- struct{}{} // as many are compressed as may be
	for len(h.press) < cap(h.press) {
		h.press <- struct{}{}
	}
	grow(t, c, l, 512)
	if rec := ask(h, "GET", base+"tile/entries/001", "Accept-Encoding", "gzip"); rec.Code != 200 || rec.Header().Get("Content-Encoding") != "" {
		t.Errorf("a client waits for others' compression: %d %q", rec.Code, rec.Header())
	}
}

// The checkpoint is signed once for each that is on disk.
func TestSign(t *testing.T) {
	l, c, dir := newCopy(t)
	grow(t, c, l, 5)
	var got []string
	h := open(t, Config{Dir: dir, Keys: []checkpoint.Verifier{l.Key}, URL: "https://m.example", Sign: func(folder string, note, previous []byte) ([]byte, error) {
		got = append(got, folder, string(previous))
		return slices.Concat([]byte("signed "), note), nil
	}})
	path := "/" + mirror.Folder(l.Origin) + "/checkpoint"
	first := ask(h, "GET", path).Body.String()
	if again := ask(h, "GET", path).Body.String(); first != "signed "+string(l.Note(5)) || again != first || len(got) != 2 || got[1] != "" {
		t.Errorf("%q, %q, %q", first, again, got)
	}
	grow(t, c, l, 6)
	if next := ask(h, "GET", path).Body.String(); next != "signed "+string(l.Note(6)) || len(got) != 4 || got[3] != first {
		t.Errorf("%q, %q", next, got)
	}
	if about := ask(h, "GET", "/mirror.v0.json"); !strings.Contains(about.Body.String(), l.Key.String()) || !strings.Contains(about.Body.String(), "https://m.example/") {
		t.Error(about.Body)
	}
	faults := 0
	h = open(t, Config{Dir: dir, Fault: func(error) { faults++ }, Sign: func(string, []byte, []byte) ([]byte, error) { return nil, errors.New("secret") }})
	if rec := ask(h, "GET", path); rec.Code != 500 || strings.Contains(rec.Body.String(), "secret") || faults != 1 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}
