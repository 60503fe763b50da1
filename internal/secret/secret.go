// Package secret reads files with secrets, and refuses those that others can read.
package secret

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Check refuses a file that others than its owner can use. If another user owns the
// file, its group may read it: so keys of certificates and mounted secrets are handed
// to programs. It returns an error that matches fs.ErrNotExist if there is no file.
func Check(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return fmt.Errorf("%s is a directory; name a file", path)
	}
	if Private(info) {
		return nil
	}
	return fmt.Errorf("%s holds a secret and others can read it (mode %04o): chmod 600 %s", path, info.Mode().Perm(), path)
}

// Private reports whether a file's mode keeps others away, by the rule of Check.
func Private(info fs.FileInfo) bool {
	open := info.Mode().Perm() & 0o077
	return open == 0 || open == 0o040 && !owned(info)
}

// Line reads a file that holds one line, and that Check does not refuse.
func Line(path string) (string, error) {
	if err := Check(path); err != nil {
		return "", err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(data))
	if text == "" || strings.ContainsAny(text, "\r\n") {
		return "", fmt.Errorf("%s must hold one line", path)
	}
	return text, nil
}
