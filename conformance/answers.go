package conformance

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"mime"
	"slices"
	"strings"
	"time"

	"indelible/checkpoint"
)

// maxSkew is how far a cosignature's time may be from ours.
const maxSkew = 5 * time.Minute

// answerRules look back at all answers of the run.
func answerRules() []rule {
	return []rule{
		{"refused-unchanged", Must, inAdd, "what is refused does not change what was cosigned last", func(_ context.Context, s *session) verdict { return unless(s.drifted) }},
		{"200-lines", Must, inAdd, "an answer of 200 is signature lines and nothing else", answerLines},
		{"200-cosignature", Must, inAdd, "the lines are cosignatures of the whole tree by the witness's keys", answerCosignatures},
		{"200-time", Must, inAdd, "their timestamp is not 0", answerTime},
		{"200-clock", Should, inCosignature, "their timestamp is the time at which they were made", answerClock},
		{"200-mldsa", Should, inAdd, "one of them is of type ML-DSA-44", answerMLDSA},
		{"409-type", Must, inAdd, "an answer of 409 has the Content-Type text/x.tlog.size", conflictType},
		{"409-body", Must, inAdd, "its body is the size that was cosigned last, and a newline", conflictBody},
	}
}

// eachLine calls f with each line by a known key of all answers of 200, until
// one complains.
func (s *session) eachLine(f func(granted, checkpoint.Verifier, checkpoint.Signature) string) verdict {
	lines := 0
	for _, g := range s.granted {
		signatures, err := checkpoint.ParseSignatures(g.answer.body)
		if err != nil {
			continue
		}
		for _, line := range signatures {
			k, known := s.keyOf(line)
			if !known {
				continue
			}
			lines++
			if complaint := f(g, k, line); complaint != "" {
				return fail("size %d, %s+%08x: %s", g.request.checkpoint.Size, k.Name(), k.KeyHash(), complaint)
			}
		}
	}
	if lines == 0 {
		return untested("no cosignature by a key that was given came")
	}
	return pass("%d cosignatures", lines)
}

func answerLines(_ context.Context, s *session) verdict {
	if len(s.granted) == 0 {
		return untested("nothing was cosigned")
	}
	for _, g := range s.granted {
		if err := errLines(g.answer.body); err != nil {
			return fail("size %d: %v", g.request.checkpoint.Size, err)
		}
	}
	return pass("%d answers", len(s.granted))
}

func answerCosignatures(_ context.Context, s *session) verdict {
	v := s.eachLine(func(g granted, k checkpoint.Verifier, line checkpoint.Signature) string {
		if g.request.text != nil && k.Algorithm() == checkpoint.CosignatureV1Ed25519 {
			return "" // rule extension-signed looks at these
		}
		if !verifies(k, g.request.checkpoint, g.request.signed(), line.Blob) {
			return "it does not verify as a cosignature of the whole tree"
		}
		return ""
	})
	if others := s.unknownKeys(); v.state == NotTested && len(others) > 0 {
		return fail("no line is by a key that was given; there are lines by %s", strings.Join(others, ", "))
	} else if len(others) > 0 && v.state == Passed {
		v.detail += "; lines by keys that were not given were ignored: " + strings.Join(others, ", ")
	}
	return v
}

// unknownKeys are the keys of answers that the witness does not have.
func (s *session) unknownKeys() []string {
	var all []string
	for _, g := range s.granted {
		lines, _ := checkpoint.ParseSignatures(g.answer.body)
		for _, line := range lines {
			if _, known := s.keyOf(line); !known {
				all = append(all, fmt.Sprintf("%s+%08x", line.Name, line.KeyID))
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// seconds is a cosignature's timestamp.
func seconds(line checkpoint.Signature) uint64 {
	if len(line.Blob) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(line.Blob)
}

func answerTime(_ context.Context, s *session) verdict {
	return s.eachLine(func(_ granted, _ checkpoint.Verifier, line checkpoint.Signature) string {
		if t := seconds(line); t == 0 || t > math.MaxInt64 {
			return fmt.Sprintf("its timestamp is %d", t)
		}
		return ""
	})
}

func answerClock(_ context.Context, s *session) verdict {
	return s.eachLine(func(g granted, _ checkpoint.Verifier, line checkpoint.Signature) string {
		t := seconds(line)
		if t == 0 || t > math.MaxInt64 {
			return ""
		}
		if off := time.Unix(int64(t), 0).Sub(g.answer.at); off.Abs() > maxSkew {
			return fmt.Sprintf("its time is %s from ours", off.Round(time.Second))
		}
		return ""
	})
}

func answerMLDSA(_ context.Context, s *session) verdict {
	isMLDSA := func(k checkpoint.Verifier) bool { return k.Algorithm() == checkpoint.CosignatureV1MLDSA44 }
	found := false
	v := s.eachLine(func(_ granted, k checkpoint.Verifier, _ checkpoint.Signature) string {
		found = found || isMLDSA(k)
		return ""
	})
	switch {
	case v.state != Passed || found:
		return v
	case !slices.ContainsFunc(s.keys, isMLDSA) && len(s.unknownKeys()) > 0:
		return untested("no ML-DSA-44 key was given, and there are lines by keys that were not")
	}
	return fail("none is")
}

func conflictType(_ context.Context, s *session) verdict {
	if len(s.conflicts) == 0 {
		return untested("nothing was answered with 409")
	}
	for _, c := range s.conflicts {
		if media, _, err := mime.ParseMediaType(c.answer.header.Get("Content-Type")); err != nil || media != "text/x.tlog.size" {
			return fail("it is %q", c.answer.header.Get("Content-Type"))
		}
	}
	return pass("%d answers", len(s.conflicts))
}

func conflictBody(_ context.Context, s *session) verdict {
	if len(s.conflicts) == 0 {
		return untested("nothing was answered with 409")
	}
	for _, c := range s.conflicts {
		n, ok := told(c.answer)
		if !ok || string(c.answer.body) != fmt.Sprintf("%d\n", n) {
			return fail("it is %.60q", c.answer.body)
		}
		if c.size >= 0 && n != c.size {
			return fail("it tells %d, and %d was cosigned last", n, c.size)
		}
	}
	return pass("%d answers", len(s.conflicts))
}
