package config

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// A file that the program writes itself is not a setting that has changed.
func TestReloadWritten(t *testing.T) {
	table := []Setting{{Name: "register", Type: File, Written: true}, {Name: "policy", Type: File}}
	dir := t.TempDir()
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	AddFlags(fs, table)
	for _, s := range table {
		if err := fs.Set(s.Name, filepath.Join(dir, s.Name)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, s.Name), []byte("before"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	load := func() (Values, error) {
		return Load(table, fs, func(string) (string, bool) { return "", false }, "")
	}
	v, err := load()
	if err != nil {
		t.Fatal(err)
	}
	states := v.states()
	for _, s := range table {
		if err := os.WriteFile(filepath.Join(dir, s.Name), []byte("after"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	Reload{Load: load, Log: slog.New(slog.NewTextHandler(&out, nil))}.reload(states)
	if said := out.String(); !strings.Contains(said, "settings=policy\n") {
		t.Error(said)
	}
}
