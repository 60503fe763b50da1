// Package trustedroot reads Sigstore's trusted_root.json as what package verify
// trusts: the file that logcli trust export and cosign trusted-root create write,
// and that Sigstore's own clients take.
//
//	root, err := trustedroot.Parse(data)
//	trust := verify.Trust{
//		Listed:     root.Logs,
//		Timestamps: root.Timestamps,
//		Signers:    root.Signers("builder@example.com", "https://accounts.example.com"),
//	}
//
// It has four lists, any of which may be missing:
//
//	{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
//	 "tlogs": [{"baseUrl": "https://log.example.com", "hashAlgorithm": "SHA2_256",
//	   "publicKey": {"rawBytes": "…", "keyDetails": "PKIX_ED25519", "validFor": {"start": "2026-01-01T00:00:00Z"}},
//	   "logId": {"keyId": "…"}}],
//	 "certificateAuthorities": [{"certChain": {"certificates": [{"rawBytes": "…"}]}, "validFor": {"start": "…", "end": "…"}}],
//	 "timestampAuthorities": [as the above],
//	 "ctlogs": [as tlogs]}
//
// The format's versions 0.1, in both spellings, and 0.2 are read. A member that is
// not known, or is there twice, is refused, and so is everything that does not add
// up: a key that is not of its kind, a chain in another order than from its first
// certificate to its root. A log with a kind of key that no checkpoint here can be
// signed with (RSA) is left out, and named in LeftOut.
//
// CT logs are counted and no more: verify does not read SCTs, and says so.
package trustedroot

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"

	common "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	trustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"indelible/verify"
	"indelible/verify/timestamp"
)

// MaxSize is the most that is read of a trusted root, in bytes.
const MaxSize = 4 << 20

// Root is a trusted root.
type Root struct {
	Logs       []verify.ListedLog
	Timestamps []verify.TimestampAuthority
	CTLogs     int
	LeftOut    []string // logs with keys of kinds that are not read, in words

	authorities []authority
}

// authority is a certificate authority: a chain, and when it is trusted.
type authority struct {
	roots, between *x509.CertPool
	valid          verify.Period
}

// Signers is whoever has a certificate of an identity by one of the authorities.
func (r Root) Signers(identity, issuer string) (list []verify.Signer) {
	for _, a := range r.authorities {
		list = append(list, verify.Signer{Identity: identity, Issuer: issuer, Roots: a.roots, Intermediates: a.between, Valid: a.valid})
	}
	return list
}

// Parse reads a trusted root.
func Parse(data []byte) (r Root, err error) {
	if len(data) > MaxSize {
		return r, fmt.Errorf("it has over %d bytes: it is no trusted root", MaxSize)
	}
	var said trustroot.TrustedRoot
	if err := protojson.Unmarshal(data, &said); err != nil {
		return r, fmt.Errorf("it is no trusted root of Sigstore's: %w", err)
	}
	switch said.GetMediaType() {
	case "application/vnd.dev.sigstore.trustedroot+json;version=0.1", "application/vnd.dev.sigstore.trustedroot.v0.1+json", "application/vnd.dev.sigstore.trustedroot.v0.2+json":
	default:
		return r, fmt.Errorf("it is no trusted root of Sigstore's of version 0.1 or 0.2: its mediaType is %.100q", said.GetMediaType())
	}
	r.CTLogs = len(said.GetCtlogs())
	for i, l := range said.GetTlogs() {
		if err := r.addLog(l, fmt.Sprintf("tlogs[%d]", i)); err != nil {
			return Root{}, fmt.Errorf("tlogs[%d]: %w", i, err)
		}
	}
	for i, a := range said.GetCertificateAuthorities() {
		if err := r.addAuthority(a); err != nil {
			return Root{}, fmt.Errorf("certificateAuthorities[%d]: %w", i, err)
		}
	}
	for i, a := range said.GetTimestampAuthorities() {
		if err := r.addTimestamps(a); err != nil {
			return Root{}, fmt.Errorf("timestampAuthorities[%d]: %w", i, err)
		}
	}
	return r, nil
}

func (r *Root) addLog(l *trustroot.TransparencyLogInstance, name string) error {
	if h := l.GetHashAlgorithm(); h != common.HashAlgorithm_SHA2_256 {
		return fmt.Errorf("its hashAlgorithm is %s; logs are trees of SHA2_256", h)
	}
	id, err := idOf(l)
	if err != nil {
		return err
	}
	if l.GetPublicKey().GetValidFor().GetStart() == nil { // as sigstore-go has it
		return errors.New("its publicKey has no validFor.start")
	}
	valid, err := period(l.GetPublicKey().GetValidFor())
	if err != nil {
		return err
	}
	pub, read, err := keyOf(l.GetPublicKey())
	if err != nil {
		return err
	}
	if !read {
		r.LeftOut = append(r.LeftOut, fmt.Sprintf("%s, %.200q, has a key of kind %s", name, l.GetBaseUrl(), l.GetPublicKey().GetKeyDetails()))
		return nil
	}
	r.Logs = append(r.Logs, verify.ListedLog{Key: pub, ID: id, Valid: valid})
	return nil
}

