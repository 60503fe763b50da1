package entry

import (
	"bytes"
	"crypto"
	"encoding/json"
	"fmt"
	"io"
)

// formatX509 is Rekor v1's name of PEM keys and certificates.
const formatX509 = "x509"

func admitRekord(w Work, spec json.RawMessage) ([]byte, error) {
	var p proposedRekord
	if err := w.read(len(spec), func() error { return p.readWhole(spec) }); err != nil {
		return nil, err
	}
	if err := p.signer.verifyChainBy(w); err != nil {
		return nil, err
	}
	content, sig := p.content, p.entry.Signature.Content
	c := newChecker(w, content, [][]byte{sig}, []Signer{p.signer})
	if err := c.verify(p.signer, sig); err != nil {
		return nil, c.failed(fmt.Errorf("spec.signature.content is wrong: %w over the %d bytes of spec.data.content with the %s key in spec.signature.publicKey",
			err, len(content.text), p.signer.KeyDetails), p.signer, sig)
	}
	return canonicalRekordV1(rekordPrefix, p.entry), nil
}

func (p *proposedRekord) readWhole(spec json.RawMessage) error {
	r := &specReader{kind: KindRekord}
	var data, hash, signature, key, dataURL, sigURL, keyURL json.RawMessage
	var format, artifact, sig, keyContent *string
	r.object("spec", spec, member{"data", &data}, member{"signature", &signature})
	r.object("spec.data", data, member{"hash", &hash}, member{"content", &artifact}, member{"url", &dataURL})
	r.object("spec.signature", signature, member{"format", &format}, member{"content", &sig}, member{"publicKey", &key}, member{"url", &sigURL})
	r.object("spec.signature.publicKey", key, member{"content", &keyContent}, member{"url", &keyURL})
	r.noURL("spec.data", dataURL)
	r.noURL("spec.signature", sigURL)
	r.noURL("spec.signature.publicKey", keyURL)
	j := &p.entry
	if j.Signature.Format = r.text("spec.signature.format", format); j.Signature.Format != formatX509 {
		r.fail("spec.signature.format", "is %.40q; only %q is served: a PEM public key or certificate", j.Signature.Format, formatX509)
	}
	j.Signature.Content = r.bytes("spec.signature.content", sig)
	p.content = newMessage(r.bytes("spec.data.content", artifact))
	p.signer, _ = r.signer("spec.signature.publicKey.content", keyContent)
	j.Data.Hash = r.artifactHash(hash, p.content)
	j.Signature.PublicKey.Content = p.signer.pem()
	return r.err
}

// noURL refuses what the first clients of Rekor could write in place of a
// content. A log that fetched it would be told by anybody what to ask whom.
func (r *specReader) noURL(path string, url json.RawMessage) {
	if has(url) {
		r.fail(path+".url", "is %.100q: this log fetches nothing; give %s.content", url, path)
	}
}

// artifactHash returns the hash of an artifact, which must be the one that the
// client gave, if it did.
func (r *specReader) artifactHash(raw json.RawMessage, content *signedMessage) hashV1 {
	sum := content.digest(crypto.SHA256)
	if has(raw) {
		if hash, digest := r.digest("spec.data.hash", raw); r.err == nil && (hash != crypto.SHA256 || !bytes.Equal(digest, sum)) {
			r.fail("spec.data.hash", "is %s:%x; the %d bytes of spec.data.content have sha256:%x", hashNameV1(hash), digest, len(content.text), sum)
		}
	}
	return newHashV1(crypto.SHA256, sum)
}

// RekordBody is what the canonical bytes of a rekord say.
type RekordBody struct {
	Algorithm string // of the digest: SHA2_256
	Digest    []byte
	Signature []byte // over the artifact, not over the digest
	Signer    Signer
}

// MatchArtifact checks that the entry is of this artifact.
func (b *RekordBody) MatchArtifact(artifact io.Reader) error {
	return matchDigest(artifact, b.Algorithm, b.Digest)
}

// Verify checks the signature over the artifact.
func (b *RekordBody) Verify(artifact []byte) error {
	return b.Signer.verifyMessage(newMessage(artifact), b.Signature)
}
