package verify

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"indelible/internal/strictjson"
)

// maxMembers bounds the work on an object.
const maxMembers = 100

// object is a JSON object whose members are taken out of it one by one. Unlike
// encoding/json it refuses what two readers could read differently: a member
// that is there twice, in other capitals, or that nobody knows. The first thing
// that is wrong is kept, for all objects of one text, and said in the end.
type object struct {
	path    string
	members map[string]json.RawMessage
	wrong   *error
}

// readObject reads a text that is one object and nothing else.
func readObject(data []byte) object {
	o := object{wrong: new(error)}
	if !utf8.Valid(data) {
		*o.wrong = errors.New("it is not UTF-8")
		return o
	}
	return o.read("", data)
}

// read reads an object within o.
func (o object) read(path string, data []byte) object {
	n := object{path: path, members: map[string]json.RawMessage{}, wrong: o.wrong}
	if err := n.fill(data); err != nil {
		n.fail("", "%w", err)
	}
	return n
}

func (o object) fill(data []byte) error {
	err := strictjson.Members(data, func(name string, value []byte) error {
		if _, twice := o.members[name]; twice {
			return fmt.Errorf("has the member %.50q twice", name)
		}
		if o.members[name] = value; len(o.members) > maxMembers {
			return fmt.Errorf("has more than %d members", maxMembers)
		}
		return nil
	})
	switch {
	case errors.Is(err, strictjson.ErrKind):
		return errors.New("is not a JSON object")
	case errors.Is(err, strictjson.ErrMore):
		return errors.New("has more after its end")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("ends too soon")
	}
	if syntax, ok := errors.AsType[*strictjson.SyntaxError](err); ok {
		return fmt.Errorf("is not JSON: %w", syntax)
	}
	return err
}

func (o object) fail(name, format string, args ...any) {
	if *o.wrong != nil {
		return
	}
	at := o.at(name)
	if at == "" {
		at = "it"
	}
	*o.wrong = fmt.Errorf("%s %w", at, fmt.Errorf(format, args...))
}

func (o object) at(name string) string {
	if o.path == "" || name == "" {
		return o.path + name
	}
	return o.path + "." + name
}

// take takes a member out. One that is null is as one that is not there, as in
// ProtoJSON.
func (o object) take(name string) (json.RawMessage, bool) {
	value, ok := o.members[name]
	delete(o.members, name)
	return value, ok && !bytes.Equal(value, []byte("null"))
}

// end refuses members that were not taken.
func (o object) end() {
	var names []string
	for name := range o.members {
		names = append(names, name)
	}
	if len(names) > 0 {
		o.fail("", "has a member %.50q, which is not known", slices.Min(names))
	}
}

// text is a string; empty if it is not there, as are all of the following.
func (o object) text(name string) (s string) {
	value, ok := o.take(name)
	if ok && (value[0] != '"' || json.Unmarshal(value, &s) != nil) {
		o.fail(name, "is not a string")
	}
	if strings.ContainsRune(s, utf8.RuneError) {
		o.fail(name, "has U+FFFD in it, which half a surrogate pair is read as too")
	}
	return s
}

// bytes are written in standard base64.
func (o object) bytes(name string) []byte { return o.decode(name, o.text(name)) }

func (o object) decode(name, s string) []byte {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err == nil && base64.StdEncoding.EncodedLen(len(b)) != len(s) { // the decoder passes over line breaks
		err = errors.New("it has line breaks")
	}
	if err != nil {
		o.fail(name, "is not standard base64: %w", err)
	}
	return b
}

// number is a count, an index or a time. ProtoJSON writes 64 bits as a string.
func (o object) number(name string) int64 {
	empty := bytes.Equal(o.members[name], []byte(`""`))
	s := o.text(name)
	if s == "" && !empty {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != s {
		o.fail(name, "is %.30q, which is not a number of 0 to 2^63-1 in its shortest form", s)
	}
	return n
}

func (o object) object(name string) (object, bool) {
	value, ok := o.take(name)
	if !ok {
		return object{path: o.at(name), wrong: o.wrong}, false
	}
	return o.read(o.at(name), value), true
}

// list is of at most so many elements; of more, it is wrong.
func (o object) list(name string, most int) (list []json.RawMessage) {
	value, ok := o.take(name)
	if !ok {
		return nil
	}
	err := strictjson.Elements(value, func(element []byte) error {
		if len(list) == most {
			return fmt.Errorf("has more than %d elements", most)
		}
		list = append(list, element)
		return nil
	})
	if errors.Is(err, strictjson.ErrKind) {
		err = errors.New("is not a list")
	}
	if err != nil {
		o.fail(name, "%w", err)
		return nil
	}
	return list
}

// objects is a list of objects.
func (o object) objects(name string, most int) (list []object) {
	for i, value := range o.list(name, most) {
		list = append(list, o.read(fmt.Sprintf("%s[%d]", o.at(name), i), value))
	}
	return list
}
