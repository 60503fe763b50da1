package verify

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"indelible/checkpoint"
	"indelible/entry"
	"indelible/merkle"
)

// VerifyBundle is Verify for a file in Sigstore's bundle format, or with several such
// bundles (BundlesIn), of which one must pass all checks. The artifact of
// an envelope is what its statement is about, or, if it holds no in-toto
// statement, its payload. Of several entries of logs one must pass all checks; which
// of the others do not, and why, is said.
func VerifyBundle(artifact io.Reader, data []byte, trust Trust) (Result, error) {
	if err := trust.check(); err != nil {
		return Result{}, err
	}
	d, err := digest(artifact)
	if err != nil {
		return Result{}, err
	}
	return d.verify(data, trust), nil
}

// VerifyBundleOf is VerifyBundle for an artifact of which the SHA-256 is known alone, as
// an image's in a registry is.
func VerifyBundleOf(sha256 [32]byte, data []byte, trust Trust) (Result, error) {
	if err := trust.check(); err != nil {
		return Result{}, err
	}
	return digests{sha256: sha256[:]}.verify(data, trust), nil
}

// verify is the result of the first bundle that verifies; or of that which comes
// farthest, those of the artifact first.
func (d digests) verify(data []byte, trust Trust) (farthest Result) {
	list, most := BundlesIn(data), -1
	for i, one := range list {
		r := d.verifyOne(one, trust)
		if len(list) > 1 {
			r.Checks[0].Detail += fmt.Sprintf("; it is number %d of the file's %d bundles", i+1, len(list))
		}
		if r.Verified {
			return r
		}
		far := r.passed()
		if slices.ContainsFunc(r.Checks, func(c Check) bool { return c.Name == "artifact" && c.State == Passed }) {
			far += 100
		}
		if far > most {
			farthest, most = r, far
		}
	}
	if len(list) > 1 {
		farthest.note("bundles", Warned, "none of the file's %d bundles passes all checks; these are of the one that comes farthest", len(list))
	}
	return farthest
}

func (d digests) verifyOne(data []byte, trust Trust) Result {
	v, err := bundled{verification: verification{trust: trust}, digests: d}, error(nil)
	if v.bundle, err = parseBundle(data); err != nil {
		v.fail("bundle", BadBundle, fmt.Errorf("the bundle is not valid: %w", err))
		v.skipRest(bundleChecks()...)
		return v.Result
	}
	var all []Result
	for i := range v.bundle.entries {
		one := v // the results of one entry are no other's
		one.verify(i)
		all = append(all, one.Result)
	}
	return best(all)
}

// best is the result of the first entry that verifies, with what is wrong with the
// others; or of that which comes farthest.
func best(all []Result) Result {
	i := slices.IndexFunc(all, func(r Result) bool { return r.Verified })
	if i < 0 {
		return slices.MaxFunc(all, func(a, b Result) int { return a.passed() - b.passed() })
	}
	var wrong []string
	for n, other := range all {
		if f := other.Failed(); f != nil {
			wrong = append(wrong, fmt.Sprintf("number %d of %d fails the %s check: %s", n+1, len(all), f.Name, f.Detail))
		}
	}
	if len(wrong) > 0 {
		all[i].note("entries", Warned, "of the bundle's entries of logs, on which nothing rests here, %s", strings.Join(wrong, "; "))
	}
	return all[i]
}

// BundleOrigins are the names of the logs that a file's bundles say they are from, each
// once, to look their keys up by. Nothing of it is verified. Of several bundles those
// that are not valid are passed over.
func BundleOrigins(data []byte) (names []string, err error) {
	list := BundlesIn(data)
	for _, one := range list {
		b, wrong := parseBundle(one)
		if wrong != nil && len(list) == 1 {
			return nil, fmt.Errorf("the bundle is not valid: %w", wrong)
		}
		for _, e := range b.entries {
			if origin := originOf(e.note); wrong == nil && !slices.Contains(names, origin) {
				names = append(names, origin)
			}
		}
	}
	return names, nil
}

func bundleChecks() []string {
	return []string{"bundle", "entry", "artifact", "signature", "checkpoint", "witnesses", "inclusion", "time", "timestamp", "signer"}
}

// passed counts the checks that passed.
func (r Result) passed() (n int) {
	for _, c := range r.Checks {
		if c.State == Passed {
			n++
		}
	}
	return n
}

// bundled is the verification of one entry of a bundle.
type bundled struct {
	verification
	bundle  bundle
	digests digests
	logged  logEntry
	keys    []checkpoint.Verifier // of the log, that signed the checkpoint
	stamps  []int64               // when timestamp authorities saw the signature, in POSIX seconds
}

