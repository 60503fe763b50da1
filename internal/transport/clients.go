package transport

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// VerifyClients has a listener ask clients for certificates, and verify those that are
// shown by the authorities in a file (PEM). A client without a certificate is served;
// one whose certificate is by another authority is not. It comes before Listen.
func (c *Certificates) VerifyClients(file string) error {
	if file == "" {
		return nil
	}
	c.mu.Lock()
	c.clientFile = file
	c.mu.Unlock()
	return c.ReloadClients()
}

// ReloadClients reads the authorities again, for connections from now on. On an error
// those from before stay in use.
func (c *Certificates) ReloadClients() error {
	if c == nil || c.clientFile == "" {
		return nil
	}
	data, err := os.ReadFile(c.clientFile)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return fmt.Errorf("%s has no certificate in PEM", c.clientFile)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clients = pool
	return nil
}

// askClients has a configuration verify clients. Sessions are not resumed, so that an
// authority that is taken out counts for nobody.
func (c *Certificates) askClients(cfg *tls.Config) {
	cfg.ClientAuth = tls.VerifyClientCertIfGiven
	cfg.SessionTicketsDisabled = true
	plain := cfg.Clone()
	cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := plain.Clone()
		c.mu.Lock()
		defer c.mu.Unlock()
		now.ClientCAs = c.clients
		return now, nil
	}
}
