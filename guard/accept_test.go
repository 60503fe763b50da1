//go:build unix

package guard

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAcceptedRegister(t *testing.T) {
	path := filepath.Join(t.TempDir(), "register")
	word := Word{By: "Ada \"A\" <ada@example.com>", Why: "the disk\nis gone, é", Time: 1_700_000_000_000}
	head := Head{Size: 7, Root: [32]byte{1, 2}, Time: 1_700_000_000_000}
	r, err := CreateAccepted(path, "log.example", NewID(), head, word)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.Read(t.Context()); err != nil || got != (State{Newest: head, Accepted: word}) {
		t.Fatalf("%+v, %v", got, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	// It survives heads, poison and compaction.
	next := Head{Size: 8, Root: [32]byte{3}, Time: head.Time + 1}
	cleared, shown := Word{By: "Grace", Why: "mended", Time: 1_700_000_000_001}, Head{Size: 9, Root: [32]byte{4}, Time: 3}
	if err := errors.Join(r.Advance(t.Context(), head, next), r.Poison(t.Context(), "w", Head{}), r.Clear(t.Context(), cleared),
		r.Poison(t.Context(), "x", shown), r.compact(), r.Close()); err != nil {
		t.Fatal(err)
	}
	if r, err = OpenFile(path); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Read(t.Context()); err != nil || got != (State{Newest: next, Accepted: word, Cleared: cleared, Poisoned: "x", Shown: shown}) {
		t.Fatalf("%+v, %v", got, err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := CreateAccepted(path, "log.example", NewID(), head, word); !errors.Is(err, os.ErrExist) {
		t.Errorf("over a register: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the register was touched: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(path + ".*"); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Of an empty log as well, and of one who has much to say.
func TestAcceptedAtTheEmptyTree(t *testing.T) {
	path := filepath.Join(t.TempDir(), "register")
	r, err := CreateAccepted(path, "log.example", NewID(), Empty(), Word{By: strings.Repeat("é", 4000), Why: strings.Repeat("\x00", 9000), Time: 5})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := r.Read(t.Context())
	if err != nil || got.Newest != Empty() || got.Accepted.Time != 5 || len(got.Accepted.By) != maxName || len(got.Accepted.Why) != maxReason/2 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAcceptedLinesThatAreRefused(t *testing.T) {
	for _, body := range []string{
		"accepted", "accepted 5", `accepted 5 "a"`, `accepted 5 "a" b`, `accepted x "a" "b"`, `accepted 05 "a" "b"`, `accepted 5 "a"  "b"`, `accepted 5 "a" "b" "c"`, "accepted 5 `a` \"b\"",
	} {
		line := withSum(body)
		if rec, err := parseRecord(line[:len(line)-1]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %+v, %v", body, rec, err)
		}
	}
}
