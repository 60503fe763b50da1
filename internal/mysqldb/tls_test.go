//go:build unix

package mysqldb

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"indelible/internal/dbtest"
)

// certificates makes an authority of its own.
func certificates(t *testing.T) dbtest.Certificates {
	t.Helper()
	c, err := dbtest.NewCertificates(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// connects opens a connection, and says whether it is encrypted.
func connects(t *testing.T, dsn string, files TLS) error {
	t.Helper()
	d, err := New(dsn, Options{Access: Access{TLS: files}, SyncWait: "1"})
	if err != nil {
		return err
	}
	db := d.Open(1, nil)
	defer db.Close()
	var name, cipher string
	err = db.QueryRowContext(t.Context(), `SHOW SESSION STATUS LIKE 'Ssl_cipher'`).Scan(&name, &cipher)
	if err == nil && cipher == "" {
		return errors.New("it is not encrypted")
	}
	return err
}

func TestTLS(t *testing.T) {
	right, wrong := certificates(t), certificates(t)
	server, err := dbtest.Start(context.Background(), right.Options()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Remove() })
	if err := server.Exec(t.Context(), "CREATE DATABASE d",
		"CREATE USER encrypted@'%' REQUIRE SSL", "GRANT ALL ON d.* TO encrypted@'%'",
		"CREATE USER certified@'%' REQUIRE X509", "GRANT ALL ON d.* TO certified@'%'"); err != nil {
		t.Fatal(err)
	}
	encrypted, certified := "encrypted@tcp("+server.Addr()+")/d", "certified@tcp("+server.Addr()+")/d"
	for name, c := range map[string]struct {
		dsn   string
		files TLS
		says  string // empty: it connects, encrypted
	}{
		"no TLS":                          {encrypted, TLS{}, "add tls=true to the DSN, or give --mysql-tls-ca"},
		"the server's authority":          {encrypted, TLS{CA: right.CA}, ""},
		"and tls=true":                    {encrypted + "?tls=true", TLS{CA: right.CA}, ""},
		"another authority":               {encrypted, TLS{CA: wrong.CA}, "unknown authority"},
		"the system's":                    {encrypted + "?tls=true", TLS{}, "unknown authority"},
		"another name":                    {strings.Replace(encrypted, "127.0.0.1", "localhost", 1), TLS{CA: right.CA}, "localhost"},
		"no client certificate":           {certified, TLS{CA: right.CA}, "give --mysql-tls-cert and --mysql-tls-key"},
		"a client certificate":            {certified, TLS{CA: right.CA, Cert: right.ClientCert, Key: right.ClientKey}, ""},
		"another's client certificate":    {certified, TLS{CA: right.CA, Cert: wrong.ClientCert, Key: wrong.ClientKey}, "e"},
		"a certificate without its key":   {certified, TLS{CA: right.CA, Cert: right.ClientCert}, "give both"},
		"another key":                     {certified, TLS{CA: right.CA, Cert: right.ClientCert, Key: right.ServerKey}, "private key does not match"},
		"a file that is not there":        {encrypted, TLS{CA: right.CA + "x"}, "no such file"},
		"a file without a certificate":    {encrypted, TLS{CA: right.ClientKey}, "holds no certificate"},
		"a DSN that does not verify":      {encrypted + "?tls=skip-verify", TLS{CA: right.CA}, "tls=skip-verify"},
		"a DSN that may do without TLS":   {encrypted + "?tls=preferred", TLS{CA: right.CA}, "tls=preferred"},
		"a DSN that does without any TLS": {encrypted + "?tls=false", TLS{CA: right.CA}, "tls=false"},
	} {
		t.Run(name, func(t *testing.T) {
			err := connects(t, c.dsn, c.files)
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%v, not %q", err, c.says)
			}
		})
	}
}

