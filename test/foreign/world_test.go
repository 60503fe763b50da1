package foreign

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/mirror"
	"indelible/mirror/source"
)

// copied mirrors a log, and returns the folder that is served.
func copied(t *testing.T, dir, url string, key checkpoint.Verifier, format source.Format) string {
	t.Helper()
	cfg := source.Config{URLs: []string{url}, Client: client.Config{Keys: []checkpoint.Verifier{key}}}
	log, err := source.Open(t.Context(), "", cfg)
	if err != nil || log.Format() != format {
		t.Fatalf("%+v, %v", log, err)
	}
	c, err := mirror.Open(mirror.Config{Dir: dir, Origin: log.Origin(), Format: format, URLs: cfg.URLs, Keys: cfg.Client.Keys})
	if err != nil {
		t.Fatal(err)
	}
	report, err := mirror.Run(t.Context(), c, log, mirror.Options{Keys: cfg.Client.Keys})
	if err = errors.Join(err, c.Close()); err != nil || report.Size == 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	return c.Path()
}

// same demands that all files of a copy are what the log serves, to the byte, at the
// path that a name has there: a checkpoint, tiles and bundles.
func same(t *testing.T, copy, url string, path func(name string) string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(copy, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		name, err := filepath.Rel(copy, file)
		if err != nil {
			return err
		}
		has, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if served := get(t, url+"/"+path(filepath.ToSlash(name))); !bytes.Equal(has, served) {
			t.Errorf("%s has %d bytes that are not the %d that the log serves", name, len(has), len(served))
		}
		return nil
	})
	if err != nil || files < 3 {
		t.Errorf("%d files, %v", files, err)
	}
}

func asIs(name string) string { return name }

func get(t *testing.T, url string) []byte {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("%s: %s, %v", url, res.Status, err)
	}
	return data
}

// vkey parses a verifier key.
func vkey(t *testing.T, s string) checkpoint.Verifier {
	t.Helper()
	k, err := checkpoint.ParseVerifier(strings.TrimSpace(s))
	if err != nil {
		t.Fatal(err)
	}
	return k
}
