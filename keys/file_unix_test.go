//go:build unix

package keys

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestPermissions(t *testing.T) {
	for mode, ok := range map[os.FileMode]bool{
		0o600: true, 0o400: true, 0o700: true,
		0o644: false, 0o640: false, 0o604: false, 0o620: false, 0o602: false, 0o601: false, 0o610: false,
	} {
		path := place(t, testdata(t, "ed25519.pem"))
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path, nil)
		if ok && err != nil {
			t.Errorf("mode %o: %v", mode, err)
		}
		if !ok && (!errors.Is(err, ErrPermissions) || !strings.Contains(err.Error(), "chmod 600 "+path)) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}

// TestPermissionsOfAnother: the group may read the file of another user, and nothing
// more. So Kubernetes mounts a secret for a user who is not root.
func TestPermissionsOfAnother(t *testing.T) {
	for mode, ok := range map[os.FileMode]bool{0o440: true, 0o640: true, 0o460: false, 0o444: false, 0o404: false} {
		path := place(t, testdata(t, "ed25519.pem"))
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, os.Geteuid()+1, -1); err != nil {
			if os.Geteuid() == 0 {
				t.Fatal(err)
			}
			return // only root can give a file away
		}
		if _, err := Load(path, nil); ok != (err == nil) || !ok && !errors.Is(err, ErrPermissions) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}

// The file counts, not a link to it.
func TestPermissionsOfLink(t *testing.T) {
	path := place(t, testdata(t, "ed25519.pem"))
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(link, nil); err != nil {
		t.Errorf("link to a private file: %v", err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(link, nil); !errors.Is(err, ErrPermissions) {
		t.Errorf("link to a public file: %v", err)
	}
}

func TestPipeDoesNotBlock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path, nil); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("pipe: %v", err)
	}
}

func TestShellQuote(t *testing.T) {
	for s, want := range map[string]string{
		"/etc/log.key": "/etc/log.key",
		"/my keys/a":   "'/my keys/a'",
		"it's":         `'it'\''s'`,
		"$(reboot)":    "'$(reboot)'",
	} {
		if got := shellQuote(s); got != want {
			t.Errorf("shellQuote(%q) = %s, want %s", s, got, want)
		}
	}
}
