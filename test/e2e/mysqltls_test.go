//go:build unix

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"indelible/internal/dbtest"
)

// Log, register and witness reach a server that demands a certificate of its
// clients, and none of them reaches it without.
func TestMySQLOverTLS(t *testing.T) {
	files, err := dbtest.NewCertificates(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	db := newMariaDB(t, files.Options()...)
	if err := db.Exec(t.Context(), "CREATE DATABASE log", "CREATE DATABASE registers", "CREATE DATABASE witness",
		"CREATE USER app@'%' REQUIRE X509", "GRANT ALL ON log.* TO app@'%'", "GRANT ALL ON registers.* TO app@'%'", "GRANT REPLICATION CLIENT ON *.* TO app@'%'", "GRANT ALL ON witness.* TO app@'%'"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	dsn := func(database string) string {
		path := filepath.Join(dir, database)
		if err := os.WriteFile(path, []byte("app@tcp("+db.Addr()+")/"+database), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tls := []string{"--mysql-tls-ca", files.CA, "--mysql-tls-cert", files.ClientCert, "--mysql-tls-key", files.ClientKey}
	bare := []string{"--data-dir", filepath.Join(dir, "data"), "--origin", origin, "--storage", "mysql", "--mysql-dsn-file", dsn("log"), "--register", "mysql:" + dsn("registers")}
	witness := []string{"register", "new", "--data-dir", filepath.Join(dir, "w"), "--storage", "mysql", "--mysql-dsn-file", dsn("witness")}
	for program, args := range map[string][]string{"logserver": append([]string{"init"}, bare...), "logwitness": witness} {
		if out, code := run(t, nil, program, args...); code == 0 || !strings.Contains(out, "--mysql-tls-ca") {
			t.Errorf("%s without TLS: exit code %d\n%s", program, code, out)
		}
		if out, code := run(t, nil, program, append(args, tls[:2]...)...); code == 0 || !strings.Contains(out, "--mysql-tls-cert") {
			t.Errorf("%s without a certificate: exit code %d\n%s", program, code, out)
		}
		must(t, nil, program, append(args, tls...)...)
	}
	s := newServer(t, append(bare, tls...)...)
	s.start()
	s.ready()
	newLedger(t).add(s.client(s.vkey()), "over TLS")
	if size := registered(t, db); size != 1 {
		t.Errorf("size %d is registered", size)
	}
	ca, err := os.ReadFile(files.CA)
	if err == nil {
		err = os.WriteFile(files.CA, append(ca, '\n'), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Process.Signal(syscall.SIGHUP)
	s.prints("the settings were read again")
	if said := s.out.String(); strings.Contains(said, "take effect after a restart") {
		t.Errorf("a renewed certificate asks for a restart:\n%s", said)
	}
	if err := os.Chmod(files.ClientKey, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, code := run(t, nil, "logserver", append(append([]string{"config", "check"}, bare...), tls...)...); code == 0 || !strings.Contains(out, "chmod 600 "+files.ClientKey) {
		t.Errorf("a key that others can read: exit code %d\n%s", code, out)
	}
}
