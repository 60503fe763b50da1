package verify

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// digests are of an artifact, which is read once, whatever the entries of it
// are made with.
type digests struct {
	sha256, sha384, sha512 []byte
}

func digest(r io.Reader) (digests, error) {
	a, b, c := sha256.New(), sha512.New384(), sha512.New()
	if _, err := io.Copy(io.MultiWriter(a, b, c), r); err != nil {
		return digests{}, err
	}
	return digests{a.Sum(nil), b.Sum(nil), c.Sum(nil)}, nil
}

// by is the digest by an algorithm of Sigstore's; nil by others.
func (d digests) by(algorithm string) []byte {
	switch algorithm {
	case "SHA2_256":
		return d.sha256
	case "SHA2_384":
		return d.sha384
	case "SHA2_512":
		return d.sha512
	}
	return nil
}

// inToto is the payloadType of statements about artifacts.
const inToto = "application/vnd.in-toto+json"

// maxSubjects bounds what a statement is about.
const maxSubjects = 10_000

// subjectOf finds the artifact among the subjects of an in-toto statement.
// Where a subject has several digests that are known here, all must be of the
// artifact. SPEC: in-toto, digest_set.md: "at least one" would be enough, but a
// set that is of two files is no digest.
func subjectOf(statement []byte, d digests) (name string, err error) {
	o := readObject(statement)
	kind := o.text("_type")
	subjects := o.objects("subject", maxSubjects)
	if *o.wrong != nil {
		return "", fmt.Errorf("the envelope's payload is no in-toto statement: %w", *o.wrong)
	}
	if kind != "https://in-toto.io/Statement/v1" && kind != "https://in-toto.io/Statement/v0.1" {
		return "", fmt.Errorf("the envelope's payload is no in-toto statement of version 0.1 or 1: its _type is %.100q", kind)
	}
	for _, s := range subjects {
		name := s.text("name")
		if set, _ := s.object("digest"); set.are(d) && *o.wrong == nil {
			return name, nil
		}
	}
	if *o.wrong != nil {
		return "", fmt.Errorf("the envelope's payload is no in-toto statement: %w", *o.wrong)
	}
	return "", fmt.Errorf("the statement has %d subjects, and the artifact, whose SHA-256 is %x, is none of them", len(subjects), d.sha256)
}

// are reports whether a set of digests is the artifact's.
func (o object) are(d digests) bool {
	known := 0
	for name := range o.members {
		bits, sha := strings.CutPrefix(name, "sha")
		want := d.by("SHA2_" + bits)
		if !sha || want == nil {
			continue
		}
		known++
		if got, err := hex.DecodeString(o.text(name)); err != nil || !bytes.Equal(got, want) {
			return false
		}
	}
	return known > 0
}

// isAbout checks that an envelope is about the artifact: by the subjects of
// its statement, or, of another payload than a statement, by being it.
func (e *envelope) isAbout(d digests) (string, error) {
	if e.payloadType == inToto {
		name, err := subjectOf(e.payload, d)
		return fmt.Sprintf("it is subject %.100q of the signed statement", name), err
	}
	sum := sha256.Sum256(e.payload)
	if !bytes.Equal(sum[:], d.sha256) {
		return "", errors.New("the envelope's payload is no in-toto statement, and not the artifact either")
	}
	return fmt.Sprintf("it is the envelope's payload, of type %.100q", e.payloadType), nil
}
