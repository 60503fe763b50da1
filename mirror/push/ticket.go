package push

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"math"

	"indelible/checkpoint"
)

// TicketKey authenticates tickets. Instances of one mirror have the same.
type TicketKey [sha256.Size]byte

// seal makes the ticket for a checkpoint of a log, by a mirror of this name. A
// note that is too long for one has none.
func (k TicketKey) seal(mirror, origin string, note []byte) []byte {
	if len(note) > math.MaxUint16-sha256.Size {
		return nil
	}
	return append(k.mac(mirror, origin, note), note...)
}

// open returns the checkpoint of a ticket that seal made for the same mirror and
// log; nil for any other.
func (k TicketKey) open(mirror, origin string, ticket []byte) []byte {
	if len(ticket) <= sha256.Size || len(ticket) > checkpoint.MaxNoteSize {
		return nil
	}
	mac, note := ticket[:sha256.Size], ticket[sha256.Size:]
	if !hmac.Equal(mac, k.mac(mirror, origin, note)) {
		return nil
	}
	return note
}

func (k TicketKey) mac(mirror, origin string, note []byte) []byte {
	h := hmac.New(sha256.New, k[:])
	h.Write([]byte("indelible mirror ticket v1\x00"))
	for _, part := range []string{mirror, origin} { // their lengths, so that no two pairs are one
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write([]byte(part))
	}
	h.Write(note)
	return h.Sum(nil)
}

// NewTicketKey derives a key from the secret of the mirror's own.
func NewTicketKey(secret []byte) (k TicketKey, err error) {
	key, err := hkdf.Key(sha256.New, secret, nil, "indelible mirror ticket key v1", len(k))
	copy(k[:], key)
	return k, err
}
