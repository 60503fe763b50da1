package conformance

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"

	"indelible/checkpoint"
	"indelible/merkle"
)

// refusalRules are the answers to requests that are well-formed and wrong.
func refusalRules() []rule {
	return []rule{
		{"method", Must, inAdd, "the request is a POST: nothing else is cosigned", otherMethod},
		{"unknown-origin", Must, inAdd, "404 for a log that the witness does not know", unknownOrigin},
		{"unsigned", Must, inAdd, "403 without a signature by a key of the log", unsigned},
		{"signature-wrong", Must, inAdd, "403 for a signature by the log's key that does not verify", signatureWrong},
		{"signature-beside", Must, inAdd, "403 for such a signature beside one that verifies, or 400 as two lines of one key are malformed", signatureBeside},
		{"old-larger", Must, inAdd, "400 for an old size that is larger than the checkpoint's", oldLarger},
		{"old-behind", Must, inAdd, "409 for an old size that is smaller than what was cosigned last", oldBehind},
		{"old-ahead", Must, inAdd, "409 for an old size that is larger than what was cosigned last", oldAhead},
		{"old-zero", Must, inAdd, "409 for an old size of 0 once something was cosigned", oldZero},
		{"proof-wrong", Must, inAdd, "422 for a consistency proof that does not verify", proofWrong},
		{"proof-same-size", Must, inAdd, "422 for a proof that is not empty when nothing was added", proofSameSize},
	}
}

func otherMethod(ctx context.Context, s *session) verdict {
	r := s.log.extend(s.size, s.size)
	var wrong []string
	for _, method := range []string{http.MethodGet, http.MethodPut} {
		got := s.ask.ask(ctx, method, s.ask.submission+"/add-checkpoint", s.log.body(r))
		if got.err != nil || got.status/100 == 2 || got.status/100 == 5 {
			wrong = append(wrong, method+" is answered with "+got.says())
		}
	}
	return unless(wrong)
}

// unknownOrigin asks for a log with another name, by the same key: under its own
// name, and under the name that the witness knows.
func unknownOrigin(ctx context.Context, s *session) verdict {
	var wrong []string
	for _, under := range []string{s.log.Origin() + "/unknown", s.log.Origin()} {
		signer, err := checkpoint.NewSigner(under, s.log.key)
		if err != nil {
			return untested("%v", err)
		}
		c := s.log.at(5)
		c.Origin += "/unknown"
		blob, err := signer.Sign(c.Text())
		if err != nil {
			return untested("%v", err)
		}
		line := checkpoint.Signature{Name: signer.Name(), KeyID: signer.KeyHash(), Blob: blob}
		got := s.post(ctx, "/add-checkpoint", join([]byte("old 0\n"), checkpoint.Note{Text: c.Text(), Signatures: []checkpoint.Signature{line}}.Marshal()))
		if got.status != http.StatusNotFound {
			wrong = append(wrong, fmt.Sprintf("signed as %s, expected 404, got %s", under, got.says()))
		}
	}
	return unless(wrong)
}

// signedBy sends the newest checkpoint again, with these lines alone.
func (s *session) signedBy(ctx context.Context, what string, lines ...checkpoint.Signature) answer {
	r := s.log.extend(s.size, s.size)
	note := checkpoint.Note{Text: r.signed(), Signatures: lines}.Marshal()
	got := s.try(ctx, r, join(r.head(), note))
	s.settle(ctx, what, got)
	return got
}

// unsigned has lines that share the name or the id with the log's key, not both.
func unsigned(ctx context.Context, s *session) verdict {
	otherID, otherName := s.signature(), s.signature()
	otherID.KeyID ^= 1
	otherName.Name += "/other"
	return expect(s.signedBy(ctx, "a checkpoint without a signature by the log", otherID, otherName), http.StatusForbidden)
}

func signatureWrong(ctx context.Context, s *session) verdict {
	return expect(s.signedBy(ctx, "a checkpoint with a wrong signature", s.wrongSignature()), http.StatusForbidden)
}

func signatureBeside(ctx context.Context, s *session) verdict {
	var wrong []string
	for _, way := range []struct {
		what  string
		lines []checkpoint.Signature
	}{
		{"the wrong one first", []checkpoint.Signature{s.wrongSignature(), s.signature()}},
		{"the wrong one last", []checkpoint.Signature{s.signature(), s.wrongSignature()}},
	} {
		got := s.signedBy(ctx, "a checkpoint with a wrong signature beside a right one", way.lines...)
		if v := expect(got, http.StatusForbidden); v.state == Failed && got.status != http.StatusBadRequest {
			wrong = append(wrong, way.what+": "+v.detail)
		}
	}
	return unless(wrong)
}

// signature is the log's signature of its newest checkpoint.
func (s *session) signature() checkpoint.Signature { return s.log.sign(s.log.at(s.size).Text()) }

// wrongSignature is that of another checkpoint.
func (s *session) wrongSignature() checkpoint.Signature {
	return s.log.sign(s.log.at(s.size + 1).Text())
}

func oldLarger(ctx context.Context, s *session) verdict {
	return s.refused(ctx, "old larger than the checkpoint", s.log.extend(s.size, s.size-1), http.StatusBadRequest)
}

func oldBehind(ctx context.Context, s *session) verdict {
	return s.refused(ctx, "an old size that is behind", s.log.extend(s.size-1, s.size+2), http.StatusConflict)
}

func oldAhead(ctx context.Context, s *session) verdict {
	return s.refused(ctx, "an old size that is ahead", s.log.extend(s.size+1, s.size+2), http.StatusConflict)
}

func oldZero(ctx context.Context, s *session) verdict {
	return s.refused(ctx, "old 0", s.log.extend(0, s.size+2), http.StatusConflict)
}

// proofWrong breaks a proof in every way. An accepted one leads to the log's
// true tree, so that the run can go on.
func proofWrong(ctx context.Context, s *session) verdict {
	var wrong []string
	for _, way := range brokenProofs() {
		r := s.log.extend(s.size, s.size+2)
		r.proof = way.of(r.proof)
		if v := s.refused(ctx, "a proof "+way.what, r, http.StatusUnprocessableEntity); v.state == Failed {
			wrong = append(wrong, way.what+": "+v.detail)
		}
	}
	return unless(wrong)
}

type brokenProof struct {
	what string
	of   func([]merkle.Hash) []merkle.Hash
}

func brokenProofs() []brokenProof {
	last := func(p []merkle.Hash) merkle.Hash { return p[len(p)-1] }
	return []brokenProof{
		{"without any hash", func([]merkle.Hash) []merkle.Hash { return nil }},
		{"without its last hash", func(p []merkle.Hash) []merkle.Hash { return p[:len(p)-1] }},
		{"with one hash more", func(p []merkle.Hash) []merkle.Hash { return append(p, last(p)) }},
		{"with a flipped bit", func(p []merkle.Hash) []merkle.Hash {
			h := last(p)
			h[0] ^= 1
			return append(slices.Clone(p[:len(p)-1]), h)
		}},
		{"with a hash in the place of another", func(p []merkle.Hash) []merkle.Hash {
			q := slices.Clone(p)
			q[0] = sha256.Sum256(q[0][:])
			return q
		}},
	}
}

func proofSameSize(ctx context.Context, s *session) verdict {
	r := s.log.extend(s.size, s.size)
	r.proof = []merkle.Hash{r.checkpoint.Root}
	return s.refused(ctx, "a proof without anything added", r, http.StatusUnprocessableEntity)
}
