// Package conformance tries a witness from outside, by the rules of
// c2sp.org/tlog-witness, and says of each rule whether the witness keeps it.
//
//	report, err := conformance.Witness(ctx, conformance.Config{
//		Submission: "https://witness.example",
//		Log:        log,                          // the witness was told its vkey beforehand
//		Keys:       []checkpoint.Verifier{key},   // the witness's
//	}, func(r conformance.Result) { fmt.Println(r.State, r.Level, r.Rule) })
//
// # The log
//
// The suite plays a log. Its entries follow from its key, so that every run can
// rebuild the tree of any size and goes on from what the witness remembers of
// earlier ones. It signs heads that contradict each other, to see them refused:
// its key must never be a real log's, and a witness that serves others should
// know the log only while it is tried.
//
// A few rules show only while the witness has cosigned nothing of the log. In
// later runs they are not tested; a new log shows them again.
//
// # What counts
//
// A rule has the level of its keyword in the spec. What the spec states without
// a keyword, or leaves to be inferred, is SHOULD here, and is never held against
// a witness as a MUST. What nobody can see from outside is listed as not tested,
// with the reason. Answers of 429 are waited out.
package conformance

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net/http"
	"time"

	"indelible/checkpoint"
	"indelible/internal/redact"
)

// State is what was found out about a rule.
type State string

// The states of a rule.
const (
	Passed    State = "ok"
	Failed    State = "FAIL"
	NotTested State = "not tested"
)

// Level is how much a rule binds.
type Level string

// The levels, as in RFC 2119.
const (
	Must   Level = "MUST"
	Should Level = "SHOULD"
	// Client is a MUST whose subject is the client. A witness that takes another
	// form is lenient: that is counted apart and breaks nothing.
	Client Level = "CLIENT"
)

// Result is what was found out about one rule.
type Result struct {
	Rule    string `json:"rule"` // its name here
	Level   Level  `json:"level"`
	Section string `json:"section"` // of the spec
	Says    string `json:"says"`
	State   State  `json:"state"`
	Detail  string `json:"detail,omitempty"` // what was wrong, or why it was not tested
}

// Report is a whole run.
type Report struct {
	Submission string   `json:"submission"`
	Monitoring string   `json:"monitoring"`
	Log        string   `json:"log"` // vkey
	Before     int64    `json:"before"`
	After      int64    `json:"after"` // sizes that the witness had cosigned
	Throttled  int      `json:"throttled,omitempty"`
	Results    []Result `json:"results"`
}

// Count returns how many rules of a level are in a state.
func (r Report) Count(l Level, s State) int {
	n := 0
	for _, one := range r.Results {
		if one.Level == l && one.State == s {
			n++
		}
	}
	return n
}

var (
	// ErrUnreachable: nothing answered as a witness would.
	ErrUnreachable = errors.New("the witness does not answer")
	// ErrSetup: the witness answers, and does not know the log as it must.
	ErrSetup = errors.New("the witness is not set up for the suite")
)

// Config is what a run needs.
type Config struct {
	Submission string                // the submission prefix, a URL
	Monitoring string                // the monitoring prefix; the same if empty
	Log        *Log                  // required; used by one run at a time
	Keys       []checkpoint.Verifier // required: the witness's, of types 0x04 and 0x06
	HTTP       *http.Client          // its Transport is used; may be nil
	Now        func() time.Time      // time.Now
}

func (c *Config) check() error {
	if c.Log == nil || len(c.Keys) == 0 {
		return errors.New("conformance: a log and at least one key of the witness are required")
	}
	for _, k := range c.Keys {
		if !k.IsCosigner() {
			return fmt.Errorf("key %s is not a cosigner's: its type is %#04x, and witnesses have 0x04 or 0x06", k.Name(), k.Algorithm())
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Monitoring == "" {
		c.Monitoring = c.Submission
	}
	return nil
}

// Witness tries a witness. Each result is given to each, in order, as soon as it
// is there. The error says why the run could not be made or finished; broken
// rules do not exist.
func Witness(ctx context.Context, cfg Config, each func(Result)) (Report, error) {
	if err := cfg.check(); err != nil {
		return Report{}, err
	}
	s, err := newSession(cfg)
	if err != nil {
		return Report{}, err
	}
	report := Report{Submission: redact.URL(s.ask.submission), Monitoring: redact.URL(s.ask.monitoring), Log: cfg.Log.VKey(), Results: []Result{}}
	if err := s.learn(ctx); err != nil {
		return report, err
	}
	report.Before = s.before
	for _, r := range rules() {
		v := r.check(ctx, s)
		if ctx.Err() != nil {
			return report, fmt.Errorf("stopped at rule %s: %w", r.name, ctx.Err())
		}
		one := Result{Rule: r.name, Level: r.level, Section: r.section, Says: r.says, State: v.state, Detail: v.detail}
		report.Results = append(report.Results, one)
		each(one)
	}
	report.After, report.Throttled = s.size, int(s.ask.throttled.Load())
	return report, nil
}

// NewLog makes the log that the suite plays, from a private key of its own.
// An empty origin is one that follows from the key.
func NewLog(key crypto.Signer, origin string) (*Log, error) {
	if origin == "" {
		var err error
		if origin, err = originOf(key.Public()); err != nil {
			return nil, err
		}
	}
	signer, err := checkpoint.NewSigner(origin, key)
	if err != nil {
		return nil, err
	}
	vkey := signer.Verifier().String()
	return &Log{key: key, signer: signer, tree: newTree(vkey), other: newTree("another history of " + vkey)}, nil
}
