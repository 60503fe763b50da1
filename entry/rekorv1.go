package entry

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"indelible/internal/strictjson"
)

// The versions of kinds.
const (
	version001 = "0.0.1"
	version002 = "0.0.2"
)

// NewRekorV1 admits what a client of Rekor v1 proposes, a JSON object with an
// apiVersion, a kind and a spec. It takes hashedrekord 0.0.1, dsse 0.0.1, intoto
// 0.0.2 and rekord 0.0.1. The memory it needs is proportional to what is
// proposed, which the caller limits.
func NewRekorV1(proposed []byte) (Entry, error) {
	p, err := ReadProposal(proposed)
	if err != nil {
		return Entry{}, err
	}
	return p.Entry()
}

// Proposal is what a client of Rekor v1 proposes, taken apart and no further:
// the JSON of its members. A member that is not there, or null, is nil.
type Proposal struct {
	Kind, APIVersion, Spec json.RawMessage
	Work                   Work // does the verifications of Entry; nil: at once
}

// ReadProposal takes a proposed entry apart, whatever its kind. It copies
// nothing, and looks at a bounded number of members.
func ReadProposal(proposed []byte) (Proposal, error) {
	p, err := readProposal(proposed)
	if err != nil {
		return Proposal{}, invalid(err)
	}
	return p, nil
}

func readProposal(data []byte) (p Proposal, err error) {
	if !utf8.Valid(data) {
		return p, errors.New("the proposed entry is not UTF-8")
	}
	if err := strictjson.Valid(data); err != nil {
		return p, fmt.Errorf("the proposed entry is not JSON: %w", err)
	}
	if err := readObject(data, []member{{"kind", &p.Kind}, {"apiVersion", &p.APIVersion}, {"spec", &p.Spec}}); err != nil {
		return p, fmt.Errorf("the proposed entry: %w", err)
	}
	for _, value := range []*json.RawMessage{&p.Kind, &p.APIVersion, &p.Spec} {
		if !has(*value) {
			*value = nil
		}
	}
	return p, nil
}

// Entry admits what was proposed, as NewRekorV1 does.
func (p Proposal) Entry() (Entry, error) {
	t, err := p.typed()
	if err != nil {
		return Entry{}, invalid(err)
	}
	admit := t.admitter()
	if admit == nil {
		return Entry{}, invalid(fmt.Errorf("the kind %.40q with the apiVersion %.40q is not served; %s", string(t.kind), t.version, servedV1))
	}
	canonical, err := admit(p.Work, t.spec)
	if err != nil {
		return Entry{}, invalid(fmt.Errorf("%s %s: %w", t.kind, t.version, err))
	}
	return newEntry(t.kind, t.version, canonical)
}

// proposal is a Proposal with what it is of.
type proposal struct {
	kind    Kind
	version string
	spec    json.RawMessage
}

func (p Proposal) typed() (proposal, error) {
	kind, err := p.text("kind", p.Kind)
	if err != nil {
		return proposal{}, err
	}
	version, err := p.text("apiVersion", p.APIVersion)
	return proposal{Kind(kind), version, p.Spec}, err
}

func (Proposal) text(name string, value json.RawMessage) (string, error) {
	if value == nil {
		return "", fmt.Errorf("the proposed entry has no %s; %s", name, servedV1)
	}
	var s *string
	if err := (member{name, &s}).read(value); err != nil {
		return "", fmt.Errorf("the proposed entry: its member %q: %w", name, err)
	}
	return *s, nil
}

const servedV1 = "served are hashedrekord 0.0.1, dsse 0.0.1, intoto 0.0.2 and rekord 0.0.1"

func (p proposal) admitter() func(w Work, spec json.RawMessage) ([]byte, error) {
	switch {
	case p.kind == KindHashedRekord && p.version == version001:
		return admitHashedRekordV1
	case p.kind == KindDSSE && p.version == version001:
		return admitDSSEV1
	case p.kind == KindIntoto && p.version == version002:
		return admitIntoto
	case p.kind == KindRekord && p.version == version001:
		return admitRekord
	}
	return nil
}

// specReader reads the members of a spec, until one is wrong. Its errors begin
// with where that member is.
type specReader struct {
	kind Kind
	err  error
}

func (r *specReader) fail(path, format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(path+" "+format, args...)
	}
}

// has reports whether an optional member is there.
func has(raw json.RawMessage) bool { return len(raw) > 0 && !bytes.Equal(raw, []byte("null")) }

func (r *specReader) object(path string, raw json.RawMessage, members ...member) {
	switch {
	case r.err != nil:
	case !has(raw):
		r.fail(path, "is missing")
	default:
		if err := readObject(raw, members); err != nil {
			r.fail(path, "is wrong: %w", err)
		}
	}
}

func (r *specReader) text(path string, s *string) string {
	if s == nil || *s == "" {
		r.fail(path, "is missing")
		return ""
	}
	return *s
}

