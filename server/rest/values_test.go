package rest

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"
)

// values counts those of JSON by encoding/json.
func values(data []byte) (n int) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	inObject, name := []bool{}, false // name: what comes next, in an object
	for {
		token, err := d.Token()
		if err != nil {
			return n
		}
		switch {
		case token == json.Delim('}') || token == json.Delim(']'):
			inObject = inObject[:len(inObject)-1]
		case name:
			name = false
			continue
		default:
			n++
			if open, ok := token.(json.Delim); ok {
				inObject = append(inObject, open == '{')
			}
		}
		name = len(inObject) > 0 && inObject[len(inObject)-1]
	}
}

// FuzzTooManyValues: JSON is told by how many values it has.
func FuzzTooManyValues(f *testing.F) {
	for _, s := range []string{
		`{}`, ` [ ] `, `{"a":1,"b":[1,2,{"c":"]}"}],"a":null}`, "[1 ,\n-2.5e3\t, true,\"\\\"\\\\\" ,{},[[]]]", `[{ },[	],""]`, `7`, `"{"`, `"`, `["\\\\\"`, `}}}`, `[[[[[[[[`,
		strings.Repeat("{},", 100),
	} {
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, data []byte, limit uint8) {
		got := tooManyValues(data, int(limit))
		if json.Valid(data) && got != (values(data) > int(limit)) {
			t.Errorf("%q has %d values; more than %d: %v", data, values(data), limit, got)
		}
	})
}

// TestTooManyValues: the limit is for what is decoded.
func TestTooManyValues(t *testing.T) {
	list := func(n int) []byte { return []byte("[" + strings.Repeat("1,", n-1) + "1]") }
	if err := Decode(list(4000), &structpb.ListValue{}); err != nil {
		t.Error(err)
	}
	if err := Decode(list(6000), &structpb.ListValue{}); err == nil || !strings.Contains(err.Error(), "more than 4846 values in its 12001 bytes") {
		t.Error(err)
	}
	padded := append(bytes.Repeat([]byte(" "), 4<<20), list(1<<16)...)
	if err := Decode(padded, &structpb.ListValue{}); err == nil || !strings.Contains(err.Error(), "more than 65536 values") {
		t.Error(err)
	}
}
