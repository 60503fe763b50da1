package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzWalk: the members and elements are those that encoding/json finds, in what it calls valid.
func FuzzWalk(f *testing.F) {
	for _, s := range []string{
		`{}`, ` [ ] `, `{"a":1,"b":[1,2,{"c":"]}"}],"a":null}`, "[1 ,\n-2.5e3\t, true,\"\\\"\\\\\" ,{},[[]]]", `{"\u0061\"":"x" , "":{"}":"{"}}`, `[{"a":[]},[{}],""]`, `7`, `"{"`, `1e700`, `{"a":1e700}`,
		`[1,]`, `[1 2]`, `{"a" 1}`, `{"a":1,}`, `{,}`, `[`, `{"a":1}{}`, `{"a":"\ud800"}`, `{1:2}`, ``, ` `, `nul`, "[1]\x00",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !utf8.Valid(data) {
			return
		}
		valid := json.Valid(data)
		if err := Valid(data); (err == nil) != valid {
			t.Fatalf("%q is valid: %v, %v", data, valid, err)
		}
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber() // of any size
		first, err := d.Token()
		if valid && err != nil {
			t.Fatal(err)
		}
		same := func(value []byte) error {
			var want json.RawMessage
			if err := d.Decode(&want); valid && (err != nil || !bytes.Equal(value, want)) {
				t.Fatalf("%q in %q; encoding/json has %q: %v", value, data, want, err)
			}
			return nil
		}
		ofObject := Members(data, func(name string, value []byte) error {
			if want, err := d.Token(); valid && (err != nil || want != name) {
				t.Fatalf("%q in %q; encoding/json has %v: %v", name, data, want, err)
			}
			return same(value)
		})
		ofList := Elements(data, same)
		if (ofObject == nil) != (valid && first == json.Delim('{')) || (ofList == nil) != (valid && first == json.Delim('[')) || valid && d.More() {
			t.Fatalf("%q: %v, %v, more %v", data, ofObject, ofList, d.More())
		}
		if err := Check(data, Limits{Depth: 20_000, Values: 1 << 20}); !valid && err == nil || valid && errors.As(err, new(*SyntaxError)) {
			t.Fatalf("%q: %v", data, err)
		}
	})
}

func TestCheck(t *testing.T) {
	limits := Limits{Depth: 2, Values: 5}
	for text, want := range map[string]error{
		`{"a":[1,2,3]}`: nil, `[1,2,3,4]`: nil, `7`: nil, `{"a":1,"b":{"a":2}}`: nil, `["a","b"]`: nil,
		`[1,2,3,4,5]`: ErrValues, `[[[]]]`: ErrDepth, `{"a":{"b":[]}}`: ErrDepth, `1 2`: ErrMore, `{}]`: ErrMore,
	} {
		if err := Check([]byte(text), limits); !errors.Is(err, want) {
			t.Errorf("%s: %v, not %v", text, err, want)
		}
	}
	for _, text := range []string{`{"a":1,"a":2}`, `[{"b":1,"a":1,"\u0061":2}]`} {
		if twice, ok := errors.AsType[*TwiceError](Check([]byte(text), limits)); !ok || twice.Name != "a" {
			t.Errorf("%s: %v", text, twice)
		}
	}
}

func TestSyntaxErrors(t *testing.T) {
	for text, want := range map[string]struct {
		offset int64
		short  bool
	}{`{"a":`: {5, true}, ``: {0, true}, ` [1`: {3, true}, `{"a":x}`: {5, false}, `{"a" 1}`: {5, false}} {
		for name, err := range map[string]error{
			"Members":  Members([]byte(text), func(string, []byte) error { return nil }),
			"Elements": Elements([]byte(text), func([]byte) error { return nil }),
			"Check":    Check([]byte(text), Limits{9, 9}),
		} {
			if errors.Is(err, ErrKind) {
				continue
			}
			wrong, ok := errors.AsType[*SyntaxError](err)
			if !ok || wrong.Offset != want.offset || errors.Is(err, io.ErrUnexpectedEOF) != want.short {
				t.Errorf("%s of %q: %v", name, text, err)
			}
		}
	}
}

func TestErrorsOfTheCaller(t *testing.T) {
	mine := errors.New("mine")
	n := 0
	for _, want := range []error{mine, ErrStop} {
		stop := func() error {
			n++
			return want
		}
		ofObject := Members([]byte(`{"a":1,"b":2}`), func(string, []byte) error { return stop() })
		ofList := Elements([]byte(`[1,2]`), func([]byte) error { return stop() })
		if ended := want == ErrStop; (ofObject == nil) != ended || (ofList == nil) != ended || !ended && (ofObject != mine || ofList != mine) {
			t.Errorf("%v: %v, %v", want, ofObject, ofList)
		}
	}
	if n != 4 {
		t.Errorf("%d calls", n)
	}
}

func TestString(t *testing.T) {
	for value, want := range map[string]string{`"a"`: "a", `"\u0061\n"`: "a\n", `""`: "", `"\ud800"`: "\ufffd", `"é"`: "é"} {
		if got, err := String([]byte(value)); got != want || err != nil {
			t.Errorf("%s: %q, %v", value, got, err)
		}
	}
	for _, value := range []string{`7`, `[]`, strings.Repeat("[", 3), ``, `"`} {
		if got, err := String([]byte(value)); err == nil {
			t.Errorf("%s: %q", value, got)
		}
	}
}
