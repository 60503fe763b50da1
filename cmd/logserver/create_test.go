package main

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/spf13/pflag"

	"indelible/checkpoint"
	"indelible/internal/config"
)

// Of two processes that make a log with one key file at the same time, one makes
// the key, and signs with the key that the file holds.
func TestTwoMakeTheKeyAtTheSameTime(t *testing.T) {
	t.Chdir(t.TempDir())
	v, err := config.Load(settings(), pflag.NewFlagSet("", pflag.ContinueOnError), func(string) (string, bool) { return "", false }, "")
	if err != nil {
		t.Fatal(err)
	}
	p := pathsOf(v)
	p.key = "log.key"
	var first, second opened
	linkFirst, err := first.newKey(v, p, "a.example.com")
	if err != nil {
		t.Fatal(err)
	}
	linkSecond, err := second.newKey(v, p, "a.example.com")
	if err != nil {
		t.Fatal(err)
	}
	if err := linkFirst(); err != nil {
		t.Fatal(err)
	}
	if err := linkSecond(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("the second: %v", err)
	}
	vkey, err := os.ReadFile("log.key.vkey")
	if want := first.signer.Verifier().String() + "\n"; err != nil || string(vkey) != want {
		t.Errorf("log.key.vkey holds %q, not %q: %v", vkey, want, err)
	}
	if err := second.abandon(); err != nil {
		t.Error(err)
	}
	key, err := loadKey(v, p)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := checkpoint.NewSigner("a.example.com", key)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := signer.Verifier().String(), first.signer.Verifier().String(); got != want {
		t.Errorf("the file holds the key %s, and the log signs with %s", got, want)
	}
}
