//go:build unix

package register

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"indelible/merkle"
	"indelible/witness"
)

func newHead(size int64) witness.Head {
	return witness.Head{Size: size, Root: merkle.LeafHash(fmt.Append(nil, size))}
}

func none(func(string, witness.Head)) error { return nil }

func create(t testing.TB) *File {
	t.Helper()
	r, err := Create(filepath.Join(t.TempDir(), "register"), NewID(), none)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func reopen(t *testing.T, r *File) *File {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(r.path)
	if err != nil {
		t.Fatal(err)
	}
	if again.ID() != r.ID() || !maps.Equal(again.heads, r.heads) || again.end != r.end {
		t.Fatalf("after opening again: %d heads of %d, %d bytes of %d", len(again.heads), len(r.heads), again.end, r.end)
	}
	return again
}

func advance(t testing.TB, r *File, origin string, size int64) {
	t.Helper()
	if err := r.Advance(t.Context(), origin, newHead(size)); err != nil {
		t.Fatal(err)
	}
}

func TestRegister(t *testing.T) {
	r := create(t)
	if h, err := r.Newest("a"); err != nil || h.Size != 0 {
		t.Error(h, err)
	}
	advance(t, r, "a", 5)
	advance(t, r, "b", 7)
	advance(t, r, "a", 9)
	advance(t, r, "a", 9)
	advance(t, r, "a", 3) // no change
	if err := r.Advance(t.Context(), "a", witness.Head{Size: 9}); err == nil || !strings.Contains(err.Error(), "another root at size 9") {
		t.Error(err)
	}
	r = reopen(t, r)
	for origin, size := range map[string]int64{"a": 9, "b": 7, "c": 0} {
		h, err := r.Newest(origin)
		if want := newHead(size); err != nil || h.Size != size || size > 0 && h.Root != want.Root {
			t.Errorf("%s: %+v, %v", origin, h, err)
		}
	}
	if _, err := Create(r.Path(), NewID(), none); !errors.Is(err, os.ErrExist) {
		t.Error("it was created over:", err)
	}
	if _, err := Create(r.Path()+"2", "a b", none); err == nil {
		t.Error("an id of two words")
	}
	if info, err := os.Stat(r.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
}

// The time of the last cosignature is kept, and never goes back; files without
// times are read, and go on with them.
func TestTimes(t *testing.T) {
	r := create(t)
	at := func(size, seconds int64) witness.Head {
		h := newHead(size)
		h.Time = seconds
		return h
	}
	advance(t, r, "a", 5) // as an older program did
	for _, step := range []struct {
		h    witness.Head
		want int64
	}{{at(5, 100), 100}, {at(5, 90), 100}, {at(5, 120), 120}, {at(9, 110), 120}, {at(4, 500), 120}, {at(9, 130), 130}} {
		if err := r.Advance(t.Context(), "a", step.h); err != nil {
			t.Fatal(err)
		}
		if h, err := r.Newest("a"); err != nil || h.Time != step.want {
			t.Errorf("after size %d at %d: %+v, %v", step.h.Size, step.h.Time, h, err)
		}
		r = reopen(t, r)
	}
	if err := r.Advance(t.Context(), "a", witness.Head{Size: 9, Time: 140}); err == nil || !strings.Contains(err.Error(), "another root at size 9") {
		t.Error(err)
	}
	for _, wrong := range []head{{9, newHead(9).Root, 130}, {9, newHead(8).Root, 140}, {12, newHead(12).Root, 129}, {8, newHead(8).Root, 150}, {12, newHead(12).Root, 0}} {
		if wrong.newer(r.newest(sha256.Sum256([]byte("a")))) {
			t.Errorf("size %d at %d is read after size 9 at 130", wrong.size, wrong.time)
		}
	}
}

// A register can be rebuilt from what the database has.
func TestCreateOf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "register")
	r, err := Create(path, "id", func(add func(string, witness.Head)) error {
		add("a", newHead(5))
		add("b", newHead(6))
		add("c", witness.Head{})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if h, err := r.Newest("b"); err != nil || h.Root != newHead(6).Root {
		t.Error(h, err)
	}
	reopen(t, r)
	gone := errors.New("gone")
	if _, err := Create(path+"2", "id", func(func(string, witness.Head)) error { return gone }); !errors.Is(err, gone) {
		t.Error(err)
	}
}

func TestOneProcess(t *testing.T) {
	r := create(t)
	if _, err := Open(r.path); !errors.Is(err, ErrLocked) {
		t.Error(err)
	}
	if _, err := Open(r.path + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// Of many heads at once each is known, whatever the order.
func TestGroups(t *testing.T) {
	r := create(t)
	var all sync.WaitGroup
	for i := range 40 {
		for size := range int64(10) {
			all.Go(func() { advance(t, r, fmt.Sprint("log ", i), size+1) })
		}
	}
	all.Wait()
	r = reopen(t, r)
	for i := range 40 {
		if h, err := r.Newest(fmt.Sprint("log ", i)); err != nil || h.Size != 10 {
			t.Errorf("%+v, %v", h, err)
		}
	}
}

// Cut anywhere, it knows what its whole lines say; or, without the first line,
// it is corrupt.
func TestCut(t *testing.T) {
	r := create(t)
	for i := range int64(4) {
		advance(t, r, "a", i+1)
	}
	r.Close()
	whole, err := os.ReadFile(r.path)
	if err != nil {
		t.Fatal(err)
	}
	first := bytes.IndexByte(whole, '\n') + 1
	for n := range whole {
		write(t, r.path, whole[:n])
		cut, err := Open(r.path)
		if n < first {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%d bytes: %v", n, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		h, _ := cut.Newest("a")
		if want := int64(bytes.Count(whole[:n], []byte("\n")) - 1); h.Size != want {
			t.Fatalf("%d bytes: size %d, not %d", n, h.Size, want)
		}
		advance(t, cut, "a", 5)
		reopen(t, cut).Close()
	}
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A damaged byte is found, except for the last end of a line: without it, the line
// is one that a crash left.
func TestDamage(t *testing.T) {
	r := create(t)
	advance(t, r, "a", 1)
	advance(t, r, "b", 2)
	r.Close()
	whole, err := os.ReadFile(r.path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole[:len(whole)-1] {
		for _, bit := range []byte{1, 0x40} {
			damaged := bytes.Clone(whole)
			damaged[n] ^= bit
			write(t, r.path, damaged)
			if f, err := Open(r.path); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("byte %d: %v %v", n, f, err)
			}
		}
	}
	record := string(record{head: head{size: 3}}.line())
	header := string(whole[:bytes.IndexByte(whole, '\n')+1])
	for name, text := range map[string]string{
		"twice":         header + record + record,
		"another order": record + header,
		"empty":         "",
		"size 0":        header + string(withSum(strings.Repeat("0", 64)+" 0 "+strings.Repeat("A", 43)+"=")),
		"four fields":   header + string(withSum("a b c d")),
		"a long line":   header + strings.Repeat("x", 600) + "\n",
		"a long rest":   header + strings.Repeat("\x00", maxGroup*maxLine+1),
	} {
		write(t, r.path, []byte(text))
		if _, err := Open(r.path); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCompact(t *testing.T) {
	r := create(t)
	r.compactAt = 2000
	var most int64
	for size := range int64(200) {
		r.compactAt = min(r.compactAt, 2000)
		advance(t, r, "a", size+1)
		most = max(most, r.end)
	}
	advance(t, r, "b", 1)
	if most > 2200 {
		t.Errorf("it grew to %d bytes", most)
	}
	if _, err := Open(r.path); !errors.Is(err, ErrLocked) {
		t.Error("the new file is not locked:", err)
	}
	r = reopen(t, r)
	if h, err := r.Newest("a"); err != nil || h.Size != 200 {
		t.Error(h, err)
	}
	if _, err := os.Stat(r.path + ".next"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	// Where it cannot be done, heads are taken all the same.
	r.compactAt = 0
	if err := os.Mkdir(r.path+".next", 0o700); err != nil {
		t.Fatal(err)
	}
	advance(t, r, "a", 300)
	advance(t, r, "a", 301)
	reopen(t, r)
}

// faulty is a file of which a write or an fsync fails.
type faulty struct {
	*os.File
	write, sync error
}

func (f *faulty) WriteAt(p []byte, at int64) (int, error) {
	if f.write != nil {
		n, _ := f.File.WriteAt(p[:len(p)/2], at)
		return n, f.write
	}
	return f.File.WriteAt(p, at)
}

func (f *faulty) Sync() error {
	if f.sync != nil {
		return f.sync
	}
	return f.File.Sync()
}

func TestFaults(t *testing.T) {
	r := create(t)
	f := &faulty{File: r.file.(*os.File), write: errors.New("no space left")}
	r.file = f
	// A write that failed is taken back, and may be tried again.
	if err := r.Advance(t.Context(), "a", newHead(5)); !errors.Is(err, f.write) || errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
	f.write = nil
	advance(t, r, "a", 5)
	// After an fsync that failed there is nothing more, and what was not on disk
	// is not told.
	f.sync = errors.New("input/output error")
	for range 2 {
		if err := r.Advance(t.Context(), "a", newHead(6)); !errors.Is(err, ErrFailed) || !errors.Is(err, f.sync) {
			t.Fatal(err)
		}
		f.write = errors.New("not reached")
	}
	if h, err := r.Newest("a"); err != nil || h.Size != 5 || !errors.Is(r.Err(), ErrFailed) {
		t.Error(h, err)
	}
}

// A record has one form: what is read is what would be written.
func FuzzParseRecord(f *testing.F) {
	for _, rec := range []record{{key{1}, head{size: 7}}, {key{2}, head{size: 9, time: 1_700_000_000}}} {
		line := string(rec.line())
		f.Add(line[:strings.LastIndexByte(line, ' ')])
	}
	f.Add(strings.Repeat("0", 64) + " 7 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= 0")
	f.Fuzz(func(t *testing.T, body string) {
		line := strings.TrimSuffix(string(withSum(body)), "\n")
		rec, err := parseRecord(line)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Error(err)
			}
			return
		}
		if string(rec.line()) != line+"\n" || rec.size < 1 || rec.time < 0 {
			t.Errorf("%q is read as %+v", line, rec)
		}
	})
}

// Whatever a register holds, it is read or refused; what was read is written the
// same way.
func FuzzOpen(f *testing.F) {
	r := create(f)
	advance(f, r, "a", 1)
	advance(f, r, "b", 2)
	if err := r.Advance(f.Context(), "b", witness.Head{Size: 3, Time: 1_700_000_000}); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(r.path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-9])
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "register")
		write(t, path, data)
		r, err := Open(path)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Error(err)
			}
			return
		}
		defer r.Close()
		text := headerLine(r.id)
		if !bytes.HasPrefix(data, text) || bytes.Count(data[:r.end], []byte("\n"))-1 < len(r.heads) {
			t.Errorf("%d heads of %q", len(r.heads), data)
		}
		for log, h := range r.heads {
			if line := (record{log, h}).line(); !bytes.Contains(data, line) {
				t.Errorf("%q is not in %q", line, data)
			}
		}
	})
}

// A trial finds out what would stop the next head, and leaves nothing behind.
func TestTryWrite(t *testing.T) {
	r := create(t)
	advance(t, r, "a", 1)
	before, err := os.ReadFile(r.path)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := r.TryWrite(); err != nil {
			t.Fatal(err)
		}
	}
	if after, err := os.ReadFile(r.path); err != nil || !bytes.Equal(after, before) {
		t.Errorf("%v: %q became %q", err, before, after)
	}
	file := r.file.(*os.File)
	r.file = &faulty{File: file, write: errors.New("no space left")}
	if err := r.TryWrite(); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("a full disk: %v", err)
	}
	r.file = file
	advance(t, r, "a", 2)
	// A crash in the middle of a trial.
	whole, err := os.ReadFile(r.path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, r.path, append(whole, bytes.Repeat([]byte{'.'}, maxLine)...))
	r = reopen(t, r)
	if h, err := r.Newest("a"); err != nil || h.Size != 2 {
		t.Errorf("%+v %v", h, err)
	}
	if err := os.Rename(r.path, r.path+".moved"); err != nil {
		t.Fatal(err)
	}
	if err := r.TryWrite(); err == nil || !strings.Contains(err.Error(), "no longer the file") {
		t.Errorf("a register that was moved away: %v", err)
	}
}
