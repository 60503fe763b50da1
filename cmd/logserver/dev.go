package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// serving runs the log: with --dev one that is gone when the program ends.
func (p *program) serving(cmd *cobra.Command, args []string) (err error) {
	if !p.dev {
		return p.with(p.serve)(cmd, args)
	}
	for _, keeps := range []string{"config", "data-dir", "storage", "mysql-dsn", "mysql-dsn-file", "register", "log-key", "rekor-v1-key", "mldsa-key"} {
		if cmd.Flags().Changed(keeps) {
			return fmt.Errorf("--dev keeps nothing, and --%s is about what is kept: leave out one of them", keeps)
		}
	}
	dir, err := os.MkdirTemp("", "indelible-dev-")
	if err != nil {
		return fmt.Errorf("--dev: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	set := map[string]string{"storage": "sqlite", "data-dir": dir, "register": filepath.Join(dir, "register")}
	if !cmd.Flags().Changed("origin") {
		// A client remembers the key of each name.
		set["origin"] = "dev/" + strings.ToLower(rand.Text()[:8])
	}
	for name, value := range set {
		if err := cmd.Flags().Set(name, value); err != nil {
			return err
		}
	}
	return p.with(p.serve)(cmd, args)
}
