package rekorv1

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net/http"
	"strconv"

	"indelible/checkpoint"
	"indelible/server/failure"
)

// Key signs for the API: ECDSA on P-256, over a SHA-256 digest, in ASN.1 DER. It
// may be elsewhere, and slow, or away: Sign ends with ctx at the latest, and what
// it returns without an error verifies. An error is answered 503, and one that is
// context.DeadlineExceeded 504; telling the operator is the Key's own affair.
type Key interface {
	Public() *ecdsa.PublicKey
	Sign(ctx context.Context, digest [sha256.Size]byte) ([]byte, error)
}

// LocalKey is a key in memory. Its signatures are hedged: random, and safe where
// the randomness is not.
func LocalKey(key *ecdsa.PrivateKey) Key { return localKey{key} }

type localKey struct{ key *ecdsa.PrivateKey }

func (k localKey) Public() *ecdsa.PublicKey { return &k.key.PublicKey }

func (k localKey) Sign(_ context.Context, digest [sha256.Size]byte) ([]byte, error) {
	return k.key.Sign(rand.Reader, digest[:], crypto.SHA256)
}

// unsigned is that the key does not sign at present.
type unsigned struct{ err error }

func (u *unsigned) Error() string { return "sign for Rekor v1's API: " + u.err.Error() }

func (u *unsigned) Unwrap() error { return u.err }

// sign signs a message: ECDSA over its SHA-256.
func (h *Handler) sign(ctx context.Context, message []byte) ([]byte, error) {
	return h.cfg.Key.Sign(ctx, sha256.Sum256(message))
}

// signNote signs a note's text, which is verified: it is once a tree head, and a
// wrong one would be in every answer.
func (h *Handler) signNote(ctx context.Context, text []byte) (checkpoint.Signature, error) {
	sig, err := h.sign(ctx, text)
	if err != nil {
		return checkpoint.Signature{}, err
	}
	if !h.verifier.Verify(text, sig) {
		return checkpoint.Signature{}, errors.New("the signature just made does not verify")
	}
	return checkpoint.Signature{Name: h.verifier.Name(), KeyID: h.verifier.KeyHash(), Blob: sig}, nil
}

// notSigned is the refusal of what lacks a signature. The reason is for the
// operator, and may name hosts.
func notSigned(w http.ResponseWriter, err error) *refusal {
	const still = "what is logged stays logged; ask again, or add the same entry again"
	if errors.Is(err, context.DeadlineExceeded) {
		return &refusal{http.StatusGatewayTimeout, http.StatusGatewayTimeout, "the log's key for Rekor v1 did not sign in time: " + still}
	}
	w.Header().Set("Retry-After", strconv.Itoa(int(failure.RetryAfter.Seconds())))
	if errors.Is(err, errManyReaders) {
		return &refusal{http.StatusServiceUnavailable, http.StatusServiceUnavailable, errManyReaders.Error() + " by the log's key for Rekor v1: ask again"}
	}
	return &refusal{http.StatusServiceUnavailable, http.StatusServiceUnavailable, "the log's key for Rekor v1 cannot sign at present: " + still}
}
