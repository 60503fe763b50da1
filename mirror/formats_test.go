package mirror

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/mirror/source"
	"indelible/mirror/sourcetest"
)

func TestStaticCT(t *testing.T) {
	l := sourcetest.NewCT(t, "ct.example/2026", 600)
	keys := []checkpoint.Verifier{l.Key}
	log, err := source.Open(t.Context(), source.StaticCT, source.Config{URLs: []string{l.URL}, Client: client.Config{Keys: keys}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c, err := Open(Config{Dir: dir, Origin: log.Origin(), Format: log.Format(), Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), c, log, Options{Keys: keys}); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"tile/data/000", "tile/data/001", "tile/data/002.p/88", "tile/0/000", "tile/0/002.p/88", "tile/1/000.p/2"} {
		if data, err := os.ReadFile(filepath.Join(c.Path(), path)); err != nil || !bytes.Equal(data, l.Resource(path)) {
			t.Errorf("%s: %d bytes, %v", path, len(data), err)
		}
	}
	for name, want := range l.Issuers() {
		if data, err := os.ReadFile(filepath.Join(c.Path(), "issuer", filepath.Base(name))); err != nil || !bytes.Equal(data, want) {
			t.Errorf("issuer %s: %d bytes, %v", name, len(data), err)
		}
	}
	checked, err := Check(t.Context(), CheckOptions{Dir: dir, Origin: log.Origin()})
	if err != nil || len(checked.Findings) > 0 {
		t.Errorf("%+v, %v", checked, err)
	}
}
