package main

import (
	"crypto/x509"
	"errors"

	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"indelible/verify"
	"indelible/verify/timestamp"
	"indelible/verify/trustedroot"
)

// rootFlags say whom to trust besides the log and the signer. What a trusted root
// says, a flag for the same thing says in its place.
type rootFlags struct {
	trustedRoot string
	tsa         []string // each a chain
}

// read reads the trusted root; it is empty if none is given.
func (f rootFlags) read() (root trustedroot.Root, err error) {
	if f.trustedRoot != "" {
		data, err := readFile(f.trustedRoot, maxTrust)
		if err == nil {
			root, err = trustedroot.Parse(data)
		}
		if err != nil {
			return root, usagef("--trusted-root %s: %w", f.trustedRoot, err)
		}
	}
	if len(f.tsa) > 0 {
		root.Timestamps, err = f.authorities()
	}
	return root, err
}

// authorities are those of --tsa.
func (f rootFlags) authorities() (list []verify.TimestampAuthority, err error) {
	for _, file := range f.tsa {
		chain, err := readCertificates("--tsa", file)
		if err != nil {
			return nil, err
		}
		a, err := timestamp.New(chain)
		if err != nil {
			return nil, usagef("--tsa %s: %w", file, err)
		}
		list = append(list, a)
	}
	return list, nil
}

// readCertificates reads a flag's file of certificates in PEM. Not by
// AppendCertsFromPEM, which leaves out what it cannot read.
func readCertificates(flag, file string) ([]*x509.Certificate, error) {
	pem, err := readFile(file, maxTrust)
	if err != nil {
		return nil, usagef("%s: %w", flag, err)
	}
	certs, err := cryptoutils.UnmarshalCertificatesFromPEM(pem)
	if err == nil && len(certs) == 0 {
		err = errors.New("there is none")
	}
	if err != nil {
		return nil, usagef("%s: %s holds no certificates in PEM, or a damaged one: %w", flag, file, err)
	}
	return certs, nil
}

// trusts adds what the trusted root says and no other flag does. A policy that names
// no log leaves that to it.
func (p *program) trusts(t *verify.Trust, root trustedroot.Root) {
	t.Timestamps = root.Timestamps
	if p.logKey != "" || t.Policy != nil && len(t.Policy.Logs) > 0 {
		return
	}
	t.Listed = root.Logs
	for _, l := range root.LeftOut {
		p.say("The trusted root's %s, which is not read here", l)
	}
}
