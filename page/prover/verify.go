package prover

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"

	"indelible/verify"
)

// verifyQuestion asks for what logcli verify does. Without a file, SHA256 stands in
// for it, of a bundle.
type verifyQuestion struct {
	trust
	Proof  []byte // a proof file, or bundles
	SHA256 string
	Signer struct {
		Fingerprint, Identity, Issuer, Roots string
	}
	AnySigner bool
	Now       int64
}

func (q verifyQuestion) verify(file io.Reader) (any, error) {
	t, err := q.trusts()
	if err != nil {
		return nil, err
	}
	bundle := bytes.HasPrefix(bytes.TrimSpace(q.Proof), []byte("{"))
	switch {
	case bundle && file == nil:
		sum, err := hex.DecodeString(q.SHA256)
		if err != nil || len(sum) != 32 {
			return nil, errors.New("give the artifact, or its SHA-256 as 64 hex digits")
		}
		return verify.VerifyBundleOf([32]byte(sum), q.Proof, t)
	case file == nil:
		return nil, errors.New("give the artifact that the proof file is of")
	case bundle:
		return verify.VerifyBundle(file, q.Proof, t)
	}
	return verify.Verify(file, q.Proof, t)
}

func (q verifyQuestion) trusts() (t verify.Trust, err error) {
	p, err := q.parse()
	if err != nil {
		return t, err
	}
	t = verify.Trust{Logs: p.logs, BareKeys: p.bare, Policy: p.policy, AnySigner: q.AnySigner, Now: q.Now}
	s := verify.Signer{Fingerprint: q.Signer.Fingerprint, Identity: q.Signer.Identity, Issuer: q.Signer.Issuer}
	if s.Fingerprint == "" && s.Identity == "" {
		return t, nil
	}
	if s.Fingerprint == "" {
		s.Roots = x509.NewCertPool()
		if !s.Roots.AppendCertsFromPEM([]byte(q.Signer.Roots)) {
			return t, errors.New("an identity needs the certificates of the authority that is trusted, in PEM")
		}
	}
	t.Signers = []verify.Signer{s}
	return t, nil
}