// idOf is what checkpoints and bundles call a log by. SPEC: sigstore_trustroot.proto:
// checkpoint_key_id, or, where there is none, log_id.
func idOf(l *trustroot.TransparencyLogInstance) ([]byte, error) {
	id := l.GetCheckpointKeyId().GetKeyId()
	if len(id) == 0 {
		id = l.GetLogId().GetKeyId()
	}
	if len(id) != 4 && len(id) != 32 {
		return nil, fmt.Errorf("its id (checkpointKeyId, or logId) has %d bytes; it must have 32, or the first 4", len(id))
	}
	return id, nil
}

// keyOf is a log's key, if it is of a kind that is read.
func keyOf(k *common.PublicKey) (pub crypto.PublicKey, read bool, err error) {
	d := k.GetKeyDetails()
	curve := map[common.PublicKeyDetails]elliptic.Curve{
		common.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256: elliptic.P256(),
		common.PublicKeyDetails_PKIX_ECDSA_P384_SHA_384: elliptic.P384(),
		common.PublicKeyDetails_PKIX_ECDSA_P521_SHA_512: elliptic.P521(),
	}[d]
	if d != common.PublicKeyDetails_PKIX_ED25519 && curve == nil {
		return nil, false, nil
	}
	if pub, err = x509.ParsePKIXPublicKey(k.GetRawBytes()); err != nil {
		return nil, true, fmt.Errorf("its key: %w", err)
	}
	ok := false
	switch pub := pub.(type) {
	case ed25519.PublicKey:
		ok = curve == nil
	case *ecdsa.PublicKey:
		ok = pub.Curve == curve
	}
	if !ok {
		return nil, true, fmt.Errorf("its key is a %T, and not of its keyDetails %s", pub, d)
	}
	return pub, true, nil
}

// period is both ends included. The seconds of what is compared are whole.
func period(r *common.TimeRange) (p verify.Period, err error) {
	for _, t := range []*timestamppb.Timestamp{r.GetStart(), r.GetEnd()} {
		if t != nil && (!t.IsValid() || t.GetSeconds() < 0) {
			return p, fmt.Errorf("its validFor has a time that is none, or is before 1970: %s", t)
		}
	}
	if p.From = r.GetStart().GetSeconds(); r.GetStart().GetNanos() > 0 {
		p.From++
	}
	if r.GetEnd() == nil {
		return p, nil
	}
	if p.Until = r.GetEnd().GetSeconds(); p.Until < max(p.From, 1) {
		return p, errors.New("its validFor ends before it starts")
	}
	return p, nil
}

func (r *Root) addAuthority(a *trustroot.CertificateAuthority) error {
	chain, err := chainOf(a)
	if err != nil {
		return err
	}
	valid, err := period(a.GetValidFor())
	if err != nil {
		return err
	}
	for i, c := range chain[1:] {
		if err := chain[i].CheckSignatureFrom(c); err != nil {
			return fmt.Errorf("certificate %d of its chain is not signed by number %d: %w", i+1, i+2, err)
		}
	}
	last := len(chain) - 1
	r.authorities = append(r.authorities, authority{pool(chain[last:]), pool(chain[:last]), valid})
	return nil
}

func (r *Root) addTimestamps(a *trustroot.CertificateAuthority) error {
	chain, err := chainOf(a)
	if err != nil {
		return err
	}
	tsa, err := timestamp.New(chain)
	if err != nil {
		return err
	}
	valid, err := period(a.GetValidFor())
	tsa.From, tsa.Until = valid.From, valid.Until
	r.Timestamps = append(r.Timestamps, tsa)
	return err
}

func chainOf(a *trustroot.CertificateAuthority) (chain []*x509.Certificate, err error) {
	for i, raw := range a.GetCertChain().GetCertificates() {
		c, err := x509.ParseCertificate(raw.GetRawBytes())
		if err != nil {
			return nil, fmt.Errorf("certificate %d of its chain: %w", i+1, err)
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, errors.New("its certChain has no certificates")
	}
	return chain, nil
}

func pool(certs []*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certs {
		p.AddCert(c)
	}
	return p
}
