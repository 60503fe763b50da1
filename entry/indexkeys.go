package entry

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
)

// IndexBy says what an entry is searched by.
type IndexBy string

// What entries are searched by: only what the log proved when it admitted the
// entry. A field that a client could fill in as it liked would put the entry among
// the answers about any file.
const (
	// ByArtifact: the digest of the signed artifact, as "sha256:", "sha384:" or
	// "sha512:" and hex digits.
	//
	// hashedrekord: proven, since the signature is over this digest. rekord: proven,
	// since the log hashed the artifact and verified the signature over it.
	ByArtifact IndexBy = "artifact"
	// ByPublicKey: hex SHA-256 of the key's SubjectPublicKeyInfo in DER, be it bare or
	// in a certificate.
	//
	// All kinds: proven, since the log verified each signature with the key that is
	// logged beside it. Of a hashedrekord by ECDSA that proves less than of the other
	// kinds: from a public key alone, anyone can compute a signature together with the
	// random digest that it fits. No file with that digest can be found.
	ByPublicKey IndexBy = "publicKey"
	// BySubject: one of the [SubjectNames] of a certificate, in small letters.
	// ByIssuer: the OIDC issuer in a certificate of Fulcio's.
	//
	// All kinds: proven is that the signer's certificate says so, since the log verified
	// the signature with the key in that certificate; of a chain only the signer's own
	// certificate counts. Nothing proves that the certificate's issuer is one to trust: the
	// log knows no certificate authorities, and anyone can issue a certificate. A searcher
	// must validate the certificates in the entries that are found.
	BySubject IndexBy = "subject"
	ByIssuer  IndexBy = "issuer"
	// ByPayload: the digest of a DSSE envelope's payload, as "sha256:" and hex digits.
	//
	// dsse and intoto: proven, since the log hashed the payload and verified each
	// signature over it.
	ByPayload IndexBy = "payload"
	// ByEnvelope: the digest of a DSSE envelope's JSON, in the same form.
	//
	// dsse 0.0.1: proven, since the log hashed the envelope as it was sent. intoto: not
	// proven, and so not indexed; the log gets the envelope's members and not its JSON,
	// and its hash is the client's word.
	ByEnvelope IndexBy = "envelope"
)

// IndexedBy is everything that entries are searched by.
func IndexedBy() []IndexBy {
	return []IndexBy{ByArtifact, ByPublicKey, BySubject, ByIssuer, ByPayload, ByEnvelope}
}

// IndexFormat changes whenever IndexKeys gives other keys for the same bytes:
// the program rebuilds an index of another format. Format 1 had the envelope digest
// of an intoto, which nothing proves.
const IndexFormat = 2

// IndexKey is one thing that an entry can be found by.
type IndexKey struct {
	By    IndexBy
	Value string
}

// NewIndexKey is the key of what somebody asks for, which may be written in
// capitals where those make no difference.
func NewIndexKey(by IndexBy, value string) (IndexKey, error) {
	k := IndexKey{by, value}
	var err error
	switch by {
	case ByArtifact, ByPayload, ByEnvelope:
		k.Value = strings.ToLower(value)
		err = checkDigest(k.Value)
	case ByPublicKey:
		k.Value = strings.ToLower(value)
		if raw, hexErr := hex.DecodeString(value); hexErr != nil || len(raw) != sha256.Size {
			err = fmt.Errorf("%q is not the fingerprint of a public key: give the SHA-256 of its SubjectPublicKeyInfo in DER, 64 hex digits", value)
		}
	case BySubject:
		k.Value = strings.ToLower(value)
	case ByIssuer:
	default:
		err = fmt.Errorf("entries are not searched by %q, but by one of %v", by, IndexedBy())
	}
	if value == "" {
		err = fmt.Errorf("the %s to search by is empty", by)
	}
	if err != nil {
		return IndexKey{}, err
	}
	return k, nil
}

// checkDigest checks a digest with its algorithm, in small letters.
func checkDigest(value string) error {
	algorithm, digits, _ := strings.Cut(value, ":")
	want, ok := map[string]int{"sha256": 32, "sha384": 48, "sha512": 64}[algorithm]
	if raw, err := hex.DecodeString(digits); !ok || err != nil || len(raw) != want {
		return fmt.Errorf("%q is not a digest: give sha256: and 64 hex digits (or sha384: and 96, sha512: and 128)", value)
	}
	return nil
}

