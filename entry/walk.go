package entry

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// syntax is read of any JSON; what is wrong with it is said, and nothing copied.
type syntax struct{}

func (*syntax) UnmarshalJSON([]byte) error { return nil }

var (
	errEnough = errors.New("enough") // ends a walk
	errNoList = errors.New("it is not a list")
)

// eachMember goes over the members of a JSON object, whose syntax was checked.
// Unlike encoding/json, it shows all of them, and copies nothing: what a client
// sends is megabytes at times, several objects deep.
func eachMember(data []byte, do func(name string, value json.RawMessage) error) error {
	rest, ok := opened(data, '{')
	if !ok {
		return errors.New("it is not a JSON object")
	}
	for rest[0] != '}' {
		var name string
		quoted, after := cutValue(rest)
		if s, ok := unescaped(quoted); ok {
			name = s
		} else if err := json.Unmarshal(quoted, &name); err != nil {
			return err
		}
		value, after := cutValue(trimSpace(after)[1:]) // the colon
		if err := do(name, value); err != nil {
			return err
		}
		rest = afterComma(after)
	}
	return nil
}

// eachElement goes over the elements of a JSON list, whose syntax was checked,
// until it is told errEnough.
func eachElement(data []byte, do func(value json.RawMessage) error) error {
	rest, ok := opened(data, '[')
	if !ok {
		return errNoList
	}
	for rest[0] != ']' {
		value, after := cutValue(rest)
		if err := do(value); err == errEnough {
			return nil
		} else if err != nil {
			return err
		}
		rest = afterComma(after)
	}
	return nil
}

func trimSpace(b []byte) []byte { return bytes.TrimLeft(b, " \t\r\n") }

// opened returns what follows the bracket that data begins with.
func opened(data []byte, bracket byte) ([]byte, bool) {
	data = trimSpace(data)
	if len(data) == 0 || data[0] != bracket {
		return nil, false
	}
	return trimSpace(data[1:]), true
}

// afterComma returns what follows a value, without the comma.
func afterComma(b []byte) []byte {
	if b = trimSpace(b); b[0] == ',' {
		b = trimSpace(b[1:])
	}
	return b
}

// cutValue cuts the value off with which b begins.
func cutValue(b []byte) (value json.RawMessage, rest []byte) {
	b = trimSpace(b)
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i += endOfString(b[i:])
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		case ',', ' ', '\t', '\r', '\n':
		default:
			continue
		}
		switch c := b[i]; {
		case depth > 0:
		case depth == 0 && (c == '"' || c == '}' || c == ']'):
			return json.RawMessage(b[:i+1]), b[i+1:]
		default: // after a number or a word
			return json.RawMessage(b[:i]), b[i:]
		}
	}
	return json.RawMessage(b), nil
}

// unescaped is what a JSON string, whose syntax was checked, says, if that is written
// there as it is: without escapes, as all but a few are. encoding/json would go
// over it three times.
func unescaped(value json.RawMessage) (string, bool) {
	if value[0] != '"' || bytes.IndexByte(value, '\\') >= 0 || !utf8.Valid(value) {
		return "", false
	}
	return string(value[1 : len(value)-1]), true
}

// endOfString finds the quote that closes a string.
func endOfString(b []byte) int {
	i := 1
	for b[i] != '"' {
		if b[i] == '\\' {
			i++
		}
		i++
	}
	return i
}
