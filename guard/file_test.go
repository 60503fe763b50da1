//go:build unix

package guard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"indelible/merkle"
)

const testOrigin = "log.example.com"

func newRegister(t *testing.T) (*File, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "register")
	r, err := CreateFile(path, testOrigin, NewID())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, path
}

func reopen(t *testing.T, path string) *File {
	t.Helper()
	r, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func head(size int64) Head {
	return Head{Size: size, Root: merkle.LeafHash(fmt.Append(nil, size)), Time: 1_700_000_000_000 + size}
}

func advance(t *testing.T, r *File, sizes ...int64) {
	t.Helper()
	for _, size := range sizes {
		if err := r.Advance(context.Background(), newest(t, r), head(size)); err != nil {
			t.Fatalf("advance to %d: %v", size, err)
		}
	}
}

func newest(t *testing.T, r *File) Head {
	t.Helper()
	s, err := r.Read(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s.Newest
}

func TestRegisterRemembers(t *testing.T) {
	r, path := newRegister(t)
	if got := newest(t, r); got != Empty() {
		t.Fatalf("a new register knows %v", got)
	}
	advance(t, r, 1, 2, 500)
	again := reopen(t, path)
	if got := newest(t, again); got != head(500) {
		t.Fatalf("after opening again it knows %v, not %v", got, head(500))
	}
	if again.ID() != r.ID() || again.Origin() != testOrigin {
		t.Fatalf("identity %q %q", again.ID(), again.Origin())
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
}

func TestRegisterNeverGoesBack(t *testing.T) {
	r, _ := newRegister(t)
	advance(t, r, 10)
	ctx := context.Background()
	for _, c := range []struct {
		name     string
		from, to Head
		moved    bool
	}{
		{"same size", head(10), head(10), false},
		{"smaller", head(10), head(9), false},
		{"from an older head", Empty(), head(11), true},
		{"from another root", Head{Size: 10, Root: merkle.EmptyRoot()}, head(11), true},
	} {
		err := r.Advance(ctx, c.from, c.to)
		if err == nil || errors.Is(err, ErrMoved) != c.moved {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if got := newest(t, r); got != head(10) {
		t.Fatalf("it knows %v", got)
	}
}

func TestCreateRefusesWhatIsThere(t *testing.T) {
	_, path := newRegister(t)
	if _, err := CreateFile(path, testOrigin, NewID()); !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	if _, err := CreateFile(path+"2", "two words", NewID()); err == nil {
		t.Fatal("an origin with a space was taken")
	}
	if _, err := OpenFile(path + "3"); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

func TestPoisonSurvives(t *testing.T) {
	r, path := newRegister(t)
	advance(t, r, 3)
	ctx := context.Background()
	reason := "fork: \x00\n\"at\" size 3 " + strings.Repeat("é", 5000)
	if err := r.Poison(ctx, reason, Head{}); err != nil {
		t.Fatal(err)
	}
	if err := r.Poison(ctx, "another", Head{}); err != nil {
		t.Fatal(err)
	}
	again := reopen(t, path)
	s, err := again.Read(ctx)
	if err != nil || !strings.HasPrefix(reason, s.Poisoned) || len(s.Poisoned) < 500 {
		t.Fatalf("%q, %v", s.Poisoned, err)
	}
	if err := again.Advance(ctx, s.Newest, head(4)); err == nil {
		t.Fatal("a poisoned register was advanced")
	}
	if err := again.Clear(ctx, Word{By: "Ada"}); err != nil {
		t.Fatal(err)
	}
	advance(t, r, 4) // the first handle sees what the other did
}

// Files of the versions before a poison told its head, and a clear whose it was.
func TestOlderRecords(t *testing.T) {
	r, path := newRegister(t)
	advance(t, r, 3)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, c := range []struct {
		body string
		want State
	}{
		{`poison "a \"test\""`, State{Newest: head(3), Poisoned: `a "test"`}},
		{"clear", State{Newest: head(3)}},
	} {
		if _, err := f.Write(withSum(c.body)); err != nil {
			t.Fatal(err)
		}
		for _, r := range []*File{r, reopen(t, path)} {
			if got, err := r.Read(t.Context()); err != nil || got != c.want {
				t.Fatalf("%s: %+v, %v", c.body, got, err)
			}
		}
	}
}

func TestRecordsThatAreRefused(t *testing.T) {
	root := strings.Repeat("A", 43) + "="
	for _, body := range []string{
		"poison", "poison x", "poison `a`", `poison "a" `, `poison "a" 5`, `poison "a" 0 ` + root + " 5", `poison "a"  5 ` + root + " 5", `poison "a" 5 ` + root,
		"clear ", "clear 5", `clear 5 "a"`, `clear 0 "" ""`, `clear 5 "a" b`, `clear 05 "a" "b"`, `clear 5 "a"  "b"`, "clear 5 `a` \"b\"",
	} {
		line := withSum(body)
		if rec, err := parseRecord(line[:len(line)-1]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %+v, %v", body, rec, err)
		}
	}
}

// Every prefix of a register file opens as the register was at some moment,
// and never as more than it was.
func TestTornWrite(t *testing.T) {
	r, path := newRegister(t)
	advance(t, r, 1, 2, 3)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first := strings.IndexByte(string(whole), '\n') + 1
	for n := range whole {
		torn := filepath.Join(t.TempDir(), "torn")
		if err := os.WriteFile(torn, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := OpenFile(torn)
		if n < first {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%d bytes, no whole header: %v", n, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		// A record that lacks its end alone is there.
		want := int64(strings.Count(string(whole[first:n+1]), "\n"))
		if newest(t, got).Size != want {
			t.Fatalf("%d bytes: size %d, not %d", n, newest(t, got).Size, want)
		}
		advance(t, got, 50)
		got.Close()
		if got := newest(t, reopen(t, torn)); got != head(50) {
			t.Fatalf("%d bytes: after going on it knows %v", n, got)
		}
	}
}

// A register with any one byte changed is refused, and stays as it is.
func TestEveryByteCounts(t *testing.T) {
	r, path := newRegister(t)
	advance(t, r, 1, 2)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		bad := []byte(string(whole))
		bad[i] ^= 0x11
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenFile(path); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != string(bad) {
			t.Fatalf("byte %d changed: afterwards it is %q, %v", i, after, err)
		}
	}
}

func TestTwoHandlesRace(t *testing.T) {
	r, path := newRegister(t)
	const each, handles = 200, 4
	var wg sync.WaitGroup
	for i := range handles {
		h := r
		if i > 0 {
			h = reopen(t, path)
		}
		wg.Go(func() {
			for done := 0; done < each; {
				s, err := h.Read(context.Background())
				if err != nil {
					t.Error(err)
					return
				}
				err = h.Advance(context.Background(), s.Newest, head(s.Newest.Size+1))
				if err == nil {
					done++
				} else if !errors.Is(err, ErrMoved) {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if got := newest(t, reopen(t, path)).Size; got != each*handles {
		t.Fatalf("size %d after %d advances", got, each*handles)
	}
}

func TestCompaction(t *testing.T) {
	r, path := newRegister(t)
	other := reopen(t, path)
	r.end = maxFile // as if it had grown
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	line, err := r.header.line()
	if err != nil {
		t.Fatal(err)
	}
	grown := string(line)
	size := int64(0)
	for len(grown) < maxFile {
		size++
		l, err := record{kind: recordHead, head: head(size)}.line()
		if err != nil {
			t.Fatal(err)
		}
		grown += string(l)
	}
	if err := os.WriteFile(path, []byte(grown), 0o600); err != nil {
		t.Fatal(err)
	}
	third := reopen(t, path)
	advance(t, third, size+1)
	info, err := os.Stat(path)
	if err != nil || info.Size() > 1024 {
		t.Fatalf("%d bytes after compaction, %v", info.Size(), err)
	}
	advance(t, other, size+2) // follows to the new file
	advance(t, third, size+3)
	if got := newest(t, reopen(t, path)); got != head(size+3) {
		t.Fatalf("it knows %v", got)
	}
}

func TestReplacedUnderneath(t *testing.T) {
	ctx := context.Background()
	r, path := newRegister(t)
	advance(t, r, 5)
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	advance(t, r, 6)
	replace := func(data []byte) {
		t.Helper()
		if err := os.WriteFile(path+".new", data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	replace(old)
	if _, err := r.Read(ctx); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("an older register in its place: %v", err)
	}
	foreign, foreignPath := newRegister(t)
	advance(t, foreign, 7)
	data, err := os.ReadFile(foreignPath)
	if err != nil {
		t.Fatal(err)
	}
	replace(data)
	if _, err := r.Read(ctx); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("another log's register in its place: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(ctx); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("no register in its place: %v", err)
	}
}

// faultyFile fails writes and fsyncs on demand, after doing them or not.
type faultyFile struct {
	*os.File
	failWrite, failSync, failTruncate error
	shortWrite                        bool
}

func (f *faultyFile) WriteAt(b []byte, off int64) (int, error) {
	if f.failWrite == nil {
		return f.File.WriteAt(b, off)
	}
	if f.shortWrite {
		f.File.WriteAt(b[:len(b)/2], off)
	}
	return 0, f.failWrite
}

func (f *faultyFile) Sync() error {
	if f.failSync != nil {
		return f.failSync
	}
	return f.File.Sync()
}

func (f *faultyFile) Truncate(n int64) error {
	if f.failTruncate != nil {
		return f.failTruncate
	}
	return f.File.Truncate(n)
}

func openFaulty(t *testing.T, path string) (*File, *faultyFile) {
	t.Helper()
	var f *faultyFile
	r, err := openWith(path, func(path string) (syncedFile, error) {
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		f = &faultyFile{File: file}
		return f, err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, f
}

func TestFailedFsyncIsForGood(t *testing.T) {
	ctx := context.Background()
	_, path := newRegister(t)
	r, f := openFaulty(t, path)
	advance(t, r, 1)
	f.failSync = syscall.EIO
	if err := r.Advance(ctx, head(1), head(2)); !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	f.failSync = nil
	if err := r.Advance(ctx, head(1), head(2)); !errors.Is(err, ErrFailed) {
		t.Fatalf("after a failed fsync it went on: %v", err)
	}
	if _, err := r.Read(ctx); !errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
}

func TestFullDiskIsTakenBack(t *testing.T) {
	ctx := context.Background()
	_, path := newRegister(t)
	r, f := openFaulty(t, path)
	advance(t, r, 1)
	f.failWrite, f.shortWrite = syscall.ENOSPC, true
	err := r.Advance(ctx, head(1), head(2))
	if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
	f.failWrite = nil
	advance(t, r, 2)
	if got := newest(t, reopen(t, path)); got != head(2) {
		t.Fatalf("it knows %v", got)
	}
	f.failWrite, f.failTruncate = syscall.ENOSPC, syscall.EIO
	if err := r.Advance(ctx, head(2), head(3)); !errors.Is(err, ErrFailed) {
		t.Fatalf("a half record that could not be taken back: %v", err)
	}
}

func FuzzRecord(f *testing.F) {
	word := Word{By: "Ada \"A\"", Why: "é\n", Time: 1_700_000_000_000}
	for _, rec := range []record{
		{kind: recordHead, head: head(7)},
		{kind: recordPoison, text: "é\n"},
		{kind: recordPoison, text: "\" 1", head: head(7)},
		{kind: recordClear},
		{kind: recordClear, word: word},
		{kind: recordAccepted, word: word},
	} {
		line, err := rec.line()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line[:len(line)-1])
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		// The checksum is made right, so that the fuzzer gets past it.
		if body, _, ok := strings.Cut(string(line), "\n"); ok {
			line = []byte(body)
		}
		if i := strings.LastIndexByte(string(line), ' '); i >= 0 {
			line = []byte(strings.TrimSuffix(string(withSum(string(line[:i]))), "\n"))
		}
		rec, err := parseRecord(line)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		again, err := rec.line()
		if err != nil || string(again) != string(line)+"\n" {
			t.Fatalf("%q became %q, %v", line, again, err)
		}
	})
}

var _ io.ReaderAt = (*faultyFile)(nil)
