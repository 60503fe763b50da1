package conformance

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"indelible/checkpoint"
	"indelible/merkle"
)

// subtreeRules are those of sign-subtree, which a witness may offer: the levels
// are those for one that does.
func subtreeRules() []rule {
	return []rule{
		{"subtree", Must, inSubtree, "a subtree of a checkpoint that the witness cosigned is signed", signSubtrees},
		{"subtree-lines", Must, inSubtree, "the answer is signature lines of the subtree by the witness, with timestamp 0", subtreeLines},
		{"subtree-key", Should, inSubtree, "the signatures are by keys that signed the checkpoint", subtreeKey},
		{"subtree-range", Must, inSubtree, "400 for what is no valid subtree, or ends after the checkpoint", subtreeRange},
		{"subtree-form", Must, inSubtree, "400 for a malformed request", subtreeForm},
		{"subtree-proof", Must, inSubtree, "422 for a proof that does not verify", subtreeProof},
		{"subtree-origin", Must, inSubtree, "404 for a log that the witness does not know", subtreeOrigin},
		{"subtree-unsigned", Must, inSubtree, "403 for a checkpoint without a valid cosignature by the witness", subtreeUnsigned},
	}
}

// subtreeRequest is a sign-subtree request in its parts.
type subtreeRequest struct {
	start, end int64
	hash       merkle.Hash
	proof      []merkle.Hash
	note       []byte
}

func (r subtreeRequest) body() []byte {
	first := fmt.Sprintf("subtree %d %d\n%s\n", r.start, r.end, base64.StdEncoding.EncodeToString(r.hash[:]))
	return join(append([]byte(first), hashLines(r.proof)...), r.note)
}

// reference is the newest checkpoint with the witness's lines that can sign
// subtrees. They are those of the last answer.
type reference struct {
	size  int64
	text  []byte
	lines []checkpoint.Signature
}

func (r reference) note() []byte {
	return checkpoint.Note{Text: r.text, Signatures: r.lines}.Marshal()
}

// reference asks for a cosignature, to have a checkpoint to refer to.
func (s *session) reference(ctx context.Context) (reference, error) {
	got := s.advance(ctx, 1)
	c := s.log.at(s.size)
	ref := reference{size: s.size, text: c.Text()}
	lines, err := checkpoint.ParseSignatures(got.body)
	if got.status != http.StatusOK || err != nil {
		return ref, fmt.Errorf("there is no cosigned checkpoint to refer to: %s", got.says())
	}
	for _, line := range lines {
		k, known := s.keyOf(line)
		if known && k.Algorithm() == checkpoint.CosignatureV1MLDSA44 && verifies(k, c, ref.text, line.Blob) {
			ref.lines = append(ref.lines, line)
		}
	}
	if len(ref.lines) == 0 {
		return ref, fmt.Errorf("no ML-DSA-44 cosignature by a key that was given came, and no other key can sign a subtree")
	}
	return ref, nil
}

// of is a request for a subtree that is right in all.
func (s *session) subtreeOf(ref reference, start, end int64) subtreeRequest {
	return subtreeRequest{start, end, s.log.tree.root(start, end), s.log.tree.proof(start, end, ref.size), ref.note()}
}

// ranges are subtrees of all shapes in a tree of a size, which is over 8.
func ranges(size int64) [][2]int64 {
	pow := split(size)
	return slices.DeleteFunc([][2]int64{
		{0, 1},
		{0, 2},
		{0, 3},
		{0, pow},
		{0, size - 1},
		{0, size},
		{4, 5},
		{4, 8},
		{8, 13},
		{16, 32},
		{32, 63},
		{size - 1, size},
		{pow, size},
		{pow / 2, pow},
	}, func(at [2]int64) bool { return at[1] > size })
}

