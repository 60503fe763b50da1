package verify

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"indelible/merkle"
)

// MaxBundle is the most that is read of a bundle, in bytes.
const MaxBundle = 32 << 20

// The most that is read of its lists: entries of logs, hashes of a proof (a tree
// of 2^63 leaves has 63 levels), and certificates or timestamps.
const (
	maxLogEntries = 32
	maxHashes     = 63
	maxAttached   = 32
)

// maxRSA bounds the work of a signature by a certificate, in bits of its key: it
// grows with their square, and a bundle brings its own.
const maxRSA = 8192

// bundle is what a file in Sigstore's bundle format says. Nothing in it is
// verified.
//
//	{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json",
//	 "verificationMaterial":{
//	  "publicKey":{"hint":"…"},               or "certificate":{"rawBytes":"…"}
//	  "tlogEntries":[{
//	   "logIndex":"7","logId":{"keyId":"…"},"kindVersion":{"kind":"hashedrekord","version":"0.0.2"},
//	   "inclusionProof":{"logIndex":"7","rootHash":"…","treeSize":"9","hashes":["…"],"checkpoint":{"envelope":"…"}},
//	   "canonicalizedBody":"…"}],
//	  "timestampVerificationData":{"rfc3161Timestamps":[{"signedTimestamp":"…"}]}},
//	 "messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":"…"},"signature":"…"}}
//
// In place of messageSignature there can be a dsseEnvelope. What Rekor v1 logged
// has an integratedTime and an inclusionPromise besides. Bundles of versions 0.1
// and 0.2 have "x509CertificateChain":{"certificates":[{"rawBytes":"…"}]}.
type bundle struct {
	version     string            // of the format: 0.1, 0.2 or 0.3
	certificate *x509.Certificate // the signer's; nil for a key that is not in the bundle
	above       []*x509.Certificate
	hint        string
	entries     []logEntry
	timestamps  [][]byte // of RFC 3161
	message     *messageSignature
	envelope    *envelope
}

// messageSignature is over an artifact.
type messageSignature struct {
	algorithm string // of the digest; empty where there is none
	digest    []byte
	signature []byte
}

// envelope is a DSSE envelope with one signature.
type envelope struct {
	payloadType string
	payload     []byte
	signature   []byte
	keyID       string
}

// logEntry is what a log said of the signature.
type logEntry struct {
	index         int64 // of Rekor v1's shards together; else that of the proof
	keyID         []byte
	kind, version string
	integrated    int64 // in POSIX seconds
	promise       []byte
	body          []byte

	proofIndex, size int64
	root             []byte
	hashes           []merkle.Hash
	note             []byte
}

// signature is what is timestamped: the bytes of the signature, not of its text.
func (b bundle) signature() []byte {
	if b.message != nil {
		return b.message.signature
	}
	return b.envelope.signature
}

// bundleVersion knows the spellings of the versions of the format.
// SPEC: sigstore_bundle.proto, Bundle.media_type.
func bundleVersion(mediaType string) (string, error) {
	switch mediaType {
	case "application/vnd.dev.sigstore.bundle+json;version=0.1":
		return "0.1", nil
	case "application/vnd.dev.sigstore.bundle+json;version=0.2":
		return "0.2", nil
	case "application/vnd.dev.sigstore.bundle+json;version=0.3", "application/vnd.dev.sigstore.bundle.v0.3+json":
		return "0.3", nil
	case "":
		return "", errors.New("it has no mediaType, so it is not in Sigstore's bundle format: with cosign 2 make it with --new-bundle-format")
	}
	return "", fmt.Errorf("its mediaType is %.100q; bundles of versions 0.1, 0.2 and 0.3 are read", mediaType)
}

func parseBundle(data []byte) (b bundle, err error) {
	if len(data) > MaxBundle {
		return b, fmt.Errorf("it has over %d bytes", MaxBundle)
	}
	o := readObject(data)
	if *o.wrong != nil {
		return b, *o.wrong
	}
	if b.version, err = bundleVersion(o.text("mediaType")); err != nil {
		return b, errors.Join(*o.wrong, err)
	}
	b.readContent(o)
	b.readMaterial(o)
	o.end()
	return b, *o.wrong
}

func (b *bundle) readContent(o object) {
	message, isMessage := o.object("messageSignature")
	env, isEnvelope := o.object("dsseEnvelope")
	switch {
	case isMessage && isEnvelope:
		o.fail("", "has both a messageSignature and a dsseEnvelope")
	case isMessage:
		b.message = readMessage(message)
	case isEnvelope:
		b.envelope = readEnvelope(env)
	default:
		o.fail("", "has neither a messageSignature nor a dsseEnvelope")
	}
}

func readMessage(o object) *messageSignature {
	m := &messageSignature{signature: o.bytes("signature")}
	if len(m.signature) == 0 {
		o.fail("signature", "is missing")
	}
	if d, ok := o.object("messageDigest"); ok {
		m.algorithm, m.digest = d.text("algorithm"), d.bytes("digest")
		if m.algorithm == "" || len(m.digest) == 0 {
			d.fail("", "has no algorithm or no digest")
		}
		d.end()
	}
	o.end()
	return m
}

