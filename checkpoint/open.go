package checkpoint

import (
	"fmt"
	"slices"
	"strings"
)

// Opened is a checkpoint whose log signature was verified.
type Opened struct {
	Checkpoint

	// Note is the checkpoint with the verified signature lines only, encoded
	// again. What was received may hold lines nobody vouches for.
	Note []byte

	// Verified holds the keys that signed, in the order of their lines.
	Verified []Verifier

	signatures []Signature // beside Verified
}

// Open parses and verifies a checkpoint. It must be signed by a key of log whose
// name is the checkpoint's origin. Cosigners need not have signed; those that
// did are in Verified.
func Open(note []byte, log []Verifier, cosigners ...Verifier) (Opened, error) {
	return open(note, "", log, cosigners, plain)
}

// OpenAs is Open for a log whose keys have another name than its origin.
func OpenAs(origin string, note []byte, log []Verifier, cosigners ...Verifier) (Opened, error) {
	return openAs(origin, note, log, cosigners, plain)
}

// OpenExtended is OpenAs for a checkpoint that may have extension lines. They are
// in Note, and whoever signed them said nothing that could be checked.
func OpenExtended(origin string, note []byte, log []Verifier, cosigners ...Verifier) (Opened, error) {
	return openAs(origin, note, log, cosigners, ParseExtended)
}

func openAs(origin string, note []byte, log, cosigners []Verifier, parse textParser) (Opened, error) {
	o, err := open(note, origin, log, cosigners, parse)
	if err == nil && o.Origin != origin {
		return Opened{}, unverified("the checkpoint is of the log %q, and not of %q", o.Origin, origin)
	}
	return o, err
}

type textParser func(text []byte) (c Checkpoint, extension []byte, err error)

// plain takes no extension lines.
func plain(text []byte) (Checkpoint, []byte, error) {
	c, err := ParseText(text)
	return c, nil, err
}

// open is Open; the keys of the log origin may have any name.
func open(note []byte, origin string, log, cosigners []Verifier, parse textParser) (Opened, error) {
	n, err := ParseNote(note)
	if err != nil {
		return Opened{}, err
	}
	c, extension, err := parse(n.Text)
	if err != nil {
		return Opened{}, err
	}
	known, err := newKeyring(append(slices.Clone(log), cosigners...))
	if err != nil {
		return Opened{}, err
	}
	o := Opened{Checkpoint: c}
	if o.Verified, o.signatures, err = known.verify(n); err != nil {
		return Opened{}, err
	}
	if !slices.ContainsFunc(log, func(v Verifier) bool { return (v.name == c.Origin || c.Origin == origin) && o.VerifiedBy(v) }) {
		return Opened{}, noLogSignature(c.Origin, log)
	}
	o.Note = Note{Text: append(c.Text(), extension...), Signatures: o.signatures}.Marshal()
	return o, nil
}

// VerifiedBy reports whether v signed the checkpoint.
func (o Opened) VerifiedBy(v Verifier) bool {
	return slices.ContainsFunc(o.Verified, v.Equal)
}

// Timestamp returns when the cosigner or Certificate Transparency log v says that
// the checkpoint was the newest, in POSIX seconds; false if v did not sign it or its
// signatures carry no time.
func (o Opened) Timestamp(v Verifier) (seconds int64, ok bool) {
	if !v.IsCosigner() && v.alg != RFC6962 || !o.VerifiedBy(v) {
		return 0, false
	}
	for _, s := range o.signatures {
		if s.Name == v.name && s.KeyID == v.id {
			if v.alg == RFC6962 {
				return treeHeadTime(s.Blob)
			}
			return cosignatureTime(s.Blob)
		}
	}
	return 0, false
}

func noLogSignature(origin string, log []Verifier) error {
	if len(log) == 0 {
		return unverified("no log key was given to verify the checkpoint of %q with", origin)
	}
	names := make([]string, len(log))
	for i, v := range log {
		names[i] = fmt.Sprintf("%s+%08x", v.name, v.id)
	}
	if !slices.ContainsFunc(log, func(v Verifier) bool { return v.name == origin }) {
		return unverified("the checkpoint is of the log %q; the trusted log is %s", origin, strings.Join(names, ", "))
	}
	return unverified("the checkpoint of %q is not signed by the log's key; the trusted key is %s", origin, strings.Join(names, ", "))
}

// keyring finds a known key by what a signature line says.
type keyring map[keyName]Verifier

type keyName struct {
	name string
	id   uint32
}

func (k keyName) String() string { return fmt.Sprintf("%s+%08x", k.name, k.id) }

func newKeyring(keys []Verifier) (keyring, error) {
	ring := make(keyring, len(keys))
	for _, v := range keys {
		k := keyName{v.name, v.id}
		// A key may be both log and cosigner. Two keys of one name cannot be
		// told apart, and whoever made them meant that.
		if other, ok := ring[k]; ok && !other.Equal(v) {
			return nil, fmt.Errorf("two different trusted keys are called %s; remove one", k)
		}
		ring[k] = v
	}
	return ring, nil
}

// verify returns the known keys that signed n, and their signatures.
func (ring keyring) verify(n Note) ([]Verifier, []Signature, error) {
	var verified []Verifier
	var signatures []Signature
	for _, s := range n.Signatures {
		k := keyName{s.Name, s.KeyID}
		// SPEC: signed-note: ignore signatures by unknown keys, even if they
		// share name or id with a known one.
		v, known := ring[k]
		if !known {
			continue
		}
		// SPEC: signed-note: a known key that does not verify rejects the whole note.
		if !v.Verify(n.Text, s.Blob) {
			return nil, nil, unverified("the signature by %s is wrong", k)
		}
		verified = append(verified, v)
		signatures = append(signatures, s)
	}
	return verified, signatures, nil
}
