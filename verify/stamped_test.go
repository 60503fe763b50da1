package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/mldsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"indelible/checkpoint"
)

// clock is a timestamp authority whose timestamps are its name, a time, and what it
// stamps.
type clock string

func (c clock) stamp(at int64, signature []byte) obj {
	return obj{"signedTimestamp": b64(slices.Concat([]byte(c), binary.BigEndian.AppendUint64(nil, uint64(at)), signature))}
}

func (c clock) Stamped(response, signature []byte) (int64, error) {
	if len(response) < 9 || string(response[:1]) != string(c) {
		return 0, fmt.Errorf("it is not by clock %s", string(c))
	}
	if !slices.Equal(response[9:], signature) {
		return 0, errors.New("it is of something else")
	}
	return int64(binary.BigEndian.Uint64(response[1:])), nil
}

// stamped puts timestamps of its signature into a bundle.
func (s *signedIn) stamped(list ...obj) {
	s.t.Helper()
	var all []any
	for _, o := range list {
		all = append(all, o)
	}
	s.material()["timestampVerificationData"] = obj{"rfc3161Timestamps": all}
}

func (s *signedIn) signature() []byte {
	s.t.Helper()
	b, err := parseBundle(s.data())
	if err != nil {
		s.t.Fatal(err)
	}
	return b.signature()
}

// A timestamp says when a certificate's key signed, by Rekor v2 alone, if its
// authority is trusted.
func TestTimestamps(t *testing.T) {
	const a, b = clock("a"), clock("b")
	from := time.Unix(1_700_000_000, 0)
	ca, key := newAuthority(t, from.Add(-time.Hour), from.Add(time.Hour)), newKey(t)
	s := newSigned(t, key, ca.shortLived(key, 2, from).Raw)
	s.trust.Signers = []Signer{{Identity: "dev@example.com", Roots: ca.pool()}}
	sig, soon, late := s.signature(), from.Unix()+60, from.Unix()+601
	for name, c := range map[string]struct {
		trusted       []TimestampAuthority
		stamps        []obj
		check, reason string // that fails
		at            int64
	}{
		"good":                    {[]TimestampAuthority{a}, []obj{a.stamp(soon, sig)}, "", "", soon},
		"no more than valid":      {[]TimestampAuthority{a}, []obj{a.stamp(late-1, sig)}, "", "", late - 1},
		"too late":                {[]TimestampAuthority{a}, []obj{a.stamp(late, sig)}, "signer", "was not at the proven time", late},
		"too early":               {[]TimestampAuthority{a}, []obj{a.stamp(from.Unix()-1, sig)}, "signer", "was not at the proven time", from.Unix() - 1},
		"none":                    {[]TimestampAuthority{a}, nil, "signer", "has no timestamp of RFC 3161", 0},
		"nobody is trusted":       {nil, []obj{a.stamp(soon, sig)}, "signer", "no timestamp authority is trusted", 0},
		"another's":               {[]TimestampAuthority{a}, []obj{b.stamp(soon, sig)}, "timestamp", "it is not by clock a", 0},
		"another's beside":        {[]TimestampAuthority{a}, []obj{b.stamp(late, sig), a.stamp(soon, sig)}, "", "", soon},
		"one of two":              {[]TimestampAuthority{a, b}, []obj{b.stamp(soon, sig)}, "", "", soon},
		"both":                    {[]TimestampAuthority{a, b}, []obj{a.stamp(soon+2, sig), b.stamp(soon, sig)}, "", "", soon},
		"one of both late":        {[]TimestampAuthority{a, b}, []obj{a.stamp(soon, sig), b.stamp(late, sig)}, "", "", soon},
		"of another signature":    {[]TimestampAuthority{a}, []obj{a.stamp(soon, []byte("other"))}, "timestamp", "it is of something else", 0},
		"of the signature's text": {[]TimestampAuthority{a}, []obj{a.stamp(soon, []byte(b64(sig)))}, "timestamp", "it is of something else", 0},
		"of no time":              {[]TimestampAuthority{a}, []obj{a.stamp(0, sig)}, "timestamp", "its time is 0", 0},
		"empty":                   {[]TimestampAuthority{a}, []obj{{"signedTimestamp": ""}}, "timestamp", "number 1: it is not by clock a", 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := *s
			s.t, s.trust.Timestamps = t, c.trusted
			s.stamped(c.stamps...)
			if c.check == "" {
				s.verifies()
			} else {
				s.fails(c.check, c.reason)
			}
			if r := s.verify(); r.Stamped != c.at || r.Time != 0 {
				t.Errorf("signed by %d, logged by %d", r.Stamped, r.Time)
			}
		})
	}
}

// A signature by a key needs no time, and its timestamps must be good all the same
// where somebody is trusted for them. Nobody says that a CT log has a key.
func TestTimestampsAndKeys(t *testing.T) {
	s := newSigned(t, newKey(t), nil)
	s.stamped(clock("b").stamp(1_700_000_000, s.signature()))
	if r := s.verifies(); slices.ContainsFunc(r.Checks, func(c Check) bool { return c.Name == "sct" }) || r.Stamped != 0 {
		t.Errorf("%+v", r)
	}
	s.trust.Timestamps = []TimestampAuthority{clock("a")}
	s.fails("timestamp", "number 1: it is not by clock a")
	s.trust.Timestamps = []TimestampAuthority{clock("b")}
	if r := s.verifies(); r.Stamped != 1_700_000_000 {
		t.Errorf("%+v", r)
	}
	env := newStatement(t, "dsse")
	env.trust.Timestamps = s.trust.Timestamps
	env.stamped(clock("b").stamp(1, env.signature()))
	env.verifies()
}

