package checkpoint

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"
)

// Signer signs note texts under a name. It is note.Signer of
// golang.org/x/mod/sumdb/note, so that either side's signers serve the other.
type Signer interface {
	Name() string
	KeyHash() uint32
	Sign(text []byte) (sig []byte, err error)
}

// KeySigner signs with one private key. It is a [Signer].
type KeySigner struct {
	key      crypto.Signer
	verifier Verifier
}

// NewSigner returns a signer called name: Ed25519 (type 0x01) or ECDSA (0x02).
func NewSigner(name string, key crypto.Signer) (*KeySigner, error) {
	switch pub := key.Public().(type) {
	case ed25519.PublicKey, *ecdsa.PublicKey:
		verifier, err := NewVerifier(name, pub)
		if err != nil {
			return nil, err
		}
		return &KeySigner{key: key, verifier: verifier}, nil
	default:
		return nil, fmt.Errorf("a key of type %T cannot sign checkpoints; use Ed25519 or ECDSA", pub)
	}
}

// Name returns the signer's name; for a log, its origin.
func (s *KeySigner) Name() string { return s.verifier.name }

// KeyHash returns the key id.
func (s *KeySigner) KeyHash() uint32 { return s.verifier.id }

// Verifier returns the public half.
func (s *KeySigner) Verifier() Verifier { return s.verifier }

// Sign signs text. It verifies the signature before it gives it away: a wrong
// one, made by failing hardware or a remote key that is not the one announced,
// is useless to readers and can betray the private key.
func (s *KeySigner) Sign(text []byte) ([]byte, error) {
	message, opts := text, crypto.SignerOpts(crypto.Hash(0))
	if s.verifier.alg == ECDSA {
		digest := sha256.Sum256(text)
		message, opts = digest[:], crypto.SHA256
	}
	sig, err := s.key.Sign(rand.Reader, message, opts)
	if err != nil {
		return nil, fmt.Errorf("sign as %s: %w", s.verifier.name, err)
	}
	if !s.verifier.Verify(text, sig) {
		return nil, fmt.Errorf("sign as %s: the signature just made does not verify", s.verifier.name)
	}
	return sig, nil
}

// Sign encodes c and signs it, one line a signer, in their order. One signer at
// least must be the log itself, that is, be called as the origin. There is no
// way to add lines made elsewhere.
func Sign(c Checkpoint, signers ...Signer) ([]byte, error) {
	text, err := textToSign(c)
	if err != nil {
		return nil, err
	}
	if err := checkSigners(c.Origin, signers); err != nil {
		return nil, err
	}
	n := Note{Text: text}
	for _, s := range signers {
		sig, err := s.Sign(text)
		if err != nil {
			return nil, err
		}
		n.Signatures = append(n.Signatures, Signature{Name: s.Name(), KeyID: s.KeyHash(), Blob: sig})
	}
	note := n.Marshal()
	if _, err := ParseNote(note); err != nil {
		return nil, fmt.Errorf("sign the checkpoint of %s: %w", c.Origin, err)
	}
	return note, nil
}

// textToSign encodes c if reading the text gives c again.
func textToSign(c Checkpoint) ([]byte, error) {
	if err := ValidateOrigin(c.Origin); err != nil {
		return nil, err
	}
	text := c.Text()
	if _, err := ParseText(text); err != nil {
		return nil, err
	}
	return text, nil
}

func checkSigners(origin string, signers []Signer) error {
	// SPEC: tlog-checkpoint: the log's key name is the origin.
	if !slices.ContainsFunc(signers, func(s Signer) bool { return s.Name() == origin }) {
		return fmt.Errorf("sign the checkpoint of %s: none of the %d signers has that name", origin, len(signers))
	}
	for i, s := range signers {
		if slices.ContainsFunc(signers[:i], func(t Signer) bool { return t.Name() == s.Name() && t.KeyHash() == s.KeyHash() }) {
			return fmt.Errorf("sign the checkpoint of %s: the signer %s+%08x is given twice", origin, s.Name(), s.KeyHash())
		}
	}
	return nil
}