func (v *bundled) verify(i int) {
	v.logged = v.bundle.entries[i]
	v.proof = checkpoint.Proof{Extra: v.logged.body, Index: v.logged.proofIndex, Hashes: v.logged.hashes, Checkpoint: v.logged.note}
	v.note("bundle", Passed, "in Sigstore's format, version %s%s", v.bundle.version, v.which(i))
	for _, step := range []func() error{
		v.matchEntry, v.matchSubject, v.verifySignature, v.open, v.checkWitnesses, v.include, v.findTime, v.findStamps, v.checkPeriod, v.matchSignerThen,
	} {
		if step() != nil {
			v.skipRest(bundleChecks()...)
			return
		}
	}
	v.Verified = true
}

// which says which entry of several this is about.
func (v *bundled) which(i int) string {
	if n := len(v.bundle.entries); n > 1 {
		return fmt.Sprintf("; of its %d entries of logs this is number %d", n, i+1)
	}
	return ""
}

// matchEntry checks that what was logged is what the bundle shows.
func (v *bundled) matchEntry() (err error) {
	e := v.logged
	if v.parsed, err = entry.Parse(e.body); err != nil {
		return v.fail("entry", BadEntry, fmt.Errorf("the bundle's canonicalizedBody is no entry: %w", err))
	}
	leaf := merkle.LeafHash(e.body)
	v.Kind, v.Index, v.LeafHash = v.parsed.Kind, e.proofIndex, leaf[:]
	if string(v.parsed.Kind) != e.kind || v.parsed.Version != e.version {
		return v.fail("entry", BadEntry, fmt.Errorf("the bundle says that the entry is a %.50q %.50q, and it is a %s %s", e.kind, e.version, v.parsed.Kind, v.parsed.Version))
	}
	if err := v.matchContent(); err != nil {
		return v.fail("entry", OtherSignature, fmt.Errorf("the log has another signature than the bundle: %w", err))
	}
	v.note("entry", Passed, "a canonical %s entry of the bundle's signature, with leaf hash %x…", v.Kind, leaf[:8])
	return nil
}

// matchContent compares the entry with the bundle's content.
func (v *bundled) matchContent() error {
	b, p := v.bundle, v.parsed
	switch {
	case b.message != nil && p.HashedRekord != nil:
		if err := b.message.match(p.HashedRekord); err != nil {
			return err
		}
	case b.envelope != nil && p.HashedRekord != nil:
		if !bytes.Equal(b.envelope.signature, p.HashedRekord.Signature) {
			return errors.New("its signature is not the envelope's")
		}
		if err := p.HashedRekord.MatchArtifact(bytes.NewReader(b.envelope.pae())); err != nil {
			return fmt.Errorf("the envelope is not what was signed: %w", err)
		}
	case b.envelope != nil && p.DSSE != nil:
		if err := b.envelope.match(p.DSSE); err != nil {
			return err
		}
	case b.envelope != nil && p.Intoto != nil:
		if got := p.Intoto.PayloadType; got != b.envelope.payloadType {
			return fmt.Errorf("its payloadType is %.100q, and the envelope's %.100q", got, b.envelope.payloadType)
		}
		if err := b.envelope.match(&p.Intoto.DSSEBody); err != nil {
			return err
		}
	default:
		return fmt.Errorf("a %s entry does not belong to such a bundle", v.Kind)
	}
	return v.matchVerifier(p.Signers()[0])
}

// match compares a signature with the entry.
func (m *messageSignature) match(e *entry.HashedRekordBody) error {
	switch {
	case !bytes.Equal(m.signature, e.Signature):
		return errors.New("its signature is not the bundle's")
	case m.digest != nil && (m.algorithm != e.Algorithm || !bytes.Equal(m.digest, e.Digest)):
		return fmt.Errorf("its digest is %s %x, and the bundle's %.50q %.64x", e.Algorithm, e.Digest, m.algorithm, m.digest)
	}
	return nil
}

func (e *envelope) pae() []byte { return entry.PAE(e.payloadType, e.payload) }

// match compares an envelope with the entry. The digest of the envelope that
// Rekor v1 logs besides is of bytes that no bundle keeps.
func (e *envelope) match(b *entry.DSSEBody) error {
	if n := len(b.Signatures); n != 1 {
		return fmt.Errorf("it has %d signatures, and the envelope one", n)
	}
	if !bytes.Equal(b.Signatures[0].Signature, e.signature) {
		return errors.New("its signature is not the envelope's")
	}
	d, err := digest(bytes.NewReader(e.payload))
	if err == nil && !bytes.Equal(d.by(b.PayloadAlgorithm), b.PayloadDigest) {
		err = fmt.Errorf("its payload has the %s digest %x, and the envelope's another", b.PayloadAlgorithm, b.PayloadDigest)
	}
	return err
}

