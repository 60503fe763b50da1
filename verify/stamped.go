package verify

import (
	"errors"
	"fmt"
	"slices"

	"indelible/checkpoint"
)

// findStamps reads the bundle's timestamps of RFC 3161, of which one must be by an
// authority that is trusted. The others may be by anybody: who signs asks as many
// as he likes.
func (v *bundled) findStamps() error {
	stamped, trusted := v.bundle.timestamps, v.trust.Timestamps
	switch {
	case len(stamped) == 0:
		v.note("timestamp", NotChecked, "the bundle has none of RFC 3161")
		return nil
	case len(trusted) == 0:
		v.note("timestamp", NotChecked, "the bundle has %d of RFC 3161, and no timestamp authority is trusted", len(stamped))
		return nil
	}
	var why []error
	for i, response := range stamped {
		at, err := v.stampedBy(response)
		if err == nil {
			v.stamps = append(v.stamps, at)
		} else {
			why = append(why, fmt.Errorf("number %d: %w", i+1, err))
		}
	}
	if len(v.stamps) == 0 {
		return v.fail("timestamp", fmt.Errorf("none of the bundle's %d timestamps is good, and by an authority that you trust: %w", len(stamped), errors.Join(why...)))
	}
	v.Stamped = slices.Min(v.stamps)
	v.note("timestamp", Passed, "signed by %d (seconds since 1970, UTC), as %d of %d timestamps say, by authorities that are trusted", v.Stamped, len(v.stamps), len(stamped))
	return nil
}

// stampedBy is the time at which an authority that is trusted saw the signature.
func (v *bundled) stampedBy(response []byte) (int64, error) {
	var why []error
	for _, a := range v.trust.Timestamps {
		at, err := a.Stamped(response, v.bundle.signature())
		if err == nil && at > 0 {
			return at, nil
		}
		if err == nil {
			err = fmt.Errorf("its time is %d, in seconds since 1970", at)
		}
		why = append(why, err)
	}
	return 0, errors.Join(why...)
}

// proven are all times by which the signature was there.
func (v *bundled) proven() []int64 {
	if v.Time == 0 {
		return v.stamps
	}
	return append([]int64{v.Time}, v.stamps...)
}

// checkPeriod checks that the log's key was in use when something was proven to be
// there: one that is retired may have fallen into anybody's hands. Where no time is
// proven, it says so.
func (v *bundled) checkPeriod() error {
	periods := v.periods()
	if len(periods) == 0 {
		return nil
	}
	times := v.proven()
	if len(times) == 0 {
		v.note("period", NotChecked, "the log's key is trusted %s (in seconds since 1970, UTC), and no time is proven", periods[0])
		return nil
	}
	outside := times[0]
	for _, p := range periods {
		i := slices.IndexFunc(times, func(at int64) bool { return !p.has(at) })
		if i < 0 {
			v.note("period", Passed, "the log's key was in use then")
			return nil
		}
		outside = times[i]
	}
	return v.fail("period", fmt.Errorf("the log's key is trusted %s, and the proven time is %d (in seconds since 1970, UTC)", periods[len(periods)-1], outside))
}

// periods are those of the listed logs that signed the checkpoint; none if it is
// signed by a key that is trusted for good.
func (v *bundled) periods() (list []Period) {
	for _, k := range v.keys {
		if v.forGood(k) {
			return nil
		}
		for _, l := range v.trust.Listed {
			if l.is(k) {
				list = append(list, l.Valid)
			}
		}
	}
	return list
}

// forGood reports whether a key is trusted by itself, and not by a list alone.
func (v *bundled) forGood(k checkpoint.Verifier) bool {
	without := v.trust
	without.Listed = nil
	all, err := without.named(k.Name())
	return err == nil && slices.ContainsFunc(all, k.Equal)
}
