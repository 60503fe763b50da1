// Package verify decides, offline, whether an artifact was signed by somebody
// who is trusted and logged in a log that is trusted. Pure: it reads the
// artifact it is given, and nothing else; no network, no clock, no files.
//
// Verify takes a proof file (C2SP tlog-proof) whose extra line carries the
// logged entry, and goes through these checks in order:
//
//	entry        the extra line is a canonical entry
//	artifact     the entry is of this artifact
//	signature    the entry's signature verifies
//	signer       the signature's key is one that is trusted
//	checkpoint   a log that is trusted signed the checkpoint
//	witnesses    the policy's quorum cosigned it (with a policy)
//	inclusion    the entry is in the checkpoint's tree
//	time         by when it was logged, if somebody who is trusted signed that
//	period       the log's key was in use then, if it is trusted for a time only
//
// VerifyBundle takes a file in Sigstore's bundle format, as cosign and Sigstore's
// libraries write it, or with several bundles. A bundle says everything twice, as its own content and as
// what was logged, and must say the same. Its checks are:
//
//	bundle       it is in the format, to the letter
//	entry        the logged entry is canonical, and of the bundle's content
//	artifact     it is the artifact that was signed, or a subject of the statement
//	signature    the signature verifies, over the artifact or the DSSE envelope
//	checkpoint   a log that is trusted signed the checkpoint
//	witnesses    the policy's quorum cosigned it (with a policy)
//	inclusion    the entry is in the checkpoint's tree
//	time         by when it was logged, if somebody who is trusted signed that
//	timestamp    by when it was signed, if a timestamp authority that is trusted says so
//	period       the log's key was in use then, if it is trusted for a time only
//	signer       the signature's key is one that is trusted
//	sct          a CT log that is trusted promised to publish its certificate, if
//	             any is (Signer.CTLogs); of proof files too
//	entries      what is wrong with other entries in the bundle: a warning
//
// One entry of a bundle must pass all of them. Both stop at the first check that fails, and say that those after it were not
// made. A line of a witness that the policy names must be right and be there once: else
// the witnesses fail, whatever the log signed.
//
// # Certificates and time
//
// A certificate for ten minutes says who had a key in these ten minutes, and no
// bundle says when a signature was made: only by when it was there. If that was
// while the certificate was valid, the signature is its owner's. So the signer
// of a bundle is known by a certificate only if a time is proven, by
//
//	Rekor v1     the log's promise, which has the time when the entry came in
//	witnesses    the earliest time by which a quorum of the policy had cosigned;
//	             to backdate it, a quorum would have to lie
//	the log      its own timestamped signature, if no witnesses are asked for
//	timestamps   of RFC 3161, over the signature, by an authority that is trusted
//
// and the certificate, and all above it, were valid then, for code signing or for
// all usages. Each of these times says that the signature was there by then, and no
// more: where several are proven the earliest decides, and a later one contradicts
// nothing, as of an entry that was published when the witnesses were back after days.
// The log's own word (its promise, or its signature that no witness bears out) decides
// only where nobody else says a time. No time may be from before the certificate. Of a
// proof file Verify asks for
// neither time nor usage, and says so of the time.
//
// # The period of a log's key
//
// A trusted root says from when to when a log's key is trusted (ListedLog). Whoever
// has a retired key can sign a checkpoint today, so the period is held against a time
// of the checkpoint, and never against a timestamp of RFC 3161, which is of the
// artifact's signature and can be older:
//
//	witnesses    the time by which a quorum of the policy had cosigned
//	Rekor v1     the promise's, which is the log's own word, and said to be
//
// A time outside of the period is a failure. Without one, Now alone decides: a period
// that is still to come is a failure, and one that has no beginning and did not end
// passes. Else the period is not checked, and that is said. A period that ended is
// not checked either, as Sigstore's clients look at nothing but Rekor v1's promise:
// were it a failure, all proofs that have no witnesses would be void with the key that
// made them, and nobody would put an end to a period. Whoever must know asks for
// witnesses. A key that fell into wrong hands must not be listed at all.
//
// Reading timestamps takes more than a pure package may import: verify/timestamp
// does it, and is handed in. verify/trustedroot reads Sigstore's trusted_root.json
// as what Trust has of logs, authorities and timestamp authorities.
//
// # Rekor v1
//
// One entry can come with a checkpoint of Rekor v2's, which is the log's own, or
// of Rekor v1's, which another key of the log's signed and no witness ever sees.
// So a policy that asks for witnesses refuses all bundles of Rekor v1.
//
// Its checkpoint may have extension lines, which that key signs with the rest. No
// other's may: not all cosignatures cover them.
//
// "Somebody signed it and somebody logged it" proves nothing: without a log and
// a signer to compare with, Verify refuses.
package verify

