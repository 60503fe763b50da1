package transport

import (
	"crypto/tls"
	"testing"
)

// CertificateAge is certificateAge.
const CertificateAge = certificateAge

// MakeCertificate is certificate.
func MakeCertificate(t *testing.T, certFile, keyFile string, serial int64) {
	t.Helper()
	certificate(t, certFile, keyFile, serial)
}

// Write is write.
func Write(t *testing.T, name string, data []byte) {
	t.Helper()
	write(t, name, data)
}

// Get is get, as a handshake calls it.
func (c *Certificates) Get() (*tls.Certificate, error) { return c.get(nil) }
