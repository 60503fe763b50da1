package checkpoint

import (
	"crypto/ed25519"
	"crypto/mldsa"
	"encoding/binary"
	"fmt"
	"math"
)

const timestampSize = 8

// verifyCosignature checks a timestamped cosignature: u64 seconds, signature.
func (v Verifier) verifyCosignature(text, blob []byte) bool {
	seconds, ok := cosignatureTime(blob)
	if !ok {
		return false
	}
	sig := blob[timestampSize:]
	if v.alg == CosignatureV1Ed25519 {
		return v.verifyMessage(cosignedText(seconds, text), sig)
	}
	// SPEC: tlog-cosignature: extension lines are not part of what is signed.
	c, _, err := ParseExtended(text)
	if err != nil || checkCosigned(c.Origin) != nil || len(v.name) > math.MaxUint8 {
		return false
	}
	return v.verifyMessage(cosignedSubtree(v.name, seconds, c.Origin, Subtree{End: c.Size, Root: c.Root}), sig)
}

// verifyMessage checks a bare signature of a cosigner's key.
func (v Verifier) verifyMessage(message, sig []byte) bool {
	if v.alg == CosignatureV1Ed25519 {
		return ed25519.Verify(v.key, message, sig)
	}
	return mldsa.Verify(v.mldsa, message, sig, nil) == nil
}

// cosignatureTime reads the timestamp of a cosignature, in POSIX seconds.
//
// SPEC: tlog-cosignature: big-endian, at most 2^63-1.
func cosignatureTime(blob []byte) (int64, bool) {
	if len(blob) <= timestampSize {
		return 0, false
	}
	t := binary.BigEndian.Uint64(blob)
	return int64(t), t <= math.MaxInt64
}

// cosignedText is the message of an Ed25519 cosignature.
//
// SPEC: tlog-cosignature: header, time line, the whole note text.
func cosignedText(seconds int64, text []byte) []byte {
	return append(fmt.Appendf(nil, "cosignature/v1\ntime %d\n", seconds), text...)
}

// cosignedSubtree is the message of an ML-DSA-44 cosignature. A checkpoint is
// the subtree from 0 to its size. Both names must be at most 255 bytes.
//
// SPEC: tlog-cosignature: label, u8-prefixed cosigner name, timestamp,
// u8-prefixed origin, start, end, hash.
func cosignedSubtree(cosigner string, seconds int64, origin string, t Subtree) []byte {
	m := []byte("subtree/v1\n\x00")
	m = append(m, byte(len(cosigner)))
	m = append(m, cosigner...)
	m = binary.BigEndian.AppendUint64(m, uint64(seconds))
	m = append(m, byte(len(origin)))
	m = append(m, origin...)
	m = binary.BigEndian.AppendUint64(m, uint64(t.Start))
	m = binary.BigEndian.AppendUint64(m, uint64(t.End))
	return append(m, t.Root[:]...)
}
