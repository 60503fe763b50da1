package mysqldb

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/go-sql-driver/mysql"

	"indelible/internal/secret"
)

// TLS are the files (PEM) with which a server is verified, and with which this
// program shows who it is. Each may be empty.
type TLS struct {
	CA        string // certificates of the authorities to trust; empty: the system's
	Cert, Key string // a client certificate and its private key
}

func (t TLS) empty() bool { return t == TLS{} }

// fits reports what is wrong with the files, or with a DSN beside them.
func (t TLS) fits(cfg *mysql.Config) error {
	if !t.empty() && cfg.TLSConfig != "" && cfg.TLSConfig != "true" {
		return fmt.Errorf("the DSN has tls=%s, which does not verify the server, and --mysql-tls-… is given: leave tls= out of the DSN", cfg.TLSConfig)
	}
	return t.Check()
}

// Check reports what is wrong with the files.
func (t TLS) Check() error {
	if (t.Cert == "") != (t.Key == "") {
		return errors.New("give both --mysql-tls-cert and --mysql-tls-key, or neither")
	}
	if t.Key != "" {
		if err := secret.Check(t.Key); err != nil {
			return fmt.Errorf("--mysql-tls-key: %w", err)
		}
	}
	_, err := t.config()
	return err
}

// config reads the files.
func (t TLS) config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("--mysql-tls-ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--mysql-tls-ca: %s holds no certificate; it must hold those of the authorities to trust, as PEM", t.CA)
		}
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("--mysql-tls-cert %s and --mysql-tls-key %s: %w", t.Cert, t.Key, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// apply gives a connection TLS by the files. A connection through a Unix socket
// needs none.
func (t TLS) apply(cfg *mysql.Config) error {
	if t.empty() || cfg.Net == "unix" {
		return nil
	}
	c, err := t.config()
	cfg.TLS = c // the driver adds the server's name
	return err
}

// Exposed says what is wrong with a connection that leaves this machine without
// verified TLS; it is empty where nothing is.
func (d *Database) Exposed() string {
	const mend = "give --mysql-tls-ca FILE, or tls=true in the DSN where the system trusts the server's certificate"
	if local(d.cfg) || !d.options.TLS.empty() {
		return ""
	}
	switch d.cfg.TLSConfig {
	case "", "false":
		return fmt.Sprintf("the connection to the database server %s is not encrypted: whoever is on the way can read and change what is stored; %s", d.cfg.Addr, mend)
	case "preferred", "skip-verify":
		return fmt.Sprintf("the connection to the database server %s does not verify the server (tls=%s): whoever is on the way can take its place; %s, and leave tls=%[2]s out", d.cfg.Addr, d.cfg.TLSConfig, mend)
	}
	return ""
}
