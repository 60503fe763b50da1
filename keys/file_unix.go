//go:build unix

package keys

import (
	"fmt"
	"io/fs"
	"strings"

	"indelible/internal/secret"
)

// checkPermissions refuses a file that its group or others can read or write. If
// another user owns it, its group may read it, as with mounted secrets.
func checkPermissions(path string, info fs.FileInfo) error {
	if secret.Private(info) {
		return nil
	}
	return fmt.Errorf("%w: %s has mode %04o; run: chmod 600 %s", ErrPermissions, path, info.Mode().Perm(), shellQuote(path))
}

// shellQuote makes one word of s for a shell.
func shellQuote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+@:", r)
	}
	if strings.TrimFunc(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
