package witness

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"indelible/checkpoint"
	"indelible/merkle"
)

// Why a request is refused, in the order in which it is looked at. Any other
// error of AddCheckpoint, except ConflictError (409) and TooManyError (429), is
// a fault of ours.
var (
	ErrMalformed    = errors.New("malformed request")     // 400
	ErrUnknownLog   = errors.New("unknown log")           // 404
	ErrNotSigned    = errors.New("not signed by the log") // 403
	ErrInconsistent = errors.New("not consistent")        // 422
)

// ConflictError tells the size that was cosigned last, which is not the one the
// request starts from.
type ConflictError struct{ Size int64 }

// Error implements error.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("the checkpoint cosigned last has size %d: start from there", e.Size)
}

// Request asks for a checkpoint to be cosigned.
type Request struct {
	Old   int64         // the size that was cosigned last
	Proof []merkle.Hash // that the checkpoint extends it
	Note  []byte        // the checkpoint, signed by the log
}

// AddCheckpoint cosigns a checkpoint, and returns the cosignatures. Another
// checkpoint that is smaller, or does not extend this one, is never cosigned
// again.
func (w *Witness) AddCheckpoint(ctx context.Context, r Request) ([]checkpoint.Signature, error) {
	c, err := w.admit(r)
	if err != nil {
		return nil, err
	}
	signatures, err := w.swap(ctx, c, r)
	if err != nil {
		w.refused(c.log.Origin, err)
		return nil, err
	}
	if w.cfg.Cosigned != nil {
		w.cfg.Cosigned(c.log.Origin, c.checkpoint.Size)
	}
	return signatures, nil
}

// candidate is a checkpoint that the log signed.
type candidate struct {
	log        *known
	checkpoint checkpoint.Checkpoint
	extension  []byte                 // the lines after it, which nobody can check
	signatures []checkpoint.Signature // the log's, verified
}

// text is what was signed, encoded again.
func (c candidate) text() []byte { return append(c.checkpoint.Text(), c.extension...) }

// admit looks at what a request says for itself.
// SPEC: tlog-witness, add-checkpoint: in this order 404, 403, 400, 422.
func (w *Witness) admit(r Request) (c candidate, err error) {
	c, err = read(r.Note, r.Old, w.log)
	if errors.Is(err, ErrNotSigned) {
		w.refused(c.log.Origin, err)
	}
	return c, err
}

