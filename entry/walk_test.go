package entry

import (
	"bytes"
	"encoding/json"
	"testing"
)

// The members and elements are those that encoding/json finds.
func FuzzWalk(f *testing.F) {
	for _, s := range []string{
		`{}`, ` [ ] `, `{"a":1,"b":[1,2,{"c":"]}"}],"a":null}`, "[1 ,\n-2.5e3\t, true,\"\\\"\\\\\" ,{},[[]]]", `{"\u0061\"":"x" , "":{"}":"{"}}`, `[{"a":[]},[{}],""]`, `7`, `"{"`, `1e700`, `{"a":1e700}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if json.Unmarshal(data, &syntax{}) != nil {
			return
		}
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber() // of any size
		first, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		same := func(value json.RawMessage) error {
			var want json.RawMessage
			if err := d.Decode(&want); err != nil || !bytes.Equal(value, want) {
				t.Fatalf("%q in %q; encoding/json has %q: %v", value, data, want, err)
			}
			return nil
		}
		ofObject := eachMember(data, func(name string, value json.RawMessage) error {
			if want, err := d.Token(); err != nil || want != name {
				t.Fatalf("%q in %q; encoding/json has %v: %v", name, data, want, err)
			}
			return same(value)
		})
		ofList := eachElement(data, same)
		if (ofObject == nil) != (first == json.Delim('{')) || (ofList == nil) != (first == json.Delim('[')) || d.More() {
			t.Fatalf("%q: %v, %v, more %v", data, ofObject, ofList, d.More())
		}
	})
}
