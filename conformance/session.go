package conformance

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"indelible/checkpoint"
)

// session is one run: what was learned, and the answers that rules look at
// afterwards. It is used by one goroutine.
type session struct {
	ask  *asker
	log  *Log
	keys []checkpoint.Verifier
	now  func() time.Time

	size    int64  // that the witness cosigned last, as far as is known
	before  int64  // size when the run began
	floor   int64  // size when the log had grown
	learned bool   // size is what the witness said, or what it cosigned
	fresh   bool   // the witness had cosigned nothing but the empty tree
	spoiled string // the witness cosigned something false: why nothing can follow

	atFirst   answer // of the monitoring path, before anything was asked for
	first     answer // of the first request, with old size 1
	granted   []granted
	conflicts []conflict
	drifted   []string // what changed the witness's state and should not have
	not400    []string // malformed requests that were refused in another way

	served     answer // of the monitoring path, at the end
	ref        reference
	subtrees   []signedSubtree
	noSubtrees string // why sign-subtree is not tried
}

// granted is a request that was answered with 200.
type granted struct {
	request request
	answer  answer
}

// conflict is an answer of 409, with the size it should have told; -1 if that
// was not known.
type conflict struct {
	answer answer
	size   int64
}

func newSession(cfg Config) (*session, error) {
	ask, err := newAsker(cfg)
	if err != nil {
		return nil, err
	}
	return &session{ask: ask, log: cfg.Log, keys: cfg.Keys, now: cfg.Now}, nil
}

// add has the witness cosign a checkpoint of the log's true tree.
func (s *session) add(ctx context.Context, r request) answer {
	got := s.try(ctx, r, s.log.body(r))
	s.keep(r, got)
	return got
}

// try sends a body that is the request's, or almost, and follows the witness's
// state.
func (s *session) try(ctx context.Context, r request, body []byte) answer {
	got := s.post(ctx, "/add-checkpoint", body)
	s.heed(r, got)
	return got
}

// keep remembers a cosignature for the rules that look back.
func (s *session) keep(r request, got answer) {
	if got.status == http.StatusOK {
		s.granted = append(s.granted, granted{r, got})
	}
}

// heed learns from an answer.
func (s *session) heed(r request, got answer) {
	switch got.status {
	case http.StatusOK:
		s.size = r.checkpoint.Size
	case http.StatusConflict:
		switch {
		case !s.learned:
			s.conflicts = append(s.conflicts, conflict{got, -1})
		case r.old != s.size: // else 409 is wrong, and what it says too
			s.conflicts = append(s.conflicts, conflict{got, s.size})
		}
		if n, ok := told(got); ok {
			s.follow(n)
		}
	}
}

// follow believes a size that the witness told. What is out of reach for an
// honest one is not believed, so that the log's tree stays small.
func (s *session) follow(n int64) {
	if !s.learned || n >= s.floor && n <= s.before+maxGrowth {
		s.size = n
	}
}

func (s *session) post(ctx context.Context, path string, body []byte) answer {
	return s.ask.ask(ctx, http.MethodPost, s.ask.submission+path, body)
}

// told is the size that an answer of 409 tells, leniently read: the rules about
// its form are rules of their own.
func told(a answer) (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(string(a.body)), 10, 64)
	return n, a.status == http.StatusConflict && err == nil && n >= 0
}

// probe asks for something that is always refused with 409, follows the size
// told, and reports whether one was. It changes nothing.
func (s *session) probe(ctx context.Context) bool {
	r := s.log.extend(s.size+1, s.size+1)
	got := s.post(ctx, "/add-checkpoint", s.log.body(r))
	n, ok := told(got)
	if got.status == http.StatusOK {
		n, ok = s.size+1, true
	}
	if ok {
		s.follow(n)
	}
	return ok
}

// settle finds out where the witness is after a request that it should have
// refused, and notes if it did and moved all the same.
func (s *session) settle(ctx context.Context, what string, got answer) {
	before := s.size
	if s.probe(ctx) && s.size != before && got.status != http.StatusOK {
		s.drifted = append(s.drifted, fmt.Sprintf("%s: the size cosigned last went from %d to %d", what, before, s.size))
	}
}

// learn finds out what the witness knows of the log, by a request that a witness
// which never saw the log must refuse: what it does at first sight is a rule of
// its own, which shows only once.
func (s *session) learn(ctx context.Context) error {
	s.atFirst = s.monitored(ctx, s.log.Origin())
	s.first = s.add(ctx, s.log.extend(1, 1))
	switch first := s.first; {
	case first.err != nil:
		return fmt.Errorf("%w: POST %s/add-checkpoint: %w", ErrUnreachable, s.ask.submission, first.err)
	case first.status == http.StatusNotFound:
		return fmt.Errorf("%w: POST %s/add-checkpoint is answered with 404. Either that is no witness's submission prefix, or the witness does not know the log: tell it of\n  vkey %s", ErrSetup, s.ask.submission, s.log.VKey())
	case first.status == http.StatusForbidden:
		return fmt.Errorf("%w: it does not take signatures by\n  vkey %s", ErrSetup, s.log.VKey())
	case first.status != http.StatusOK && first.status != http.StatusConflict:
		s.learnFromMonitor()
	}
	if err := s.sameTree(ctx); err != nil {
		return err
	}
	s.learned, s.fresh, s.before = true, s.size == 0, s.size
	return nil
}

// learnFromMonitor learns the size from what is served, if something is.
func (s *session) learnFromMonitor() {
	o, err := checkpoint.Open(s.atFirst.body, []checkpoint.Verifier{s.log.signer.Verifier()})
	if err == nil && s.atFirst.status == http.StatusOK {
		s.size = o.Size
	}
}

// sameTree checks that what the witness cosigned is a tree of this log.
func (s *session) sameTree(ctx context.Context) error {
	if s.size < 0 || s.size > maxSize {
		return fmt.Errorf("%w: it has cosigned size %d of %s, and the suite does not rebuild trees over %d: make a new log", ErrSetup, s.size, s.log.Origin(), maxSize)
	}
	if s.size == 0 {
		return nil
	}
	if got := s.add(ctx, s.log.extend(s.size, s.size)); got.status == http.StatusUnprocessableEntity {
		return fmt.Errorf("%w: what it cosigned of %s at size %d is not the suite's tree; either the key is another log's, or the witness cosigned a false head in an earlier run: make a new log", ErrSetup, s.log.Origin(), s.size)
	}
	return nil
}

// advance has the witness cosign a larger tree.
func (s *session) advance(ctx context.Context, by int64) answer {
	return s.add(ctx, s.log.extend(s.size, s.size+by))
}

// monitored fetches what the witness serves of a log.
func (s *session) monitored(ctx context.Context, origin string) answer {
	sum := sha256.Sum256([]byte(origin))
	return s.ask.ask(ctx, http.MethodGet, s.ask.monitoring+"/"+hex.EncodeToString(sum[:])+"/checkpoint", nil)
}

// verifies reports whether a key cosigned a checkpoint with text. An ML-DSA-44
// key signs no extension lines.
func verifies(key checkpoint.Verifier, c checkpoint.Checkpoint, text, blob []byte) bool {
	if key.Algorithm() == checkpoint.CosignatureV1MLDSA44 {
		text = c.Text()
	}
	return key.Verify(text, blob)
}

// keyOf is the key that a signature line names.
func (s *session) keyOf(line checkpoint.Signature) (checkpoint.Verifier, bool) {
	for _, k := range s.keys {
		if k.Name() == line.Name && k.KeyHash() == line.KeyID {
			return k, true
		}
	}
	return checkpoint.Verifier{}, false
}
