package verify

import (
	"crypto/x509"
	"fmt"
	"math"
	"slices"

	"indelible/checkpoint"
)

// findCosigned finds a time in the checkpoint's signatures. It says how many
// timestamps, of RFC 3161, it does not look at.
func (v *verification) findCosigned(timestamps int) {
	at, by := v.cosignedBy()
	switch {
	case by != "":
		v.Time = at
		v.note("time", Passed, "logged by %d (seconds since 1970, UTC), when %s", at, by)
	case timestamps > 0:
		v.note("time", NotChecked, "the bundle has %d RFC 3161 timestamps, which are not read here, and nobody else signed a time", timestamps)
	default:
		v.note("time", NotChecked, "a proof says that the entry is in the log, not since when")
	}
}

// cosignedBy is the earliest time by which a quorum had cosigned, or, where no
// witness is asked for, the log had with a time. A single witness could
// backdate; that a quorum does not is what the policy rests on.
func (v *verification) cosignedBy() (seconds int64, by string) {
	p := v.trust.Policy
	earliest := int64(math.MaxInt64)
	for _, last := range v.opened.Verified {
		t, ok := v.opened.Timestamp(last)
		if !ok || t == 0 || t >= earliest {
			continue
		}
		witness := slices.ContainsFunc(v.trust.cosigners(), last.Equal)
		switch asked := p != nil && p.Quorum != "none"; {
		case asked && p.MetBy(v.until(t)):
			earliest, by = t, "a quorum of witnesses had cosigned the checkpoint"
		case !asked && !witness:
			earliest, by = t, "the log signed the checkpoint"
		}
	}
	return earliest, by
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

// moment is a time by which a signature was there.
type moment struct {
	seconds int64               // POSIX; 0 if none is proven
	above   []*x509.Certificate // that came with the signer's
	missing string              // why none is
}

// within checks that all certificates of a chain were valid at the moment.
func (m moment) within(c *x509.Certificate, chains [][]*x509.Certificate) error {
	const layout = "2006-01-02T15:04:05Z"
	validity := fmt.Sprintf("its certificate was valid from %s to %s", c.NotBefore.UTC().Format(layout), c.NotAfter.UTC().Format(layout))
	if m.seconds == 0 {
		return fmt.Errorf("%s, and nothing proves that it signed by then: %s", validity, m.missing)
	}
	expired := func(c *x509.Certificate) bool { return m.seconds < c.NotBefore.Unix() || m.seconds > c.NotAfter.Unix() }
	if !slices.ContainsFunc(chains, func(chain []*x509.Certificate) bool { return !slices.ContainsFunc(chain, expired) }) {
		return fmt.Errorf("%s, and it, or one above it, was not at the proven time, %d (%d to %d, in seconds since 1970, UTC)", validity, m.seconds, c.NotBefore.Unix(), c.NotAfter.Unix())
	}
	return nil
}
