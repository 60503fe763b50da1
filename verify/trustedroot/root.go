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
// The format's versions 0.1, in both spellings, and 0.2 are read. Several trusted
// roots may follow one another, a line each, as gh attestation trusted-root prints
// them: all of them are trusted. A member that is not known is passed over, as a
// newer version of the format may have it. What is known must add up: a key that is
// not of its kind, a chain in another order than from its first certificate to its
// root, or a member that is there twice, is refused. A log with a kind of key or hash
// that is not read is left out, and named in LeftOut.
//
// A root's CT logs are asked for an SCT in each certificate of that root's
// authorities, and of no other's.
package trustedroot

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/mldsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	common "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	trustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"indelible/verify"
	"indelible/verify/timestamp"
)

// MaxSize is the maximum of a trusted root, or of several in one file, in bytes.
const MaxSize = 4 << 20

// maxRoots bounds the roots in one file.
const maxRoots = 16

// Root is a trusted root, or what several say together.
type Root struct {
	Logs       []verify.ListedLog
	Timestamps []verify.TimestampAuthority
	LeftOut    []string // logs with keys of kinds that are not read, in words

	authorities []authority
}

// authority is a certificate authority: a chain, when it is trusted, and the CT
// logs that its certificates must be in.
type authority struct {
	roots, between *x509.CertPool
	valid          verify.Period
	ctLogs         []verify.CTLog
}

// Signers is whoever has a certificate of an identity by one of the authorities.
func (r Root) Signers(identity, issuer string) (list []verify.Signer) {
	for _, a := range r.authorities {
		list = append(list, verify.Signer{Identity: identity, Issuer: issuer, Roots: a.roots, Intermediates: a.between, Valid: a.valid, CTLogs: a.ctLogs})
	}
	return list
}

