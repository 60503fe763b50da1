package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestDev: a log for trying out has a name of its own each time, and leaves nothing.
func TestDev(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	name := regexp.MustCompile(`Created log "(dev/[a-z0-9]{8})"`)
	names := make(map[string]bool)
	for range 2 {
		s := startAs(t, "--dev")
		found := name.FindStringSubmatch(s.banner)
		if found == nil || !strings.Contains(s.banner, "gone when this program ends") {
			t.Fatal(s.banner)
		}
		names[found[1]] = true
		if left, err := os.ReadDir(temp); err != nil || len(left) != 1 {
			t.Errorf("while it runs: %v, %v", left, err)
		}
		s.stop()
		if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
			t.Errorf("after its end: %v, %v", left, err)
		}
		if strings.Contains(s.log.String(), "WARN") {
			t.Error(s.log.String())
		}
	}
	if len(names) != 2 {
		t.Errorf("names %v", names)
	}
	for _, keeps := range []string{"--data-dir=x", "--storage=mysql", "--register=x", "--log-key=x"} {
		if _, err := bare(t, "serve", "--dev", keeps); err == nil || !strings.Contains(err.Error(), "--dev keeps nothing") {
			t.Errorf("%s: %v", keeps, err)
		}
	}
	if _, err := bare(t, "fsck", "--dev"); err == nil || !strings.Contains(err.Error(), "unknown flag") {
		t.Error(err)
	}
}

// bare runs a command with nothing but its arguments.
func bare(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out printed
	err := run(t.Context(), args, func(string) (string, bool) { return "", false }, &out, &out)
	return out.String(), err
}

// TestStartOver: a log that is made in place of another in the default data
// directory has another name, which a client's pins do not refuse; and one that is
// restarted keeps its own.
func TestStartOver(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	name := regexp.MustCompile(`og "(\S+/[a-z0-9]{8})"`)
	origin := func() string {
		s := startAs(t)
		defer s.stop()
		found := name.FindStringSubmatch(s.banner)
		if found == nil {
			t.Fatal(s.banner)
		}
		return found[1]
	}
	first := origin()
	if again := origin(); again != first {
		t.Errorf("after a restart: %s, before %s", again, first)
	}
	if err := os.RemoveAll(defaultDir); err != nil {
		t.Fatal(err)
	}
	if second := origin(); second == first {
		t.Errorf("two logs have the name %s", second)
	}
}
