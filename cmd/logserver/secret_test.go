package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSecrets: what others can read is no secret.
func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	written := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // whatever the umask is
			t.Fatal(err)
		}
		return path
	}
	const dsn = "storage: mysql\nmysql-dsn: 'u:p@tcp(db:3306)/log'\n"
	const bare = "storage: mysql\nmysql-dsn: 'u@tcp(db:3306)/log'\n"
	tls := []string{"--tls-cert", "x", "--tls-key"}
	for name, c := range map[string]struct {
		args []string
		says string // empty: it is taken
	}{
		"a password all can read":        {[]string{"--config", written("a", dsn, 0o644)}, "mode 0644): chmod 600"},
		"a password our group can read":  {[]string{"--config", written("b", dsn, 0o640)}, "--mysql-dsn-file"},
		"a password of our own":          {[]string{"--config", written("c", dsn, 0o600)}, ""},
		"no password":                    {[]string{"--config", written("d", bare, 0o644)}, ""},
		"overruled":                      {[]string{"--config", written("e", dsn, 0o644), "--mysql-dsn", "u@tcp(db:3306)/log"}, ""},
		"a TLS key all can read":         {append(tls, written("f", "k", 0o604)), "--tls-key: "},
		"a TLS key of our own":           {append(tls, written("g", "k", 0o400)), ""},
		"a directory as a TLS key":       {append(tls, dir), "is a directory; name a file"},
		"a DSN without its storage":      {[]string{"--mysql-dsn", "u@tcp(db:3306)/log"}, "give --storage mysql"},
		"a DSN file without its storage": {[]string{"--mysql-dsn-file", written("i", "u@tcp(db:3306)/log", 0o600)}, "give --storage mysql"},
		"a TLS key that is not there":    {append(tls, filepath.Join(dir, "none")), ""},
	} {
		out := &bytes.Buffer{}
		err := run(t.Context(), append([]string{"config", "check"}, c.args...), none, out, out)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestStrangers: a variable that was meant for a setting is spoken of, and one of
// another program is not.
func TestStrangers(t *testing.T) {
	out := &bytes.Buffer{}
	p := &program{getenv: none, environ: []string{"INDELIBLE_STORGE=mysql", "INDELIBLE_URL=http://x", "INDELIBLE_CONFIG="}, stdout: &bytes.Buffer{}, stderr: out}
	if err := p.run(t.Context(), []string{"config", "check"}); err != nil {
		t.Fatal(err)
	}
	if said := out.String(); strings.Count(said, "\n") != 1 || !strings.Contains(said, "INDELIBLE_STORGE (the nearest is INDELIBLE_STORAGE)") || strings.Contains(said, "INDELIBLE_URL") {
		t.Errorf("it says %q", said)
	}
}

// TestRegisterForAll: a register that others can write is spoken of.
func TestRegisterForAll(t *testing.T) {
	dir := t.TempDir()
	for _, mode := range []os.FileMode{0o600, 0o620} {
		s := start(t, dir) // which makes it, the first time
		s.stop()
		if warned := strings.Contains(s.log.String(), "can be written by others"); warned != (mode == 0o620) {
			t.Errorf("mode %04o: %s", mode, s.log.String())
		}
		if err := os.Chmod(filepath.Join(dir, "register"), 0o620); err != nil {
			t.Fatal(err)
		}
	}
}