// Parse reads a trusted root, or several.
func Parse(data []byte) (all Root, err error) {
	if len(data) > MaxSize {
		return all, fmt.Errorf("it has over %d bytes: it is no trusted root", MaxSize)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	for n := 1; ; n++ {
		var one json.RawMessage
		if err := d.Decode(&one); err == io.EOF && n > 1 {
			return all, nil
		} else if err != nil {
			return Root{}, fmt.Errorf("it is no trusted root of Sigstore's: %w", err)
		}
		r, err := parse(one)
		if err == nil && n > maxRoots {
			err = fmt.Errorf("the file has more than %d trusted roots", maxRoots)
		}
		if err != nil && (n > 1 || d.More()) {
			err = fmt.Errorf("trusted root %d in the file: %w", n, err)
		}
		if err != nil {
			return Root{}, err
		}
		all.Logs, all.Timestamps = append(all.Logs, r.Logs...), append(all.Timestamps, r.Timestamps...)
		all.LeftOut, all.authorities = append(all.LeftOut, r.LeftOut...), append(all.authorities, r.authorities...)
	}
}

func parse(data []byte) (r Root, err error) {
	var said trustroot.TrustedRoot
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, &said); err != nil {
		return r, fmt.Errorf("it is no trusted root of Sigstore's: %w", err)
	}
	switch said.GetMediaType() {
	case "application/vnd.dev.sigstore.trustedroot+json;version=0.1", "application/vnd.dev.sigstore.trustedroot.v0.1+json", "application/vnd.dev.sigstore.trustedroot.v0.2+json":
	default:
		return r, fmt.Errorf("it is no trusted root of Sigstore's of version 0.1 or 0.2: its mediaType is %.100q", said.GetMediaType())
	}
	for i, l := range said.GetTlogs() {
		if err := r.addLog(l, fmt.Sprintf("tlogs[%d]", i)); err != nil {
			return Root{}, fmt.Errorf("tlogs[%d]: %w", i, err)
		}
	}
	var ctLogs []verify.CTLog
	for i, l := range said.GetCtlogs() {
		ct, err := r.ctLog(l, fmt.Sprintf("ctlogs[%d]", i))
		if err != nil {
			return Root{}, fmt.Errorf("ctlogs[%d]: %w", i, err)
		}
		ctLogs = append(ctLogs, ct)
	}
	for i, a := range said.GetCertificateAuthorities() {
		if err := r.addAuthority(a, ctLogs); err != nil {
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
	id, err := idOf(l)
	if err != nil {
		return err
	}
	valid, err := periodOf(l)
	if err != nil {
		return err
	}
	details := l.GetPublicKey().GetKeyDetails()
	if l.GetHashAlgorithm() != common.HashAlgorithm_SHA2_256 {
		r.leaveOut(name, l, "the hash "+l.GetHashAlgorithm().String())
		return nil
	}
	pub, read, err := keyOf(l.GetPublicKey())
	if !read || isRSA(details) { // no checkpoint here is signed by RSA
		r.leaveOut(name, l, "a key of kind "+details.String())
		return nil
	}
	r.Logs = append(r.Logs, verify.ListedLog{Key: pub, ID: id, Valid: valid})
	return err
}

func (r *Root) leaveOut(name string, l *trustroot.TransparencyLogInstance, why string) {
	r.LeftOut = append(r.LeftOut, fmt.Sprintf("%s, %.200q, has %s", name, l.GetBaseUrl(), why))
}

// ctLog is a CT log. One whose key is not read stays in the list, so that its
// SCTs are not taken for those of a log that nobody knows.
func (r *Root) ctLog(l *trustroot.TransparencyLogInstance, name string) (ct verify.CTLog, err error) {
	ct = verify.CTLog{Name: l.GetBaseUrl(), ID: l.GetLogId().GetKeyId()}
	if ct.Name == "" {
		ct.Name = name
	}
	if ct.Valid, err = periodOf(l); err != nil {
		return ct, err
	}
	pub, read, err := keyOf(l.GetPublicKey())
	_, isECDSA := pub.(*ecdsa.PublicKey)
	_, isRSA := pub.(*rsa.PublicKey)
	if err == nil && (!read || !isECDSA && !isRSA) { // SPEC: RFC 6962, 2.1.4: RSA or ECDSA
		r.leaveOut(name, l, "a key of kind "+l.GetPublicKey().GetKeyDetails().String())
		return ct, nil
	}
	ct.Key = pub
	return ct, err
}

// periodOf is when a log's key was in use, which must have a start, as sigstore-go
// has it.
func periodOf(l *trustroot.TransparencyLogInstance) (verify.Period, error) {
	if l.GetPublicKey().GetValidFor().GetStart() == nil {
		return verify.Period{}, errors.New("its publicKey has no validFor.start")
	}
	return period(l.GetPublicKey().GetValidFor())
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
	switch {
	case d.String() == pkcs1RSA:
		pub, err = x509.ParsePKCS1PublicKey(k.GetRawBytes())
	case isRSA(d), curve != nil, d == common.PublicKeyDetails_PKIX_ED25519, d == common.PublicKeyDetails_ML_DSA_44:
		pub, err = x509.ParsePKIXPublicKey(k.GetRawBytes())
	default:
		return nil, false, nil
	}
	if err != nil {
		return nil, true, fmt.Errorf("its key: %w", err)
	}
	ok := false
	switch pub := pub.(type) {
	case ed25519.PublicKey:
		ok = d == common.PublicKeyDetails_PKIX_ED25519
	case *ecdsa.PublicKey:
		ok = pub.Curve == curve
	case *mldsa.PublicKey: // SPEC: C2SP tlog-checkpoint: logs sign with ML-DSA-44, and with no larger one
		ok = d == common.PublicKeyDetails_ML_DSA_44 && pub.Parameters() == mldsa.MLDSA44()
	case *rsa.PublicKey:
		ok = isRSA(d)
	}
	if !ok {
		return nil, true, fmt.Errorf("its key is a %T, and not of its keyDetails %s", pub, d)
	}
	return pub, true, nil
}

// pkcs1RSA is a kind of keys that old CT logs have. Its constant is deprecated.
const pkcs1RSA = "PKCS1_RSA_PKCS1V5"

// isRSA knows keys that sign as PKCS#1 v1.5 has it.
func isRSA(d common.PublicKeyDetails) bool {
	return slices.Contains([]string{pkcs1RSA, "PKIX_RSA_PKCS1V5", "PKIX_RSA_PKCS1V15_2048_SHA256", "PKIX_RSA_PKCS1V15_3072_SHA256", "PKIX_RSA_PKCS1V15_4096_SHA256"}, d.String())
}

// period is both ends included. The seconds of what is compared are whole.
func period(r *common.TimeRange) (p verify.Period, err error) {
	for _, t := range []*timestamppb.Timestamp{r.GetStart(), r.GetEnd()} {
		if t != nil && (!t.IsValid() || t.GetSeconds() < 0) {
			return p, fmt.Errorf("its validFor has an invalid time, or one before 1970: %s", t)
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

func (r *Root) addAuthority(a *trustroot.CertificateAuthority, ctLogs []verify.CTLog) error {
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
	r.authorities = append(r.authorities, authority{pool(chain[last:]), pool(chain[:last]), valid, ctLogs})
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
