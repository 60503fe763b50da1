package verify

import (
	"errors"
	"fmt"
	"slices"
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
		return v.fail("timestamp", NoTimestamp, fmt.Errorf("none of the bundle's %d timestamps is good, and by an authority that you trust: %w", len(stamped), errors.Join(why...)))
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

// proven are the times by which the signature was there that decide about the
// signer's certificate. All say no more than that it was there by then, so the
// earliest decides, and a later one contradicts nothing. The log's own word, which no
// witness bears out, decides only where nobody else says a time; one that is earlier
// must hold besides.
func (v *bundled) proven() []int64 {
	others := slices.Clone(v.stamps)
	if v.witnessed != 0 {
		others = append(others, v.witnessed)
	}
	switch own := v.Time; {
	case len(others) == 0 && own == 0:
		return nil
	case len(others) == 0:
		return []int64{own}
	case own != 0 && own < slices.Min(others):
		return []int64{slices.Min(others), own}
	}
	return []int64{slices.Min(others)}
}