func signSubtrees(ctx context.Context, s *session) verdict {
	ref, err := s.reference(ctx)
	if err != nil {
		s.noSubtrees = err.Error()
		return untested("%s", s.noSubtrees)
	}
	s.ref = ref
	var wrong []string
	for _, at := range ranges(ref.size) {
		r := s.subtreeOf(ref, at[0], at[1])
		got := s.post(ctx, "/sign-subtree", r.body())
		if len(s.subtrees) == 0 && (got.status == http.StatusNotFound || got.status == http.StatusMethodNotAllowed || got.status == http.StatusNotImplemented) {
			s.noSubtrees = "not offered, which is the witness's choice: " + got.says()
			return untested("%s", s.noSubtrees)
		}
		if got.status != http.StatusOK {
			wrong = append(wrong, fmt.Sprintf("[%d, %d) of size %d: expected 200, got %s", r.start, r.end, ref.size, got.says()))
			continue
		}
		s.subtrees = append(s.subtrees, signedSubtree{r, got})
	}
	if len(wrong) > 0 {
		return unless(wrong)
	}
	return pass("%d subtrees", len(s.subtrees))
}

// signedSubtree is a request that was answered with 200.
type signedSubtree struct {
	request subtreeRequest
	answer  answer
}

// offered is why there is nothing to try, if there is not.
func (s *session) offered() (verdict, bool) {
	return untested("%s", s.noSubtrees), s.noSubtrees == ""
}

func subtreeLines(_ context.Context, s *session) verdict {
	if v, ok := s.offered(); !ok {
		return v
	}
	for _, one := range s.subtrees {
		r := one.request
		at := fmt.Sprintf("[%d, %d)", r.start, r.end)
		if err := errLines(one.answer.body); err != nil {
			return fail("%s: %v", at, err)
		}
		lines, _ := checkpoint.ParseSignatures(one.answer.body)
		checked := 0
		for _, line := range lines {
			k, known := s.keyOf(line)
			if !known {
				continue
			}
			checked++
			if !k.VerifySubtree(s.log.Origin(), checkpoint.Subtree{Start: r.start, End: r.end, Root: r.hash}, line.Blob) {
				return fail("%s: the line by %s+%08x is no signature of it with timestamp 0", at, k.Name(), k.KeyHash())
			}
		}
		if checked == 0 {
			return fail("%s: no line is by a key that was given", at)
		}
	}
	return pass("")
}

func subtreeKey(_ context.Context, s *session) verdict {
	if v, ok := s.offered(); !ok {
		return v
	}
	for _, one := range s.subtrees {
		lines, _ := checkpoint.ParseSignatures(one.answer.body)
		for _, line := range lines {
			if !byOneOf(s.ref.lines, line) {
				return fail("%s+%08x signed a subtree, and not the checkpoint", line.Name, line.KeyID)
			}
		}
	}
	return pass("")
}

func byOneOf(lines []checkpoint.Signature, line checkpoint.Signature) bool {
	for _, l := range lines {
		if l.Name == line.Name && l.KeyID == line.KeyID {
			return true
		}
	}
	return false
}

// each tries requests that must all be answered with one of the statuses.
func (s *session) each(ctx context.Context, forms []form, statuses ...int) verdict {
	var wrong []string
	for _, f := range forms {
		got := s.post(ctx, "/sign-subtree", f.body)
		ok := false
		for _, status := range statuses {
			ok = ok || got.status == status
		}
		if !ok {
			wrong = append(wrong, fmt.Sprintf("%s: expected %d, got %s", f.what, statuses[0], got.says()))
		}
	}
	return unless(wrong)
}

// subtreeRange has ranges whose hash and proof are right for another, valid one:
// no range that is invalid has any.
func subtreeRange(ctx context.Context, s *session) verdict {
	if v, ok := s.offered(); !ok {
		return v
	}
	var forms []form
	for _, at := range [][2]int64{{1, 3}, {3, 5}, {4, 9}, {6, 10}, {5, 4}, {0, s.ref.size + 1}, {s.ref.size, s.ref.size + 1}} {
		r := s.subtreeOf(s.ref, 4, 8)
		r.start, r.end = at[0], at[1]
		forms = append(forms, form{fmt.Sprintf("[%d, %d) of size %d", at[0], at[1], s.ref.size), r.body()})
	}
	return s.each(ctx, forms, http.StatusBadRequest)
}