// An authority is trusted for a time where a trusted root says so.
func TestAuthoritysPeriod(t *testing.T) {
	from := time.Unix(1_700_000_000, 0)
	ca, key := newAuthority(t, from.Add(-time.Hour), from.Add(time.Hour)), newKey(t)
	at := from.Unix() + 60
	s := newRekorV1(t, key, ca.shortLived(key, 2, from).Raw, at)
	for p, good := range map[Period]bool{{}: true, {at, at}: true, {at + 1, 0}: false, {0, at - 1}: false} {
		s.trust.Signers = []Signer{{Identity: "dev@example.com", Roots: ca.pool(), Valid: p}}
		if good {
			s.verifies()
		} else {
			s.fails("signer", "its certificate authority is trusted from")
		}
		// The same root may be listed for another time.
		s.trust.Signers = append(s.trust.Signers, Signer{Identity: "dev@example.com", Roots: ca.pool()})
		s.verifies()
	}
}

// listed trusts a bundle's log as a trusted root does.
func (s *signedIn) listed(v Period) {
	s.t.Helper()
	key := s.log.Verifier()
	if s.rekorV1 != nil {
		key = s.signerV1().Verifier()
	}
	s.trust.Logs, s.trust.BareKeys = nil, nil
	s.trust.Listed = []ListedLog{{Key: key.PublicKey(), ID: logID(key), Valid: v}}
}

// signedByMLDSA gives a bundle's log an ML-DSA-44 key in place of its Ed25519 key, as
// rekor-tiles 2.4 can have it, and lists the log in the trusted root.
func (s *signedIn) signedByMLDSA() {
	s.t.Helper()
	key, err := mldsa.GenerateKey(mldsa.MLDSA44())
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := checkpoint.NewCosigner(origin, key)
	if err != nil {
		s.t.Fatal(err)
	}
	s.checkpoint()["envelope"] = s.note(origin, c.Signer(func() int64 { return 1_700_000_000 }), s.root())
	// SPEC: rekor-tiles 2.4.2, pkg/note: SHA-256 of the name, a line feed, 0x06, the key.
	id := sha256.Sum256(append([]byte(origin+"\n\x06"), key.PublicKey().Bytes()...))
	s.material()["tlogEntries"].([]any)[0].(obj)["logId"] = obj{"keyId": b64(id[:])}
	s.trust.Logs, s.trust.BareKeys = nil, nil
	s.trust.Listed = []ListedLog{{Key: key.PublicKey(), ID: id[:]}}
}

func TestListedLogs(t *testing.T) {
	v2, v1 := newSigned(t, newKey(t), nil), newRekorV1(t, newKey(t), nil, 1_700_000_000)
	for _, s := range []*signedIn{v1, v2} {
		s.listed(Period{})
		s.verifies()
		good := s.trust.Listed[0]
		s.trust.Listed[0].ID = good.ID[:4]
		s.verifies()
		for _, id := range [][]byte{nil, good.ID[:3], []byte("else"), append(slices.Clone(good.ID), 0)} {
			s.trust.Listed[0].ID = id
			s.fails("checkpoint", "the trusted root has no log that signs as \"")
		}
		s.trust.Listed = append(s.trust.Listed, good)
		s.verifies()
	}
	pq := newSigned(t, newKey(t), nil)
	pq.signedByMLDSA()
	pq.verifies()
	pq.trust.Listed[0].ID = pq.trust.Listed[0].ID[:4]
	pq.verifies()
	pq.trust.Listed[0].ID = logID(v2.log.Verifier())
	pq.fails("checkpoint", "the trusted root has no log that signs as \"")
	pq.signedByMLDSA()
	pq.material()["tlogEntries"].([]any)[0].(obj)["logId"] = obj{"keyId": b64(logID(v2.log.Verifier()))}
	pq.fails("checkpoint", "logId is")
	// A log with both keys is named by one of them, whichever is trusted.
	_, line, _ := strings.Cut(pq.note(origin, v2.log, pq.root()), "\n\n")
	pq.checkpoint()["envelope"] = pq.checkpoint()["envelope"].(string) + line
	pq.verifies()
	// The id of an Ed25519 key is of one name alone.
	v2.listed(Period{})
	v2.checkpoint()["envelope"] = strings.ReplaceAll(v2.checkpoint()["envelope"].(string), origin, "other.example")
	v2.fails("checkpoint", `the trusted root has no log that signs as "other.example"; it may be out of date`)
	v2.trust.Logs = []checkpoint.Verifier{v2.log.Verifier()}
	v2.fails("checkpoint", "no log that you trust signed")
	v2.trust.Logs = nil
	// A signature that its key does not make is another matter.
	v1.listed(Period{})
	v1.checkpoint()["envelope"] = strings.Replace(v1.checkpoint()["envelope"].(string), "\n4\n", "\n5\n", 1)
	v1.fails("checkpoint", "no log that you trust signed")
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	v2.trust.Listed = []ListedLog{{Key: crypto.PublicKey(p224.Public())}}
	if _, err := VerifyBundle(strings.NewReader(""), v2.data(), v2.trust); !errors.Is(err, ErrNoTrust) {
		t.Errorf("a key of no log: %v", err)
	}
}
