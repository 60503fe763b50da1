// Package doctor tries a log as its clients do, one check after the other, and
// says of each what it found and what to do:
//
//	reachable    the log answers at its URL
//	tls          the connection is encrypted, and the certificate good for a while
//	clock        the server's clock and this one agree
//	health       the log says that it takes entries
//	key          the log's keys are those that are trusted
//	key types    and of types that Sigstore's clients know
//	checkpoint   one of them signed the checkpoint
//	origin       origin and URL are as clients demand of each other (trust.Misfits)
//	trust files  what the log tells clients to use is the URL that they have
//	rekor v2     an entry added by Rekor v2 is what was asked for, and proven
//	v2 retry     the same again has the same index
//	v1 key       the key of the Rekor v1 API is the trusted one, and ECDSA P-256
//	v1 note      it signed the tree head, and that is the checkpoint's
//	rekor v1     an entry added by Rekor v1 is what was asked for, promised and proven;
//	             not where only v2 is in use (Config.RekorV1)
//	v1 retry     the same again is answered with the same entry
//	v1 read      the entry is found by its UUID
//	native       the native API proves an entry
//	search       the entries are found by the artifact's digest
//	v1 search    and by Rekor v1's way of asking
//	fresh        the checkpoint that everybody is shown covers the entries
//	tiles        so do the tiles and entry bundles
//	browsers     web pages of others may read the log
//
// What the log itself says of a failure is taken for its cause.
//
// Up to two entries are added, one by each Rekor API: a random digest, signed
// by a key made for it and thrown away. With Config.ReadOnly none is.
//
// A check is passed, or failed: clients will fail as well. A warning is of what
// stops some clients only, or not yet. What cannot be looked at, or what a log
// does not serve, is not checked.
package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"indelible/checkpoint"
	"indelible/client"
)

// Config is what to look at.
type Config struct {
	URL string // where the log is asked
	// Others serve the same log. The first URL that answers is looked at, and each one
	// before it gets a warning.
	Others []string
	// PublicURL is the URL that other clients use, if it is not that.
	PublicURL string
	// Trusted finds what is trusted already of a log, by the origin that it
	// says. It may find nothing.
	Trusted func(origin string) (Trusted, error)
	// RekorV1 adds an entry by Rekor v1 in any case. Without it one is added if the
	// log does not serve Rekor v2, or if one of its newest entries is of v1's:
	// rekor-monitor reads no log with such an entry.
	RekorV1 bool
	// ReadOnly adds no entries.
	ReadOnly bool
	// HTTP does the requests; one with a timeout of half a minute.
	HTTP *http.Client
	// Now is this machine's clock; time.Now.
	Now func() time.Time
	// Fresh and Found are how long the log may take until everybody is shown
	// what was added, and until it is found by searching; 5 s and 2 s.
	Fresh, Found time.Duration
}

// Trusted is what is known of a log from elsewhere.
type Trusted struct {
	Keys       []checkpoint.Verifier
	From       string // where the keys are known from
	RekorV1Key []byte // SubjectPublicKeyInfo, DER; nil if it is not known
	RekorFrom  string
}

// State is how a check ended.
type State string

// The states.
const (
	Passed     State = "passed"
	Warning    State = "warning"
	Failed     State = "failed"
	NotChecked State = "not checked"
)

// Check is one thing that was looked at, in words.
type Check struct {
	Name   string `json:"name"`
	State  State  `json:"state"`
	Detail string `json:"detail"`
	Do     string `json:"do,omitempty"` // what to do, if it is not passed
}

// Report is all that was found.
type Report struct {
	URL    string  `json:"url"`
	Origin string  `json:"origin,omitempty"`
	Size   int64   `json:"treeSize"`
	Wrote  []int64 `json:"wrote"` // indexes of the entries that were added
	Checks []Check `json:"checks"`
}

// Count is how many checks ended so.
func (r Report) Count(s State) int {
	n := 0
	for _, c := range r.Checks {
		if c.State == s {
			n++
		}
	}
	return n
}

// ErrUnreachable: there was no answer to the first question, so that nothing
// is known of the log.
var ErrUnreachable = errors.New("the log does not answer")

