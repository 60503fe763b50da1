package verify

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/mldsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"indelible/checkpoint"
)

// hostV1 is the name of the key that signs a checkpoint of Rekor v1's: its first
// line is that name, " - " and the tree's id in digits. No C2SP origin that a
// vkey can name has a space.
func hostV1(origin string) (host string, ok bool) {
	at := strings.LastIndex(origin, " - ")
	if at < 0 {
		return "", false
	}
	tree := origin[at+len(" - "):]
	return origin[:at], tree != "" && strings.Trim(tree, "0123456789") == ""
}

// promised is what Rekor v1 signs when it promises to log an entry: the RFC 8785
// form of this object.
func (e logEntry) promised() []byte {
	return fmt.Appendf(nil, `{"body":"%s","integratedTime":%d,"logID":"%s","logIndex":%d}`,
		base64.StdEncoding.EncodeToString(e.body), e.integrated, hex.EncodeToString(e.keyID), e.index)
}

// logID is the name of a log in Sigstore's bundles. ECDSA, and so Rekor v1: the
// SHA-256 of the key. Ed25519 and ML-DSA-44: all 32 bytes of the hash that begins
// with the key id of a signed note. Other keys have none: nil.
func logID(v checkpoint.Verifier) []byte {
	switch pub := v.PublicKey().(type) {
	case *ecdsa.PublicKey:
		spki, err := x509.MarshalPKIXPublicKey(pub)
		if err != nil {
			return nil
		}
		sum := sha256.Sum256(spki)
		return sum[:]
	case ed25519.PublicKey:
		if v.Algorithm() == checkpoint.Ed25519 {
			sum := sha256.Sum256(append([]byte(v.Name()+"\n\x01"), pub...))
			return sum[:]
		}
	case *mldsa.PublicKey:
		sum := sha256.Sum256(append([]byte(v.Name()+"\n\x06"), pub.Bytes()...))
		return sum[:]
	}
	return nil
}