import (
	"bytes"
	"cmp"
	"crypto"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"indelible/checkpoint"
	"indelible/entry"
	"indelible/merkle"
)

// Trust is whom the verifier trusts.
type Trust struct {
	// Logs are the keys of trusted logs. Policy stands in for them where it is
	// set, and asks for witnesses as well.
	Logs   []checkpoint.Verifier
	Policy *checkpoint.Policy
	// BareKeys are keys of trusted logs whose names are not known, as Sigstore
	// hands them around: of any log that signs with them, Rekor v1's included.
	BareKeys []crypto.PublicKey
	// Listed are the logs of a trusted root.
	Listed []ListedLog
	// Timestamps are the timestamp authorities of which one must have stamped a
	// bundle's signature, if it has timestamps. Without any, those are not read.
	Timestamps []TimestampAuthority
	// Signers: one of them must have signed. Raw entries are not signed, and
	// need AnySigner.
	Signers   []Signer
	AnySigner bool
	// Now is the present time, in POSIX seconds, since there is no clock here: a
	// listed log's key that is yet to come is trusted for nothing. Without it (0)
	// that is not noticed.
	Now int64
}

// ListedLog is a log as Sigstore's trusted root has it: by a key and an id, for a
// time.
type ListedLog struct {
	Key crypto.PublicKey
	// ID is what bundles call the log by, or the first four bytes of it. That of an
	// Ed25519 key is made of the log's name too, which binds it to that name.
	ID []byte
	// Valid is when the key was in use. A time of the checkpoint that is proven must
	// be within.
	Valid Period
}

// TimestampAuthority is a timestamp authority that is trusted. Stamped returns the
// time, in POSIX seconds, at which a timestamp of its says that the bytes of a
// signature were there, or why it does not. See verify/timestamp.
type TimestampAuthority interface {
	Stamped(response, signature []byte) (seconds int64, err error)
}

// ErrNoTrust: there is nothing to compare with.
var ErrNoTrust = errors.New("nothing to compare with")

// check refuses to verify against nobody.
func (t Trust) check() error {
	if len(t.Logs)+len(t.BareKeys)+len(t.Listed) == 0 && (t.Policy == nil || len(t.Policy.Logs) == 0) {
		return fmt.Errorf("%w: no log is trusted", ErrNoTrust)
	}
	if _, err := t.named("log"); err != nil {
		return fmt.Errorf("%w: %w", ErrNoTrust, err)
	}
	if len(t.Signers) == 0 && !t.AnySigner {
		return fmt.Errorf("%w: no signer is trusted", ErrNoTrust)
	}
	for _, s := range t.Signers {
		if s.Fingerprint == "" && s.Identity == "" {
			return fmt.Errorf("%w: a signer has neither a fingerprint nor an identity", ErrNoTrust)
		}
	}
	return nil
}

// named are the keys that may sign for a log of this name.
func (t Trust) named(name string) ([]checkpoint.Verifier, error) {
	var list []checkpoint.Verifier
	if t.Policy == nil {
		list = slices.Clone(t.Logs)
	} else {
		for _, l := range t.Policy.Logs {
			list = append(list, l.Key)
		}
	}
	for _, pub := range t.BareKeys {
		v, err := checkpoint.NewVerifier(name, pub)
		if err != nil {
			return nil, fmt.Errorf("the key of a log: %w", err)
		}
		list = append(list, v)
	}
	for _, l := range t.Listed {
		v, err := checkpoint.NewVerifier(name, l.Key)
		if err != nil {
			return nil, fmt.Errorf("the key of a log: %w", err)
		}
		if l.is(v) {
			list = append(list, v)
		}
	}
	return list, nil
}

// is reports whether a key is a listed log's, under the name that it has.
func (l ListedLog) is(v checkpoint.Verifier) bool {
	k, err := checkpoint.NewVerifier(v.Name(), l.Key)
	id := logID(v)
	return err == nil && k.Equal(v) && len(l.ID) >= 4 && bytes.HasPrefix(id, l.ID)
}

