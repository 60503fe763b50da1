package verify

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// CTLog is a Certificate Transparency log whose promises are trusted.
type CTLog struct {
	Name string           // its URL, for messages
	Key  crypto.PublicKey // ECDSA or RSA; nil if its kind is not read
	ID   []byte           // what SCTs call the log by
	// Valid is when the key was in use. The time of an SCT must be within.
	Valid Period
}

// maxSCTs bounds the work on one certificate.
const maxSCTs = 16

// sct is a CT log's promise to publish a certificate.
// SPEC: RFC 6962, 3.2, SignedCertificateTimestamp.
type sct struct {
	version         uint8
	logID           []byte
	milliseconds    uint64 // POSIX
	extensions      []byte
	hash, algorithm uint8
	signature       []byte
}

// sctList is the extension with a certificate's SCTs. SPEC: RFC 6962, 3.3.
func sctList() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}
}

// promised checks that a CT log that is trusted promised to publish a
// certificate. One good SCT is enough, as for other verifiers.
func (s Signer) promised(c *x509.Certificate, chains [][]*x509.Certificate) Check {
	if len(s.CTLogs) == 0 {
		return Check{Name: "sct", State: NotChecked, Detail: "no CT log is trusted: a certificate that its authority issued in secret would not be noticed"}
	}
	list, err := sctsOf(c)
	if err != nil {
		return Check{"sct", Failed, BadSCT, err.Error()}
	}
	tbs, err := withoutSCTs(c.RawTBSCertificate)
	if err != nil {
		return Check{"sct", Failed, BadSCT, err.Error()}
	}
	var why []error
	for i, one := range list {
		log, err := s.ctLog(one)
		if err == nil && !slices.ContainsFunc(chains, func(chain []*x509.Certificate) bool { return log.signed(one, tbs, chain[min(1, len(chain)-1)]) }) {
			err = fmt.Errorf("the signature of CT log %.200q does not verify", log.Name)
		}
		if err == nil {
			return Check{Name: "sct", State: Passed, Detail: fmt.Sprintf("CT log %.200q promised to publish the certificate, at %d %s", log.Name, one.seconds(), inSeconds)}
		}
		why = append(why, fmt.Errorf("number %d: %w", i+1, err))
	}
	return Check{"sct", Failed, BadSCT, fmt.Sprintf("none of the certificate's %d SCTs is good, and by a trusted CT log: %v", len(list), errors.Join(why...))}
}

// ctLog is the trusted log that an SCT is from.
func (s Signer) ctLog(one sct) (CTLog, error) {
	if one.version != 0 {
		return CTLog{}, fmt.Errorf("its version is %d; version 0 is read, which RFC 6962 calls v1", one.version)
	}
	var outside error
	for _, l := range s.CTLogs {
		switch {
		case !bytes.Equal(l.ID, one.logID):
		case l.Key == nil:
			return l, fmt.Errorf("the key of CT log %.200q is of a kind that is not read", l.Name)
		case !l.Valid.has(one.seconds()):
			outside = fmt.Errorf("CT log %.200q is trusted %s, and the SCT is of %d %s", l.Name, l.Valid, one.seconds(), inSeconds)
		default:
			return l, nil
		}
	}
	if outside == nil {
		outside = fmt.Errorf("no trusted CT log has the id %x; the trusted root may be out of date", one.logID)
	}
	return CTLog{}, outside
}

func (s sct) seconds() int64 { return int64(s.milliseconds / 1000) }

// signed reports whether a log signed an SCT of a certificate, whose
// TBSCertificate is given without its SCTs, by this issuer.
// SPEC: RFC 6962, 3.2: the digitally-signed struct, of a precert_entry.
func (l CTLog) signed(s sct, tbs []byte, issuer *x509.Certificate) bool {
	by := sha256.Sum256(issuer.RawSubjectPublicKeyInfo)
	over := binary.BigEndian.AppendUint64([]byte{s.version, 0}, s.milliseconds) // 0: certificate_timestamp
	over = append(append(over, 0, 1), by[:]...)                                 // 1: precert_entry
	over = append(over, byte(len(tbs)>>16), byte(len(tbs)>>8), byte(len(tbs)))
	over = binary.BigEndian.AppendUint16(append(over, tbs...), uint16(len(s.extensions)))
	over = append(over, s.extensions...)
	if s.hash != 4 { // SHA-256, as RFC 6962, 2.1.4, asks for
		return false
	}
	digest := sha256.Sum256(over)
	switch key := l.Key.(type) { // SPEC: RFC 5246, 7.4.1.4.1: 1 is RSA, 3 ECDSA
	case *ecdsa.PublicKey:
		return s.algorithm == 3 && ecdsa.VerifyASN1(key, digest[:], s.signature)
	case *rsa.PublicKey:
		return s.algorithm == 1 && rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], s.signature) == nil
	}
	return false
}