// matchVerifier compares who signed, as the bundle and as the entry have it. A
// bundle without a certificate leaves the key to be known from elsewhere; its
// No signature covers hint.
func (v *bundled) matchVerifier(logged entry.Signer) error {
	switch c := v.bundle.certificate; {
	case c == nil && logged.Certificate != nil:
		return errors.New("it is by a certificate, which the bundle lacks")
	case c != nil && logged.Certificate == nil:
		return errors.New("it is by a bare key, and the bundle has a certificate")
	case c != nil && !c.Equal(logged.Certificate):
		return fmt.Errorf("its certificate, of %.200s, has the SHA-256 %x, and the bundle's, of %.200s, %x", named(logged.Certificate), sha256.Sum256(logged.Certificate.Raw), named(c), sha256.Sum256(c.Raw))
	}
	return nil
}

func named(c *x509.Certificate) string { return strings.Join(entry.SubjectNames(c), ", ") }

func (v *bundled) matchSubject() error {
	what, err := "its digest is the entry's", error(nil)
	if v.bundle.envelope != nil {
		what, err = v.bundle.envelope.isAbout(v.digests)
	} else if e := v.parsed.HashedRekord; v.digests.by(e.Algorithm) == nil {
		err = fmt.Errorf("the entry has its %s digest; give the artifact itself, and not its sha256", e.Algorithm)
	} else if !bytes.Equal(v.digests.by(e.Algorithm), e.Digest) {
		err = fmt.Errorf("its %s digest is %x, and the entry is of %x", e.Algorithm, v.digests.by(e.Algorithm), e.Digest)
	}
	if err != nil {
		return v.fail("artifact", OtherArtifact, fmt.Errorf("this is not the artifact that was signed: %w", err))
	}
	v.note("artifact", Passed, "%s", what)
	return nil
}

func (v *bundled) verifySignature() error {
	over, err := "digest", error(nil)
	switch p := v.parsed; {
	case p.HashedRekord != nil:
		err = p.HashedRekord.Verify()
	case p.DSSE != nil:
		err = p.DSSE.Signatures[0].Verify(v.bundle.envelope.pae())
	default:
		err = p.Intoto.Signatures[0].Verify(v.bundle.envelope.pae())
	}
	if err != nil {
		return v.fail("signature", BadSignature, err)
	}
	if v.bundle.envelope != nil {
		over = "envelope"
	}
	v.note("signature", Passed, "%s over the %s", v.parsed.Signers()[0].KeyDetails, over)
	return nil
}

// open opens the checkpoint, and compares what the bundle says of it.
func (v *bundled) open() error {
	if err := v.openEither(); err != nil {
		return err
	}
	if why := v.differs(); why != "" {
		return v.fail("checkpoint", OtherCheckpoint, fmt.Errorf("the bundle says something else than its checkpoint: %s", why))
	}
	if v.Origin = v.opened.Origin; v.rekorV1 {
		v.note("checkpoint", Passed, "signed by Rekor v1 %s at size %d", v.Origin, v.opened.Size)
	} else {
		v.note("checkpoint", Passed, "signed by log %s at size %d", v.Origin, v.opened.Size)
	}
	v.Size = v.opened.Size
	return nil
}

func (v *bundled) openEither() error {
	origin := originOf(v.logged.note)
	if v.host, v.rekorV1 = hostV1(origin); !v.rekorV1 {
		v.host = origin
	} else if v.trust.asksWitnesses() {
		v.note("checkpoint", NotChecked, "it is Rekor v1's, of %.255q", origin)
		return v.fail("witnesses", FewWitnesses, errors.New("checkpoints of Rekor v1 carry no witnesses' cosignatures, and the policy asks for them: sign with Rekor v2"))
	}
	logs, err := v.trust.named(v.host)
	if err == nil {
		err = v.openWith(func(cosigners []checkpoint.Verifier) (checkpoint.Opened, error) {
			return v.openAs(origin, logs, cosigners)
		})
	}
	if err != nil {
		return v.fail("checkpoint", NoTrustedLog, v.noLog(v.logged.note, err))
	}
	for _, k := range v.opened.Verified {
		if k.Name() == v.host && logID(k) != nil {
			v.keys = append(v.keys, k)
		}
	}
	return nil
}