// read reads a checkpoint of one of the logs, which old is no larger than.
func read(data []byte, old int64, log func(origin string) *known) (c candidate, err error) {
	note, err := checkpoint.ParseNote(data)
	if err != nil {
		return c, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	origin, _, _ := strings.Cut(string(note.Text), "\n")
	if c.log = log(origin); c.log == nil {
		return c, fmt.Errorf("%w: %.100q", ErrUnknownLog, origin)
	}
	if c.signatures, err = logSignatures(note, c.log.Keys); err != nil {
		return c, err
	}
	text, falseEmpty := withEmptyRoot(note.Text)
	if c.checkpoint, c.extension, err = checkpoint.ParseExtended(text); err != nil {
		return c, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	switch {
	case len(c.extension) > 0 && !c.extensionSigned():
		return c, fmt.Errorf("%w: its ML-DSA-44 signature does not cover the extension lines, which anybody may have written", ErrNotSigned)
	case old < 0 || old > c.checkpoint.Size:
		return c, fmt.Errorf("%w: old is %d, and the checkpoint's size is %d", ErrMalformed, old, c.checkpoint.Size)
	case falseEmpty:
		// SPEC: the root of the empty tree is SHA-256(""); that is no grammar, and 422.
		return c, fmt.Errorf("%w: size 0 with a root that is not the empty tree's", ErrInconsistent)
	}
	return c, nil
}

func (w *Witness) refused(origin string, err error) {
	if w.cfg.Refused != nil {
		w.cfg.Refused(origin, err)
	}
}

// logSignatures returns the signatures by the log's keys. A line that names one
// and does not verify condemns the note; a line by any other key is ignored, one
// that claims to be ours included.
func logSignatures(n checkpoint.Note, keys []checkpoint.Verifier) ([]checkpoint.Signature, error) {
	var verified []checkpoint.Signature
	for _, s := range n.Signatures {
		mine := func(k checkpoint.Verifier) bool { return s.Name == k.Name() && s.KeyID == k.KeyHash() }
		at := slices.IndexFunc(keys, mine)
		switch {
		case at < 0:
			continue
		case !keys[at].Verify(n.Text, s.Blob):
			return nil, fmt.Errorf("%w: the signature by %s+%08x is wrong", ErrNotSigned, s.Name, s.KeyID)
		}
		verified = append(verified, s)
	}
	if len(verified) == 0 {
		return nil, fmt.Errorf("%w: none of the %d signature lines is by a key that is known for it", ErrNotSigned, len(n.Signatures))
	}
	return verified, nil
}

// extensionSigned reports whether one of the log's keys that signed covers the
// whole text. An ML-DSA-44 signature does not.
func (c candidate) extensionSigned() bool {
	return slices.ContainsFunc(c.log.Keys, func(k checkpoint.Verifier) bool {
		return k.Algorithm() != checkpoint.CosignatureV1MLDSA44 &&
			slices.ContainsFunc(c.signatures, func(s checkpoint.Signature) bool { return s.Name == k.Name() && s.KeyID == k.KeyHash() })
	})
}

// withEmptyRoot gives a text of size 0 the root of the empty tree, so that the
// rest of it can be read, and reports whether it had another.
func withEmptyRoot(text []byte) (fixed []byte, had bool) {
	lines := bytes.SplitN(text, []byte("\n"), 4)
	if len(lines) < 4 || string(lines[1]) != "0" {
		return text, false
	}
	root, err := base64.StdEncoding.Strict().DecodeString(string(lines[2]))
	empty := merkle.EmptyRoot()
	if err != nil || len(root) != len(empty) || bytes.Equal(root, empty[:]) {
		return text, false
	}
	lines[2] = base64.StdEncoding.AppendEncode(nil, empty[:])
	return bytes.Join(lines, []byte("\n")), true
}

// swap makes the candidate the log's newest cosigned checkpoint, if the proof
// shows that it may be.
func (w *Witness) swap(ctx context.Context, c candidate, r Request) ([]checkpoint.Signature, error) {
	unlock, err := c.log.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	have, newest, last, err := w.newest(ctx, c.log.Origin)
	if err != nil {
		return nil, err
	}
	if err := follows(c, r, newest); err != nil {
		w.contradicted(c, have)
		return nil, err
	}
	if err := w.may(c, newest); err != nil {
		if signatures := w.cosignedBefore(c, have); len(signatures) > 0 {
			return signatures, w.cfg.Register.Advance(ctx, c.log.Origin, have)
		}
		return nil, err
	}
	to, signatures, err := w.cosign(c, last)
	if err != nil {
		return nil, err
	}
	return signatures, w.remember(ctx, c.log.Origin, have, to)
}

// remember makes a head the log's newest. Not before both memories know it does a
// signature leave. The database comes first: so a register that knows more
// means that the database was restored.
func (w *Witness) remember(ctx context.Context, origin string, have, to Head) error {
	err := w.cfg.State.Swap(ctx, origin, have, to)
	if errors.Is(err, ErrMoved) {
		return w.movedOn(ctx, origin)
	}
	if err != nil {
		return fmt.Errorf("store the checkpoint: %w", err)
	}
	if err := w.cfg.Register.Advance(ctx, origin, to); err != nil {
		return fmt.Errorf("register the checkpoint: %w", err)
	}
	return nil
}

// contradictionsPerDay is how often a day the contradictions of one log are told
// of: one proves it, and any stranger can send it again.
const contradictionsPerDay = 240

// contradicted tells of two heads of one size.
func (w *Witness) contradicted(c candidate, have Head) {
	if have.Size != c.checkpoint.Size || have.Size == 0 || have.Root == c.checkpoint.Root || w.cfg.Contradicted == nil {
		return
	}
	if c.log.told.take(w.cfg.Now(), contradictionsPerDay) {
		w.cfg.Contradicted(c.log.Log, have, checkpoint.Note{Text: c.text(), Signatures: c.signatures}.Marshal())
	}
}

// follows says whether a candidate follows what was cosigned last. To be told
// that it does not costs the log nothing: anybody can send what it signed before.
func follows(c candidate, r Request, newest Head) error {
	if r.Old != newest.Size {
		return &ConflictError{newest.Size}
	}
	return extends(newest, c.checkpoint, r.Proof)
}

// may says whether the log may have another checkpoint cosigned today. Only the
// log can make one that is larger; the newest one can be sent again by anybody
// who saw it, and is counted apart.
func (w *Witness) may(c candidate, newest Head) error {
	of := &c.log.repeats
	if c.checkpoint.Size > newest.Size {
		of = &c.log.growth
	}
	if !of.take(w.cfg.Now(), c.log.PerDay) {
		return &TooManyError{Origin: c.log.Origin, PerDay: c.log.PerDay}
	}
	return nil
}

// cosignedBefore returns the cosignatures that a checkpoint has already, for who
// comes when repeating has used up its budget: that made them no older than the
// time after which it has room again.
func (w *Witness) cosignedBefore(c candidate, have Head) (ours []checkpoint.Signature) {
	note, err := checkpoint.ParseNote(have.Note)
	if err != nil || !bytes.Equal(note.Text, c.text()) {
		return nil
	}
	for _, s := range note.Signatures {
		if slices.ContainsFunc(w.cfg.Cosigners, func(c *checkpoint.Cosigner) bool {
			return s.Name == c.Verifier().Name() && s.KeyID == c.Verifier().KeyHash()
		}) {
			ours = append(ours, s)
		}
	}
	return ours
}

// newest returns what the database has, what counts, which is the larger of that
// and what the register knows, and the time of the last cosignature.
func (w *Witness) newest(ctx context.Context, origin string) (have, newest Head, last int64, err error) {
	have, registered, err := w.memories(ctx, origin)
	last = max(have.Time, registered.Time)
	switch {
	case err != nil:
		return have, have, last, err
	case contradict(have, registered):
		return have, have, last, fmt.Errorf("%w: of %s at size %d", ErrTwoMemories, origin, have.Size)
	case registered.Size > have.Size:
		return have, registered, last, nil
	}
	return have, have, last, nil
}

// memories returns what the database and the register know of a log.
func (w *Witness) memories(ctx context.Context, origin string) (have, registered Head, err error) {
	if have, err = w.cfg.State.Head(ctx, origin); err != nil {
		return have, registered, fmt.Errorf("read the checkpoint cosigned last: %w", err)
	}
	if registered, err = w.cfg.Register.Newest(origin); err != nil {
		return have, registered, fmt.Errorf("read the register: %w", err)
	}
	return have, registered, nil
}

func contradict(have, registered Head) bool {
	return registered.Size == have.Size && have.Size > 0 && registered.Root != have.Root
}

// movedOn is the answer to who came second among several processes.
func (w *Witness) movedOn(ctx context.Context, origin string) error {
	_, newest, _, err := w.newest(ctx, origin)
	if err != nil {
		return err
	}
	return &ConflictError{newest.Size}
}

// extends checks that a checkpoint extends what was cosigned last.
// SPEC: tlog-witness: no proof from the empty tree; of the same size, the same root.
func extends(newest Head, c checkpoint.Checkpoint, proof []merkle.Hash) error {
	root := newest.Root
	if newest.Size == 0 {
		root = merkle.EmptyRoot()
	}
	if err := merkle.VerifyConsistency(newest.Size, c.Size, root, c.Root, proof); err != nil {
		return fmt.Errorf("%w: the checkpoint of size %d does not extend that of size %d: %w", ErrInconsistent, c.Size, newest.Size, err)
	}
	return nil
}

// clockTolerance is how many seconds the clock may be behind the last cosignature
// before that is told of: clocks are corrected by less, and several processes
// differ.
const clockTolerance = 60

// cosign signs a candidate. Times never go back: two cosignatures of which the
// later one is of the smaller tree would be evidence against the log.
func (w *Witness) cosign(c candidate, last int64) (Head, []checkpoint.Signature, error) {
	now := w.cfg.Now().Unix()
	if behind := last - now; behind > clockTolerance && w.cfg.ClockBehind != nil {
		w.cfg.ClockBehind(c.log.Origin, time.Unix(last, 0))
	}
	now = max(now, last)
	var made []checkpoint.Signature
	for _, s := range w.cfg.Cosigners {
		sig, err := s.CosignExtended(c.checkpoint, c.extension, now)
		if err != nil {
			return Head{}, nil, err
		}
		made = append(made, sig)
	}
	note := checkpoint.Note{Text: c.text(), Signatures: append(c.signatures, made...)}.Marshal()
	if len(note) > checkpoint.MaxNoteSize {
		return Head{}, nil, fmt.Errorf("%w: the cosigned checkpoint has %d bytes; at most %d can be read again", ErrMalformed, len(note), checkpoint.MaxNoteSize)
	}
	return Head{Size: c.checkpoint.Size, Root: c.checkpoint.Root, Time: now, Note: note}, made, nil
}
