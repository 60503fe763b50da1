package guard

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// The text of a register that is replaced as a whole, in a database's row or a
// store's object. Its lines are those of a register file (see record.go) but
// for the first word and the last line, which says how often the text was
// written, by a mark that no other write has, and the SHA-256 of all before it.
//
//	indelible-register-text-v1 <id> <origin> <crc>
//	head <size> <root, base64> <Unix milliseconds> <crc>      older heads, then the newest
//	poison <reason, quoted as in Go> [<head>] <crc>           if it is poisoned
//	accepted <Unix milliseconds> <by whom> <why> <crc>        if it stands on an operator's word
//	clear <Unix milliseconds> <by whom> <why> <crc>           if it was poisoned before
//	end <epoch> <mark, hex> <SHA-256, hex> <crc>
const (
	textWord = "indelible-register-text-v1"
	endWord  = "end"

	// MaxText is the size in bytes that no register's text reaches.
	MaxText = 16 << 10
	// maxHistory is how many older heads a text keeps.
	maxHistory = 24
)

// Text is all that a register of one text holds.
type Text struct {
	Origin, ID string
	Epoch      int64  // one more with every write
	Mark       string // of the write, so that a writer knows its own
	History    []Head // older heads by size, the farther back the fewer
	State      State
}

// NewText is the text of a new register, at the empty tree.
func NewText(origin, id string) Text {
	return Text{Origin: origin, ID: id, Epoch: 1, Mark: newMark(), State: State{Newest: Empty()}}
}

// AcceptedText is the text of a register that is made in the place of one that
// was lost. It knows what an operator says was signed last.
func AcceptedText(origin, id string, newest Head, word Word) Text {
	t := NewText(origin, id)
	t.State = State{Newest: newest, Accepted: word.shortened()}
	return t
}

func newMark() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// written is the text's successor with another state.
func (t Text) written(s State) Text {
	next := t
	next.Epoch++
	next.Mark = newMark()
	next.State = s
	if was := t.State.Newest; was.Size > 0 && was.Size < s.Newest.Size {
		next.History = thin(append(slices.Clone(t.History), was), s.Newest.Time)
	}
	return next
}

// thin drops the head whose neighbours are nearest to each other for their age,
// until few enough are left: each time twice as long ago is known about as well.
func thin(heads []Head, now int64) []Head {
	for len(heads) > maxHistory {
		drop, least := 1, 0.0
		for i := 1; i < len(heads)-1; i++ {
			gap := float64(heads[i+1].Time-heads[i-1].Time) / float64(max(1, now-heads[i].Time))
			if i == 1 || gap < least {
				drop, least = i, gap
			}
		}
		heads = slices.Delete(heads, drop, drop+1)
	}
	return heads
}

// Marshal writes the text.
func (t Text) Marshal() ([]byte, error) {
	text := withSum(textWord + " " + t.ID + " " + t.Origin)
	for _, rec := range t.records() {
		line, err := rec.line()
		if err != nil {
			return nil, err
		}
		text = append(text, line...)
	}
	hash := sha256.Sum256(text)
	return append(text, withSum(fmt.Sprintf("%s %d %s %x", endWord, t.Epoch, t.Mark, hash))...), nil
}

// check refuses a text that could not be read again.
func (t Text) check() error {
	data, err := t.Marshal()
	if err == nil {
		_, err = ParseText(data)
	}
	if err != nil {
		return fmt.Errorf("a register for log %q with id %q cannot be written: %w", t.Origin, t.ID, err)
	}
	return nil
}

func (t Text) records() []record {
	var records []record
	for _, h := range t.History {
		records = append(records, record{kind: recordHead, head: h})
	}
	if t.State.Newest.Size > 0 {
		records = append(records, record{kind: recordHead, head: t.State.Newest})
	}
	if t.State.Poisoned != "" {
		records = append(records, record{kind: recordPoison, text: t.State.Poisoned, head: t.State.Shown})
	}
	if t.State.Accepted != (Word{}) {
		records = append(records, record{kind: recordAccepted, word: t.State.Accepted})
	}
	if t.State.Cleared != (Word{}) {
		records = append(records, record{kind: recordClear, word: t.State.Cleared})
	}
	return records
}