// sctsOf reads the SCTs in a certificate, of which there is one at least.
func sctsOf(c *x509.Certificate) (list []sct, err error) {
	at := slices.IndexFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(sctList()) })
	if at < 0 {
		return nil, errors.New("the certificate has no SCT, which is a CT log's promise to publish it; one by a trusted CT log is required")
	}
	wrong := errors.New("the certificate's list of SCTs is not as RFC 6962 has it")
	var text []byte
	if rest, err := asn1.Unmarshal(c.Extensions[at].Value, &text); err != nil || len(rest) > 0 {
		return nil, wrong
	}
	whole := tlsReader{text, true}
	items := tlsReader{whole.vector(), true}
	if !whole.ended() || len(items.rest) == 0 {
		return nil, wrong
	}
	for len(items.rest) > 0 {
		one := items.vector()
		if !items.ok || len(list) == maxSCTs {
			return nil, fmt.Errorf("%w, or has more than %d", wrong, maxSCTs)
		}
		s, ok := readSCT(one)
		if !ok {
			return nil, fmt.Errorf("%w: number %d is no SCT", wrong, len(list)+1)
		}
		list = append(list, s)
	}
	return list, nil
}

// readSCT reads an SCT; of one of another version no more than that.
func readSCT(b []byte) (s sct, ok bool) {
	r := tlsReader{b, true}
	if s.version = byte(r.number(1)); s.version != 0 {
		return s, r.ok
	}
	s.logID, s.milliseconds, s.extensions = r.take(sha256.Size), r.number(8), r.vector()
	s.hash, s.algorithm, s.signature = byte(r.number(1)), byte(r.number(1)), r.vector()
	return s, r.ended()
}

// tlsReader reads what TLS writes, from the front. After the first thing that is cut
// off it is not ok, and reads zeros.
type tlsReader struct {
	rest []byte
	ok   bool
}

func (r *tlsReader) take(n int) (b []byte) {
	if r.ok = r.ok && n <= len(r.rest); r.ok {
		b, r.rest = r.rest[:n], r.rest[n:]
	}
	return b
}

func (r *tlsReader) number(bytes int) (n uint64) {
	for _, b := range r.take(bytes) {
		n = n<<8 | uint64(b)
	}
	return n
}

// vector has a length of 16 bits before it.
func (r *tlsReader) vector() []byte { return r.take(int(r.number(2))) }

func (r *tlsReader) ended() bool { return r.ok && len(r.rest) == 0 }

// withoutSCTs is a TBSCertificate as the CT log saw it, which had no SCTs to
// write into it. Everything else stays as it is, to the byte.
func withoutSCTs(tbs []byte) ([]byte, error) {
	wrong := errors.New("the certificate cannot be read as the CT log saw it")
	var all, field asn1.RawValue
	if _, err := asn1.Unmarshal(tbs, &all); err != nil {
		return nil, fmt.Errorf("%w: %w", wrong, err)
	}
	var fields []byte
	for rest := all.Bytes; len(rest) > 0; {
		var err error
		if rest, err = asn1.Unmarshal(rest, &field); err == nil && field.Class == asn1.ClassContextSpecific && field.Tag == 3 {
			field.FullBytes, err = otherExtensions(field.Bytes)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", wrong, err)
		}
		fields = append(fields, field.FullBytes...)
	}
	return asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: fields})
}

// otherExtensions are those of a certificate that are not the list of SCTs.
func otherExtensions(der []byte) ([]byte, error) {
	var list []asn1.RawValue
	if _, err := asn1.Unmarshal(der, &list); err != nil {
		return nil, err
	}
	var others []asn1.RawValue
	for _, raw := range list {
		var e pkix.Extension
		if _, err := asn1.Unmarshal(raw.FullBytes, &e); err != nil {
			return nil, err
		}
		if !e.Id.Equal(sctList()) {
			others = append(others, asn1.RawValue{FullBytes: raw.FullBytes})
		}
	}
	return asn1.MarshalWithParams(others, "explicit,tag:3")
}
