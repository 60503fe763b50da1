package entry

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// NewRaw admits opaque bytes as they are.
//
// Bytes that a reader of the log could take for an entry of another kind are
// refused: nothing in a raw entry was verified, and a hashedrekord whose
// signature nobody checked must not stand in the log. Readers are more lenient
// than Parse, each in its own way: they take api_version for apiVersion, other
// capitals, escapes in names, members twice, NaN, a second value after the
// first, UTF-16; some look at a spec and not at the kind. So this does not
// parse. It refuses whatever begins like an object, and has anywhere the member
// of a Rekor v2 spec, or an apiVersion, a kind, and one of Rekor's kinds or
// versions. Other JSON with an apiVersion and a kind, such as Kubernetes', is
// taken.
func NewRaw(b []byte) (Entry, error) {
	if err := checkRaw(b); err != nil {
		return Entry{}, invalid(err)
	}
	return newEntry(KindRaw, "", bytes.Clone(b))
}

func checkRaw(b []byte) error {
	switch n := len(b); {
	case n == 0:
		return fmt.Errorf("it is empty; a raw entry has 1 to %d bytes", MaxCanonical)
	case n > MaxCanonical:
		return tooLarge(n)
	case couldPass(b):
		return errors.New("it looks like an entry of Rekor's (a JSON object with the members of one), and could pass for a verified one: add it as what it is")
	}
	return nil
}

// couldPass reports whether some reader might take bytes for a typed entry.
func couldPass(b []byte) bool {
	// Without the marks and zero bytes of UTF-16 and UTF-32, ASCII is left.
	b = bytes.TrimLeftFunc(b, func(r rune) bool {
		return r == 0 || r == '\ufeff' || r == utf8.RuneError || unicode.IsSpace(r)
	})
	if len(b) == 0 || b[0] != '{' {
		return false
	}
	b = plain(b)
	has := func(s string) bool { return bytes.Contains(b, []byte(s)) }
	if slices.ContainsFunc([]string{`"hashedrekordv0`, `"hashed_rekord_v0`, `"dssev0`, `"dsse_v0`}, has) {
		return true
	}
	if !has(`"kind"`) || !has(`"apiversion"`) && !has(`"api_version"`) {
		return false
	}
	return slices.ContainsFunc([]string{
		`"0.0.`, // of all of Rekor's versions
		`"alpine"`, `"cose"`, `"dsse"`, `"hashedrekord"`, `"helm"`, `"intoto"`, `"jar"`, `"rekord"`, `"rfc3161"`, `"rpm"`, `"tuf"`,
	}, has)
}

// plain writes JSON without escapes of letters, capitals, and zero bytes.
func plain(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for b = bytes.ReplaceAll(b, []byte{0}, nil); len(b) > 0; {
		r, n := utf8.DecodeRune(b)
		if len(b) >= 6 && b[0] == '\\' && b[1] == 'u' {
			if code, err := strconv.ParseUint(string(b[2:6]), 16, 16); err == nil {
				r, n = rune(code), 6
			}
		}
		// Up and down again, as a letter may have several small forms: encoding/json
		// takes the long s for an s, and the Kelvin sign for a k.
		out = utf8.AppendRune(out, unicode.ToLower(unicode.ToUpper(r)))
		b = b[n:]
	}
	return out
}
