package rest

import (
	"encoding/base64"
	"strconv"
	"unicode/utf8"
)

// Answer writes JSON as protojson does, without its reflection: answers to adds
// are most of what a busy server writes. What it is given raw must be JSON.
type Answer struct {
	out   []byte
	plain bool
}

// NewAnswer begins an answer of about size bytes.
func NewAnswer(size int) *Answer { return &Answer{out: make([]byte, 0, size), plain: true} }

// Done returns the answer, and false when it had a string that is not plain:
// then protojson must write it.
func (a *Answer) Done() ([]byte, bool) { return a.out, a.plain }

// Raw writes s as it is.
func (a *Answer) Raw(s string) *Answer {
	a.out = append(a.out, s...)
	return a
}

// Number writes an int64, which is a string in protojson.
func (a *Answer) Number(n int64) {
	a.out = append(a.out, '"')
	a.out = strconv.AppendInt(a.out, n, 10)
	a.out = append(a.out, '"')
}

// Bytes writes base64.
func (a *Answer) Bytes(b []byte) {
	a.out = append(a.out, '"')
	a.out = base64.StdEncoding.AppendEncode(a.out, b)
	a.out = append(a.out, '"')
}

// List writes a list of bytes.
func (a *Answer) List(l [][]byte) {
	a.out = append(a.out, '[')
	for i, b := range l {
		if i > 0 {
			a.out = append(a.out, ',')
		}
		a.Bytes(b)
	}
	a.out = append(a.out, ']')
}

// Text writes a string that holds nothing to escape but newlines, as notes do.
func (a *Answer) Text(s string) {
	a.plain = a.plain && utf8.ValidString(s)
	a.out = append(a.out, '"')
	for i := range len(s) {
		switch b := s[i]; {
		case b == '\n':
			a.out = append(a.out, '\\', 'n')
		case b < ' ' || b == '"' || b == '\\':
			a.plain = false
		default:
			a.out = append(a.out, b)
		}
	}
	a.out = append(a.out, '"')
}
