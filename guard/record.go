package guard

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The lines of a register file. Fields are separated by one space; the last
// one is the CRC-32C of everything before it, in hex.
//
//	indelible-register-v1 <id> <origin> <crc>
//	head <size> <root, base64> <Unix milliseconds> <crc>
//	poison <reason, quoted as in Go> <crc>
//	poison <reason, quoted as in Go> <size> <root> <Unix milliseconds> <crc>    with the signed head that shows it
//	clear <Unix milliseconds> <by whom, quoted> <why, quoted> <crc>
//	clear <crc>                                                                 of a version before the words were kept
//	accepted <Unix milliseconds> <by whom, quoted> <why, quoted> <crc>
const (
	headerWord     = "indelible-register-v1"
	recordHead     = "head"
	recordPoison   = "poison"
	recordClear    = "clear"
	recordAccepted = "accepted"

	maxLine   = 4096
	maxReason = 1024 // bytes of a reason that are kept
	maxName   = 128  // bytes of a person's name that are kept
)

// header says whose register this is.
type header struct{ Origin, ID string }

func (h header) line() ([]byte, error) {
	line := withSum(headerWord + " " + h.ID + " " + h.Origin)
	if _, err := parseHeader(line[:len(line)-1]); err != nil {
		return nil, fmt.Errorf("register for log %q with id %q: origin and id must hold no space and no control character", h.Origin, h.ID)
	}
	return line, nil
}

func parseHeader(line []byte) (header, error) { return parseHeaderOf(headerWord, line) }

func parseHeaderOf(word string, line []byte) (header, error) {
	body, err := checkSum(line)
	if err != nil {
		return header{}, err
	}
	f := strings.Split(body, " ")
	if len(f) != 3 || f[0] != word || f[1] == "" || f[2] == "" || strings.ContainsAny(body, "\r\n\x00") {
		return header{}, fmt.Errorf("not a register's header: %w", ErrCorrupt)
	}
	return header{ID: f[1], Origin: f[2]}, nil
}

// record is one line after the header.
type record struct {
	kind string
	head Head
	text string
	word Word
}

func (r record) line() ([]byte, error) {
	switch r.kind {
	case recordHead:
		return withSum(recordHead + " " + r.head.fields()), nil
	case recordPoison:
		body := recordPoison + " " + strconv.QuoteToASCII(shorten(r.text, maxReason/2))
		if r.head.Size > 0 {
			body += " " + r.head.fields()
		}
		return withSum(body), nil
	case recordClear:
		if r.word == (Word{}) {
			return withSum(recordClear), nil
		}
		return withSum(recordClear + " " + r.word.fields()), nil
	case recordAccepted:
		return withSum(recordAccepted + " " + r.word.fields()), nil
	}
	return nil, fmt.Errorf("a register has no record %q", r.kind)
}

func (h Head) fields() string {
	return fmt.Sprintf("%d %s %d", h.Size, base64.StdEncoding.EncodeToString(h.Root[:]), h.Time)
}

func (w Word) fields() string {
	w = w.shortened()
	return fmt.Sprintf("%d %s %s", w.Time, strconv.QuoteToASCII(w.By), strconv.QuoteToASCII(w.Why))
}

// parseRecord accepts exactly what line makes.
func parseRecord(line []byte) (record, error) {
	body, err := checkSum(line)
	if err != nil {
		return record{}, err
	}
	kind, rest, _ := strings.Cut(body, " ")
	rec := record{kind: kind}
	switch kind {
	case recordHead:
		rec.head, err = parseHead(rest)
	case recordPoison:
		rec.text, rec.head, err = parsePoison(rest)
	case recordClear:
		if rest != "" {
			rec.word, err = parseWord(rest)
		}
	case recordAccepted:
		rec.word, err = parseWord(rest)
	default:
		err = fmt.Errorf("unknown record %q", shorten(kind, 32))
	}
	if err == nil {
		var again []byte
		if again, err = rec.line(); err == nil && string(again) != string(line)+"\n" {
			err = fmt.Errorf("record %q is not in the form this program writes", kind)
		}
	}
	if err != nil {
		return record{}, fmt.Errorf("%w: %w", err, ErrCorrupt)
	}
	return rec, nil
}

func parseHead(s string) (Head, error) {
	f := strings.Split(s, " ")
	if len(f) != 3 {
		return Head{}, fmt.Errorf("a head record has %d fields, not 3", len(f))
	}
	size, err := strconv.ParseInt(f[0], 10, 64)
	if err != nil {
		return Head{}, err
	}
	at, err := strconv.ParseInt(f[2], 10, 64)
	if err != nil {
		return Head{}, err
	}
	root, err := base64.StdEncoding.DecodeString(f[1])
	if err != nil {
		return Head{}, err
	}
	h := Head{Size: size, Time: at}
	if len(root) != len(h.Root) {
		return Head{}, fmt.Errorf("a root of %d bytes", len(root))
	}
	copy(h.Root[:], root)
	return h, nil
}

func parsePoison(s string) (reason string, h Head, err error) {
	quoted, err := strconv.QuotedPrefix(s)
	if err != nil {
		return "", h, err
	}
	if rest := s[len(quoted):]; rest != "" {
		if h, err = parseHead(strings.TrimPrefix(rest, " ")); err != nil {
			return "", h, err
		}
	}
	reason, err = strconv.Unquote(quoted)
	return reason, h, err
}

func parseWord(s string) (w Word, err error) {
	at, rest, _ := strings.Cut(s, " ")
	if w.Time, err = strconv.ParseInt(at, 10, 64); err != nil {
		return w, err
	}
	by, err := strconv.QuotedPrefix(rest)
	if err != nil {
		return w, err
	}
	if w.By, err = strconv.Unquote(by); err != nil {
		return w, err
	}
	w.Why, err = strconv.Unquote(strings.TrimPrefix(rest[len(by):], " "))
	return w, err
}

func withSum(body string) []byte {
	return fmt.Appendf(nil, "%s %s\n", body, sum(body))
}

// checkSum returns the line without its checksum.
func checkSum(line []byte) (string, error) {
	s := string(line)
	i := strings.LastIndexByte(s, ' ')
	if i < 0 || sum(s[:i]) != s[i+1:] {
		return "", fmt.Errorf("a line's checksum does not match: %w", ErrCorrupt)
	}
	return s[:i], nil
}

func sum(body string) string {
	crc := crc32.Checksum([]byte(body), crc32.MakeTable(crc32.Castagnoli))
	return hex.EncodeToString([]byte{byte(crc >> 24), byte(crc >> 16), byte(crc >> 8), byte(crc)})
}

// shorten cuts a text to at most n bytes, between characters.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