// Run looks at a log, and tells of each check as it ends. The error says that
// it could not be looked at; what is wrong with it is in the report.
func Run(ctx context.Context, cfg Config, tell func(Check)) (Report, error) {
	e, err := firstThatAnswers(ctx, cfg, tell)
	if err != nil {
		return Report{}, err
	}
	err = e.run(ctx)
	if err == nil {
		err = ctx.Err()
	}
	return e.report, err
}

// firstThatAnswers begins an examination of the first URL that answers, else of the last.
func firstThatAnswers(ctx context.Context, cfg Config, tell func(Check)) (*examination, error) {
	var all []*examination
	for _, u := range append([]string{cfg.URL}, cfg.Others...) {
		cfg.URL = u
		e, err := newExamination(cfg, tell)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	for len(all) > 1 {
		err := all[0].answers(ctx)
		if err == nil {
			break
		}
		all[0].warn("reachable", "Clients go on with the other URLs. Start the server again, or take its URL from their settings.", "%v", err)
		all[1].report.Checks = all[0].report.Checks
		all = all[1:]
	}
	return all[0], nil
}

// examination is one run. Each step leaves behind what later steps need.
type examination struct {
	cfg    Config
	asker  asker
	tell   func(Check)
	report Report

	trusted Trusted
	keys    []checkpoint.Verifier // of the log; empty if they are not known
	closed  bool                  // it answers that it serves nothing at present; all else would say the same
	unwell  bool                  // it says that it takes no entries
	other   bool                  // the log says keys of which none is trusted
	headed  bool                  // the log's checkpoint was verified
	client  *client.Client        // with these keys
	v2      struct {
		served bool
		err    error // why that is not known
	}
	v1     *v1Key // nil if Rekor v1 is not served
	sample sample
	added  []addition
}

// addition is an entry that was added here.
type addition struct {
	index     int64
	canonical []byte
	uuid      string // of v1
}

func newExamination(cfg Config, tell func(Check)) (*examination, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	asker, err := newAsker(cfg.HTTP, cfg.URL, cfg.Now)
	if err != nil {
		return nil, err
	}
	cfg.PublicURL = cmp.Or(cfg.PublicURL, asker.url)
	cfg.Fresh, cfg.Found = cmp.Or(cfg.Fresh, 5*time.Second), cmp.Or(cfg.Found, 2*time.Second)
	e := &examination{cfg: cfg, asker: asker, tell: tell, report: Report{URL: asker.url, Wrote: []int64{}}}
	e.client, err = client.New(client.Config{URL: asker.url, HTTP: asker.http, Tries: 1})
	return e, err
}

func (e *examination) run(ctx context.Context) error {
	if !e.reachable(ctx) {
		return ErrUnreachable
	}
	if e.closed {
		return nil
	}
	e.health(ctx)
	e.key(ctx)
	e.checkpoint(ctx)
	e.v2.served, e.v2.err = e.asker.servesV2(ctx)
	e.origin()
	e.trustFiles(ctx)
	if err := e.rekor(ctx); err != nil {
		return err
	}
	e.native(ctx)
	e.search(ctx)
	e.fresh(ctx)
	e.tiles(ctx)
	e.browsers(ctx)
	return nil
}

func (e *examination) rekor(ctx context.Context) error {
	if !e.cfg.ReadOnly {
		var err error
		if e.sample, err = newSample(); err != nil {
			return err
		}
	}
	e.rekorV2(ctx)
	e.rekorV1(ctx)
	return nil
}

func (e *examination) note(c Check) {
	e.report.Checks = append(e.report.Checks, c)
	e.tell(c)
}

func (e *examination) passed(name, detail string, args ...any) {
	e.note(Check{Name: name, State: Passed, Detail: fmt.Sprintf(detail, args...)})
}

func (e *examination) warn(name, do, detail string, args ...any) {
	e.note(Check{Name: name, State: Warning, Detail: fmt.Sprintf(detail, args...), Do: do})
}

func (e *examination) failed(name, do string, err error) {
	e.note(Check{Name: name, State: Failed, Detail: err.Error(), Do: cmp.Or(remedy(err), do)})
}

func (e *examination) skipped(name, do, detail string, args ...any) {
	e.note(Check{Name: name, State: NotChecked, Detail: fmt.Sprintf(detail, args...), Do: do})
}
