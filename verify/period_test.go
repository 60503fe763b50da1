package verify

import (
	"slices"
	"strings"
	"testing"
	"time"

	"indelible/checkpoint"
)

// proofFile is the same entry's proof file.
func (s *signedIn) proofFile() []byte {
	s.t.Helper()
	b, err := parseBundle(s.data())
	if err != nil {
		s.t.Fatal(err)
	}
	e := b.entries[0]
	data, err := checkpoint.Proof{Extra: e.body, HasExtra: true, Index: e.proofIndex, Hashes: e.hashes, Checkpoint: e.note}.Marshal()
	if err != nil {
		s.t.Fatal(err)
	}
	return data
}

// both verifies the bundle and the proof file.
func (s *signedIn) both() map[string]Result {
	s.t.Helper()
	r, err := Verify(strings.NewReader(s.artifact), s.proofFile(), s.trust)
	if err != nil {
		s.t.Fatal(err)
	}
	return map[string]Result{"bundle": s.verify(), "proof file": r}
}

// check is the check of a name; its zero value if there is none.
func (r Result) check(name string) Check {
	if i := slices.IndexFunc(r.Checks, func(c Check) bool { return c.Name == name }); i >= 0 {
		return r.Checks[i]
	}
	return Check{}
}

// says demands a check's state and words, and that nothing fails but that.
func (r Result) says(t *testing.T, what, name string, state State, words string) {
	t.Helper()
	c := r.check(name)
	if c.State != state || !strings.Contains(c.Detail, words) || r.Verified != (state != Failed) {
		t.Errorf("%s: verified %v, %s: %s %q; it should be %s, %q", what, r.Verified, name, c.State, c.Detail, state, words)
	}
}

// A log's key may be trusted for a time. Bundles and proof files are judged alike:
// by when witnesses had cosigned, or, of a checkpoint without a time, by what the
// present decides alone.
func TestPeriods(t *testing.T) {
	const at, now = 1_700_000_000, 1_800_000_000
	unwitnessed, witnessed := newSigned(t, newKey(t), nil), newSigned(t, newKey(t), nil)
	witnessed.witnessed(at, at-5, at+5)
	witnessed.trust.Policy.Logs = nil // the witnesses are the policy's, and the log the list's
	for _, c := range []struct {
		s     *signedIn
		now   int64
		valid Period
		state State
		words string
	}{
		{witnessed, now, Period{}, Passed, "a quorum of witnesses had cosigned"},
		{witnessed, now, Period{at, at}, Passed, "in use at 1700000000"},
		{witnessed, 0, Period{at, at}, Passed, "in use at 1700000000"},
		{witnessed, now, Period{at + 1, 0}, Failed, "and the proven time is 1700000000"},
		{witnessed, now, Period{0, at - 1}, Failed, "and the proven time is 1700000000"},
		{witnessed, now, Period{now + 1, 0}, Failed, "still to come"},
		{unwitnessed, now, Period{}, Passed, "at all times until now"},
		{unwitnessed, 0, Period{}, Passed, "at all times until now"},
		{unwitnessed, now, Period{0, now}, Passed, "at all times until now"},
		{unwitnessed, now, Period{1, now}, NotChecked, "no time of the checkpoint is proven: give a policy"},
		{unwitnessed, now, Period{now, 0}, NotChecked, "no time of the checkpoint is proven: give a policy"},
		{unwitnessed, 0, Period{0, at}, NotChecked, "no time of the checkpoint is proven"},
		{unwitnessed, now, Period{0, now - 1}, NotChecked, "the key's period ended: it is trusted from 0 to 1799999999 (in seconds since 1970, UTC), and nothing proves that the checkpoint is older: give a policy of witnesses"},
		{unwitnessed, now, Period{now + 1, 0}, Failed, "still to come"},
		{unwitnessed, 0, Period{now + 1, 0}, NotChecked, "no time of the checkpoint is proven"},
	} {
		c.s.listed(c.valid)
		c.s.trust.Now = c.now
		for what, r := range c.s.both() {
			r.says(t, what, "period", c.state, c.words)
		}
		// The key may be listed again, for another time.
		c.s.trust.Listed = append(c.s.trust.Listed, ListedLog{Key: c.s.trust.Listed[0].Key, ID: c.s.trust.Listed[0].ID})
		for what, r := range c.s.both() {
			r.says(t, what, "period", Passed, "")
		}
		// A key that is trusted for good has no period.
		good := c.s.trust
		good.Logs = []checkpoint.Verifier{c.s.log.Verifier()}
		if good.Policy != nil {
			policy := *good.Policy
			policy.Logs = []checkpoint.PolicyLog{{Key: c.s.log.Verifier()}}
			good.Policy = &policy
		}
		s := *c.s
		s.trust = good
		for what, r := range s.both() {
			if !r.Verified || r.check("period") != (Check{}) {
				t.Errorf("%s: %+v", what, r)
			}
		}
	}
}

