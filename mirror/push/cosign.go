package push

import (
	"fmt"
	"slices"
	"time"

	"indelible/checkpoint"
)

// Cosign adds a mirror's cosignatures to a checkpoint that the log signed, and
// returns the note and the cosignatures alone. previous is the checkpoint that it
// cosigned last, or nil: if the clock went back since, its time is repeated, as a
// later time of a smaller tree would be evidence against the log. A checkpoint that
// contradicts it, or is smaller, is refused. A line that names a key of the mirror's already is replaced, whoever wrote it.
func Cosign(note, previous []byte, origin string, log []checkpoint.Verifier, by []*checkpoint.Cosigner, now time.Time) (cosigned, lines []byte, err error) {
	if _, err := checkpoint.OpenExtended(origin, note, log); err != nil {
		return nil, nil, fmt.Errorf("the checkpoint to be cosigned: %w", err)
	}
	parsed, err := checkpoint.ParseNote(note)
	if err != nil {
		return nil, nil, err
	}
	c, extension, err := checkpoint.ParseExtended(parsed.Text)
	if err != nil {
		return nil, nil, err
	}
	if was, err := checkpoint.OpenExtended(origin, previous, log); err == nil && (c.Size < was.Size || c.Size == was.Size && c.Root != was.Root) {
		return nil, nil, fmt.Errorf("the checkpoint of size %d with root %x is not cosigned: the mirror cosigned that of size %d with root %x before; was its directory replaced by an older copy?", c.Size, c.Root, was.Size, was.Root)
	}
	seconds := max(now.Unix(), cosignedAt(previous, origin, log, by))
	var made []checkpoint.Signature
	for _, k := range by {
		sig, err := k.CosignExtended(c, extension, seconds)
		if err != nil {
			return nil, nil, err
		}
		made = append(made, sig)
		parsed.Signatures = slices.DeleteFunc(parsed.Signatures, func(s checkpoint.Signature) bool { return s.Name == sig.Name && s.KeyID == sig.KeyID })
	}
	parsed.Signatures = append(parsed.Signatures, made...)
	return parsed.Marshal(), checkpoint.MarshalSignatures(made), nil
}

// cosignedAt is the time of the mirror's cosignatures on a note; 0 without any.
func cosignedAt(note []byte, origin string, log []checkpoint.Verifier, by []*checkpoint.Cosigner) (seconds int64) {
	for _, k := range by {
		opened, err := checkpoint.OpenExtended(origin, note, log, k.Verifier())
		if err != nil {
			continue
		}
		if at, ok := opened.Timestamp(k.Verifier()); ok {
			seconds = max(seconds, at)
		}
	}
	return seconds
}
