package entry

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"
	"strings"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"
)

// KeyDetails names a type of key and the hash that goes with it, as Sigstore
// does.
type KeyDetails string

// The key details that are allowed.
const (
	ECDSAP256SHA256 KeyDetails = "PKIX_ECDSA_P256_SHA_256"
	ECDSAP384SHA384 KeyDetails = "PKIX_ECDSA_P384_SHA_384"
	ECDSAP521SHA512 KeyDetails = "PKIX_ECDSA_P521_SHA_512"
	RSA2048SHA256   KeyDetails = "PKIX_RSA_PKCS1V15_2048_SHA256"
	RSA3072SHA256   KeyDetails = "PKIX_RSA_PKCS1V15_3072_SHA256"
	RSA4096SHA256   KeyDetails = "PKIX_RSA_PKCS1V15_4096_SHA256"
	Ed25519ph       KeyDetails = "PKIX_ED25519_PH"
	Ed25519         KeyDetails = "PKIX_ED25519" // of DSSE envelopes only
)

// hash is the hash that an algorithm signs.
func (k KeyDetails) hash() crypto.Hash {
	switch k {
	case ECDSAP384SHA384:
		return crypto.SHA384
	case ECDSAP521SHA512, Ed25519ph:
		return crypto.SHA512
	}
	return crypto.SHA256
}

// hashName is Sigstore's name of a hash.
func hashName(h crypto.Hash) string {
	switch h {
	case crypto.SHA384:
		return "SHA2_384"
	case crypto.SHA512:
		return "SHA2_512"
	}
	return "SHA2_256"
}

func hashByName(name string) (crypto.Hash, bool) {
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		if hashName(h) == name {
			return h, true
		}
	}
	return 0, false
}

// detailsOf returns the key details that a key can have; the first is the
// usual one. ed25519 keys sign digests or messages, by what is signed.
func detailsOf(pub crypto.PublicKey, kind Kind) ([]KeyDetails, error) {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return []KeyDetails{ECDSAP256SHA256}, nil
		case elliptic.P384():
			return []KeyDetails{ECDSAP384SHA384}, nil
		case elliptic.P521():
			return []KeyDetails{ECDSAP521SHA512}, nil
		}
		return nil, notAllowed("an ECDSA key on curve %s", k.Curve.Params().Name)
	case *rsa.PublicKey:
		switch bits := k.N.BitLen(); bits {
		case 2048:
			return []KeyDetails{RSA2048SHA256}, nil
		case 3072:
			return []KeyDetails{RSA3072SHA256}, nil
		case 4096:
			return []KeyDetails{RSA4096SHA256}, nil
		default:
			return nil, notAllowed("an RSA key of %d bits", bits)
		}
	case ed25519.PublicKey:
		if kind == KindDSSE {
			return []KeyDetails{Ed25519, Ed25519ph}, nil
		}
		return []KeyDetails{Ed25519ph}, nil
	}
	return nil, notAllowed("a key of type %T", pub)
}

func notAllowed(format string, args ...any) error {
	return invalidf("%w: %s; allowed are ECDSA P-256, P-384 and P-521, RSA 2048, 3072 and 4096 with PKCS#1 v1.5, and Ed25519 (Ed25519ph where a digest is signed)",
		ErrAlgorithm, fmt.Sprintf(format, args...))
}

// chooseDetails returns the key details asked for, if the key can have them, or
// the key's usual ones.
func chooseDetails(pub crypto.PublicKey, asked KeyDetails, kind Kind) (KeyDetails, error) {
	can, err := detailsOf(pub, kind)
	if err != nil {
		return "", err
	}
	if asked == "" {
		return can[0], nil
	}
	var names []string
	for _, k := range can {
		if k == asked {
			return k, nil
		}
		names = append(names, string(k))
	}
	if asked == Ed25519 {
		return "", invalidf("%w: pure Ed25519 signs the message, and a hashedrekord has only its digest: sign with Ed25519ph, or log a DSSE envelope", ErrAlgorithm)
	}
	return "", invalidf("%w: key details %q do not fit the key, which is %s", ErrAlgorithm, asked, strings.Join(names, " or "))
}

// verifyDigest checks a signature over a digest.
func (s Signer) verifyDigest(digest, sig []byte) error {
	v, err := s.verifier()
	if err != nil {
		return err
	}
	return signatureError(v.VerifySignature(bytes.NewReader(sig), nil, options.WithDigest(digest)))
}

// verifyMessage checks a signature over a message, which the algorithm hashes.
func (s Signer) verifyMessage(message, sig []byte) error {
	v, err := s.verifier()
	if err != nil {
		return err
	}
	return signatureError(v.VerifySignature(bytes.NewReader(sig), bytes.NewReader(message)))
}

func (s Signer) verifier() (signature.Verifier, error) {
	opts := []signature.LoadOption{options.WithHash(s.KeyDetails.hash())}
	if s.KeyDetails == Ed25519ph {
		opts = append(opts, options.WithED25519ph())
	}
	v, err := signature.LoadVerifierWithOpts(s.PublicKey, opts...)
	if err != nil {
		return nil, invalidf("%w: %v", ErrAlgorithm, err)
	}
	return v, nil
}

func signatureError(err error) error {
	if err == nil {
		return nil
	}
	return invalidf("%w", ErrSignature)
}
