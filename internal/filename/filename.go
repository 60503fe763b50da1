// Package filename tells the name of a file from a URI, so that no program makes
// a file named like a key, a register or a token that is elsewhere.
package filename

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// Check refuses a value that begins with a scheme, as in pkcs11:token=x, unless it
// begins with one of those given. The error does not repeat what follows the scheme,
// which may be a secret. A letter alone is a drive of Windows, as in C:\keys.
func Check(value string, known ...string) error {
	scheme := schemeOf(value)
	if scheme == "" {
		return nil
	}
	for _, k := range known {
		if len(value) >= len(k) && strings.EqualFold(value[:len(k)], k) {
			return nil
		}
	}
	takes := "a file"
	if len(known) > 0 {
		takes += " or a URI that begins with " + strings.Join(known, ", ")
	}
	return fmt.Errorf("it begins with %.40q, a scheme that is not known here; give %s (a file of that name is ./%.40s…)", scheme, takes, scheme)
}

// schemeOf is the scheme that a value begins with, with the colon and slashes behind
// it; empty if there is none. SPEC: RFC 3986 section 3.1.
func schemeOf(value string) string {
	colon := strings.IndexByte(value, ':')
	if colon < 2 {
		return ""
	}
	for i := range colon {
		c := value[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '+' && c != '-' && c != '.') {
			return ""
		}
	}
	if strings.HasPrefix(value[colon:], "://") {
		colon += 2
	}
	return value[:colon+1]
}

// CheckFlags checks the flags that were given a file, as their help says: in
// back quotes it has FILE, alone or beside VKEY. Digests pass.
func CheckFlags(fs *pflag.FlagSet) error {
	var found error
	fs.Visit(func(f *pflag.Flag) {
		what, _ := pflag.UnquoteUsage(f)
		if found != nil || !strings.Contains(what, "FILE") {
			return
		}
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		for _, v := range values {
			if err := checkFlag(what, v); err != nil && found == nil {
				found = fmt.Errorf("--%s: %w", f.Name, err)
			}
		}
	})
	return found
}

func checkFlag(what, value string) error {
	if strings.Contains(what, "VKEY") && strings.Count(value, "+") >= 2 {
		return nil // a log's name may have a port
	}
	for _, digest := range []string{"sha256:", "sha384:", "sha512:"} {
		if len(value) > len(digest) && strings.EqualFold(value[:len(digest)], digest) {
			return nil // which the commands know, or say what they take instead
		}
	}
	return Check(value)
}
