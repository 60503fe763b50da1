package guard

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"indelible/merkle"
)

func textAt(sizes ...int64) Text {
	t := NewText("log.example.com", NewID())
	for _, size := range sizes {
		t = t.written(State{Newest: Head{Size: size, Root: merkle.LeafHash([]byte{byte(size)}), Time: 1_700_000_000_000 + size*1000}})
	}
	return t
}

func mustMarshal(t testing.TB, text Text) []byte {
	t.Helper()
	data, err := text.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestTextHistoryIsThinned(t *testing.T) {
	sizes := make([]int64, 20_000)
	for i := range sizes {
		sizes[i] = int64(i + 1)
	}
	text := textAt(sizes...)
	if len(text.History) != maxHistory || text.History[0].Size != 1 || text.History[maxHistory-1].Size < 19_990 || text.Epoch != 20_001 {
		t.Fatalf("%d heads, %v", len(text.History), text.History)
	}
	// Of every time, from the last seconds to the beginning, something is known.
	for ago := int64(4); ago < 20_000; ago *= 4 {
		found := false
		for _, h := range text.History {
			at := 20_000 - h.Size
			found = found || at >= ago/4 && at <= ago
		}
		if !found {
			t.Errorf("nothing between %d and %d heads ago: %v", ago/4, ago, text.History)
		}
	}
	if data := mustMarshal(t, text); len(data) > 4096 {
		t.Fatalf("%d bytes", len(data))
	}
}

func TestTextIsNeverTooBig(t *testing.T) {
	text := textAt()
	text.Origin, text.ID = strings.Repeat("é", 127), strings.Repeat("f", 64)
	for size := int64(1) << 62; size < 1<<62+100; size++ {
		text = text.written(State{Newest: Head{Size: size, Time: size}})
	}
	word := Word{By: strings.Repeat("\x00", maxName), Why: strings.Repeat("\x00", maxReason/2), Time: 1 << 62}
	text = text.written(State{Newest: text.State.Newest, Poisoned: strings.Repeat("\x00", maxReason/2), Shown: text.State.Newest, Accepted: word, Cleared: word})
	if data := mustMarshal(t, text); len(data) > MaxText*3/4 {
		t.Fatalf("%d bytes", len(data))
	}
}

// No part of a text is a text, and none with a changed byte.
func TestTextIsWholeOrCorrupt(t *testing.T) {
	text := textAt(1, 2, 3)
	word := Word{By: "Ada", Why: "a \"test\"", Time: 5}
	text = text.written(State{Newest: text.State.Newest, Poisoned: "a \"test\"", Shown: Head{Size: 9, Time: 7}, Accepted: word, Cleared: word})
	data := mustMarshal(t, text)
	if again, err := ParseText(data); err != nil || !bytes.Equal(mustMarshal(t, again), data) {
		t.Fatal(err)
	}
	for i := range data {
		for _, bad := range [][]byte{data[:i], append(bytes.Clone(data[:i]), data[i+1:]...), append(append(bytes.Clone(data[:i]), data[i]^4), data[i+1:]...)} {
			if _, err := ParseText(bad); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("byte %d: %v", i, err)
			}
		}
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	for i := range len(lines) - 1 {
		bad := bytes.Join(append(append([][]byte{}, lines[:i]...), lines[i+1:]...), nil)
		if _, err := ParseText(bad); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("without line %d: %v", i, err)
		}
	}
}

func TestParserReadsWhatIsThere(t *testing.T) {
	var p Parser
	a, b := textAt(1), textAt(1, 2)
	for _, want := range []Text{a, a, b, a, b, b} {
		if got, err := p.Parse(mustMarshal(t, want)); err != nil || got.Mark != want.Mark || got.State != want.State {
			t.Fatalf("%v, %v", got, err)
		}
		bad := mustMarshal(t, want)
		bad[len(bad)/2] ^= 1
		if _, err := p.Parse(bad); !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
	}
}

func FuzzText(f *testing.F) {
	poisoned := textAt(1, 2)
	poisoned.State.Poisoned = "é\n"
	vouched := poisoned
	vouched.State.Shown, vouched.State.Cleared, vouched.State.Accepted = Head{Size: 9}, Word{By: "Ada", Time: 5}, Word{Why: "é\n"}
	for _, text := range []Text{textAt(), textAt(1), textAt(1, 2, 3), poisoned, vouched} {
		f.Add(mustMarshal(f, text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		text, err := ParseText(resummed(data))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if again, err := text.Marshal(); err != nil || !bytes.Equal(again, resummed(data)) {
			t.Fatalf("%q became %q, %v", data, again, err)
		}
	})
}

// resummed makes the lines' checksums right, so that the fuzzer gets past them.
func resummed(data []byte) []byte {
	var out []byte
	for line := range bytes.Lines(data) {
		if i := bytes.LastIndexByte(line, ' '); i >= 0 && bytes.HasSuffix(line, []byte("\n")) {
			line = withSum(string(line[:i]))
		}
		out = append(out, line...)
	}
	return out
}
