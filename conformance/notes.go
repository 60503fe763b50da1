package conformance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"

	"indelible/checkpoint"
)

const (
	// mldsa44Blob is the length of an ML-DSA-44 cosignature without its key id.
	mldsa44Blob = 8 + 2420
	// largestBlob is that of the largest signature that the spec reminds of:
	// ML-DSA-87's, with a timestamp.
	largestBlob = 8 + 4627
	// acceptedSignatures is how many every reader must accept.
	acceptedSignatures = 16
)

// noteRules are those about what else a note may hold.
func noteRules() []rule {
	return []rule{
		{"unknown-signatures", Must, inAdd, "signatures by unknown keys are ignored", unknownSignatures},
		{"forged-lines", Must, inAdd, "lines under the witness's own name, which others can forge, are ignored and do no harm", forgedLines},
		{
			"16-signatures", Must, inNote, "a note with 16 signatures is accepted: the log's and 15 of ML-DSA-44's length",
			func(ctx context.Context, s *session) verdict { return s.withLines(ctx, mldsa44Blob) },
		},
		{
			"large-signatures", Should, inNote, "a note with 16 signatures is accepted: the log's and 15 of nearly 5 kB",
			func(ctx context.Context, s *session) verdict { return s.withLines(ctx, largestBlob) },
		},
		{"extension-lines", Must, inAdd, "a checkpoint with extension lines, which it may have, is cosigned", extensionLines},
		{"extension-signed", Must, inEd25519, "a cosignature of a checkpoint with extension lines covers them", extensionSigned},
	}
}

// noise is bytes that look random and are the same in every run.
func noise(n int, seed string) []byte {
	var b []byte
	for i := 0; len(b) < n; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "noise %d of %s", i, seed))
		b = append(b, sum[:]...)
	}
	return b[:n]
}

func unknownSignatures(ctx context.Context, s *session) verdict {
	r := s.log.extend(s.size, s.size+1)
	sameName, sameID := s.log.sign(r.signed()), s.log.sign(r.signed())
	sameName.KeyID ^= 1
	sameID.Name = "elsewhere.example/log"
	r.extra = []checkpoint.Signature{sameName, sameID, {Name: "unbekannt.example/π", KeyID: 1, Blob: noise(1, "short")}}
	return expect(s.add(ctx, r), http.StatusOK)
}

func (s *session) withLines(ctx context.Context, length int) verdict {
	r := s.log.extend(s.size, s.size+1)
	for i := range acceptedSignatures - 1 {
		name := fmt.Sprintf("witness%d.example", i)
		r.extra = append(r.extra, checkpoint.Signature{Name: name, KeyID: uint32(i), Blob: noise(length, name)})
	}
	body := s.log.body(r)
	got := s.try(ctx, r, body)
	s.keep(r, got)
	if got.status != http.StatusOK {
		return fail("a body of %d bytes: expected 200, got %s", len(body), got.says())
	}
	return pass("%d bytes", len(body))
}

// forgedLines puts forged lines under each of the witness's keys, and looks
// whether the witness can go on from there, and what it serves.
func forgedLines(ctx context.Context, s *session) verdict {
	r := s.log.extend(s.size, s.size+1)
	for _, k := range s.keys {
		n := 8 + 64
		if k.Algorithm() == checkpoint.CosignatureV1MLDSA44 {
			n = mldsa44Blob
		}
		r.extra = append(r.extra, checkpoint.Signature{Name: k.Name(), KeyID: k.KeyHash(), Blob: noise(n, k.Name())})
	}
	if got := s.add(ctx, r); got.status != http.StatusOK {
		return fail("expected 200, got %s", got.says())
	}
	served := s.monitored(ctx, s.log.Origin())
	for _, line := range r.extra {
		if served.status == http.StatusOK && bytes.Contains(served.body, checkpoint.MarshalSignatures([]checkpoint.Signature{line})) {
			return fail("it serves the forged line by %s to monitors", line.Name)
		}
	}
	if got := s.advance(ctx, 1); got.status != http.StatusOK {
		return fail("after a checkpoint with forged lines, the next one is refused with %s", got.says())
	}
	return pass("")
}

// extensionLines must be taken: a checkpoint may have them, and none of the
// refusals that the spec knows is for them. What they are like otherwise is
// looked at by form-checkpoint and form-note.
func extensionLines(ctx context.Context, s *session) verdict {
	r := s.extended()
	if got := s.add(ctx, r); got.status != http.StatusOK {
		return fail("expected 200, got %s", got.says())
	}
	return pass("")
}

// extended is a request for a checkpoint with extension lines.
func (s *session) extended() request {
	r := s.log.extend(s.size, s.size+1)
	r.text = append(r.checkpoint.Text(), "an extension line\nand another\n"...)
	return r
}

// extensionSigned looks at the cosignatures. ML-DSA-44 ones never cover the
// lines.
func extensionSigned(ctx context.Context, s *session) verdict {
	r := s.extended()
	got := s.add(ctx, r)
	if got.status != http.StatusOK {
		return untested("nothing with such lines is cosigned: %s", got.says())
	}
	lines, err := checkpoint.ParseSignatures(got.body)
	if err != nil {
		return untested("the answer's lines cannot be read: %v", err)
	}
	checked := 0
	for _, line := range lines {
		k, known := s.keyOf(line)
		if !known || k.Algorithm() != checkpoint.CosignatureV1Ed25519 {
			continue
		}
		checked++
		if !k.Verify(r.text, line.Blob) {
			return fail("the cosignature by %s is not of the whole text", k.Name())
		}
	}
	if checked == 0 {
		return untested("no Ed25519 cosignature came, and ML-DSA-44 ones never cover them")
	}
	return pass("")
}

// errLines says what is wrong with an answer that should be signature lines.
func errLines(body []byte) error {
	lines, err := checkpoint.ParseSignatures(body)
	if err == nil && len(lines) == 0 {
		err = errors.New("there is none")
	}
	return err
}
