package conformance

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"indelible/checkpoint"
	"indelible/internal/wait"
)

const (
	// monitorWait is how long the monitoring path is given to show something.
	monitorWait = time.Second
	monitorPoll = 100 * time.Millisecond
)

// monitorRules are those of the monitoring path.
func monitorRules() []rule {
	return []rule{
		{"monitor-unknown", Must, inMonitor, "404 for a log that the witness never cosigned", monitorUnknown},
		{"monitor-serves", Should, inMonitor, "a recent checkpoint of each log is served", monitorServes},
		{"monitor-log", Must, inMonitor, "what is served is a checkpoint of the log, with the log's signature that was verified", monitorLog},
		{"monitor-cosignatures", Must, inMonitor, "it has the cosignatures that add-checkpoint returned", monitorCosignatures},
		{"monitor-lag", Should, inMonitor, "it is updated within an hour", monitorLag},
	}
}

func monitorUnknown(ctx context.Context, s *session) verdict {
	return expect(s.monitored(ctx, s.log.Origin()+"/unknown"), http.StatusNotFound)
}

// monitorServes waits for the newest size for a moment, and takes any.
func monitorServes(ctx context.Context, s *session) verdict {
	ctx, cancel := context.WithTimeout(ctx, monitorWait)
	defer cancel()
	for {
		if got := s.monitored(ctx, s.log.Origin()); got.err == nil {
			s.served = got
		}
		if o, ok := s.openServed(); ok && o.Size == s.size {
			return pass("")
		}
		if err := wait.For(ctx, monitorPoll); err != nil {
			break
		}
	}
	if s.served.status != http.StatusOK {
		return fail("GET %s/<SHA-256 of the origin>/checkpoint: expected 200, got %s", s.ask.monitoring, s.served.says())
	}
	return pass("")
}

// openServed is the checkpoint that is served, if the log's signature of it is
// right. It may have extension lines.
func (s *session) openServed() (c checkpoint.Checkpoint, ok bool) {
	note, err := checkpoint.ParseNote(s.served.body)
	if err != nil || s.served.status != http.StatusOK {
		return c, false
	}
	if c, err = checkpoint.ParseText(firstLines(note.Text)); err != nil || c.Origin != s.log.Origin() {
		return c, false
	}
	log := s.log.signer.Verifier()
	for _, line := range note.Signatures {
		if line.Name == log.Name() && line.KeyID == log.KeyHash() {
			return c, log.Verify(note.Text, line.Blob)
		}
	}
	return c, false
}

// firstLines are a checkpoint's text without extension lines.
func firstLines(text []byte) []byte {
	lines := bytes.SplitAfterN(text, []byte("\n"), 4)
	return bytes.Join(lines[:min(3, len(lines))], nil)
}

func notServed(s *session) (verdict, bool) {
	return untested("nothing is served of the log"), s.served.status != http.StatusOK
}

func monitorLog(_ context.Context, s *session) verdict {
	if v, no := notServed(s); no {
		return v
	}
	if _, ok := s.openServed(); !ok {
		return fail("it is no checkpoint of %s that is signed by %s", s.log.Origin(), s.log.VKey())
	}
	return pass("")
}

func monitorCosignatures(_ context.Context, s *session) verdict {
	if v, no := notServed(s); no {
		return v
	}
	note, err := checkpoint.ParseNote(s.served.body)
	if err != nil {
		return fail("it is no note: %v", err)
	}
	c, err := checkpoint.ParseText(firstLines(note.Text))
	if err != nil {
		return fail("it is no checkpoint: %v", err)
	}
	var good []checkpoint.Signature
	for _, line := range note.Signatures {
		k, known := s.keyOf(line)
		if known && !verifies(k, c, note.Text, line.Blob) {
			return fail("the line by %s+%08x does not verify", k.Name(), k.KeyHash())
		}
		if known {
			good = append(good, line)
		}
	}
	if len(good) == 0 {
		return fail("it has no cosignature by a key of the witness")
	}
	return s.asReturned(c, good)
}

// asReturned compares lines that are served with what was answered in this run.
// A witness that lags may serve the answer to an earlier request.
func (s *session) asReturned(c checkpoint.Checkpoint, served []checkpoint.Signature) verdict {
	answered := 0
	for _, g := range s.granted {
		if g.request.checkpoint != c {
			continue
		}
		answered++
		if s.sameLines(g.answer.body, served) {
			return pass("")
		}
	}
	if answered == 0 {
		return untested("it serves size %d, from before this run; its cosignatures verify", c.Size)
	}
	return fail("size %d was cosigned %d times in this run, and none of the %d cosignatures that are served is one of those answers", c.Size, answered, len(served))
}

// sameLines reports whether the lines of an answer by known keys are those.
func (s *session) sameLines(body []byte, served []checkpoint.Signature) bool {
	lines, err := checkpoint.ParseSignatures(body)
	if err != nil {
		return false
	}
	var known []checkpoint.Signature
	for _, line := range lines {
		if _, ok := s.keyOf(line); ok {
			known = append(known, line)
		}
	}
	for _, line := range known {
		if !contains(served, line) {
			return false
		}
	}
	return len(known) > 0
}

func contains(lines []checkpoint.Signature, line checkpoint.Signature) bool {
	for _, l := range lines {
		if l.Name == line.Name && l.KeyID == line.KeyID && bytes.Equal(l.Blob, line.Blob) {
			return true
		}
	}
	return false
}

func monitorLag(_ context.Context, s *session) verdict {
	if v, no := notServed(s); no {
		return v
	}
	c, ok := s.openServed()
	if !ok {
		return untested("what is served is no checkpoint of the log")
	}
	if c.Size != s.size {
		return untested("after %s it serves size %d, and %d was cosigned; nobody waited for an hour", monitorWait, c.Size, s.size)
	}
	return pass("at once: size %d", c.Size)
}
