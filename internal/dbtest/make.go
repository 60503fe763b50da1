//go:build unix

package dbtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A Make is a server program of one maker and version.
type Make struct {
	Name string // as tools/get-databases names it; "installed" for what the system has
	root string // the folder it is unpacked in; empty for what the system has
}

// MySQL reports whether the server is MySQL, not MariaDB.
func (m Make) MySQL() bool { return strings.HasPrefix(m.Name, "mysql") }

// Chosen is the make that Start starts: the one that TEST_DATABASE
// names, or the MariaDB that the system has.
func Chosen() (Make, error) {
	name := os.Getenv("TEST_DATABASE")
	if name == "" || name == "installed" {
		return Make{Name: "installed"}, nil
	}
	folder := os.Getenv("TEST_DATABASES")
	if folder == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return Make{}, err
		}
		folder = filepath.Join(cache, "indelible", "databases")
	}
	m := Make{Name: name, root: filepath.Join(folder, name)}
	if _, err := os.Stat(m.root); err != nil {
		return Make{}, fmt.Errorf("TEST_DATABASE is %q, and %w: run tools/get-databases %s", name, err, name)
	}
	return m, nil
}

// server is the server's program, and the options without which it does not
// find its own files.
func (m Make) server() ([]string, error) {
	name, share := "mariadbd", "mariadb"
	if m.MySQL() {
		name, share = "mysqld", "mysql"
	}
	command, err := m.program(name)
	if err != nil {
		return nil, err
	}
	command = append(command, "--no-defaults")
	if m.root == "" {
		return command, nil
	}
	usr := filepath.Join(m.root, "usr")
	command = append(command,
		"--basedir="+usr, "--lc-messages-dir="+filepath.Join(usr, "share", share),
		"--character-sets-dir="+filepath.Join(usr, "share", share, "charsets"))
	if m.MySQL() {
		command = append(command, "--plugin-dir="+filepath.Join(usr, "lib", "mysql", "plugin"), "--mysqlx=OFF", "--secure-file-priv=NULL",
			"--gtid-mode=ON", "--enforce-gtid-consistency=ON")
	}
	return command, nil
}

// program is how a program of the make is called. One that was unpacked runs on
// the libraries that were unpacked with it.
func (m Make) program(name string) ([]string, error) {
	if m.root == "" {
		path, err := program(name)
		return []string{path}, err
	}
	for _, folder := range []string{"bin", "sbin"} {
		path := filepath.Join(m.root, "usr", folder, name)
		if _, err := os.Stat(path); err == nil {
			loader, err := filepath.Glob(filepath.Join(m.root, "usr", "lib", "*-linux-gnu*", "ld-linux*.so.*"))
			if err != nil || len(loader) == 0 {
				return nil, errors.Join(err, fmt.Errorf("%s has no libraries: run tools/get-databases %s", m.root, m.Name))
			}
			return []string{loader[0], "--library-path", filepath.Dir(loader[0]), path}, nil
		}
	}
	return nil, fmt.Errorf("%s has no %s", m.root, name)
}

// install makes a server's first files and the system's tables.
func (m Make) install(ctx context.Context, s *Server) error {
	if m.root == "" {
		return s.install(ctx)
	}
	command, err := m.server()
	if err != nil {
		return err
	}
	command = append(append(command, "--datadir="+s.data(), "--tmpdir="+s.temporary()), runAs()...)
	var script []byte
	if m.MySQL() {
		command = append(command, "--initialize-insecure")
		for _, arg := range s.args { // the one option that cannot change later
			if strings.HasPrefix(arg, "--lower-case-table-names") {
				command = append(command, arg)
			}
		}
	} else if command = append(command, "--bootstrap"); true {
		if script, err = m.systemTables(); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(s.data(), "mysql"), 0o700); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin = bytes.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("install the tables of %s: %w: %s", m.Name, err, tail(out))
	}
	return nil
}

// systemTables is the script that mariadb-install-db would run, which starts
// the server in a way of its own.
func (m Make) systemTables() ([]byte, error) {
	script := []byte("CREATE DATABASE IF NOT EXISTS mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n")
	for _, name := range []string{"mariadb_system_tables", "mariadb_performance_tables", "mariadb_system_tables_data", "maria_add_gis_sp_bootstrap", "mariadb_sys_schema"} {
		part, err := os.ReadFile(filepath.Join(m.root, "usr", "share", "mariadb", name+".sql"))
		if err != nil {
			return nil, err
		}
		script = append(script, part...)
	}
	return script, nil
}