// forGood reports whether a key is trusted by itself, and not by a list alone.
func (t Trust) forGood(k checkpoint.Verifier) bool {
	t.Listed = nil
	all, err := t.named(k.Name())
	return err == nil && slices.ContainsFunc(all, k.Equal)
}

// asksWitnesses reports whether witnesses must have cosigned.
func (t Trust) asksWitnesses() bool { return t.Policy != nil && t.Policy.Quorum != "none" }

// cosigners are the witnesses that may have signed.
func (t Trust) cosigners() []checkpoint.Verifier {
	if t.Policy == nil {
		return nil
	}
	return t.Policy.Cosigners()
}

// State is how a check ended.
type State string

// The states. Warned is of something that is wrong, and that the verdict does not
// rest on.
const (
	Passed     State = "passed"
	Failed     State = "failed"
	NotChecked State = "not checked"
	Warned     State = "warning"
)

// Check is one thing that was looked at, in words. A failed one has a code, for programs.
type Check struct {
	Name   string `json:"name"`
	State  State  `json:"state"`
	Code   Code   `json:"code,omitempty"`
	Detail string `json:"detail"`
}

// Result is what was found. Verified means that every check that applies
// passed.
type Result struct {
	Verified bool       `json:"verified"`
	Kind     entry.Kind `json:"kind,omitempty"`
	Origin   string     `json:"origin,omitempty"`
	Index    int64      `json:"index"`
	Size     int64      `json:"treeSize"`
	Time     int64      `json:"time,omitempty"`      // by when it was logged, in POSIX seconds; 0 if that is not proven
	Stamped  int64      `json:"timestamp,omitempty"` // by when it was signed, as timestamp authorities say; 0 if none that is trusted does
	LeafHash []byte     `json:"leafHash,omitempty"`
	Checks   []Check    `json:"checks"`
}

// Failed is the check that failed; nil if none did.
func (r Result) Failed() *Check {
	for i := range r.Checks {
		if r.Checks[i].State == Failed {
			return &r.Checks[i]
		}
	}
	return nil
}

func (r *Result) note(name string, s State, format string, args ...any) {
	r.Checks = append(r.Checks, Check{Name: name, State: s, Detail: fmt.Sprintf(format, args...)})
}

// maxArtifact bounds what is read of an artifact that must be in memory: an
// envelope, or a raw entry.
const maxArtifact = 64 << 20

// Verify goes through the checks and stops at the first that fails. An error
// means that it could not begin: ErrNoTrust, or an artifact that could not be
// read.
func Verify(artifact io.Reader, proof []byte, trust Trust) (Result, error) {
	if err := trust.check(); err != nil {
		return Result{}, err
	}
	v := verification{trust: trust, artifact: artifact}
	for _, step := range []func() error{
		func() error { return v.parse(proof) }, v.matchArtifact, v.checkSignature, v.matchSigner, v.openCheckpoint, v.checkWitnesses, v.include,
		func() error { v.findCosigned(); return nil }, v.checkPeriod,
	} {
		if err := step(); err != nil {
			v.skipRest("entry", "artifact", "signature", "signer", "checkpoint", "witnesses", "inclusion")
			return v.Result, v.readError
		}
	}
	v.Verified = true
	return v.Result, nil
}

// skipRest notes the checks that a failure left out.
func (v *verification) skipRest(all ...string) {
	for _, name := range all {
		if !slices.ContainsFunc(v.Checks, func(c Check) bool { return c.Name == name }) {
			v.note(name, NotChecked, "an earlier check failed")
		}
	}
}

type verification struct {
	Result
	trust     Trust
	artifact  io.Reader
	proof     checkpoint.Proof
	parsed    entry.Parsed
	opened    checkpoint.Opened
	host      string  // the name that the log's keys sign by
	rekorV1   bool    // the checkpoint is Rekor v1's
	badLine   error   // what is wrong with a witness's line of the checkpoint
	witnessed int64   // by when a quorum had cosigned the checkpoint, in POSIX seconds; 0 if that is not proven
	promised  int64   // when the log says that it promised to log the entry, in POSIX seconds; 0 if it does not
	then      *moment // by when it was logged; nil where nobody asks
	readError error   // the artifact could not be read
	whole     []byte  // the artifact, if the signature is over all of it
}

