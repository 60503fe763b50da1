//go:build unix

package dbtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Certificates are the files of a private authority, of a server at 127.0.0.1
// and of a client, which it made certificates for.
type Certificates struct {
	CA, ServerCert, ServerKey, ClientCert, ClientKey string
}

// NewCertificates makes an authority and its files in a folder.
func NewCertificates(dir string) (Certificates, error) {
	in := func(name string) string { return filepath.Join(dir, name) }
	c := Certificates{in("ca.pem"), in("server.pem"), in("server.key"), in("client.pem"), in("client.key")}
	ca, key, err := certificate(nil, nil, x509.ExtKeyUsageAny, c.CA, in("ca.key"))
	if err != nil {
		return c, err
	}
	_, _, server := certificate(ca, key, x509.ExtKeyUsageServerAuth, c.ServerCert, c.ServerKey)
	_, _, client := certificate(ca, key, x509.ExtKeyUsageClientAuth, c.ClientCert, c.ClientKey)
	return c, errors.Join(server, client)
}

// Options make a server use the files.
func (c Certificates) Options() []string {
	return []string{"--ssl-ca=" + c.CA, "--ssl-cert=" + c.ServerCert, "--ssl-key=" + c.ServerKey}
}

// certificate makes a certificate by an authority, or, without one, an authority.
func certificate(ca *x509.Certificate, caKey *ecdsa.PrivateKey, usage x509.ExtKeyUsage, cert, key string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: filepath.Base(cert)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if ca == nil {
		t.IsCA, t.BasicConstraintsValid, t.KeyUsage, t.ExtKeyUsage = true, true, x509.KeyUsageCertSign, nil
		ca, caKey = t, own
	}
	der, err := x509.CreateCertificate(rand.Reader, t, ca, &own.PublicKey, caKey)
	if err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		return nil, nil, err
	}
	made, err := x509.ParseCertificate(der)
	return made, own, errors.Join(err,
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
}