// ParseText accepts exactly what Marshal makes; anything else is ErrCorrupt.
func ParseText(data []byte) (Text, error) {
	t, err := parseText(data)
	if err != nil {
		return Text{}, fmt.Errorf("%w: %w", err, ErrCorrupt)
	}
	if again, err := t.Marshal(); err != nil || !bytes.Equal(again, data) {
		return Text{}, fmt.Errorf("a register's text is not in the form this program writes: %w", ErrCorrupt)
	}
	return t, nil
}

func parseText(data []byte) (Text, error) {
	if len(data) > MaxText {
		return Text{}, fmt.Errorf("a register's text of over %d bytes", MaxText)
	}
	lines := strings.Split(string(data), "\n")
	if len(lines) < 3 || lines[len(lines)-1] != "" {
		return Text{}, fmt.Errorf("a register's text of %d bytes that is not whole", len(data))
	}
	h, err := parseHeaderOf(textWord, []byte(lines[0]))
	if err != nil {
		return Text{}, err
	}
	t := Text{Origin: h.Origin, ID: h.ID, State: State{Newest: Empty()}}
	for _, line := range lines[1 : len(lines)-2] {
		if err := t.apply([]byte(line)); err != nil {
			return Text{}, err
		}
	}
	end := lines[len(lines)-2]
	return t, t.parseEnd(data[:len(data)-len(end)-1], end)
}

func (t *Text) apply(line []byte) error {
	rec, err := parseRecord(line)
	switch {
	case err != nil:
		return err
	case rec.kind == recordPoison && rec.text != "":
		t.State.Poisoned, t.State.Shown = rec.text, rec.head
		return nil
	case rec.kind == recordAccepted && rec.word != (Word{}):
		t.State.Accepted = rec.word
		return nil
	case rec.kind == recordClear && rec.word != (Word{}):
		t.State.Cleared = rec.word
		return nil
	case rec.kind != recordHead || rec.head.Size <= t.State.Newest.Size:
		return fmt.Errorf("a register's text with a record %q where it cannot be", line)
	}
	if t.State.Newest.Size > 0 {
		t.History = append(t.History, t.State.Newest)
	}
	t.State.Newest = rec.head
	return nil
}

func (t *Text) parseEnd(before []byte, line string) error {
	body, err := checkSum([]byte(line))
	if err != nil {
		return err
	}
	f := strings.Split(body, " ")
	if len(f) != 4 || f[0] != endWord || len(f[2]) != 16 {
		return fmt.Errorf("a register's text without its end")
	}
	if hash := sha256.Sum256(before); f[3] != hex.EncodeToString(hash[:]) {
		return fmt.Errorf("a register's text whose SHA-256 does not match")
	}
	t.Mark = f[2]
	if t.Epoch, err = strconv.ParseInt(f[1], 10, 64); err != nil || t.Epoch < 1 {
		return fmt.Errorf("a register's text with epoch %q", f[1])
	}
	return nil
}

// Parser reads texts, and one that it read or was told last without parsing it
// again: between two writes a text is read many times.
type Parser struct{ last atomic.Pointer[parsed] }

type parsed struct {
	data []byte
	text Text
}

// Parse is ParseText.
func (p *Parser) Parse(data []byte) (Text, error) {
	if last := p.last.Load(); last != nil && bytes.Equal(last.data, data) {
		return last.text, nil
	}
	t, err := ParseText(data)
	if err == nil {
		p.Keep(data, t)
	}
	return t, err
}

// Keep tells what data says, which is not changed any more.
func (p *Parser) Keep(data []byte, t Text) { p.last.Store(&parsed{data, t}) }