// Witnesses who sign no time prove none, and one of them alone does not either.
func TestPeriodNeedsAQuorum(t *testing.T) {
	for _, at := range [][]int64{{0, 0, 0}, {5, 0, 0}} {
		s := newSigned(t, newKey(t), nil)
		s.witnessed(at...)
		s.trust.Policy.Logs, s.trust.Now = nil, 1_800_000_000
		s.listed(Period{1, 10})
		for what, r := range s.both() {
			r.says(t, what, "period", NotChecked, "the key's period ended")
		}
	}
}

// Rekor v1's promise is the log's own word, and said to be.
func TestPeriodOfRekorV1(t *testing.T) {
	const at, now = 1_700_000_000, 1_800_000_000
	s := newRekorV1(t, newKey(t), nil, at)
	s.trust.Now = now
	for valid, state := range map[Period]State{{}: Passed, {at, at}: Passed, {at + 1, 0}: Failed, {0, at - 1}: Failed, {now + 1, 0}: Failed} {
		s.listed(valid)
		words := "by the log's own word alone"
		if valid.From > now {
			words = "still to come"
		}
		s.verify().says(t, "Rekor v1", "period", state, words)
	}
	delete(s.entry(), "inclusionPromise")
	s.listed(Period{1, 2})
	s.verify().says(t, "without a promise", "period", NotChecked, "the bundle lacks the promise that Rekor v1 signs")
}

// Whoever has a retired key can log a signature that was stamped while the key was
// in use: the stamp says nothing of the checkpoint.
func TestPeriodAndTimestamps(t *testing.T) {
	const at = 1_700_000_000
	s := newSigned(t, newKey(t), nil)
	s.trust.Timestamps, s.trust.Now = []TimestampAuthority{clock("a")}, at+100
	s.stamped(clock("a").stamp(at, s.signature()))
	s.listed(Period{at - 10, at + 10})
	s.verify().says(t, "stamped", "period", NotChecked, "timestamps are of the artifact's signature")
	// Nor does a stamp from before the key contradict it.
	s.listed(Period{at + 10, 0})
	s.verify().says(t, "stamped before", "period", NotChecked, "no time of the checkpoint is proven")
}

// Of a bundle's other entries it is said what is wrong with them.
func TestOtherEntriesThatFail(t *testing.T) {
	s := newSigned(t, newKey(t), nil)
	good, bad := s.entry(), obj{}
	for name, value := range good {
		bad[name] = value
	}
	moved := obj{}
	for name, value := range s.inclusion() {
		moved[name] = value
	}
	moved["logIndex"], bad["logIndex"], bad["inclusionProof"] = "3", "3", moved
	for place, list := range map[string][]any{"1": {bad, good}, "2": {good, bad}} {
		s.material()["tlogEntries"] = list
		r := s.verifies()
		r.says(t, "entry "+place, "entries", Warned, "number "+place+" of 2 fails the inclusion check: the proof does not lead")
		if r.Failed() != nil {
			t.Errorf("%+v", r)
		}
	}
	s.material()["tlogEntries"] = []any{good}
	if c := s.verifies().check("entries"); c != (Check{}) {
		t.Errorf("of one entry: %+v", c)
	}
}

