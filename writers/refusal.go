package writers

import (
	"fmt"
	"time"

	"indelible/entry"
)

// Reason is why a writer was refused.
type Reason int

// The reasons.
const (
	Unknown     Reason = iota + 1 // the credentials are missing or wrong: HTTP's 401
	Forbidden                     // 403
	TooMany                       // 429
	Unavailable                   // it cannot be found out at present: 503
)

// Refusal is the error of a writer who may not add an entry. Its text holds no
// credential.
type Refusal struct {
	Reason Reason
	Rule   string        // that refused; empty: none allows it
	After  time.Duration // when to come back, if that helps
	Why    string
}

// Error implements error.
func (r *Refusal) Error() string { return r.Why }

// Refuse makes the Refusal of a writer whose entry a decision does not allow. The
// canonical bytes are nil where no entry would be allowed.
func Refuse(w Principal, d Decision, canonical []byte) *Refusal {
	if w.Kind == Anonymous && d.Rule == "" {
		return &Refusal{Reason: Unknown, Why: "this log's policy does not let everybody add entries: send a token (the header Authorization: Bearer …), or use a client certificate"}
	}
	what := "entries"
	if canonical != nil {
		kind, _ := entry.KindOf(canonical)
		what = fmt.Sprintf("this entry (%s, %d bytes)", kind, len(canonical))
	}
	why := "no rule of the log's policy allows it"
	if d.Rule != "" {
		why = fmt.Sprintf("the rule %q of the log's policy forbids it", d.Rule)
	}
	return &Refusal{Reason: Forbidden, Rule: d.Rule, Why: fmt.Sprintf("%s may not add %s: %s; ask the log's operator", w.Name, what, why)}
}

// Exceed makes the Refusal of a writer whose rate is used up.
func Exceed(w Principal, d Decision, after time.Duration) *Refusal {
	after = max(time.Second, (after + time.Second - 1).Truncate(time.Second))
	return &Refusal{Reason: TooMany, Rule: d.Rule, After: after, Why: fmt.Sprintf("%s has used up its rate (%s, rule %q); try again after %s", w.Name, d.Rate, d.Rule, after)}
}