// IndexKeys returns what an entry can be found by, sorted, each once. A raw
// entry has nothing; bytes that Parse does not take are an error. It is for
// bytes that stand in a log: of a hashedrekord or dsse that was admitted once it
// does not check again that its keys are such as are allowed.
func IndexKeys(canonical []byte) ([]IndexKey, error) {
	if c, ok := scan(canonical); ok {
		if keys, ok := c.indexKeys(); ok {
			return sortKeys(keys), nil
		}
	}
	p, err := Parse(canonical)
	if err != nil {
		return nil, err
	}
	return sortKeys(p.indexKeys()), nil
}

// Claims are what an entry proves, with its keys and certificates as they stand
// in it.
type Claims struct {
	Digests []IndexKey // by artifact, payload or envelope, as IndexKeys has them
	Signers []Claimant
}

// Claimant is a signer of an entry: a key or a certificate, in DER.
type Claimant struct {
	SPKI        []byte // nil beside a certificate
	Certificate []byte
}

// ScanClaims returns what IndexKeys is made from. It does not parse certificates:
// one that crypto/x509 refuses is returned as it is, where Parse does not need it.
func ScanClaims(canonical []byte) (Claims, error) {
	if c, ok := scan(canonical); ok {
		return c, nil
	}
	p, err := Parse(canonical)
	if err != nil {
		return Claims{}, err
	}
	c := Claims{Digests: p.digestKeys()}
	for _, s := range p.Signers() {
		if s.Certificate != nil {
			c.Signers = append(c.Signers, Claimant{Certificate: s.Certificate.Raw})
		} else {
			c.Signers = append(c.Signers, Claimant{SPKI: s.SPKI})
		}
	}
	return c, nil
}

// indexKeys is false for a certificate that cannot be read.
func (c Claims) indexKeys() ([]IndexKey, bool) {
	keys := c.Digests
	for _, s := range c.Signers {
		if s.Certificate == nil {
			keys = append(keys, keyOf(s.SPKI))
			continue
		}
		cert, err := x509.ParseCertificate(s.Certificate)
		if err != nil {
			return nil, false
		}
		spki, err := x509.MarshalPKIXPublicKey(cert.PublicKey)
		if err != nil {
			return nil, false
		}
		keys = appendCertificate(append(keys, keyOf(spki)), cert)
	}
	return keys, true
}

func sortKeys(keys []IndexKey) []IndexKey {
	slices.SortFunc(keys, func(a, b IndexKey) int {
		if a.By != b.By {
			return strings.Compare(string(a.By), string(b.By))
		}
		return strings.Compare(a.Value, b.Value)
	})
	return slices.Compact(keys)
}

func (p Parsed) digestKeys() (keys []IndexKey) {
	if h := p.HashedRekord; h != nil {
		keys = append(keys, IndexKey{ByArtifact, digestValue(h.Algorithm, h.Digest)})
	}
	if r := p.Rekord; r != nil {
		keys = append(keys, IndexKey{ByArtifact, digestValue(r.Algorithm, r.Digest)})
	}
	if d := p.DSSE; d != nil {
		keys = append(keys, IndexKey{ByPayload, digestValue(d.PayloadAlgorithm, d.PayloadDigest)})
		if d.EnvelopeDigest != nil {
			keys = append(keys, IndexKey{ByEnvelope, digestValue(hashName(crypto.SHA256), d.EnvelopeDigest)})
		}
	}
	if i := p.Intoto; i != nil { // its EnvelopeDigest is the client's word
		keys = append(keys, IndexKey{ByPayload, digestValue(i.PayloadAlgorithm, i.PayloadDigest)})
	}
	return keys
}

func (p Parsed) indexKeys() []IndexKey {
	keys := p.digestKeys()
	for _, s := range p.Signers() {
		keys = append(keys, keyOf(s.SPKI))
		if s.Certificate != nil {
			keys = appendCertificate(keys, s.Certificate)
		}
	}
	return keys
}

// digestValue writes a digest whose algorithm has Sigstore's name.
func digestValue(algorithm string, digest []byte) string {
	name := "sha" + strings.TrimPrefix(algorithm, "SHA2_") + ":"
	b := make([]byte, 0, len(name)+2*sha256.Size)
	return string(hex.AppendEncode(append(b, name...), digest))
}

func keyOf(spki []byte) IndexKey {
	sum := sha256.Sum256(spki)
	return IndexKey{ByPublicKey, hex.EncodeToString(sum[:])}
}

func appendCertificate(keys []IndexKey, c *x509.Certificate) []IndexKey {
	for _, name := range SubjectNames(c) {
		if name != "" {
			keys = append(keys, IndexKey{BySubject, strings.ToLower(name)})
		}
	}
	for _, name := range issuers(c) {
		if name != "" {
			keys = append(keys, IndexKey{ByIssuer, name})
		}
	}
	return keys
}

