package mirror

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"indelible/checkpoint"
	"indelible/internal/filelock"
	"indelible/merkle"
	"indelible/mirror/source"
	"indelible/mirror/sourcetest"
)

func openCopy(t *testing.T, dir string) *Copy {
	t.Helper()
	c, err := Open(Config{Dir: dir, Origin: "log.example"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// block is block n of a log's first size entries.
func block(l *sourcetest.Log, size, n int64) source.Block {
	b := merkle.Bundle{Index: n, Width: int(min(256, size-256*n))}
	data := l.Resource(b.Path())
	entries, err := merkle.ParseBundle(data, b.Width)
	if err != nil {
		panic(err)
	}
	out := source.Block{Start: 256 * n, Data: data, Entries: entries}
	for _, e := range entries {
		out.Leaves = append(out.Leaves, merkle.LeafHash(e))
	}
	return out
}

func headOf(l *sourcetest.Log, size int64) source.Head {
	return source.Head{Size: size, Root: l.Root(size), Note: l.Note(size)}
}

// appendTo appends what the copy lacks of a log's first size entries.
func appendTo(c *Copy, l *sourcetest.Log, size int64) error {
	for c.Next() < size {
		if err := c.Append(block(l, size, c.Next()/256)); err != nil {
			return err
		}
	}
	return nil
}

// holds compares every file that a head of a size needs.
func holds(t *testing.T, tree string, l *sourcetest.Log, size int64) {
	t.Helper()
	var paths []string
	for n := int64(0); n < (size+255)/256; n++ {
		paths = append(paths, merkle.Bundle{Index: n, Width: int(min(256, size-256*n))}.Path())
	}
	for level := 0; merkle.HashesAt(level, size) > 0; level++ {
		for n := range merkle.TilesAt(level, size) {
			paths = append(paths, merkle.Tile{Level: level, Index: n, Width: 256}.Path())
		}
		if width := merkle.PartialWidth(level, size); width > 0 {
			paths = append(paths, merkle.Tile{Level: level, Index: merkle.TilesAt(level, size), Width: width}.Path())
		}
	}
	for _, p := range paths {
		if got, err := os.ReadFile(filepath.Join(tree, p)); err != nil || !bytes.Equal(got, l.Resource(p)) {
			t.Errorf("%s: %d bytes, %v", p, len(got), err)
		}
	}
}

func TestCopy(t *testing.T) {
	dir := t.TempDir()
	l := sourcetest.New(t, "log.example", 70000)
	for _, size := range []int64{0, 3, 256, 300, 300, 1000, 65536, 66000, 70000} {
		c := openCopy(t, dir)
		h := headOf(l, size)
		if err := c.Accept(h); err != nil {
			t.Fatal(err)
		}
		if err := appendTo(c, l, size); err != nil {
			t.Fatal(err)
		}
		if err := c.Commit(h); err != nil {
			t.Fatal(err)
		}
		if got := c.Head(); got.Root != h.Root || !bytes.Equal(got.Note, h.Note) || c.Next() != size {
			t.Errorf("size %d: %+v, next %d", size, got, c.Next())
		}
		holds(t, c.Path(), l, size)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if note, err := os.ReadFile(filepath.Join(c.Path(), "checkpoint")); err != nil || !bytes.Equal(note, h.Note) {
			t.Errorf("size %d: checkpoint %q, %v", size, note, err)
		}
	}
	// Of the partial files those of the last two heads are left.
	partials, err := filepath.Glob(filepath.Join(dir, Folder("log.example"), "tile", "entries", "*.p", "*"))
	if err != nil || len(partials) != 2 {
		t.Errorf("%q, %v", partials, err)
	}
	heads, err := os.ReadFile(filepath.Join(dir, ".mirror", Folder("log.example"), "heads"))
	if err != nil || bytes.Count(heads, []byte(`"size"`)) != 8 {
		t.Errorf("%s, %v", heads, err)
	}
}

// TestLeftovers: what a killed process left of a file is gone after the next start,
// and nothing else is.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	l := sourcetest.New(t, "log.example", 700)
	c := openCopy(t, dir)
	if err := errors.Join(c.Accept(headOf(l, 700)), appendTo(c, l, 700), c.Commit(headOf(l, 700)), c.Close()); err != nil {
		t.Fatal(err)
	}
	tree, private := c.Path(), filepath.Join(dir, ".mirror", Folder("log.example"))
	var left, stays []string
	for _, name := range []string{"checkpoint.new", "tile/entries/002.new", "tile/entries/002.p/190.new", "tile/0/003.new", "tile/0/002.p/190.new", "tile/1/000.p/3.new", "tile/entries/x001/002.new"} {
		left = append(left, filepath.Join(tree, name))
	}
	left = append(left, filepath.Join(private, "state.new"))
	for _, name := range []string{"tile/entries/002.p/188", "tile/0/001", "checkpoint"} {
		stays = append(stays, filepath.Join(tree, name))
	}
	for _, path := range left {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("half"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	openCopy(t, dir)
	for _, path := range left {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, path := range stays {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

// TestHeadsAreThinned: the file of heads does not grow without end, keeps the first
// head and the newest, and is right after each step.
func TestHeadsAreThinned(t *testing.T) {
	const limit = 4 << 10
	dir := t.TempDir()
	l := sourcetest.New(t, "log.example", 300)
	file := filepath.Join(dir, ".mirror", Folder("log.example"), "heads")
	sizes := func() (list []int64) {
		data, err := os.ReadFile(file)
		if err != nil || len(data) > limit {
			t.Fatalf("%d bytes, %v", len(data), err)
		}
		for line := range bytes.Lines(data) {
			sum, text, ok := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
			if !ok {
				continue
			}
			var a accepted
			if want := sha256.Sum256(text); string(sum) != hex.EncodeToString(want[:]) || json.Unmarshal(text, &a) != nil {
				t.Fatalf("a damaged line: %s", line)
			}
			list = append(list, a.Size)
		}
		return list
	}
	for from := int64(1); from <= 300; from += 100 { // opened again and again
		c, err := Open(Config{Dir: dir, Origin: "log.example", maxHeads: limit})
		if err != nil {
			t.Fatal(err)
		}
		for size := from; size < from+100; size++ {
			if err := c.Accept(headOf(l, size)); err != nil {
				t.Fatal(err)
			}
			list := sizes()
			if list[0] != 1 || !slices.IsSorted(list) || list[len(list)-1] != size || size > 1 && list[len(list)-2] != size-1 {
				t.Fatalf("size %d: %v", size, list)
			}
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(sizes()); n < 5 || n > 100 {
		t.Errorf("%d heads are left", n)
	}
}

func TestResume(t *testing.T) {
	dir := t.TempDir()
	l := sourcetest.New(t, "log.example", 5000)
	c := openCopy(t, dir)
	if err := errors.Join(c.Accept(headOf(l, 5000)), appendTo(c, l, 1000), c.Sync(), appendTo(c, l, 2000), c.Close()); err != nil {
		t.Fatal(err)
	}
	c = openCopy(t, dir)
	if c.Next() != 1000 || c.Head().Size != 0 || c.Pending().Size != 5000 {
		t.Errorf("next %d, head %d, pending %d", c.Next(), c.Head().Size, c.Pending().Size)
	}
	if err := errors.Join(appendTo(c, l, 5000), c.Commit(headOf(l, 5000))); err != nil {
		t.Fatal(err)
	}
	holds(t, c.Path(), l, 5000)
}

func TestCommitBelowNext(t *testing.T) {
	for _, size := range []int64{1, 256, 300, 700, 999} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			l := sourcetest.New(t, "log.example", 1000)
			c := openCopy(t, t.TempDir())
			if err := errors.Join(appendTo(c, l, 1000), c.Commit(headOf(l, size))); err != nil {
				t.Fatal(err)
			}
			holds(t, c.Path(), l, size)
			if err := c.Commit(headOf(l, 1000)); err != nil {
				t.Fatal(err)
			}
			holds(t, c.Path(), l, 1000)
		})
	}
}

func TestLostState(t *testing.T) {
	dir := t.TempDir()
	l := sourcetest.New(t, "log.example", 1000)
	c := openCopy(t, dir)
	if err := errors.Join(appendTo(c, l, 700), c.Commit(headOf(l, 700)), appendTo(c, l, 1000), c.Close()); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(c.private, "state")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	for _, break_ := range []func() error{
		func() error { return os.Remove(file) },
		func() error { return os.WriteFile(file, data, 0o600) },
	} {
		if err := break_(); err != nil {
			t.Fatal(err)
		}
		c := openCopy(t, dir)
		if c.Next() != 700 {
			t.Errorf("next %d", c.Next())
		}
		if err := errors.Join(appendTo(c, l, 800), c.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRefused(t *testing.T) {
	l := sourcetest.New(t, "log.example", 1000)
	other := sourcetest.New(t, "log.example", 300)
	other.Add([]byte("another entry"))
	other.Grow(1000)
	c := openCopy(t, t.TempDir())
	if err := errors.Join(c.Accept(headOf(l, 600)), appendTo(c, l, 600), c.Commit(headOf(l, 600))); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"a smaller head":          c.Accept(headOf(l, 500)),
		"another head":            c.Accept(headOf(other, 600)),
		"a smaller commit":        c.Commit(headOf(l, 500)),
		"a commit of a fork":      c.Commit(headOf(other, 600)),
		"a commit beyond the end": c.Commit(headOf(l, 601)),
		"a block twice":           c.Append(block(l, 600, 2)),
		"a block too early":       c.Append(block(l, 1000, 3)),
		"a block too late":        c.Append(block(l, 1000, 1)),
		"a file outside":          c.Put("../x", nil),
	} {
		if err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	changed := block(l, 1000, 2)
	changed.Leaves[3][0] ^= 1
	if err := c.Append(changed); err == nil || !strings.Contains(err.Error(), "other entries") {
		t.Errorf("a block with another beginning: %v", err)
	}
	if err := errors.Join(appendTo(c, l, 1000), c.Commit(headOf(l, 1000))); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

func TestInUse(t *testing.T) {
	dir := t.TempDir()
	l := sourcetest.New(t, "log.example", 1)
	c := openCopy(t, dir)
	if _, err := Open(Config{Dir: dir, Origin: "log.example"}); !errors.Is(err, filelock.ErrInUse) {
		t.Errorf("a second one: %v", err)
	}
	other, err := Open(Config{Dir: dir, Origin: "other.example", Keys: []checkpoint.Verifier{l.Key}})
	if err != nil {
		t.Fatalf("another log's copy: %v", err)
	}
	if err := errors.Join(c.Close(), other.Close()); err != nil {
		t.Fatal(err)
	}
	openCopy(t, dir)
}
