//go:build unix

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"syscall"

	"indelible/guard/registers"
	"indelible/internal/config"
	"indelible/internal/mysqldb"
)

// secret reads a file that holds one secret line and that only we may read.
func secret(path string) (string, error) {
	if err := private(path); err != nil {
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

// private refuses a file with a secret that others can use. One that belongs to
// another user, and is given to us by our group, its group may read: so
// certificates' keys and mounted secrets are handed out.
func private(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return fmt.Errorf("%s is a directory; name a file", path)
	}
	if open := info.Mode().Perm() & 0o077; open == 0 || open == 0o040 && !owned(info) {
		return nil
	}
	return fmt.Errorf("%s holds a secret and others can read it (mode %04o): chmod 600 %s", path, info.Mode().Perm(), path)
}

// owned reports whether a file belongs to the user that we are.
func owned(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return !ok || int(stat.Uid) == os.Geteuid()
}

// checkSecrets refuses files that tell others what is in them. What is not there
// is complained of by who reads it.
func checkSecrets(v config.Values) error {
	if file := v.File("mysql-dsn"); file != "" && mysqldb.HasPassword(v.Text("mysql-dsn")) {
		if err := private(file); err != nil {
			return fmt.Errorf("mysql-dsn carries a password: %w; or put the DSN into a file of its own and give --mysql-dsn-file", err)
		}
	}
	if key := v.Text("tls-key"); key != "" {
		if err := private(key); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("--tls-key: %w", err)
		}
	}
	return nil
}

// warnRegister says that others can write the log's memory, or change it on the
// way. That is refused nowhere, since servers of several users may share it.
func warnRegister(o *opened, logger *slog.Logger) {
	path := o.place
	if exposed, err := registers.Exposed(path); err == nil && exposed != "" {
		logger.Warn("the register: "+exposed, "register", path)
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o022 != 0 {
		logger.Warn("the register can be written by others than its owner, who can so stop the log, or make it forget what it signed",
			"register", path, "mode", fmt.Sprintf("%04o", info.Mode().Perm()), "do", "chmod 600 "+path)
	}
}