// A witness's line that is there twice, or is forged, condemns the checkpoint, and
// is not the log's fault.
func TestWitnessLinesThatAreWrong(t *testing.T) {
	for _, quorum := range []string{"two", "none"} {
		s := newSigned(t, newKey(t), nil)
		s.witnessed(100, 100, 100)
		s.trust.Policy.Quorum = quorum
		plain := s.checkpoint()["envelope"].(string)
		lines := strings.SplitAfter(strings.TrimSuffix(plain, "\n"), "\n")
		last := lines[len(lines)-1] + "\n"
		at := strings.LastIndexByte(last, ' ') + 1
		forged := last[:at] + flipped(strings.TrimSuffix(last[at:], "\n")) + "\n"
		log := lines[4]
		for envelope, words := range map[string][2]string{
			plain + last:                             {"checkpoint", "two signature lines by w2.example+"},
			strings.TrimSuffix(plain, last) + forged: {"witnesses", "the signature by w2.example+"},
			strings.Replace(plain, log, log+log, 1):  {"checkpoint", "two signature lines by "},
			strings.Replace(plain, log, "", 1):       {"checkpoint", "no log that you trust signed the checkpoint"},
		} {
			s.checkpoint()["envelope"] = envelope
			if strings.HasPrefix(words[1], "two ") { // then nothing after it can be read
				s.verify().says(t, "bundle", words[0], Failed, words[1])
				continue
			}
			for what, r := range s.both() {
				r.says(t, what, words[0], Failed, words[1])
				if words[0] == "witnesses" {
					r.blames(t, what, "the log's signature on the checkpoint is right, and the line of a witness of the policy is not")
				}
			}
		}
	}
}

// blames demands that the witnesses fail and the log's signature does not.
func (r Result) blames(t *testing.T, what, words string) {
	t.Helper()
	if c := r.check("checkpoint"); c.State != Passed || !strings.Contains(r.check("witnesses").Detail, words) {
		t.Errorf("%s: %+v", what, r.Checks)
	}
}

// The earliest time that is proven decides, and later ones contradict nothing: as
// of an entry that was published long after it was signed. The log's own word is
// no help where somebody else says a later time, and none is of before the
// certificate.
func TestTheEarliestTimeDecides(t *testing.T) {
	from := time.Unix(1_700_000_000, 0)
	ca, key := newAuthority(t, from.Add(-time.Hour), from.Add(time.Hour)), newKey(t)
	cert := ca.shortLived(key, 2, from).Raw
	early, soon, later, late := from.Unix()-1, from.Unix()+60, from.Unix()+120, from.Unix()+100_000
	who := []Signer{{Identity: "dev@example.com", Roots: ca.pool()}}
	for _, c := range []struct {
		logged, stamped          int64
		witnessed, own, authored bool // good, by a quorum or by Rekor v1's own word; and with an authority trusted until later
	}{
		{soon, soon, true, true, true},
		{late, soon, true, true, true},
		{soon, late, true, false, true},
		{late, late, false, false, false},
		{early, soon, false, false, false},
		{soon, early, false, false, false},
		{early, late, false, false, false},
		{late, later + 1, true, true, false},
	} {
		witnessed, own := newSigned(t, key, cert), newRekorV1(t, key, cert, c.logged)
		witnessed.witnessed(c.logged, c.logged, c.logged)
		for s, good := range map[*signedIn]bool{witnessed: c.witnessed, own: c.own} {
			s.trust.Signers, s.trust.Timestamps = slices.Clone(who), []TimestampAuthority{clock("a")}
			s.stamped(clock("a").stamp(c.stamped, s.signature()))
			if !good {
				s.fails("signer", "was not at the proven time")
				continue
			}
			if r := s.verifies(); r.Time != c.logged || r.Stamped != c.stamped {
				t.Errorf("%+v", r)
			}
			s.trust.Signers[0].Valid = Period{0, later}
			if r := s.verify(); r.Verified != c.authored {
				t.Errorf("an authority until %d: %+v", later, r)
			}
		}
	}
}
