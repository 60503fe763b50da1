//go:build unix

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"indelible/guard/registers"
	"indelible/internal/config"
	"indelible/internal/mysqldb"
	"indelible/internal/secret"
)

// checkSecrets refuses files that tell others what is in them. What is not there
// is complained of by who reads it.
func checkSecrets(v config.Values) error {
	if file := v.File("mysql-dsn"); file != "" && mysqldb.HasPassword(v.Text("mysql-dsn")) {
		if err := secret.Check(file); err != nil {
			return fmt.Errorf("mysql-dsn carries a password: %w; or put the DSN into a file of its own and give --mysql-dsn-file", err)
		}
	}
	if key := v.Text("tls-key"); key != "" {
		if err := secret.Check(key); err != nil && !errors.Is(err, fs.ErrNotExist) {
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