// bytes reads standard base64. Line breaks and stray bits in it do not matter,
// since it is written again.
func (r *specReader) bytes(path string, s *string) []byte {
	b, err := base64.StdEncoding.DecodeString(r.text(path, s))
	switch {
	case err != nil:
		r.fail(path, "is not standard base64 with padding: %w", err)
	case len(b) == 0:
		r.fail(path, "is empty")
	}
	return b
}

func (r *specReader) digest(path string, raw json.RawMessage) (hash crypto.Hash, digest []byte) {
	var algorithm, value *string
	r.object(path, raw, member{"algorithm", &algorithm}, member{"value", &value})
	h := hashV1{r.text(path+".algorithm", algorithm), r.text(path+".value", value)}
	if r.err == nil {
		var err error
		if hash, digest, err = h.parse(); err != nil {
			r.fail(path, "is wrong: %w", err)
		}
	}
	return hash, digest
}

// signer reads the base64 of a PEM text, and returns the text too.
func (r *specReader) signer(path string, s *string) (signer Signer, text []byte) {
	text = r.bytes(path, s)
	if r.err == nil {
		var err error
		if signer, err = signerOfPEM(text, r.kind); err != nil {
			r.fail(path, "is wrong: %w", err)
		}
	}
	return signer, text
}

// list reads a list of 1 to 10, one by one.
func (r *specReader) list(path string, raw json.RawMessage, read func(path string, value json.RawMessage)) {
	if !has(raw) {
		r.fail(path, "is missing")
	}
	if r.err != nil {
		return
	}
	n := 0
	err := strictjson.Elements(raw, func(value []byte) error {
		if n++; n > MaxSignatures {
			return fmt.Errorf("it has more than %d; at most %d are taken", MaxSignatures, MaxSignatures)
		}
		read(fmt.Sprintf("%s[%d]", path, n-1), value)
		return r.err
	})
	switch {
	case errors.Is(err, strictjson.ErrKind):
		r.fail(path, "is wrong: it is not a list")
	case err != nil:
		r.fail(path, "is wrong: %w", err)
	case n == 0:
		r.fail(path, "is empty; give 1 to %d", MaxSignatures)
	}
}

// proposedRekord is what a proposed hashedrekord or rekord says.
type proposedRekord struct {
	entry   rekordV1
	signer  Signer
	hash    crypto.Hash
	digest  []byte         // of a hashedrekord
	content *signedMessage // of a rekord
}

func admitHashedRekordV1(w Work, spec json.RawMessage) ([]byte, error) {
	var p proposedRekord
	if err := w.read(len(spec), func() error { return p.readHashed(spec) }); err != nil {
		return nil, err
	}
	if err := p.signer.verifyChainBy(w); err != nil {
		return nil, err
	}
	sig := p.entry.Signature.Content
	if err := w.do(p.signer.cost(0)+p.signer.explainCost(sig), func() error { return p.signer.verifyHashed(p.hash, p.digest, sig) }); err != nil {
		return nil, err
	}
	return canonicalRekordV1(hashedRekordV1Prefix, p.entry), nil
}

func (p *proposedRekord) readHashed(spec json.RawMessage) error {
	r := &specReader{kind: KindHashedRekord}
	var data, hash, signature, key json.RawMessage
	var sig, content *string
	r.object("spec", spec, member{"data", &data}, member{"signature", &signature})
	r.object("spec.data", data, member{"hash", &hash})
	p.hash, p.digest = r.digest("spec.data.hash", hash)
	r.object("spec.signature", signature, member{"content", &sig}, member{"publicKey", &key})
	r.object("spec.signature.publicKey", key, member{"content", &content})
	j := &p.entry
	j.Signature.Content = r.bytes("spec.signature.content", sig)
	p.signer, _ = r.signer("spec.signature.publicKey.content", content)
	if r.err != nil {
		return r.err
	}
	if want := p.signer.KeyDetails.hash(); p.hash != want {
		return fmt.Errorf("%w: spec.data.hash.algorithm is %q, and the key in spec.signature.publicKey, %s, signs digests by %q%s",
			ErrAlgorithm, hashNameV1(p.hash), p.signer.KeyDetails, hashNameV1(want), p.signer.explainEd25519())
	}
	j.Data.Hash, j.Signature.PublicKey.Content = newHashV1(p.hash, p.digest), p.signer.pem()
	return nil
}

// verifyChainBy is verifyChain as a step of work.
func (s Signer) verifyChainBy(w Work) error {
	if len(s.Chain) == 0 {
		return nil
	}
	return w.do(s.chainCost(), func() error {
		if err := s.verifyChain(); err != nil {
			return fmt.Errorf("spec.signature.publicKey.content is wrong: %w", err)
		}
		return nil
	})
}

func (s Signer) verifyHashed(h crypto.Hash, digest, sig []byte) error {
	if err := s.verifyDigest(digest, sig); err != nil {
		return fmt.Errorf("spec.signature.content is wrong: %w over the %s digest %x with the %s key in spec.signature.publicKey%s%s",
			err, hashNameV1(h), digest, s.KeyDetails, s.explainDigest(h, digest, sig), s.explainEd25519())
	}
	return nil
}
