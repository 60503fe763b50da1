package writers

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"indelible/internal/words"
)

// Describe says what a policy lets whom do, a line for each part.
func (p *Policy) Describe() []string {
	list := []string{fmt.Sprintf("%s, %s, %s; what no rule allows is refused",
		words.Count(p.principals, "principal"), words.Count(len(p.Issuers), "issuer"), words.Count(len(p.rules), "rule"))}
	for _, i := range p.Issuers {
		list = append(list, fmt.Sprintf("issuer %s: JWTs of %s for %s", i.Name, i.URL, strings.Join(i.Audiences, ", ")))
	}
	for n, r := range p.rules {
		list = append(list, fmt.Sprintf("rule %d, %q: %s", n+1, r.name, r.describe()))
	}
	return append(list, p.doubts()...)
}

func (r *rule) describe() string {
	whom := "authenticated principals"
	if len(r.principals) > 0 {
		whom = strings.Join(slices.Sorted(maps.Keys(r.principals)), ", ")
	}
	if r.who != nil {
		whom += " for which " + r.text.Who
	}
	what := "add any entry"
	if r.entry != nil {
		what = "add entries for which " + r.text.Entry
	}
	if r.deny {
		return whom + " may not " + what
	}
	return whom + " may " + what + ", " + Rate{r.rate, r.burst}.String()
}

// doubts are warnings about rules that may not mean what they say.
func (p *Policy) doubts() (list []string) {
	known := map[string]bool{anyone: true, authenticated: true, anonymous: true}
	for _, names := range []map[string]string{p.names} {
		for _, name := range names {
			known[name] = true
		}
	}
	for _, name := range p.tokens {
		known[name] = true
	}
	for _, name := range p.subjects {
		known[name] = true
	}
	for _, r := range p.rules {
		for _, name := range slices.Sorted(maps.Keys(r.principals)) {
			if !known[name] && !strings.Contains(name, "/") {
				list = append(list, fmt.Sprintf("note: rule %q names %q, which has no credentials in this file; tokens in the database may be for it", r.name, name))
			}
		}
		if !r.deny && r.principals[anyone] || !r.deny && r.principals[anonymous] {
			list = append(list, fmt.Sprintf("note: rule %q lets clients without credentials add entries", r.name))
		}
	}
	return list
}

// Explanation is how a policy decides.
type Explanation struct {
	Decision
	Steps []string // a line for each rule, in order, up to the one that decided
}

// Explain is Decide with reasons.
func (p *Policy) Explain(of Principal, canonical []byte, now time.Time) Explanation {
	w := p.Writer(of)
	looked := make(map[*rule]bool)
	x := Explanation{Decision: w.decide(&facts{canonical: canonical, now: now}, func(r *rule, yes bool) { looked[r] = yes })}
	for _, r := range p.rules {
		x.Steps = append(x.Steps, fmt.Sprintf("rule %q: %s", r.name, step(r, w, looked)))
		if looked[r] {
			break
		}
	}
	return x
}

func step(r *rule, w *Writer, looked map[*rule]bool) string {
	yes, was := looked[r]
	switch {
	case yes && r.deny:
		return "it applies, and forbids the entry"
	case yes:
		return "it applies, and allows the entry " + Rate{r.rate, r.burst}.String()
	case was:
		return "it does not apply, since this is not true of the entry: " + r.text.Entry
	case !r.named(w.Kind, w.Name):
		return "it does not apply, since it is for other principals"
	}
	return "it does not apply, since this is not true of the principal: " + r.text.Who
}
