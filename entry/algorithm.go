package entry

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"
	"math/big"
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
	Ed25519         KeyDetails = "PKIX_ED25519" // of DSSE envelopes and whole artifacts only

	// Rekor v1's kinds that sign a message do it with SHA-256, whatever the key.
	ECDSAP384SHA256 KeyDetails = "PKIX_ECDSA_P384_SHA_256"
	ECDSAP521SHA256 KeyDetails = "PKIX_ECDSA_P521_SHA_256"
)

// hash is the hash that an algorithm signs; 0 for one that signs the message.
func (k KeyDetails) hash() crypto.Hash {
	switch k {
	case ECDSAP384SHA384:
		return crypto.SHA384
	case ECDSAP521SHA512, Ed25519ph:
		return crypto.SHA512
	case Ed25519:
		return 0
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

// usualDetails returns the key details of a key when nobody says which.
func usualDetails(pub crypto.PublicKey, kind Kind) (KeyDetails, error) {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return ECDSAP256SHA256, nil
		case elliptic.P384():
			return ECDSAP384SHA384, nil
		case elliptic.P521():
			return ECDSAP521SHA512, nil
		}
		return "", notAllowed("an ECDSA key on curve %s", k.Params().Name)
	case *rsa.PublicKey:
		switch bits := k.N.BitLen(); bits {
		case 2048:
			return RSA2048SHA256, nil
		case 3072:
			return RSA3072SHA256, nil
		case 4096:
			return RSA4096SHA256, nil
		default:
			return "", notAllowed("an RSA key of %d bits", bits)
		}
	case ed25519.PublicKey:
		if kind == KindDSSE {
			return Ed25519, nil
		}
		return Ed25519ph, nil
	case nil: // a certificate's key that crypto/x509 does not know
		return "", notAllowed("a key of an unknown type")
	}
	return "", notAllowed("a key of type %T", pub)
}

func notAllowed(format string, args ...any) error {
	return fmt.Errorf("%w: %s; allowed are ECDSA P-256, P-384 and P-521, RSA 2048, 3072 and 4096 with PKCS#1 v1.5, and Ed25519 (Ed25519ph where a digest is signed)",
		ErrAlgorithm, fmt.Sprintf(format, args...))
}

// chooseDetails returns the key details asked for, if the key can have them, or
// the key's usual ones.
func chooseDetails(pub crypto.PublicKey, asked KeyDetails, kind Kind) (KeyDetails, error) {
	usual, err := usualDetails(pub, kind)
	switch {
	case err != nil:
		return "", err
	case asked == "" || asked == usual:
		return usual, nil
	case asked == Ed25519ph && usual == Ed25519: // in an envelope both will do
		return asked, nil
	case asked == Ed25519 && usual == Ed25519ph:
		return "", fmt.Errorf("%w: %s", ErrAlgorithm, pureEd25519)
	}
	return "", fmt.Errorf("%w: key details %q do not fit the key, which is %s", ErrAlgorithm, asked, usual)
}

// pureEd25519 says what is right for those who sign with pure Ed25519, as most
// programs do with an Ed25519 key.
const pureEd25519 = "pure Ed25519 signs the message, and a hashedrekord has only its digest: sign with Ed25519ph, or log a DSSE envelope"

// explainEd25519 ends the error of a hashedrekord that does not fit its key.
func (s Signer) explainEd25519() string {
	if s.KeyDetails != Ed25519ph {
		return ""
	}
	return "; " + pureEd25519
}

// verifyDigest checks a signature over a digest. It asks the crypto packages
// and not sigstore's verifiers, since those also take ECDSA signatures in IEEE
// P1363 form; one signature would have several encodings, each an entry of its
// own. They also cost 17 allocations more for each entry.
func (s Signer) verifyDigest(digest, sig []byte) error {
	if s.KeyDetails == Ed25519 || !s.verifyHash(s.KeyDetails.hash(), digest, sig) {
		return ErrSignature
	}
	return nil
}

func (s Signer) verifyHash(h crypto.Hash, digest, sig []byte) bool {
	switch pub := s.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(pub, digest, sig)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(pub, h, digest, sig) == nil
	case ed25519.PublicKey:
		return h == crypto.SHA512 && ed25519.VerifyWithOptions(pub, digest, sig, &ed25519.Options{Hash: h}) == nil
	}
	return false
}

// verifyMessage checks a signature over a message, which the algorithm hashes.
func (s Signer) verifyMessage(m *signedMessage, sig []byte) error {
	if s.KeyDetails != Ed25519 {
		return s.verifyDigest(m.digest(s.KeyDetails.hash()), sig)
	}
	if pub, ok := s.PublicKey.(ed25519.PublicKey); !ok || !ed25519.Verify(pub, m.text, sig) {
		return ErrSignature
	}
	return nil
}

// p1363 returns the two numbers of an ECDSA signature, if it could be one by
// this key in IEEE P1363 form.
func (s Signer) p1363(sig []byte) (r, v *big.Int, ok bool) {
	pub, ok := s.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, nil, false
	}
	size := (pub.Curve.Params().BitSize + 7) / 8
	if len(sig) != 2*size {
		return nil, nil, false
	}
	return new(big.Int).SetBytes(sig[:size]), new(big.Int).SetBytes(sig[size:]), true
}

// explainDigest says how a signature over a digest was made, if it is a good one
// of a form that is not taken. Others accept some of them.
func (s Signer) explainDigest(h crypto.Hash, digest, sig []byte) string {
	switch pub := s.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if r, v, ok := s.p1363(sig); ok && ecdsa.Verify(pub, digest, r, v) {
			return ": it is in IEEE P1363 form; write it in ASN.1 DER, since one signature must not make two entries"
		}
	case *rsa.PublicKey:
		if rsa.VerifyPSS(pub, h, digest, sig, nil) == nil {
			return ": it is RSA-PSS; sign with PKCS#1 v1.5"
		}
	}
	return ""
}

// explainMessage is explainDigest of a message, which may also have been hashed
// otherwise.
func (s Signer) explainMessage(m *signedMessage, sig []byte) string {
	own := s.KeyDetails.hash()
	if own != 0 {
		if why := s.explainDigest(own, m.digest(own), sig); why != "" {
			return why
		}
	}
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		switch {
		case h == own || s.KeyDetails == Ed25519 && h != crypto.SHA512 || !s.verifyHash(h, m.digest(h), sig):
		case s.KeyDetails == Ed25519:
			return ": it is Ed25519ph; sign the message itself"
		default:
			return fmt.Sprintf(": it is over the %s digest; sign the %s digest, as %s says", h, own, s.KeyDetails)
		}
	}
	return ""
}

// explainCost is how many units explainMessage takes beside hashing; 0 if it has
// nothing to say.
func (s Signer) explainCost(sig []byte) int {
	_, _, p1363 := s.p1363(sig)
	switch _, rsa := s.PublicKey.(*rsa.PublicKey); {
	case p1363:
		return s.cost(0)
	case !s.couldHaveMade(sig) || s.KeyDetails == Ed25519ph:
		return 0
	case rsa:
		return 3 * s.cost(0)
	}
	return 2 * s.cost(0)
}
