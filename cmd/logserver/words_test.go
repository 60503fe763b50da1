package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"indelible/storage/sqlite"
)

// TestWayOut: an older register is put back, and the database stays.
func TestWayOut(t *testing.T) {
	if way := wayOut("the register is older than the log: it knows size 1, and a checkpoint of size 3 is published"); !strings.HasPrefix(way, "put the newest copy of the register back") {
		t.Error(way)
	}
	if way := wayOut("rollback: the database's tree head has size 1"); !strings.Contains(way, "logserver restore") {
		t.Error(way)
	}
}

// TestWhatIsNoneIsNamed: a file that is no key, and a register that is empty, are
// not taken for those of another log.
func TestWhatIsNoneIsNamed(t *testing.T) {
	for name, c := range map[string]struct{ text, says, saysNot string }{
		"log.key":  {"", "it is empty, and so no key", "--adopt-key"},
		"register": {"", "if the log is to be new, remove it", "--adopt-key"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		out := &bytes.Buffer{}
		err := run(t.Context(), []string{"init", "--data-dir", dir, "--origin", "log.example.com"}, none, out, out)
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), c.saysNot) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOriginStays: the register of the log that the database holds is no sign that
// the database was emptied.
func TestOriginStays(t *testing.T) {
	dir := t.TempDir()
	out := &bytes.Buffer{}
	if err := run(t.Context(), []string{"init", "--data-dir", dir, "--origin", "log.example.com"}, none, out, out); err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Open(t.Context(), filepath.Join(dir, "log.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	o, place := &opened{store: store}, filepath.Join(dir, "register")
	if err := o.otherRegister(t.Context(), place, "log2.example.com"); err == nil || !strings.Contains(err.Error(), `holds log "log.example.com"`) || !strings.Contains(err.Error(), "origin cannot be changed") {
		t.Error(err)
	}
	if err := o.otherRegister(t.Context(), place, "log.example.com"); err != nil {
		t.Error(err)
	}
}
