package checkpoint

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	formats "github.com/transparency-dev/formats/log"
)

const (
	emptyRoot = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
	someRoot  = "pjSxv7zt/y45/+aSAblIZGIQ9OlCvvAbPP4eUWXJU9Y="
)

func TestParseText(t *testing.T) {
	for _, good := range []string{
		"a\n0\n" + emptyRoot + "\n",
		"a\n1\n" + someRoot + "\n",
		"a\n1\n" + emptyRoot + "\n",
		"a\n9223372036854775807\n" + someRoot + "\n",
		"rekor.sigstore.dev - 2605736670972794746\n1\n" + someRoot + "\n",
	} {
		c, err := ParseText([]byte(good))
		if err != nil {
			t.Errorf("%q: %v", good, err)
			continue
		}
		checkText(t, c, []byte(good))
	}
}

// checkText fails unless c is what formats reads in text, and is printed so.
func checkText(t *testing.T, c Checkpoint, text []byte) {
	t.Helper()
	if !bytes.Equal(c.Text(), text) {
		t.Errorf("%q is printed as %q", text, c.Text())
	}
	var f formats.Checkpoint
	rest, err := f.Unmarshal(text)
	if err != nil || len(rest) != 0 {
		t.Errorf("%q: formats says %v, rest %q", text, err, rest)
	}
	if f.Origin != c.Origin || f.Size != uint64(c.Size) || !bytes.Equal(f.Hash, c.Root[:]) {
		t.Errorf("%q: %+v, formats says %+v", text, c, f)
	}
}

func TestParseTextRefuses(t *testing.T) {
	for name, bad := range map[string]string{
		"empty":               "",
		"two lines":           "a\n1\n",
		"no last newline":     "a\n1\n" + someRoot,
		"extension":           "a\n1\n" + someRoot + "\nTimestamp: 1\n",
		"empty extension":     "a\n1\n" + someRoot + "\n\n",
		"no origin":           "\n1\n" + someRoot + "\n",
		"tab in origin":       "a\tb\n1\n" + someRoot + "\n",
		"origin not UTF-8":    "\xff\n1\n" + someRoot + "\n",
		"leading zero":        "a\n01\n" + someRoot + "\n",
		"two zeros":           "a\n00\n" + emptyRoot + "\n",
		"plus":                "a\n+1\n" + someRoot + "\n",
		"minus":               "a\n-1\n" + someRoot + "\n",
		"minus zero":          "a\n-0\n" + emptyRoot + "\n",
		"space":               "a\n 1\n" + someRoot + "\n",
		"hex":                 "a\n0x1\n" + someRoot + "\n",
		"no size":             "a\n\n" + someRoot + "\n",
		"2^63":                "a\n9223372036854775808\n" + someRoot + "\n",
		"2^64":                "a\n18446744073709551616\n" + someRoot + "\n",
		"short root":          "a\n1\npjSxv7zt\n",
		"long root":           "a\n1\npjSxv7zt/y45/+aSAblIZGIQ9OlCvvAbPP4eUWXJU9ZT\n",
		"unpadded root":       "a\n1\n" + strings.TrimSuffix(someRoot, "=") + "\n",
		"unused bits in root": "a\n1\n" + strings.Replace(someRoot, "U9Y=", "U9Z=", 1) + "\n",
		"carriage return":     "a\n1\r\n" + someRoot + "\n",
		"newline in base64":   "a\n1\npjSx\r" + someRoot[4:] + "\n",
		"empty tree":          "a\n0\n" + someRoot + "\n",
	} {
		if c, err := ParseText([]byte(bad)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

func TestParseExtended(t *testing.T) {
	three := "a\n1\n" + someRoot + "\n"
	for _, good := range []string{"", "Timestamp: 1\n", "x\n — y\n"} {
		c, extension, err := ParseExtended([]byte(three + good))
		if err != nil || string(c.Text()) != three || string(extension) != good {
			t.Errorf("%q: %+v %q %v", good, c, extension, err)
		}
	}
	for _, bad := range []string{"a", "a\n1\n", three + "x", three + "\n", three + "x\n\n", three + "\nx\n", three + "x\n\ny\n", three + "x\r\n", three + "\xff\n", "a\n01\n" + someRoot + "\nx\n"} {
		if c, extension, err := ParseExtended([]byte(bad)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %+v %q %v", bad, c, extension, err)
		}
	}
}

func FuzzParseExtended(f *testing.F) {
	f.Add(sample(0).Text())
	f.Add([]byte("a\n1\n" + someRoot + "\nx\ny\n"))
	f.Add([]byte("a\n1\n" + someRoot + "\n\nx\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, extension, err := ParseExtended(text)
		plain, strict := ParseText(text)
		switch {
		case err != nil && (!errors.Is(err, ErrMalformed) || strict == nil):
			t.Errorf("error %v, and without extension lines %v", err, strict)
		case err == nil && !bytes.Equal(append(c.Text(), extension...), text):
			t.Errorf("%q is printed as %q and %q", text, c.Text(), extension)
		case err == nil && (strict == nil) != (len(extension) == 0), strict == nil && plain != c:
			t.Errorf("%q: %+v, and without extension lines %+v, %v", text, c, plain, strict)
		}
	})
}

func TestValidateOrigin(t *testing.T) {
	for _, good := range []string{"a", "log.example.com/2026-1", "журнал", strings.Repeat("a", 255), "a-1", "a/b?c"} {
		if err := ValidateOrigin(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{
		"", strings.Repeat("a", 256), strings.Repeat("é", 128), "a b", "a\u00a0b", "a\u2003b", "a\u3000", "a+b",
		"a\n", "a\tb", "a\x00", "a\x7f", "\xff", "a\u200bb", "a\u202eb", "rekor.sigstore.dev - 2605736670972794746", "a - 1",
	} {
		if err := ValidateOrigin(bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzParseText(f *testing.F) {
	f.Add(sample(0).Text())
	f.Add(sample(math.MaxInt64).Text())
	f.Add([]byte("a\n01\n" + someRoot + "\nx\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if c, err := ParseText(text); err == nil {
			checkText(t, c, text)
		} else if !errors.Is(err, ErrMalformed) {
			t.Errorf("error %v", err)
		}
	})
}
