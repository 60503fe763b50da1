package verify

import (
	"crypto/x509"
	"fmt"
	"math"
	"slices"

	"indelible/checkpoint"
)

// findCosigned finds a time in the checkpoint's signatures.
func (v *verification) findCosigned() {
	if v.Time = v.signedBy(); v.Time == 0 {
		v.note("time", NotChecked, "a proof says that the entry is in the log, not since when")
		return
	}
	by := "the log signed the checkpoint"
	if v.trust.asksWitnesses() {
		v.witnessed, by = v.Time, "a quorum of witnesses had cosigned the checkpoint"
	}
	v.note("time", Passed, "logged by %d (seconds since 1970, UTC), when %s", v.Time, by)
}

// signedBy is the earliest time by which a quorum had cosigned, or, where no
// witness is asked for, the log had with a time; 0 if there is none. A single
// witness could backdate; that a quorum does not is what the policy rests on.
func (v *verification) signedBy() int64 {
	p, asked := v.trust.Policy, v.trust.asksWitnesses()
	earliest := int64(math.MaxInt64)
	for _, last := range v.opened.Verified {
		t, ok := v.opened.Timestamp(last)
		if !ok || t == 0 || t >= earliest {
			continue
		}
		witness := slices.ContainsFunc(v.trust.cosigners(), last.Equal)
		if asked && p.MetBy(v.until(t)) || !asked && !witness {
			earliest = t
		}
	}
	if earliest == math.MaxInt64 {
		return 0
	}
	return earliest
}

// until are those who had signed at a time. SPEC: tlog-cosignature: 0 is none.
func (v *verification) until(seconds int64) (keys []checkpoint.Verifier) {
	for _, k := range v.opened.Verified {
		if t, ok := v.opened.Timestamp(k); ok && t != 0 && t <= seconds {
			keys = append(keys, k)
		}
	}
	return keys
}

// moment is when a signature was there: the times by which it is proven that it
// was, and that decide.
type moment struct {
	seconds []int64             // POSIX; see proven
	above   []*x509.Certificate // that came with the signer's
	missing string              // why none is proven
}

// within checks that all certificates of a chain were valid at the times that
// decide, and so was the period for which the authority is trusted.
func (m moment) within(c *x509.Certificate, chains [][]*x509.Certificate, trusted Period) error {
	const layout = "2006-01-02T15:04:05Z"
	validity := fmt.Sprintf("its certificate was valid from %s to %s", c.NotBefore.UTC().Format(layout), c.NotAfter.UTC().Format(layout))
	if len(m.seconds) == 0 {
		return fmt.Errorf("%s, and nothing proves that it signed by then: %s", validity, m.missing)
	}
	for _, at := range m.seconds {
		expired := func(c *x509.Certificate) bool { return at < c.NotBefore.Unix() || at > c.NotAfter.Unix() }
		if !slices.ContainsFunc(chains, func(chain []*x509.Certificate) bool { return !slices.ContainsFunc(chain, expired) }) {
			return fmt.Errorf("%s, and it, or one above it, was not at the proven time, %d (%d to %d, in seconds since 1970, UTC)", validity, at, c.NotBefore.Unix(), c.NotAfter.Unix())
		}
		if !trusted.has(at) {
			return fmt.Errorf("its certificate authority is trusted %s, and the proven time is %d (in seconds since 1970, UTC)", trusted, at)
		}
	}
	return nil
}
