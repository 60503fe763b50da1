package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// registersIn are the registers in a state home.
func registersIn(t *testing.T, home string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(home, "indelible", "registers", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A copy of the default data directory that is put back is noticed, since the
// register is not in it, and the documented way out leads back.
func TestCopyOfTheDefaultDirectory(t *testing.T) {
	for _, explicit := range []bool{false, true} {
		root := fresh(t)
		home := filepath.Join(root, "home", ".local", "state")
		if explicit {
			home = filepath.Join(root, "state")
			t.Setenv("XDG_STATE_HOME", home)
		}
		const outside = "the register is outside of the data directory"
		first := start(t, defaultDir)
		if !strings.Contains(first.log.String(), outside) {
			t.Errorf("the start that made the log says nothing of its register:\n%s", first.log.String())
		}
		first.stop()
		grows(t, defaultDir, "a")
		kept := registersIn(t, home)
		if len(kept) != 1 || exists(filepath.Join(defaultDir, "register")) {
			t.Fatalf("registers %q", kept)
		}
		copyDir(t, defaultDir, "older")
		grows(t, defaultDir, "b")
		copyDir(t, defaultDir, "newer")
		copyDir(t, "older", defaultDir)
		s := start(t, defaultDir)
		if !strings.Contains(s.banner, kept[0]) || strings.Contains(s.log.String(), outside) {
			t.Errorf("%s\n%s", s.banner, s.log.String())
		}
		poll(t, "the copy is noticed", func() bool { return strings.Contains(s.log.String(), "THE LOG IS POISONED") })
		if said := s.log.String(); !strings.Contains(said, "restored from an older copy") || !strings.Contains(said, "logserver guard clear") {
			t.Error(said)
		}
		request, _ := signed(t, "c")
		if code, body := s.ask(t, http.MethodPost, "/api/v2/log/entries", request); code != http.StatusServiceUnavailable {
			t.Errorf("%d %s", code, body)
		}
		s.stop()
		out, err := command(t, defaultDir, "guard", "status")
		if exitCode(err) != statusPoisoned || !strings.Contains(out, "the database is behind: size 2 was signed") {
			t.Errorf("%v: %s", err, out)
		}
		copyDir(t, "newer", defaultDir)
		if out, err = command(t, defaultDir, "guard", "clear", "--reason", "the newer copy is back"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if newest := grows(t, defaultDir, "c"); newest.Size != 3 {
			t.Errorf("size %d", newest.Size)
		}
	}
}

// A log whose register is in the data directory goes on so, and says what that
// means at every start; and so does a log of a user without a home.
func TestRegisterInTheDataDirectory(t *testing.T) {
	const warning = "when a copy of the directory is put back, the log signs a second history"
	fresh(t)
	s := start(t, defaultDir, "--register", filepath.Join(defaultDir, "register"))
	if strings.Contains(s.log.String(), warning) {
		t.Error("it warns of what was asked for")
	}
	s.stop()
	for range 2 {
		s := start(t, defaultDir)
		if !strings.Contains(s.log.String(), warning) || len(registersIn(t, filepath.Join("home", ".local", "state"))) != 0 {
			t.Error(s.log.String())
		}
		s.stop()
	}
	for _, home := range []string{"", "relative", "/dev/null/home"} {
		fresh(t)
		t.Setenv("HOME", home)
		s := start(t, defaultDir)
		if !strings.Contains(s.log.String(), warning) || !exists(filepath.Join(defaultDir, "register")) {
			t.Errorf("HOME=%q: %s", home, s.log.String())
		}
		s.stop()
	}
	fresh(t)
	s = start(t, "another")
	if !strings.Contains(s.log.String(), warning) || !exists("another/register") {
		t.Error(s.log.String())
	}
}

// A creation that was interrupted before the row was written, or before the key
// had its name, is completed by the next start, with the register that it made.
func TestInterruptedCreation(t *testing.T) {
	root := fresh(t)
	home := filepath.Join(root, "home", ".local", "state")
	start(t, defaultDir).stop()
	was := registersIn(t, home)
	for _, name := range []string{"log.db", "log.db-wal", "log.db-shm"} {
		os.Remove(filepath.Join(defaultDir, name))
	}
	s := start(t, defaultDir)
	if now := registersIn(t, home); !strings.Contains(s.banner, "Created log") || len(was) != 1 || strings.Join(now, " ") != was[0] {
		t.Errorf("registers %q and then %q\n%s", was, now, s.banner)
	}
	s.stop()
	for _, name := range []string{"log.db", "log.db-wal", "log.db-shm"} {
		os.Remove(filepath.Join(defaultDir, name))
	}
	// Another process may be making this key just now, so the file stays.
	unused := filepath.Join(defaultDir, "log.key.new.1")
	if err := os.Rename(filepath.Join(defaultDir, "log.key"), unused); err != nil {
		t.Fatal(err)
	}
	if s := start(t, defaultDir); !strings.Contains(s.banner, "Created log") || !exists(unused) {
		t.Error(s.banner)
	}
}

// A container has a new home each time, and its data directory on a volume: a
// register in that home is missed, and one on a second volume is found again,
// whichever setting names that.
func TestContainer(t *testing.T) {
	for name, named := range map[string]bool{"XDG_STATE_HOME": false, "--register": true} {
		root := fresh(t)
		container := func(i int) (args []string) {
			t.Setenv("HOME", filepath.Join(root, fmt.Sprint("home", i)))
			if named {
				return []string{"--register", filepath.Join(root, "volume", "register")}
			}
			t.Setenv("XDG_STATE_HOME", filepath.Join(root, "volume"))
			return nil
		}
		if err := os.Mkdir("volume", 0o700); err != nil {
			t.Fatal(err)
		}
		start(t, defaultDir, container(1)...).stop()
		s := start(t, defaultDir, container(2)...)
		if !strings.Contains(s.banner, filepath.Join(root, "volume")) {
			t.Errorf("%s: %s", name, s.banner)
		}
		s.stop()
		t.Setenv("XDG_STATE_HOME", "")
		fails(t, "The home of a container ends with the container", append([]string{"--origin", "log.example.com"}, anyPorts()...)...)
	}
}

// A register that is gone is missed, wherever the home is now, and is replaced
// where it was.
func TestDefaultRegisterIsGone(t *testing.T) {
	root := fresh(t)
	home := filepath.Join(root, "home", ".local", "state")
	newest := grows(t, defaultDir, "a")
	kept := registersIn(t, home)[0]
	t.Setenv("HOME", "")
	_, err := command(t, defaultDir, "guard", "clear", "--reason", "x")
	refusedBy(t, err, "does not: without the register it is not known what the log signed", filepath.Base(kept))
	t.Setenv("HOME", filepath.Join(root, "home"))
	if err := os.Remove(kept); err != nil {
		t.Fatal(err)
	}
	fails(t, kept, append([]string{"--origin", "log.example.com"}, anyPorts()...)...)
	fails(t, "keep the register on a volume of its own, with --register FILE or with XDG_STATE_HOME", append([]string{"--origin", "log.example.com"}, anyPorts()...)...)
	out, err := command(t, defaultDir, "guard", "accept", "--size", "1", "--root", fmt.Sprintf("%x", newest.Root), "--by", "Ada", "--why", "a test")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if now := registersIn(t, home); len(now) != 1 || now[0] == kept || exists(filepath.Join(defaultDir, "register")) {
		t.Errorf("registers %q", now)
	}
	if newest := grows(t, defaultDir, "b"); newest.Size != 2 {
		t.Errorf("size %d", newest.Size)
	}
}
