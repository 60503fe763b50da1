package prover

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"indelible/checkpoint"
	"indelible/verify"
)

// trust is which log the reader trusts, and which witnesses are asked for.
type trust struct {
	Keys   []string // vkeys, or public keys in PEM as Rekor v1's is
	Policy string   // a tlog-policy; empty: no witnesses are asked for
}

// parsed is a trust, read.
type parsed struct {
	logs   []checkpoint.Verifier
	bare   []crypto.PublicKey
	policy *checkpoint.Policy
}

func (t trust) parse() (p parsed, err error) {
	for _, k := range t.Keys {
		if strings.HasPrefix(k, "-----BEGIN ") {
			pub, err := publicKey(k)
			if err != nil {
				return p, err
			}
			p.bare = append(p.bare, pub)
			continue
		}
		v, err := checkpoint.ParseVerifier(k)
		if err != nil {
			return p, fmt.Errorf("the log's key %.200q: %w", k, err)
		}
		p.logs = append(p.logs, v)
	}
	if strings.TrimSpace(t.Policy) == "" {
		return p, nil
	}
	if p.policy, err = checkpoint.ParsePolicy([]byte(t.Policy)); err != nil {
		return p, fmt.Errorf("the policy: %w", err)
	}
	if len(p.policy.Logs) == 0 { // it adds its witnesses to the keys
		for _, k := range p.logs {
			p.policy.Logs = append(p.policy.Logs, checkpoint.PolicyLog{Key: k})
		}
	}
	return p, nil
}

func publicKey(text string) (crypto.PublicKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("the log's key is not PEM")
	}
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the log's key in PEM: %w", err)
	}
	return pub, nil
}

func (p parsed) keys() []checkpoint.Verifier {
	if p.policy == nil {
		return p.logs
	}
	list := make([]checkpoint.Verifier, len(p.policy.Logs))
	for i, l := range p.policy.Logs {
		list[i] = l.Key
	}
	return list
}

func (p parsed) cosigners() []checkpoint.Verifier {
	if p.policy == nil {
		return nil
	}
	return p.policy.Cosigners()
}

// head is a checkpoint that the log signed.
type head struct {
	Origin string `json:"origin"`
	Size   int64  `json:"size"`
	Root   []byte `json:"root"`
	// Note has the lines that verify, and no others.
	Note       string      `json:"note"`
	Signatures []signature `json:"signatures"`
}

// signature is a line of the checkpoint. Those of nobody that the reader trusts
// are listed too, and prove nothing.
type signature struct {
	Name  string `json:"name"`
	KeyID string `json:"keyId"`
	By    string `json:"by"`             // log, witness, or empty: not checked
	Time  int64  `json:"time,omitempty"` // in POSIX seconds, where the signature has one
}

// opened is a checkpoint, and the checks of it.
type opened struct {
	checkpoint.Opened
	parsed
	checks checks
	ok     bool
}

// open checks the log's signature, and those of the policy's witnesses.
func (t trust) open(note string) (o opened, err error) {
	if o.parsed, err = t.parse(); err != nil {
		return o, err
	}
	keys := o.keys()
	o.Opened, err = checkpoint.Open([]byte(note), keys, o.cosigners()...)
	if err == nil {
		o.ok = true
		o.checks.pass("checkpoint", "signed by log %s at size %d", o.Origin, o.Size)
		o.witnesses()
		return o, nil
	}
	// A witness's wrong line condemns the note too; the check says whose it is.
	if alone, logs := checkpoint.Open([]byte(note), keys); logs == nil {
		o.Opened = alone
		o.checks.pass("checkpoint", "signed by log %s at size %d", alone.Origin, alone.Size)
		o.checks.fail("witnesses", fmt.Errorf("the line of a witness of the policy is not right, which condemns the whole checkpoint: %w", err))
		return o, nil
	}
	o.checks.fail("checkpoint", fmt.Errorf("no log that you trust signed it: %w", err))
	return o, nil
}

func (o *opened) witnesses() {
	switch {
	case o.policy == nil:
		o.checks.skip("witnesses", "no policy was given: that the log shows everybody the same tree rests on its word")
	case o.policy.Quorum == "none":
		o.checks.skip("witnesses", "the policy asks for none")
	default:
		if err := o.policy.Check(o.Opened); err != nil {
			o.ok = false
			o.checks.fail("witnesses", err)
			return
		}
		o.checks.pass("witnesses", "%d cosigned, which meets the policy", len(o.policy.Cosigned(o.Opened)))
	}
}

// head is what the page shows of the checkpoint.
func (o opened) head(note string) *head {
	if !o.ok {
		return nil
	}
	h := &head{Origin: o.Origin, Size: o.Size, Root: o.Root[:], Note: string(o.Note)}
	n, err := checkpoint.ParseNote([]byte(note))
	if err != nil {
		return h
	}
	for _, s := range n.Signatures {
		h.Signatures = append(h.Signatures, o.signature(s))
	}
	return h
}

func (o opened) signature(s checkpoint.Signature) signature {
	out := signature{Name: s.Name, KeyID: fmt.Sprintf("%08x", s.KeyID)}
	at := slices.IndexFunc(o.Verified, func(v checkpoint.Verifier) bool { return v.Name() == s.Name && v.KeyHash() == s.KeyID })
	if at < 0 {
		return out
	}
	v := o.Verified[at]
	out.By = "witness"
	if slices.ContainsFunc(o.keys(), v.Equal) {
		out.By = "log"
	}
	out.Time, _ = o.Timestamp(v)
	return out
}

func openHead(q struct {
	trust
	Note string
},
) (any, error) {
	o, err := q.open(q.Note)
	if err != nil {
		return nil, err
	}
	return struct {
		Head   *head          `json:"head"`
		Checks []verify.Check `json:"checks"`
	}{o.head(q.Note), o.checks}, nil
}
