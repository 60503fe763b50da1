package publication

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"indelible/merkle"
)

// The log reads what was published, and writes it again where it is damaged.
func TestKept(t *testing.T) {
	g, dir := newGrowing(t, "log.example", 600), t.TempDir()
	run(t, Config{Log: g, Keys: g.keys(), Open: in(dir)}, reaches(600))
	k, path := Kept(dir), merkle.Bundle{Index: 1, Width: merkle.TileWidth}.Path()
	right := g.Resource(path)
	if got, err := k.Read(path); err != nil || !bytes.Equal(got, right) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	full := filepath.Join(dir, filepath.FromSlash(path))
	if err := os.WriteFile(full, []byte("damaged"), 0o600); err != nil {
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
