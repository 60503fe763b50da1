package entry

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
)

// Work does one step of admitting an entry. It calls do once, or returns the
// reason for not doing so: then the constructor returns that error, and it does
// not match ErrInvalid. cost says how long the step takes, in units of about the
// verification of one ECDSA signature on P-256. A server waits here for its turn,
// and looks here whether its client is still there.
//
// Every verification is a step of its own. A nil Work does each step at once.
type Work func(cost int, do func()) error

// stopped is an error of a Work.
type stopped struct{ error }

func (w Work) do(cost int, step func() error) (err error) {
	if w == nil {
		return step()
	}
	if why := w(cost, func() { err = step() }); why != nil {
		return stopped{why}
	}
	return err
}

const (
	// readUnit is about how many bytes of a request are read in the time of one unit.
	readUnit = 16 << 10
	// hashUnit is about how many bytes are hashed in that time.
	hashUnit = 32 << 10
)

// read does the step that reads a request. A small one costs less than waiting.
func (w Work) read(size int, step func() error) error {
	if size <= readUnit {
		return step()
	}
	return w.do(size/readUnit, step)
}

// cost is what verifying a signature over a message of so many bytes costs,
// without hashing it, which pure Ed25519 does each time.
func (s Signer) cost(size int) int {
	switch pub := s.PublicKey.(type) {
	case *ecdsa.PublicKey:
		switch bits := pub.Curve.Params().BitSize; {
		case bits <= 256:
			return 1
		case bits <= 384:
			return 10
		}
		return 35
	case *rsa.PublicKey:
		cost := pub.N.BitLen() / 1024 // 2 to 4
		if pub.E > 65537 {
			cost *= 3
		}
		return cost
	}
	if s.KeyDetails == Ed25519 {
		return 1 + size/hashUnit
	}
	return 1
}

// chainCost is what verifying the certificates above the signer's costs.
func (s Signer) chainCost() (cost int) {
	for _, c := range s.Chain {
		cost += Signer{PublicKey: c.PublicKey}.cost(0)
	}
	return cost
}

// maxECDSA is the maximum size of an ECDSA signature in ASN.1, which is that of
// P-521.
const maxECDSA = 139

// couldHaveMade reports whether a signature has the form of those by this key.
// ECDSA signatures are told apart by the curve: on a larger one, numbers that
// are small enough for a smaller one do not occur by chance.
func (s Signer) couldHaveMade(sig []byte) bool {
	switch pub := s.PublicKey.(type) {
	case *ecdsa.PublicKey:
		var rs struct{ R, S *big.Int }
		if len(sig) > maxECDSA {
			return false
		}
		if _, err := asn1.Unmarshal(sig, &rs); err != nil {
			return false
		}
		bits, curve := max(rs.R.BitLen(), rs.S.BitLen()), pub.Curve.Params().BitSize
		return bits <= curve && (curve == 256 || curve == 384 && bits > 256 || curve == 521 && bits > 384)
	case *rsa.PublicKey:
		return len(sig) == pub.Size()
	case ed25519.PublicKey:
		return len(sig) == ed25519.SignatureSize
	}
	return false
}

// signedMessage is a message that was signed. It is hashed once by each hash.
type signedMessage struct {
	text    []byte
	digests map[crypto.Hash][]byte
}

func newMessage(text []byte) *signedMessage {
	return &signedMessage{text, make(map[crypto.Hash][]byte)}
}

func (m *signedMessage) digest(h crypto.Hash) []byte {
	if m.digests[h] == nil {
		hash := h.New()
		hash.Write(m.text)
		m.digests[h] = hash.Sum(nil)
	}
	return m.digests[h]
}

// hashCost is what the digests cost that are not there yet.
func (m *signedMessage) hashCost(hashes ...crypto.Hash) (cost int) {
	for _, h := range hashes {
		if h != 0 && m.digests[h] == nil {
			cost += len(m.text) / hashUnit
		}
	}
	return cost
}

const (
	// spareWork is the work that each entry may take beyond twice that of its
	// signatures: so much that cheap keys may come in any order.
	spareWork = 64
	// maxWork is the maximum work of verifying one entry's signatures: as much as
	// verifying so many signatures on P-256.
	maxWork = 1024
)

var errTooMuchWork = errors.New("verifying it takes too much work")

// checker verifies the signatures over one message, and counts the work before
// it does it.
type checker struct {
	work    Work
	message *signedMessage
	left    int // units that may still be spent
}

// newChecker makes a checker for signatures of which each is by one of some keys.
// It may spend twice what they cost, as the cheapest of the keys that could have
// made each are counted, and a little more; hashing the message, which happens
// once, comes on top.
func newChecker(w Work, m *signedMessage, signatures [][]byte, signers []Signer) *checker {
	c, once := &checker{work: w, message: m}, 0
	for _, sig := range signatures {
		cheapest := 0
		for _, s := range signers {
			if cost := s.cost(len(m.text)); s.couldHaveMade(sig) && (cheapest == 0 || cost < cheapest) {
				cheapest = cost
			}
		}
		once += cheapest
	}
	if once <= maxWork {
		c.left = min(spareWork+2*once, maxWork)
	}
	return c
}

// verify tries one signature with one key.
func (c *checker) verify(s Signer, sig []byte) error {
	if !s.couldHaveMade(sig) {
		return ErrSignature
	}
	cost := s.cost(len(c.message.text))
	if c.left -= cost; c.left < 0 {
		return errTooMuchWork
	}
	return c.work.do(cost+c.message.hashCost(s.KeyDetails.hash()), func() error { return s.verifyMessage(c.message, sig) })
}

// failed adds to the error of a signature that does not verify how it was made,
// if it is a good one of a form that is not taken, and finding that out is not
// too much work.
func (c *checker) failed(err error, s Signer, sig []byte) error {
	cost := s.explainCost(sig)
	if cost == 0 || cost > c.left || !errors.Is(err, ErrSignature) {
		return err
	}
	c.left -= cost
	why := ""
	stopped := c.work.do(cost+c.message.hashCost(crypto.SHA256, crypto.SHA384, crypto.SHA512), func() error {
		why = s.explainMessage(c.message, sig)
		return nil
	})
	if stopped != nil {
		return stopped
	}
	return fmt.Errorf("%w%s", err, why)
}
