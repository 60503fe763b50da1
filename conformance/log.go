package conformance

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"indelible/checkpoint"
	"indelible/merkle"
)

// Log is the log that the suite plays.
type Log struct {
	key         crypto.Signer
	signer      *checkpoint.KeySigner
	tree, other *tree // its entries, and those of a second history
}

// VKey returns the log's verifier key, which the witness must be told.
func (l *Log) VKey() string { return l.signer.Verifier().String() }

// Origin returns the log's name.
func (l *Log) Origin() string { return l.signer.Name() }

// LogList returns the lines that tell a witness of the log, to be appended to a
// list in the form of the witness network. A run makes some hundreds of requests.
func (l *Log) LogList() string {
	return fmt.Sprintf("\nvkey %s\nqpd 1000000\ncontact whoever runs the conformance suite\n", l.VKey())
}

// originOf names a log after its key.
func originOf(pub crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(der)
	return "conformance.invalid/" + hex.EncodeToString(sum[:8]), nil
}

// request is an add-checkpoint request in its parts.
type request struct {
	old        int64
	proof      []merkle.Hash
	checkpoint checkpoint.Checkpoint
	text       []byte                 // that is signed; the checkpoint's if nil
	extra      []checkpoint.Signature // after the log's
}

// extend is the request for the tree of a size, from that of an old one.
func (l *Log) extend(old, size int64) request {
	var proof []merkle.Hash
	if old <= size {
		proof = l.tree.proof(0, old, size)
	}
	return request{old: old, proof: proof, checkpoint: l.at(size)}
}

// at is the log's head at a size.
func (l *Log) at(size int64) checkpoint.Checkpoint {
	return checkpoint.Checkpoint{Origin: l.Origin(), Size: size, Root: l.tree.root(0, size)}
}

// fork is a request of the second history, which is consistent in itself.
func (l *Log) fork(old, size int64) request {
	return request{
		old: old, proof: l.other.proof(0, old, size),
		checkpoint: checkpoint.Checkpoint{Origin: l.Origin(), Size: size, Root: l.other.root(0, size)},
	}
}

// body is the request as it is sent.
func (l *Log) body(r request) []byte { return join(r.head(), l.note(r)) }

// note is the request's checkpoint, signed.
func (l *Log) note(r request) []byte {
	text := r.signed()
	return checkpoint.Note{Text: text, Signatures: append([]checkpoint.Signature{l.sign(text)}, r.extra...)}.Marshal()
}

func (r request) signed() []byte {
	if r.text != nil {
		return r.text
	}
	return r.checkpoint.Text()
}

// head is what stands before the empty line.
func (r request) head() []byte {
	return append(fmt.Appendf(nil, "old %d\n", r.old), hashLines(r.proof)...)
}

func hashLines(hashes []merkle.Hash) []byte {
	var b []byte
	for _, h := range hashes {
		b = append(base64.StdEncoding.AppendEncode(b, h[:]), '\n')
	}
	return b
}

func join(head, note []byte) []byte { return bytes.Join([][]byte{head, note}, []byte("\n")) }

// sign signs any text, in the form of a checkpoint or not.
func (l *Log) sign(text []byte) checkpoint.Signature {
	blob, err := l.signer.Sign(text)
	if err != nil {
		panic(fmt.Sprintf("conformance: a key in memory does not sign: %v", err))
	}
	return checkpoint.Signature{Name: l.signer.Name(), KeyID: l.signer.KeyHash(), Blob: blob}
}