// fail notes a failed check.
func (v *verification) fail(name string, code Code, err error) error {
	v.Checks = append(v.Checks, Check{name, Failed, code, err.Error()})
	return err
}

func (v *verification) parse(data []byte) (err error) {
	if v.proof, err = checkpoint.ParseProof(data); err != nil {
		return v.fail("entry", BadProof, fmt.Errorf("the proof file is not valid: %w", err))
	}
	if !v.proof.HasExtra {
		return v.fail("entry", BadProof, errors.New("the proof file has no extra line, which carries the logged entry"))
	}
	if v.parsed, err = entry.Parse(v.proof.Extra); err != nil {
		return v.fail("entry", BadEntry, fmt.Errorf("the proof file's extra line is no entry: %w", err))
	}
	leaf := merkle.LeafHash(v.proof.Extra)
	v.Kind, v.Index, v.LeafHash = v.parsed.Kind, v.proof.Index, leaf[:]
	v.note("entry", Passed, "a canonical %s entry with leaf hash %x…", v.Kind, leaf[:8])
	return nil
}

func (v *verification) matchArtifact() error {
	var err error
	what := "the artifact's digest is the entry's"
	r := &reader{r: v.artifact}
	if v.parsed.HashedRekord != nil {
		err = v.parsed.HashedRekord.MatchArtifact(r)
	} else {
		var data []byte
		if data, err = r.all(); err == nil {
			what, err = v.matchWhole(data)
		}
	}
	if r.err != nil {
		v.readError = r.err
		return r.err
	}
	if err != nil {
		return v.fail("artifact", OtherArtifact, fmt.Errorf("this is not the artifact that was logged: %w", err))
	}
	v.note("artifact", Passed, "%s", what)
	return nil
}

// matchWhole checks an artifact that must be read whole, and of an envelope the
// signatures too. It returns what was found.
func (v *verification) matchWhole(data []byte) (string, error) {
	p := v.parsed
	switch {
	case p.DSSE != nil:
		return "the envelope's payload and signatures are the entry's", p.DSSE.VerifyEnvelope(data)
	case p.Intoto != nil:
		return "the envelope's payload and signatures are the entry's", p.Intoto.VerifyEnvelope(data)
	case p.Rekord != nil:
		v.whole = data
		return "the artifact's digest is the entry's", p.Rekord.MatchArtifact(bytes.NewReader(data))
	case !bytes.Equal(data, p.Raw):
		return "", errors.New("its bytes are not the entry's")
	}
	return "the artifact is the entry", nil
}

// reader tells a failure to read from everything else that can go wrong.
type reader struct {
	r   io.Reader
	err error
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

func (r *reader) all() ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxArtifact+1))
	if err == nil && len(data) > maxArtifact {
		err = fmt.Errorf("it has over %d bytes", maxArtifact)
	}
	return data, err
}

func (v *verification) checkSignature() error {
	switch {
	case v.parsed.HashedRekord != nil:
		if err := v.parsed.HashedRekord.Verify(); err != nil {
			return v.fail("signature", BadSignature, err)
		}
		v.note("signature", Passed, "%s over the digest", v.parsed.HashedRekord.Signer.KeyDetails)
	case v.parsed.Rekord != nil:
		if err := v.parsed.Rekord.Verify(v.whole); err != nil {
			return v.fail("signature", BadSignature, err)
		}
		v.note("signature", Passed, "%s over the artifact", v.parsed.Rekord.Signer.KeyDetails)
	case v.parsed.DSSE != nil, v.parsed.Intoto != nil:
		v.note("signature", Passed, "%d over the envelope", len(v.parsed.Signers()))
	default:
		v.note("signature", NotChecked, "a raw entry is not signed")
	}
	return nil
}

func (v *verification) matchSigner() error {
	if v.trust.AnySigner {
		v.note("signer", NotChecked, "you asked not to compare who signed")
		return nil
	}
	var why []error
	var secret *matched // who it is, by a certificate that no CT log has
	for _, have := range v.parsed.Signers() {
		for _, want := range v.trust.Signers {
			m, err := want.match(have, v.then)
			if err == nil && m.sct.State != Failed {
				return v.signedAs(m)
			}
			if err == nil {
				secret = cmp.Or(secret, &m)
				continue
			}
			if said := err.Error(); !slices.ContainsFunc(why, func(e error) bool { return e.Error() == said }) {
				why = append(why, err)
			}
		}
	}
	if secret != nil {
		return v.signedAs(*secret)
	}
	if len(why) == 0 {
		why = append(why, errors.New("nobody signed the entry"))
	}
	return v.fail("signer", OtherSigner, fmt.Errorf("it is not signed by anybody you trust: %w", errors.Join(why...)))
}