// A password works whether the server knows its hash from before or not, with TLS
// and without: MySQL's caching_sha2_password asks for the password itself then,
// encrypted with a key of the server's.
func TestPasswords(t *testing.T) {
	right := certificates(t)
	server, err := dbtest.Start(context.Background(), right.Options()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Remove() })
	dsn, err := server.Account(t.Context(), "d", "geheim")
	if err != nil {
		t.Fatal(err)
	}
	plain := errors.New("it is not encrypted")
	for range 2 {
		if err := server.Exec(t.Context(), "FLUSH PRIVILEGES"); err != nil { // no hash is known
			t.Fatal(err)
		}
		for range 2 {
			if err := connects(t, dsn, TLS{}); err == nil || err.Error() != plain.Error() {
				t.Errorf("without TLS: %v", err)
			}
		}
		if err := server.Exec(t.Context(), "FLUSH PRIVILEGES"); err != nil {
			t.Fatal(err)
		}
		if err := connects(t, dsn, TLS{CA: right.CA}); err != nil {
			t.Errorf("with TLS: %v", err)
		}
	}
	if err := connects(t, strings.Replace(dsn, "geheim", "falsch", 1), TLS{}); err == nil || !strings.Contains(err.Error(), "add tls=true") || strings.Contains(err.Error(), "falsch") {
		t.Errorf("a wrong password: %v", err)
	}
}

// A key that others can read is refused before anything is asked.
func TestKeyThatOthersCanRead(t *testing.T) {
	c := certificates(t)
	if err := os.Chmod(c.ClientKey, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := New("u@tcp(127.0.0.1:1)/d", Options{Access: Access{TLS: TLS{Cert: c.ClientCert, Key: c.ClientKey}}})
	if err == nil || !strings.Contains(err.Error(), "--mysql-tls-key") || !strings.Contains(err.Error(), "chmod 600") {
		t.Error(err)
	}
}

// Files that are renewed are used for the next connection.
func TestRenewedFiles(t *testing.T) {
	right, wrong := certificates(t), certificates(t)
	server, err := dbtest.Start(context.Background(), right.Options()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Remove() })
	if err := server.Exec(t.Context(), "CREATE DATABASE d"); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	put := func(from string) {
		t.Helper()
		data, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(path, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put(wrong.CA)
	d, err := New(server.DSN("d"), Options{Access: Access{TLS: TLS{CA: path}}, SyncWait: "1"})
	if err != nil {
		t.Fatal(err)
	}
	db := d.Open(1, nil)
	defer db.Close()
	if err := db.PingContext(t.Context()); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Error(err)
	}
	put(right.CA)
	if err := db.PingContext(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestExposed(t *testing.T) {
	ca := TLS{CA: certificates(t).CA}
	for _, c := range []struct {
		dsn   string
		files TLS
		says  string
	}{
		{"u@tcp(127.0.0.1:3306)/d", TLS{}, ""},
		{"u@tcp([::1]:3306)/d", TLS{}, ""},
		{"u@tcp(localhost)/d", TLS{}, ""},
		{"u@unix(/run/mysqld/mysqld.sock)/d", TLS{}, ""},
		{"u@/d", TLS{}, ""},
		{"u@tcp(10.0.0.1:3306)/d", TLS{}, "is not encrypted"},
		{"u@tcp(db.example.com)/d?tls=false", TLS{}, "is not encrypted"},
		{"u:geheim@tcp(db.example.com)/d?tls=preferred", TLS{}, "tls=preferred"},
		{"u@tcp(db.example.com)/d?tls=skip-verify", TLS{}, "tls=skip-verify"},
		{"u@tcp(db.example.com)/d?tls=true", TLS{}, ""},
		{"u@tcp(db.example.com)/d", ca, ""},
	} {
		d, err := New(c.dsn, Options{Access: Access{TLS: c.files}})
		if err != nil {
			t.Fatal(err)
		}
		got := d.Exposed()
		if (got == "") != (c.says == "") || !strings.Contains(got, c.says) || strings.Contains(got, "geheim") {
			t.Errorf("%s: %q", c.dsn, got)
		}
	}
}

// A DSN cannot hold a user's name with a colon: what follows it becomes the
// password, and the server's error names a user that nobody wrote.
func TestDeniedWithAColon(t *testing.T) {
	err := denied(&mysql.MySQLError{Number: accessDenied, Message: "Access denied for user 'a'"}, &mysql.Config{User: "a", Passwd: "b:secret"})
	if !strings.Contains(err.Error(), "has a colon") || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}