func (v *bundled) openAs(origin string, logs, cosigners []checkpoint.Verifier) (checkpoint.Opened, error) {
	if !v.rekorV1 {
		return checkpoint.Open(v.logged.note, logs, cosigners...)
	}
	var keys []checkpoint.Verifier
	for _, k := range logs {
		if k.Name() == v.host && k.Algorithm() == checkpoint.ECDSA {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return checkpoint.Opened{}, fmt.Errorf("it is Rekor v1's, of %.255q; its ECDSA key, as PEM or as a vkey of the name %.255q, was not given", origin, v.host)
	}
	// Rekor v1's notes can have extension lines, as older ones have a Timestamp.
	// Its key, which no witness's stands beside, signs them with the rest.
	return checkpoint.OpenExtended(origin, v.logged.note, keys)
}

// idOfLog reports whether an id is of a key that signed the checkpoint. A log may have
// a key that is not trusted here beside the one that is: then the id begins as the key id of
// that signature line.
func (v *bundled) idOfLog(id []byte) bool {
	if len(v.keys) == 0 || slices.ContainsFunc(v.keys, func(k checkpoint.Verifier) bool { return bytes.Equal(id, logID(k)) }) {
		return true
	}
	n, err := checkpoint.ParseNote(v.logged.note)
	return err == nil && len(id) == sha256.Size && slices.ContainsFunc(n.Signatures, func(s checkpoint.Signature) bool {
		verified := slices.ContainsFunc(v.keys, func(k checkpoint.Verifier) bool { return s.KeyID == k.KeyHash() })
		return !verified && s.Name == v.host && s.KeyID == binary.BigEndian.Uint32(id)
	})
}

// differs says where the bundle says something else than the checkpoint; else
// nothing.
func (v *bundled) differs() string {
	e, o := v.logged, v.opened
	switch {
	case !v.idOfLog(e.keyID):
		return fmt.Sprintf("logId is %.32x, and the log's that signed it %x", e.keyID, logID(v.keys[0]))
	case e.size != o.Size:
		return fmt.Sprintf("treeSize is %d, and the checkpoint's %d", e.size, o.Size)
	case !bytes.Equal(e.root, o.Root[:]):
		return fmt.Sprintf("rootHash is %.32x, and the checkpoint's %x", e.root, o.Root)
	case !v.rekorV1 && e.index != e.proofIndex:
		return fmt.Sprintf("logIndex is %d, and the proof's %d", e.index, e.proofIndex)
	}
	return ""
}

// findTime finds by when the entry was logged.
func (v *bundled) findTime() error {
	switch e := v.logged; {
	case v.rekorV1 && e.promise != nil:
		if !v.kept() {
			return v.fail("time", BadPromise, errors.New("the log's promise (signedEntryTimestamp) does not verify: logIndex, integratedTime or the promise itself is not as it was signed"))
		}
		v.Time, v.promised = e.integrated, e.integrated
		v.note("time", Passed, "logged at %d (seconds since 1970, UTC), as Rekor v1 signed", v.Time)
	case v.rekorV1:
		v.note("time", NotChecked, "the bundle lacks Rekor v1's promise, without which nothing vouches for its integratedTime")
	case e.promise != nil || e.integrated != 0:
		return v.fail("time", BadPromise, fmt.Errorf("the bundle has an integratedTime of %d or a promise, and nothing that this log signs bears it out", e.integrated))
	default:
		v.findCosigned()
	}
	return nil
}

// kept reports whether a key that signed the checkpoint signed the promise.
func (v *bundled) kept() bool {
	for _, k := range v.keys {
		if bytes.Equal(logID(k), v.logged.keyID) && k.Verify(v.logged.promised(), v.logged.promise) {
			return true
		}
	}
	return false
}

// matchSignerThen compares who signed, now that it is known by when.
func (v *bundled) matchSignerThen() error {
	v.then = &moment{v.proven(), v.bundle.above, v.untimed()}
	return v.matchSigner()
}

// untimed says what is missing where no time is proven.
func (v *bundled) untimed() string {
	switch {
	case v.rekorV1:
		return "the bundle lacks the promise that Rekor v1 signs"
	case len(v.bundle.timestamps) > 0:
		return "Rekor v2 signs no time, and no timestamp authority is trusted, whose timestamps the bundle has; witnesses, whom a policy asks for, sign times too"
	}
	return "Rekor v2 signs no time, and the bundle has no timestamp of RFC 3161; witnesses, whom a policy asks for, sign times too"
}
