package verify

import (
	"fmt"
	"slices"
)

// Period is a time, from its first second to its last, in POSIX seconds; 0 is no
// bound.
type Period struct{ From, Until int64 }

func (p Period) has(seconds int64) bool {
	return seconds >= p.From && (p.Until == 0 || seconds <= p.Until)
}

// ended reports whether it is over now; where nobody says what time it is, it is
// not known to be.
func (p Period) ended(now int64) bool { return p.Until != 0 && p.Until < now }

// always reports whether it has everything that was there by now.
func (p Period) always(now int64) bool {
	return p.From == 0 && (p.Until == 0 || now != 0 && now <= p.Until)
}

func (p Period) String() string {
	if p.Until == 0 {
		return fmt.Sprintf("from %d on", p.From)
	}
	return fmt.Sprintf("from %d to %d", p.From, p.Until)
}

// inSeconds says what the numbers in a message are.
const inSeconds = "(in seconds since 1970, UTC)"

// checkPeriod checks that the log's key was in use when the checkpoint was there:
// one that is retired may have fallen into anybody's hands. Times of the artifact's
// signature do not count, as it may be older than the checkpoint.
func (v *verification) checkPeriod() error {
	all := v.periods()
	if len(all) == 0 {
		return nil
	}
	now := v.trust.Now
	begun := slices.DeleteFunc(slices.Clone(all), func(p Period) bool { return now != 0 && p.From > now })
	if len(begun) == 0 {
		return v.fail("period", KeyNotYetTrusted, fmt.Errorf("the log's key is trusted %s, and it is %d %s: no checkpoint can be from a time that is still to come", all[0], now, inSeconds))
	}
	at, said := v.checkpointTime()
	switch {
	case at == 0:
		v.judgeByNow(begun)
	case slices.ContainsFunc(begun, func(p Period) bool { return p.has(at) }):
		v.note("period", Passed, "the log's key was in use at %d %s: %s", at, inSeconds, said)
	default:
		return v.fail("period", KeyNotTrustedThen, fmt.Errorf("the log's key is trusted %s, and the proven time is %d %s: %s", begun[len(begun)-1], at, inSeconds, said))
	}
	return nil
}

// checkpointTime is a time by which the checkpoint, or the promise, was there, and
// on whose word; 0 if there is none.
func (v *verification) checkpointTime() (seconds int64, said string) {
	switch {
	case v.witnessed != 0:
		return v.witnessed, "by then a quorum of witnesses had cosigned the checkpoint"
	case v.promised != 0:
		return v.promised, "by the log's own word alone, Rekor v1's promise, which whoever has the key can give"
	}
	return 0, ""
}

// judgeByNow says what can be said of the period without a time of the checkpoint:
// that it was there by now.
func (v *verification) judgeByNow(begun []Period) {
	now := v.trust.Now
	if slices.ContainsFunc(begun, func(p Period) bool { return p.always(now) }) {
		v.note("period", Passed, "the log's key has been in use at all times until now")
		return
	}
	open := slices.IndexFunc(begun, func(p Period) bool { return !p.ended(now) })
	if open >= 0 {
		v.note("period", NotChecked, "the log's key is trusted %s %s, and no time of the checkpoint is proven: %s", begun[open], inSeconds, v.timeless())
		return
	}
	v.note("period", NotChecked, "the key's period ended: it is trusted %s %s, and nothing proves that the checkpoint is older: %s", begun[len(begun)-1], inSeconds, v.timeless())
}

// timeless says why there is no time of the checkpoint, and what would give one.
func (v *verification) timeless() string {
	if v.rekorV1 {
		return "the bundle lacks the promise that Rekor v1 signs"
	}
	why := "give a policy of witnesses, who sign times, without a line for the log (--policy)"
	if v.trust.asksWitnesses() {
		why = "the witnesses signed none"
	}
	if v.Stamped != 0 {
		why += "; timestamps are of the artifact's signature, which whoever has the log's key can log later"
	}
	return why
}

// periods are those of the listed logs that signed the checkpoint; none if it is
// signed by a key that is trusted for good.
func (v *verification) periods() (list []Period) {
	for _, k := range v.opened.Verified {
		if k.Name() != v.host {
			continue // a witness's
		}
		if v.trust.forGood(k) {
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
