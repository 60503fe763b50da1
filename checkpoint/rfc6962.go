package checkpoint

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"math"
)

// What a signature of type 0x05 holds before the ECDSA signature: milliseconds,
// and the algorithms and the length of TLS. SPEC: RFC 5246 section 4.7.
const (
	treeHeadTimeSize = 8
	treeHeadHeader   = treeHeadTimeSize + 4
	tlsSHA256        = 4
	tlsECDSA         = 3
)

// NewLogVerifier names the ECDSA public key of a Certificate Transparency log,
// which signs tree heads as RFC 6962 says (type 0x05).
func NewLogVerifier(name string, pub *ecdsa.PublicKey) (Verifier, error) {
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return Verifier{}, fmt.Errorf("encode the public key of %q: %w", name, err)
	}
	return newVerifier(name, RFC6962, spki)
}

// verifyTreeHead checks a signature of type 0x05. It covers neither the origin,
// which must therefore be the key's name, nor extension lines, which are refused.
//
// SPEC: static-ct-api, Checkpoints; RFC 6962 section 3.5.
func (v Verifier) verifyTreeHead(text, blob []byte) bool {
	if len(blob) < treeHeadHeader || blob[treeHeadTimeSize] != tlsSHA256 || blob[treeHeadTimeSize+1] != tlsECDSA {
		return false
	}
	sig := blob[treeHeadHeader:]
	if int(binary.BigEndian.Uint16(blob[treeHeadTimeSize+2:])) != len(sig) {
		return false
	}
	c, err := ParseText(text)
	if err != nil || c.Origin != v.name {
		return false
	}
	digest := sha256.Sum256(treeHead(binary.BigEndian.Uint64(blob), c))
	return ecdsa.VerifyASN1(v.ecdsa, digest[:], sig)
}

// treeHead is the message of a signature of type 0x05: version, type tree_hash,
// milliseconds, size, root.
func treeHead(milliseconds uint64, c Checkpoint) []byte {
	m := []byte{0, 1}
	m = binary.BigEndian.AppendUint64(m, milliseconds)
	m = binary.BigEndian.AppendUint64(m, uint64(c.Size))
	return append(m, c.Root[:]...)
}

// treeHeadTime reads the time of a signature of type 0x05, in POSIX seconds.
func treeHeadTime(blob []byte) (int64, bool) {
	if len(blob) < treeHeadHeader {
		return 0, false
	}
	t := binary.BigEndian.Uint64(blob)
	return int64(t / 1000), t <= math.MaxInt64
}