// signedAs notes who signed, and whether a CT log has the certificate.
func (v *verification) signedAs(m matched) error {
	v.note("signer", Passed, "%s", m.who)
	if m.sct.Name != "" {
		v.Checks = append(v.Checks, m.sct)
	}
	if m.sct.State == Failed {
		return errors.New(m.sct.Detail)
	}
	return nil
}

// originOf is what a checkpoint says that its log is called; not verified.
func originOf(note []byte) string {
	origin, _, _ := strings.Cut(string(note), "\n")
	return origin
}

func (v *verification) openCheckpoint() error {
	v.host = originOf(v.proof.Checkpoint)
	logs, err := v.trust.named(v.host)
	if err == nil {
		err = v.openWith(func(cosigners []checkpoint.Verifier) (checkpoint.Opened, error) {
			return checkpoint.Open(v.proof.Checkpoint, logs, cosigners...)
		})
	}
	if err != nil {
		return v.fail("checkpoint", NoTrustedLog, v.noLog(v.proof.Checkpoint, err))
	}
	v.Origin, v.Size = v.opened.Origin, v.opened.Size
	v.note("checkpoint", Passed, "signed by log %s at size %d", v.Origin, v.Size)
	return nil
}

// noLog says that no log that is trusted signed a checkpoint, and whether that is so
// since the trusted root has no such log.
func (v *verification) noLog(note []byte, err error) error {
	n, malformed := checkpoint.ParseNote(note)
	t := v.trust
	keys, _ := t.named(v.host)
	t.Listed = nil
	others, _ := t.named(v.host)
	signed := func(k checkpoint.Verifier) bool {
		return slices.ContainsFunc(n.Signatures, func(s checkpoint.Signature) bool { return s.Name == k.Name() && s.KeyID == k.KeyHash() })
	}
	if malformed == nil && len(others) == 0 && !slices.ContainsFunc(keys, signed) {
		return fmt.Errorf("the trusted root has no log that signs as %.255q; it may be out of date", v.host)
	}
	return fmt.Errorf("no log that you trust signed the checkpoint: %w", err)
}

// openWith opens the checkpoint. Where the log's signature is right and a witness's
// line is what is wrong, the checkpoint is opened without witnesses, and badLine says
// so.
func (v *verification) openWith(open func(cosigners []checkpoint.Verifier) (checkpoint.Opened, error)) (err error) {
	if v.opened, err = open(v.trust.cosigners()); !errors.Is(err, checkpoint.ErrMalformed) && !errors.Is(err, checkpoint.ErrUnverified) {
		return err
	}
	alone, logsFault := open(nil)
	if logsFault == nil {
		v.opened, v.badLine, err = alone, err, nil
	}
	return err
}

func (v *verification) checkWitnesses() error {
	p := v.trust.Policy
	switch {
	// SPEC: signed-note: a known key whose signature is wrong condemns the note.
	case v.badLine != nil:
		return v.fail("witnesses", BadWitnessLine, fmt.Errorf("the log's signature on the checkpoint is right, and the line of a witness of the policy is not, which condemns the whole checkpoint: %w", v.badLine))
	case p == nil:
		v.note("witnesses", NotChecked, "no policy was given: that the log shows everybody the same tree rests on its word")
		return nil
	case p.Quorum == "none":
		v.note("witnesses", NotChecked, "the policy asks for none")
		return nil
	}
	if err := p.Check(v.opened); err != nil {
		return v.fail("witnesses", FewWitnesses, err)
	}
	v.note("witnesses", Passed, "%d cosigned, which meets the policy", len(p.Cosigned(v.opened)))
	return nil
}

func (v *verification) include() error {
	err := merkle.VerifyInclusion(v.Index, v.Size, merkle.Hash(v.LeafHash), v.proof.Hashes, v.opened.Root)
	if err != nil {
		return v.fail("inclusion", NotIncluded, fmt.Errorf("the proof does not lead from the entry to the checkpoint: %w", err))
	}
	v.note("inclusion", Passed, "the entry is number %d of %d in the log", v.Index, v.Size)
	return nil
}