func readEnvelope(o object) *envelope {
	e := &envelope{payloadType: o.text("payloadType"), payload: o.bytes("payload")}
	if e.payloadType == "" {
		o.fail("payloadType", "is missing")
	}
	list := o.objects("signatures", maxAttached)
	// SPEC: sigstore_bundle.proto: "a client MUST reject an envelope if the number
	// of signatures is not equal to one".
	if len(list) != 1 {
		o.fail("signatures", "has %d signatures; an envelope in a bundle has one", len(list))
		return e
	}
	s := list[0]
	e.signature, e.keyID = s.bytes("sig"), s.text("keyid")
	if len(e.signature) == 0 {
		s.fail("sig", "is missing")
	}
	s.end()
	o.end()
	return e
}

func (b *bundle) readMaterial(o object) {
	m, ok := o.object("verificationMaterial")
	if !ok {
		m.fail("", "is missing")
		return
	}
	b.readSigner(m)
	b.readLogEntries(m)
	if t, ok := m.object("timestampVerificationData"); ok {
		for _, s := range t.objects("rfc3161Timestamps", maxAttached) {
			b.timestamps = append(b.timestamps, s.bytes("signedTimestamp"))
			s.end()
		}
		t.end()
	}
	m.end()
}

// readLogEntries refuses one entry that is there twice, as others do who count
// them.
func (b *bundle) readLogEntries(m object) {
	for i, o := range m.objects("tlogEntries", maxLogEntries) {
		e := readLogEntry(o)
		same := func(other logEntry) bool { return e.index == other.index && bytes.Equal(e.keyID, other.keyID) }
		if at := slices.IndexFunc(b.entries, same); at >= 0 {
			m.fail("tlogEntries", "has the entry with logIndex %d of one log twice, as number %d and %d", e.index, at+1, i+1)
		}
		b.entries = append(b.entries, e)
	}
	if len(b.entries) == 0 {
		m.fail("tlogEntries", "is missing: the signature was not logged")
	}
}

func (b *bundle) readSigner(m object) {
	key, isKey := m.object("publicKey")
	leaf, isLeaf := m.object("certificate")
	chain, isChain := m.object("x509CertificateChain")
	switch {
	case isKey && !isLeaf && !isChain:
		b.hint = key.text("hint")
		key.end()
		if e := b.envelope; e != nil && e.keyID != "" && e.keyID != b.hint {
			// SPEC: sigstore_bundle.proto: "the key hints MUST be exactly the same".
			key.fail("hint", "is %.100q, and the envelope's keyid %.100q", b.hint, e.keyID)
		}
	case isLeaf && !isKey && !isChain:
		b.certificate = readCertificate(leaf)
	case isChain && !isKey && !isLeaf:
		b.readChain(chain)
	default:
		m.fail("", "must have one of publicKey, certificate and x509CertificateChain")
	}
}

func (b *bundle) readChain(o object) {
	if b.version == "0.3" {
		o.fail("", "is not for bundles of version 0.3, which have one certificate")
		return
	}
	list := o.objects("certificates", maxAttached)
	if len(list) == 0 {
		o.fail("certificates", "is missing")
		return
	}
	b.certificate = readCertificate(list[0])
	for _, c := range list[1:] {
		if c := readCertificate(c); c != nil {
			b.above = append(b.above, c)
		}
	}
	o.end()
}

func readCertificate(o object) *x509.Certificate {
	c, err := x509.ParseCertificate(o.bytes("rawBytes"))
	if err != nil {
		o.fail("rawBytes", "is no certificate: %w", err)
	} else if key, ok := c.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSA {
		o.fail("rawBytes", "has an RSA key of %d bits; up to %d are read", key.N.BitLen(), maxRSA)
	}
	o.end()
	return c
}

func readLogEntry(o object) logEntry {
	e := logEntry{
		index: o.number("logIndex"), integrated: o.number("integratedTime"), body: o.bytes("canonicalizedBody"),
	}
	if len(e.body) == 0 {
		o.fail("canonicalizedBody", "is missing")
	}
	id, _ := o.object("logId")
	e.keyID = id.bytes("keyId")
	id.end()
	kind, _ := o.object("kindVersion")
	e.kind, e.version = kind.text("kind"), kind.text("version")
	kind.end()
	if p, ok := o.object("inclusionPromise"); ok {
		if e.promise = p.bytes("signedEntryTimestamp"); len(e.promise) == 0 {
			p.fail("signedEntryTimestamp", "is missing")
		}
		p.end()
	}
	e.readProof(o)
	o.end()
	return e
}

func (e *logEntry) readProof(o object) {
	p, ok := o.object("inclusionProof")
	if !ok {
		p.fail("", "is missing; a log's mere promise proves nothing to others")
		return
	}
	e.proofIndex, e.size, e.root = p.number("logIndex"), p.number("treeSize"), p.bytes("rootHash")
	for i, value := range p.list("hashes", maxHashes) {
		e.hashes = append(e.hashes, readHash(p, fmt.Sprintf("hashes[%d]", i), value))
	}
	c, _ := p.object("checkpoint")
	e.note = []byte(c.text("envelope"))
	if len(e.note) == 0 {
		c.fail("envelope", "is missing: without a checkpoint no log vouches for the proof")
	}
	c.end()
	p.end()
}

func readHash(o object, name string, value json.RawMessage) (h merkle.Hash) {
	var s string
	if !strings.HasPrefix(string(value), `"`) || json.Unmarshal(value, &s) != nil {
		o.fail(name, "is not a string")
		return h
	}
	b := o.decode(name, s)
	if len(b) != len(h) {
		o.fail(name, "has %d bytes, and a hash has %d", len(b), len(h))
		return h
	}
	return merkle.Hash(b)
}