// issuers are the OIDC issuers that a certificate names, in one form or both.
// SPEC: Fulcio, oid-info.md: 1.3.6.1.4.1.57264.1.8 holds a DER string,
// 1.3.6.1.4.1.57264.1.1, which is older, the bare text.
func issuers(c *x509.Certificate) (names []string) {
	for _, e := range c.Extensions {
		switch {
		case e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}):
			names = append(names, string(e.Value))
		case e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}):
			var s string
			if rest, err := asn1.Unmarshal(e.Value, &s); err == nil && len(rest) == 0 {
				names = append(names, s)
			}
		}
	}
	return names
}

// scan reads the kinds that a log has most of, without the work of Parse:
// what was logged has one form, to the byte. It takes everything of these kinds
// that Parse takes, and reports false for whatever looks otherwise.
func scan(canonical []byte) (Claims, bool) {
	s := scanner{rest: canonical, ok: true}
	switch {
	case bytes.HasPrefix(canonical, []byte(hashedRekordPrefix)):
		s.skip(hashedRekordPrefix + `"data":`)
		s.digest(ByArtifact)
		s.skip(`,"signature":`)
		s.signature()
	case bytes.HasPrefix(canonical, []byte(dssePrefix)):
		s.skip(dssePrefix + `"payloadHash":`)
		s.digest(ByPayload)
		s.skip(`,"signatures":[`)
		for s.signature(); s.ok && s.rest[0] == ','; s.signature() {
			s.skip(`,`)
		}
		s.skip(`]`)
	case bytes.HasPrefix(canonical, []byte(hashedRekordV1Prefix)):
		s.hashedRekordV1()
	default:
		return Claims{}, false
	}
	s.skip(`}}}`)
	return s.claims, s.ok && len(s.rest) == 0
}

// scanner reads canonical bytes from the front, and collects claims. After the
// first thing that is not as it should be it is not ok.
type scanner struct {
	rest   []byte
	claims Claims
	ok     bool
}

func (s *scanner) skip(literal string) {
	if s.ok = s.ok && bytes.HasPrefix(s.rest, []byte(literal)); s.ok {
		s.rest = s.rest[len(literal):]
	}
}

// text reads up to the quote that ends a string, of which there is something
// left behind it.
func (s *scanner) text() []byte {
	n := bytes.IndexByte(s.rest, '"')
	if s.ok = s.ok && n >= 0; !s.ok {
		return nil
	}
	text := s.rest[:n]
	s.rest = s.rest[n:]
	return text
}

func (s *scanner) bytes() []byte {
	text := s.text()
	b := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(b, text)
	s.ok = s.ok && err == nil
	return b[:n]
}

func (s *scanner) digest(by IndexBy) {
	s.skip(`{"algorithm":"`)
	algorithm := string(s.text())
	s.skip(`","digest":"`)
	digest := s.bytes()
	s.skip(`"}`)
	hash, known := hashByName(algorithm)
	if s.ok = s.ok && known && len(digest) == hash.Size(); s.ok {
		s.claims.Digests = append(s.claims.Digests, IndexKey{by, digestValue(algorithm, digest)})
	}
}

func (s *scanner) signature() {
	s.skip(`{"content":"`)
	s.text()
	s.skip(`","verifier":{"keyDetails":"`)
	s.text()
	if s.ok && bytes.HasPrefix(s.rest, []byte(`","publicKey":`)) {
		s.skip(`","publicKey":{"rawBytes":"`)
		s.signer(Claimant{SPKI: s.bytes()})
	} else {
		s.skip(`","x509Certificate":{"rawBytes":"`)
		s.signer(Claimant{Certificate: s.bytes()})
	}
	s.skip(`"}}}`)
	s.ok = s.ok && len(s.rest) > 0
}

// hashedRekordV1 reads a hashedrekord of Rekor v1's that is by a key or by one
// certificate.
func (s *scanner) hashedRekordV1() {
	s.skip(hashedRekordV1Prefix + `"data":{"hash":{"algorithm":"`)
	algorithm := string(s.text())
	s.skip(`","value":"`)
	s.claims.Digests = append(s.claims.Digests, IndexKey{ByArtifact, algorithm + ":" + string(s.text())})
	s.skip(`"}},"signature":{"content":"`)
	s.text()
	s.skip(`","publicKey":{"content":"`)
	block, rest := pem.Decode(s.bytes())
	switch {
	case block == nil || len(rest) > 0:
		s.ok = false
	case block.Type == labelKey:
		s.signer(Claimant{SPKI: block.Bytes})
	case block.Type == labelCertificate:
		s.signer(Claimant{Certificate: block.Bytes})
	default:
		s.ok = false
	}
	s.skip(`"}`)
}

func (s *scanner) signer(c Claimant) { s.claims.Signers = append(s.claims.Signers, c) }
