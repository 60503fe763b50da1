package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

const (
	// certificateAge is how long a certificate is used before its files are looked
	// at again.
	certificateAge = time.Minute
	// expiresSoon is how long before its end a certificate is warned of; one that
	// is valid for a short time only, in the last quarter of that time.
	expiresSoon = 14 * 24 * time.Hour
)

// Certificates is a TLS certificate and its key, in two files. Changed files are
// read again within a minute. Files that cannot be used change nothing: the
// certificate from before stays in use, the log says so once, and Warnings says
// so until it is mended.
type Certificates struct {
	certFile, keyFile string
	log               *slog.Logger
	clientFile        string // of the authorities of clients; empty: none are asked for

	mu      sync.Mutex
	clients *x509.CertPool // the authorities of clients
	cert    *tls.Certificate
	checked time.Time    // when the files were looked at
	changed [2]time.Time // when the files in use were written
	broken  string       // why the newest files are not used; empty if they are
	expiry  string       // what the log was told of the end of the certificate
}

// LoadCertificates reads a certificate and its key. It returns nil where no file
// is given: no TLS.
func LoadCertificates(certFile, keyFile string, log *slog.Logger) (*Certificates, error) {
	if certFile == "" {
		return nil, nil
	}
	c := &Certificates{certFile: certFile, keyFile: keyFile, log: log}
	if _, err := c.get(nil); err != nil {
		return nil, err
	}
	return c, nil
}

// Follow looks for newer files until ctx ends, so that an operator is told of
// broken ones even if no client comes.
func (c *Certificates) Follow(ctx context.Context) {
	if c == nil {
		return
	}
	tick := time.NewTicker(certificateAge)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.mu.Lock()
			c.look(time.Now(), true)
			c.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}

// Reload looks for newer files now. An error says why they are not used, which the
// caller tells the operator; the certificate from before stays in use.
func (c *Certificates) Reload() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.look(time.Now(), false)
}

// Warnings says what an operator should do about the certificate.
func (c *Certificates) Warnings() []string {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []string
	if c.broken != "" {
		list = append(list, c.broken)
	}
	if text := c.ends(time.Now()); text != "" {
		list = append(list, text)
	}
	return list
}

// State returns when the certificate in use expires, and whether newer files are not used because they are broken.
func (c *Certificates) State() (expires time.Time, broken bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cert.Leaf.NotAfter, c.broken != ""
}

func (c *Certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); c.cert == nil || now.Sub(c.checked) >= certificateAge {
		if err := c.look(now, true); err != nil && c.cert == nil {
			return nil, err
		}
	}
	return c.cert, nil
}

// look reads the files if they changed, and has the log say what is new about
// them; of an error only if tell is set. The caller holds the lock.
func (c *Certificates) look(now time.Time, tell bool) error {
	c.checked = now
	loaded, err := c.load(now)
	switch {
	case err != nil:
		c.complain(err, tell)
	case loaded:
		if c.broken != "" {
			c.log.Info("the TLS certificate was read again", "file", c.certFile, "ends", c.cert.Leaf.NotAfter)
		}
		c.broken, c.expiry = "", ""
	}
	if text := c.ends(now); text != c.expiry && c.cert != nil {
		c.expiry = text
		if text != "" {
			c.log.Warn(text)
		}
	}
	return err
}

// complain notes why the newest files are not used, and says so in the log, once
// for each reason.
func (c *Certificates) complain(err error, tell bool) {
	if c.cert == nil {
		return // the server does not start, and says why
	}
	text := fmt.Sprintf("%v; the certificate from before stays in use until %s: mend the files", err, day(c.cert.Leaf.NotAfter))
	if text != c.broken {
		c.broken = text
		if tell {
			c.log.Error(text)
		}
	}
}

// load reads the files if they are others than those in use.
func (c *Certificates) load(now time.Time) (loaded bool, err error) {
	changed, err := c.written()
	if err != nil {
		return false, fmt.Errorf("load the TLS certificate: %w", err)
	}
	if c.cert != nil && changed == c.changed && c.broken == "" {
		return false, nil
	}
	cert, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return false, fmt.Errorf("load the TLS certificate %s with the key %s: %w", c.certFile, c.keyFile, err)
	}
	if c.cert != nil && now.After(cert.Leaf.NotAfter) && c.cert.Leaf.NotAfter.After(cert.Leaf.NotAfter) {
		return false, fmt.Errorf("load the TLS certificate: the one in %s expired at %s", c.certFile, day(cert.Leaf.NotAfter))
	}
	c.cert, c.changed = &cert, changed
	return true, nil
}

// written is when the files were written.
func (c *Certificates) written() (at [2]time.Time, err error) {
	for i, file := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(file)
		if err != nil {
			return at, err
		}
		at[i] = info.ModTime()
	}
	return at, nil
}

// ends says that the certificate in use ends soon, or has ended.
func (c *Certificates) ends(now time.Time) string {
	if c.cert == nil {
		return ""
	}
	leaf := c.cert.Leaf
	switch left := leaf.NotAfter.Sub(now); {
	case left <= 0:
		return fmt.Sprintf("the TLS certificate in %s expired at %s: clients refuse it; renew it", c.certFile, day(leaf.NotAfter))
	case left < min(expiresSoon, leaf.NotAfter.Sub(leaf.NotBefore)/4):
		return fmt.Sprintf("the TLS certificate in %s expires at %s: renew it", c.certFile, day(leaf.NotAfter))
	}
	return ""
}

func day(t time.Time) string { return t.UTC().Format(time.RFC3339) }
