// Package strictjson takes JSON apart that several readers must read alike: entries, bundles and the requests of Rekor's APIs.
// It shows every member of an object, in order and with the name as it is spelt, so the caller can refuse a member that is
// there twice or in other capitals. Values are parts of the text: nothing is copied.
//
// The text must be UTF-8 ([unicode/utf8.Valid]), which each reader checks once. An escaped half of a surrogate pair reads as
// U+FFFD.
package strictjson

import (
	"bytes"
	"encoding/json"
	"encoding/json/jsontext"
	"errors"
	"fmt"
	"io"
)

var (
	// ErrKind says that a text does not begin like an object, or like a list.
	ErrKind = errors.New("another kind of value")
	// ErrMore says that there is more after the value. A SyntaxError wraps it.
	ErrMore = errors.New("more after top-level value")
	// ErrStop ends a walk. The function that walks returns nil.
	ErrStop = errors.New("stop")
)

// SyntaxError says that a text is not JSON. It wraps [io.ErrUnexpectedEOF] if the text ends too soon.
type SyntaxError struct {
	Offset int64 // in bytes
	Err    error
}

func (e *SyntaxError) Error() string {
	if e.Err == io.ErrUnexpectedEOF {
		return "unexpected end of JSON input"
	}
	return e.Err.Error()
}

// Unwrap returns what is wrong.
func (e *SyntaxError) Unwrap() error { return e.Err }

// Valid reads one JSON value with nothing after it, and looks at its syntax alone. It returns a [*SyntaxError].
func Valid(data []byte) error {
	d := decoder(data)
	if _, err := d.ReadValue(); err != nil {
		return syntaxError(d, err)
	}
	return end(d)
}

// Members calls do for each member of a JSON object. The error of do is returned as it is.
func Members(data []byte, do func(name string, value []byte) error) error {
	d := decoder(data)
	return walk(d, '{', '}', func() error {
		quoted, err := d.ReadValue()
		if err != nil {
			return syntaxError(d, err)
		}
		name, err := String(quoted)
		if err != nil {
			return err
		}
		value, err := next(d, data)
		if err != nil {
			return err
		}
		return do(name, value)
	})
}

// Elements calls do for each element of a JSON list. The error of do is returned as it is.
func Elements(data []byte, do func(value []byte) error) error {
	d := decoder(data)
	return walk(d, '[', ']', func() error {
		value, err := next(d, data)
		if err != nil {
			return err
		}
		return do(value)
	})
}

// String returns what a JSON string says. The error is that of encoding/json if the value is another.
func String(value []byte) (s string, err error) {
	if len(value) > 1 && value[0] == '"' && bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1]), nil
	}
	err = json.Unmarshal(value, &s)
	return s, err
}

// Limits bound a JSON text.
type Limits struct {
	Depth  int // of lists and objects in one another
	Values int // of all kinds, lists and objects among them
}

// Errors of Check.
var (
	ErrDepth  = errors.New("nested too deep")
	ErrValues = errors.New("too many values")
)

// TwiceError says that an object has a member twice.
type TwiceError struct{ Name string }

func (e *TwiceError) Error() string { return fmt.Sprintf("it has the member %.100q twice", e.Name) }

// Check reads one JSON value with nothing after it. It returns a [*SyntaxError], ErrDepth, ErrValues, or a
// [*TwiceError] if an object anywhere has a member twice.
func Check(data []byte, l Limits) error {
	d := jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowInvalidUTF8(true))
	for values := 0; ; {
		kind, length := d.StackIndex(d.StackDepth())
		name := kind == '{' && length%2 == 0
		token, err := d.ReadToken()
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return &TwiceError{twice(err)}
		}
		if err != nil {
			return syntaxError(d, err)
		}
		if k := token.Kind(); k != '}' && k != ']' && !name {
			values++
		}
		switch depth := d.StackDepth(); {
		case values > l.Values:
			return ErrValues
		case depth > l.Depth:
			return ErrDepth
		case depth == 0:
			return end(d)
		}
	}
}

// twice is the name of the member that is there twice.
func twice(err error) string {
	if s, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return s.JSONPointer.LastToken()
	}
	return ""
}

func decoder(data []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// walk calls each until the bracket closes, and makes sure that nothing follows.
func walk(d *jsontext.Decoder, open, closed jsontext.Kind, each func() error) error {
	if d.PeekKind() != open {
		return ErrKind
	}
	if _, err := d.ReadToken(); err != nil {
		return syntaxError(d, err)
	}
	for d.PeekKind() != closed {
		if err := each(); err == ErrStop {
			return nil
		} else if err != nil {
			return err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return syntaxError(d, err)
	}
	return end(d)
}

// next reads a value, and returns the part of data that it is.
func next(d *jsontext.Decoder, data []byte) ([]byte, error) {
	value, err := d.ReadValue()
	if err != nil {
		return nil, syntaxError(d, err)
	}
	to := d.InputOffset()
	return data[to-int64(len(value)) : to : to], nil
}

func end(d *jsontext.Decoder) error {
	if _, err := d.ReadToken(); err != io.EOF {
		return &SyntaxError{d.InputOffset(), ErrMore}
	}
	return nil
}

func syntaxError(d *jsontext.Decoder, err error) error {
	if err == io.EOF {
		return &SyntaxError{d.InputOffset(), io.ErrUnexpectedEOF}
	}
	if s, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return &SyntaxError{s.ByteOffset, s.Err}
	}
	return &SyntaxError{d.InputOffset(), err}
}
