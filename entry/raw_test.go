package entry

import (
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf16"
)

// inUTF16 writes text as some readers, Python's json among them, also take it.
func inUTF16(s string, big bool) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune("\ufeff" + s)) {
		if big {
			b.Write([]byte{byte(u >> 8), byte(u)})
		} else {
			b.Write([]byte{byte(u), byte(u >> 8)})
		}
	}
	return b.String()
}

func TestRawCannotPassForAnother(t *testing.T) {
	e := must(NewHashedRekord(request(t, ecKey(t, elliptic.P256()), "x")))(t)
	forged := strings.Replace(string(e.Canonical()), `"digest":"`, `"digest":"AAAA`, 1)
	var indented strings.Builder
	enc := json.NewEncoder(&indented)
	enc.SetIndent("", "\t")
	var forgedJSON map[string]json.RawMessage
	if err := json.Unmarshal([]byte(forged), &forgedJSON); err != nil {
		t.Fatal(err)
	}
	if err := enc.Encode(forgedJSON); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		string(e.Canonical()), forged, " " + forged, forged + " {}", forged[:len(forged)-1], indented.String(),
		"\ufeff" + forged, inUTF16(forged, true), inUTF16(forged, false), "\x00\x00\x00" + strings.Join(strings.Split(forged, ""), "\x00\x00\x00"),
		strings.ReplaceAll(forged, `","`, `", "`), strings.Replace(forged, `{`, `{"x":NaN,`, 1), strings.Replace(forged, `{`, `{/**/`, 1),
		strings.Replace(forged, `"0.0.2"`, `"0.0.1"`, 1), strings.Replace(forged, "apiVersion", "api_version", 1),
		strings.Replace(forged, "kind", "Kind", 1), strings.Replace(forged, "kind", "\u212aind", 1), strings.Replace(forged, "apiVersion", "APIVER\u017fION", 1),
		strings.Replace(forged, "kind", `\u006bin\u0064`, 1), strings.Replace(forged, "hashedrekord", `hashe\u0064rekord`, 1), strings.Replace(forged, "kind", `\u212Aind`, 1),
		strings.Replace(forged, `{`, `{"kind":"Pod","apiVersion":"v1",`, 1),
		`{"kind":"dsse","apiVersion":"0.0.2"}`, `{"apiVersion":"0.0.1","kind":"intoto","spec":{}}`, `{"apiVersion":"0.0.9","kind":"new"}`,
		`{"spec":{"hashedRekordV002":{}}}`, `{"spec":{"hashed_rekord_v002":{}}}`, `{"spec":{"\u0064sseV002":{}}}`, `{"spec":{"dsse_v002":{}}}`,
	} {
		if _, err := NewRaw([]byte(bad)); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "could pass for") {
			t.Errorf("%.80q: %v", bad, err)
		}
		if p, err := Parse([]byte(bad)); err == nil && p.Kind == KindRaw {
			t.Errorf("%.80q parses as a raw entry", bad)
		}
	}
}

func TestRawIsTaken(t *testing.T) {
	for _, good := range []string{
		"x", "{}", "{", "\x00\xff", "\x00", `{"kind":"x"}`, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"}}`, `{"kind":"hashedrekord"}`,
		`{"apiVersion":"0.0.2"}`, `[{"apiVersion":"0.0.2","kind":"dsse"}]`, `a {"apiVersion":"0.0.2","kind":"dsse"}`, `"{\u00"`, `{\u`,
	} {
		in := []byte(good)
		e := must(NewRaw(in))(t)
		in[0]++
		if p := must(Parse(e.Canonical()))(t); e.Kind() != KindRaw || p.Kind != KindRaw || string(p.Raw) != good {
			t.Errorf("%q is read back as a %s %q", good, p.Kind, p.Raw)
		}
	}
	if _, err := NewRaw(nil); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "it is empty; a raw entry has 1 to 65535 bytes") {
		t.Error(err)
	}
}

// Whatever bytes: a raw entry is read back as one, and what is read as another
// kind, or what encoding/json reads so, is not taken as raw.
func FuzzNewRaw(f *testing.F) {
	f.Add([]byte(`{"apiVersion":"0.0.2","kind":"dsse"}`))
	f.Add([]byte(`{"api_version":"0.0.2","k\u0069nd":"dsse"}`))
	f.Add([]byte("raw"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := NewRaw(data)
		p, parseErr := Parse(data)
		if (err == nil) != (parseErr == nil && p.Kind == KindRaw) {
			t.Fatalf("added: %v; parsed: %v, %s", err, parseErr, p.Kind)
		}
		var j struct {
			A string `json:"apiVersion"`
			B string `json:"api_version"`
			K string `json:"kind"`
		}
		reads := json.Unmarshal(data, &j) == nil && j.A+j.B != "" && (j.K == "dsse" || j.K == "hashedrekord")
		if err == nil && reads {
			t.Fatalf("%q was taken", data)
		}
	})
}
