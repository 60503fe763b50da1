package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func table() []Setting {
	return []Setting{
		{Name: "text", Type: Text, Default: "d"},
		{Name: "wait", Type: Duration, Default: "1s"},
		{Name: "max-size", Type: Size, Default: "8MiB"},
		{Name: "count", Type: Number, Default: "3", NotZero: true},
		{Name: "on", Type: Bool, Default: "true"},
		{Name: "off", Type: Bool, Default: "false"},
		{Name: "kinds", Type: List, Default: "a,b", OneOf: []string{"a", "b", "c"}, NotZero: true},
	}
}

func load(t *testing.T, file string, env map[string]string, args ...string) (Values, error) {
	t.Helper()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	AddFlags(fs, table())
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	path := ""
	if file != "" {
		path = filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Load(table(), fs, func(k string) (string, bool) { v, ok := env[k]; return v, ok }, path)
}

func TestPrecedence(t *testing.T) {
	env := map[string]string{"INDELIBLE_TEXT": "e", "INDELIBLE_MAX_SIZE": "64KiB"}
	v, err := load(t, "text: f\nwait: 5s\nmax-size: 1\nkinds: [c, a]\n", env, "--text", "g")
	if err != nil {
		t.Fatal(err)
	}
	if v.Text("text") != "g" || v.Size("max-size") != 64<<10 || v.Duration("wait") != 5*time.Second || v.Number("count") != 3 || strings.Join(v.List("kinds"), "+") != "c+a" {
		t.Fatalf("%+v", v.All())
	}
	for name, from := range map[string]string{"text": "flag --text", "max-size": "environment INDELIBLE_MAX_SIZE", "wait": "line 2", "count": "default"} {
		if !strings.Contains(string(v.From(name)), from) {
			t.Errorf("%s comes from %s, not %s", name, v.From(name), from)
		}
	}
}

// A list may be given in several flags; of another setting the last one counts.
func TestRepeatedFlags(t *testing.T) {
	v, err := load(t, "", nil, "--kinds", "a", "--kinds", "b,c", "--text", "x", "--text", "y")
	if err != nil || strings.Join(v.List("kinds"), "+") != "a+b+c" || v.Text("text") != "y" {
		t.Fatalf("%v, %v", v.All(), err)
	}
}

func TestRefused(t *testing.T) {
	for file, says := range map[string]string{
		"txet: x":                 `there is no setting "txet"; the nearest is "text"`,
		"frobnicate: x":           `there is no setting "frobnicate"; --help lists them`,
		"xyz: x":                  `there is no setting "xyz"; --help lists them`,
		"text: a\ntext: b":        "there twice",
		"- text":                  "settings, one a line",
		"text: {a: b}":            "plain value",
		"wait: 5":                 "not a duration",
		"wait: -5s":               `"-5s" is negative; give a duration from 0s up`,
		"max-size: 8MB":           "not a size",
		"max-size: 99999GiB":      "",
		"count: -1":               "not a whole number",
		"count: 0":                "is nothing",
		"kinds: [a, z]":           "not one of a, b, c",
		"text: [":                 "yaml",
		"kinds: []":               "it is empty; give one or more of a, b, c",
		"kinds: ''":               "it is empty",
		"kinds: ','":              "it is empty",
		"text: a\n---\ntext: b\n": "line 2: a second document begins",
		"text: a\n---\n":          "a second document begins",
		"text: a\n---\n[":         "yaml",
		"# nothing\n":             "",
		"---\ntext: a\n...\n":     "",
		"on: yes":                 "not true or false",
		"on: 1":                   "not true or false",
		"on: TRUE":                "not true or false",
		"on:":                     "not true or false",
	} {
		_, err := load(t, file, nil)
		if says == "" {
			if err != nil {
				t.Errorf("%q: %v", file, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v does not say %q", file, err, says)
		}
	}
	if _, err := load(t, "", map[string]string{"INDELIBLE_COUNT": "many"}); err == nil || !strings.Contains(err.Error(), "INDELIBLE_COUNT") {
		t.Errorf("a fault in the environment: %v", err)
	}
}

func TestStrangers(t *testing.T) {
	environ := []string{"PATH=/", "INDELIBLE_TEXT=a", "INDELIBLE_TXET=a", "INDELIBLE_MAXSIZE=1", "INDELIBLE_URL=http://x", "INDELIBLE_FROBNICATE=", "OTHER_TXET=", "INDELIBLE_"}
	got := strings.Join(Strangers(table(), environ, "INDELIBLE_URL"), "; ")
	const want = "INDELIBLE_; INDELIBLE_FROBNICATE; INDELIBLE_MAXSIZE (the nearest is INDELIBLE_MAX_SIZE); INDELIBLE_TXET (the nearest is INDELIBLE_TEXT)"
	if got != want {
		t.Errorf("%s\nand not\n%s", got, want)
	}
}

// The file that a value came from is known, and not where it was overruled.
func TestFile(t *testing.T) {
	v, err := load(t, "text: f\nwait: 5s\n", map[string]string{"INDELIBLE_WAIT": "6s"})
	if err != nil || filepath.Base(v.File("text")) != "c.yaml" || v.File("wait") != "" || v.File("count") != "" {
		t.Errorf("%q, %q, %q, %v", v.File("text"), v.File("wait"), v.File("count"), err)
	}
}

func TestBool(t *testing.T) {
	for _, c := range []struct {
		file    string
		env     map[string]string
		args    []string
		on, off bool
	}{
		{on: true},
		{args: []string{"--off"}, on: true, off: true},
		{args: []string{"--on=false", "--off=true"}, off: true},
		{file: "on: false\noff: true\n", off: true},
		{env: map[string]string{"INDELIBLE_ON": "false"}},
	} {
		v, err := load(t, c.file, c.env, c.args...)
		if err != nil || v.Bool("on") != c.on || v.Bool("off") != c.off {
			t.Errorf("%+v: %v, %v, %v", c, v.Bool("on"), v.Bool("off"), err)
		}
	}
	if _, err := load(t, "", nil, "--on=perhaps"); err == nil || !strings.Contains(err.Error(), `"perhaps" is not true or false`) {
		t.Errorf("%v", err)
	}
}

func FuzzSize(f *testing.F) {
	f.Add("8MiB")
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := parseSize(s); err == nil && n < 0 {
			t.Fatalf("%q is %d bytes", s, n)
		}
	})
}
