package publication

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"indelible/merkle"
)

// The log reads what was published, and writes it again where it is damaged.
func TestKept(t *testing.T) {
	g, dir := newGrowing(t, "log.example", 600), t.TempDir()
	run(t, Config{Log: g, Keys: g.keys(), Open: in(dir)}, reaches(600))
	var later []string
	k, path := NewKept(dir, func(path string, err error) { later = append(later, fmt.Sprint(path, err)) }), merkle.Bundle{Index: 1, Width: merkle.TileWidth}.Path()
	right := g.Resource(path)
	if got, err := k.Read(path); err != nil || !bytes.Equal(got, right) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	full := filepath.Join(dir, filepath.FromSlash(path))
	if err := os.WriteFile(full, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.Mend(path, right); !errors.Is(err, ErrLater) {
		t.Fatal(err)
	}
	if data, err := k.Read(path); err != nil || string(data) != "damaged" {
		t.Fatalf("it was written before the folder was known to be the log's: %v", err)
	}
	k.settle(true)
	if want := fmt.Sprint(path, nil); len(later) != 1 || later[0] != want {
		t.Errorf("%q, not %q", later, want)
	}
	if got, err := k.Read(path); err != nil || !bytes.Equal(got, right) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if err := os.WriteFile(full, []byte("damaged again"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.Mend(path, right); err != nil {
		t.Fatal(err)
	}
	if got, err := k.Read(path); err != nil || !bytes.Equal(got, right) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	info, err := os.Stat(full)
	if err != nil || info.Mode().Perm()&0o044 == 0 {
		t.Errorf("a web server cannot read it: %v, %v", info.Mode(), err)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(full), "*.new"))
	if err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
	if _, err := k.Read("tile/entries/009"); !os.IsNotExist(err) {
		t.Error(err)
	}
	if err := k.Mend("tile/entries/x009/000", right); err == nil {
		t.Error("a file was written in a folder that is not there")
	}
	huge, err := os.Create(filepath.Join(dir, "huge"))
	if err == nil {
		err = huge.Truncate(maxKept + 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	huge.Close()
	if _, err := k.Read("huge"); err == nil {
		t.Error("a file that is too long was read")
	}
}

// What waits is bounded.
func TestKeptWaits(t *testing.T) {
	k := NewKept(t.TempDir(), func(path string, _ error) { t.Errorf("%s was written", path) })
	for i := range 20 {
		if err := k.Mend(merkle.Bundle{Index: int64(i), Width: merkle.TileWidth}.Path(), make([]byte, 1<<20)); !errors.Is(err, ErrLater) {
			t.Fatal(err)
		}
	}
	if len(k.waiting) != 8 || k.bytes != maxWaiting {
		t.Errorf("%d files of %d bytes wait", len(k.waiting), k.bytes)
	}
}