func subtreeForm(ctx context.Context, s *session) verdict {
	if v, ok := s.offered(); !ok {
		return v
	}
	good := string(s.subtreeOf(s.ref, 4, 8).body())
	_, rest, _ := strings.Cut(good, "\n")
	hash, after, _ := strings.Cut(rest, "\n")
	var forms []form
	for what, body := range map[string]string{
		"nothing":               "",
		"a leading zero":        "subtree 04 8\n" + rest,
		"a plus sign":           "subtree 4 +8\n" + rest,
		"two spaces":            "subtree 4  8\n" + rest,
		"a space after":         "subtree 4 8 \n" + rest,
		"CR LF":                 "subtree 4 8\r\n" + rest,
		"a third number":        "subtree 4 8 9\n" + rest,
		"one number":            "subtree 4\n" + rest,
		"another word":          "tree 4 8\n" + rest,
		"no hash":               "subtree 4 8\n\n" + string(s.ref.note()),
		"a hash of 31 bytes":    "subtree 4 8\n" + base64.StdEncoding.EncodeToString(make([]byte, 31)) + "\n" + after,
		"a proof line in hex":   "subtree 4 8\n" + hash + "\n" + strings.Repeat("00", 32) + "\n" + after,
		"64 proof lines":        "subtree 4 8\n" + strings.Repeat(hash+"\n", 65) + "\n" + string(s.ref.note()),
		"no newline at the end": strings.TrimSuffix(good, "\n"),
	} {
		forms = append(forms, form{what, []byte(body)})
	}
	return s.each(ctx, sorted(forms), http.StatusBadRequest)
}

func subtreeProof(ctx context.Context, s *session) verdict {
	if v, ok := s.offered(); !ok {
		return v
	}
	var forms []form
	for _, way := range brokenProofs() {
		r := s.subtreeOf(s.ref, 4, 8)
		r.proof = way.of(r.proof)
		forms = append(forms, form{"a proof " + way.what, r.body()})
	}
	other := s.subtreeOf(s.ref, 4, 8)
	other.hash = s.log.other.root(4, 8)
	shifted := s.subtreeOf(s.ref, 4, 8)
	shifted.start, shifted.end = 8, 12
	forms = append(forms, form{"another hash", other.body()}, form{"the place of another subtree", shifted.body()})
	return s.each(ctx, forms, http.StatusUnprocessableEntity)
}

// subtreeOrigin takes 403 too: nobody but the witness can make a checkpoint of
// an unknown log that has the witness's cosignature, so that both rules apply.
func subtreeOrigin(ctx context.Context, s *session) verdict {
	if v, ok := s.offered(); !ok {
		return v
	}
	ref := s.ref
	ref.text = bytes.Replace(ref.text, []byte("\n"), []byte("/unknown\n"), 1)
	return s.each(ctx, []form{{"an unknown log", s.subtreeOf(ref, 4, 8).body()}}, http.StatusNotFound, http.StatusForbidden)
}

func subtreeUnsigned(ctx context.Context, s *session) verdict {
	if v, ok := s.offered(); !ok {
		return v
	}
	only, wrong, smaller := s.ref, s.ref, s.ref
	only.lines = []checkpoint.Signature{s.log.sign(only.text)}
	wrong.lines = nil
	for _, line := range s.ref.lines {
		line.Blob = bytes.Clone(line.Blob)
		line.Blob[len(line.Blob)-1] ^= 1
		wrong.lines = append(wrong.lines, line)
	}
	smaller.size, smaller.text = s.ref.size-1, s.log.at(s.ref.size-1).Text()
	return s.each(ctx, []form{
		{"the log's signature alone", s.subtreeOf(only, 4, 8).body()},
		{"a cosignature with a flipped bit", s.subtreeOf(wrong, 4, 8).body()},
		{"the cosignature of another checkpoint", s.subtreeOf(smaller, 4, 8).body()},
	}, http.StatusForbidden)
}
