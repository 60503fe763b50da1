package mirror

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"indelible/checkpoint"
	"indelible/internal/filelock"
	"indelible/mirror/source"
	"indelible/mirror/sourcetest"
)

func check(t *testing.T, dir string, l *sourcetest.Log, repair source.Log) Checked {
	t.Helper()
	checked, err := Check(t.Context(), CheckOptions{
		Dir: dir, Origin: "log.example", Keys: []checkpoint.Verifier{l.Key}, Format: source.Tiles, Repair: repair,
	})
	if err != nil {
		t.Fatalf("%v (%+v)", err, checked.Findings)
	}
	return checked
}

// files are those of a copy, except for its lock.
func files(t *testing.T, dir string) (list []string) {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != "lock" {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// followed is a copy that has two heads, and more entries than the newer one.
func followed(t *testing.T, l *sourcetest.Log, sizes ...int64) string {
	dir := t.TempDir()
	c, err := Open(Config{Dir: dir, Origin: "log.example", Keys: []checkpoint.Verifier{l.Key}})
	if err != nil {
		t.Fatal(err)
	}
	for i, size := range sizes {
		err := errors.Join(c.Accept(headOf(l, size)), appendTo(c, l, size))
		if i < len(sizes)-1 {
			err = errors.Join(err, c.Commit(headOf(l, size)))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(c.Sync(), c.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestCheck(t *testing.T) {
	l := sourcetest.New(t, "log.example", 70000)
	for _, sizes := range [][]int64{{0, 0}, {300, 300}, {256, 700}, {300, 700, 900}, {700, 750, 760}, {512, 65536, 70000}} {
		t.Run(fmt.Sprint(sizes), func(t *testing.T) {
			dir := followed(t, l, sizes...)
			if found := check(t, dir, l, nil); len(found.Findings) > 0 {
				t.Errorf("%+v", found.Findings)
			}
		})
	}
}

// One bit of any file is found, and mended.
func TestFlippedBits(t *testing.T) {
	flipBits(t, 12, 65700, 65800, 66000)
	flipBits(t, 100, 700, 750, 1000)
}

func flipBits(t *testing.T, times int, sizes ...int64) {
	l := sourcetest.New(t, "log.example", sizes[len(sizes)-1])
	dir := followed(t, l, sizes...)
	log := openSource(t, l, nil)
	random := rand.New(rand.NewPCG(1, 2))
	for range times {
		all := files(t, dir)
		path := all[random.IntN(len(all))]
		if random.IntN(2) == 0 { // most files are full ones of level 0
			rare := slices.DeleteFunc(slices.Clone(all), func(p string) bool {
				return filepath.Base(filepath.Dir(p)) == "entries" || filepath.Base(filepath.Dir(p)) == "0"
			})
			path = rare[random.IntN(len(rare))]
		}
		flip(t, path, random)
		if found := check(t, dir, l, nil); len(found.Findings) == 0 {
			t.Fatalf("a flipped bit in %s was not found", path)
		}
		found := check(t, dir, l, log)
		for _, f := range found.Findings {
			if !f.Repaired {
				t.Errorf("%s: not repaired: %+v", path, f)
			}
		}
		if found = check(t, dir, l, nil); len(found.Findings) > 0 {
			t.Fatalf("%s: after the repair: %+v", path, found.Findings)
		}
	}
}

func flip(t *testing.T, path string, random *rand.Rand) {
	data, err := os.ReadFile(path)
	if err == nil {
		data[random.IntN(len(data))] ^= 1 << random.IntN(8)
		err = os.WriteFile(path, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A file that is lost, or is another's, is found and mended too.
func TestLostFiles(t *testing.T) {
	l := sourcetest.New(t, "log.example", 66000)
	log := openSource(t, l, nil)
	dir := followed(t, l, 65700, 65800, 66000)
	needed := []string{"checkpoint", "tile/entries/000", "tile/entries/257.p/8", "tile/entries/257", "tile/0/000", "tile/0/257.p/8", "tile/1/000", "tile/1/001.p/1", "tile/2/000.p/1"}
	for _, name := range needed {
		path := filepath.Join(dir, Folder("log.example"), name)
		if err := os.Remove(path); errors.Is(err, fs.ErrNotExist) {
			continue // of another size
		} else if err != nil {
			t.Fatal(err)
		}
		if found := check(t, dir, l, nil); len(found.Findings) == 0 {
			t.Errorf("%s is not missed", name)
		}
		check(t, dir, l, log)
		if found := check(t, dir, l, nil); len(found.Findings) > 0 {
			t.Errorf("%s: %+v", name, found.Findings)
		}
	}
	stray := filepath.Join(dir, Folder("log.example"), "tile", "entries", "stray")
	if err := os.WriteFile(stray, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if found := check(t, dir, l, nil); len(found.Findings) != 1 {
		t.Errorf("a stray file: %+v", found.Findings)
	}
}

func TestCheckOfACopyInUse(t *testing.T) {
	dir := t.TempDir()
	openCopy(t, dir)
	if _, err := Check(t.Context(), CheckOptions{Dir: dir, Origin: "log.example"}); !errors.Is(err, filelock.ErrInUse) {
		t.Error(err)
	}
	if _, err := Check(t.Context(), CheckOptions{Dir: dir, Origin: "other.example"}); !errors.Is(err, ErrNoCopy) {
		t.Error(err)
	}
}
