package main

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"indelible/internal/testkit"
)

// TestPublicationOfAnother: a server that is to publish into the files of another log
// changes none of them, also when it reads them in the place of its database.
func TestPublicationOfAnother(t *testing.T) {
	public := filepath.Join(t.TempDir(), "public")
	args := []string{"--entry-kinds", "raw", "--publish-to", public, "--publish-interval", "10ms"}
	one := startAs(t, append(args, "--data-dir", filepath.Join(t.TempDir(), "one"), "--origin", "one.example")...)
	addMany(t, one, "one", 300)
	bundle := filepath.Join(public, "tile", "entries", "000")
	testkit.Eventually(t, "all is published", func() error {
		_, err := os.Stat(filepath.Join(public, "tile", "entries", "001.p", "44"))
		return err
	})
	one.stop()
	was, err := os.ReadFile(bundle)
	if err != nil {
		t.Fatal(err)
	}
	two := startAs(t, append(args, "--data-dir", filepath.Join(t.TempDir(), "two"), "--origin", "two.example")...)
	addMany(t, two, "two", 300)
	code, body := two.ask(t, http.MethodGet, "/tile/entries/000", nil)
	if code != http.StatusOK || !bytes.Contains([]byte(body), []byte("two 255")) {
		t.Errorf("%d: %.100s", code, body)
	}
	two.stop()
	if now, err := os.ReadFile(bundle); err != nil || !bytes.Equal(now, was) {
		t.Errorf("the other log's file was changed: %v", err)
	}
}
