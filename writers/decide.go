package writers

import (
	"fmt"
	"time"

	"cel.dev/cel-go/cel"
)

// Kind is how a principal is known.
type Kind string

// The kinds.
const (
	Token       Kind = "token"
	JWT         Kind = "jwt"
	Certificate Kind = "certificate"
	Anonymous   Kind = "anonymous"
)

// Principal is the writer that a request's credentials show.
type Principal struct {
	Kind    Kind
	Name    string
	Issuer  string         // its name in the policy, of a JWT
	Subject string         // the claim sub, or the first name in a certificate
	Names   []string       // in a certificate
	Claims  map[string]any // of a JWT
	Address string         // of the client
}

// ByToken is the principal that the policy's file gives an API token.
func (p *Policy) ByToken(hash [32]byte) (Principal, bool) {
	name, ok := p.tokens[hash]
	return Principal{Kind: Token, Name: name}, ok
}

// ByClaims is the principal of a verified JWT.
func (p *Policy) ByClaims(issuer Issuer, claims map[string]any) Principal {
	subject, _ := claims["sub"].(string)
	name, ok := p.subjects[[2]string{issuer.Name, subject}]
	if !ok {
		name = issuer.Name + "/" + subject
	}
	return Principal{Kind: JWT, Name: name, Issuer: issuer.Name, Subject: subject, Claims: claims}
}

// ByCertificate is the principal of a verified client certificate with these names.
func (p *Policy) ByCertificate(names []string) Principal {
	w := Principal{Kind: Certificate, Names: names}
	if len(names) > 0 {
		w.Subject = names[0]
	}
	w.Name = "certificate/" + w.Subject
	for _, n := range names {
		if name, ok := p.names[n]; ok {
			w.Name = name
			break
		}
	}
	return w
}

// ByAddress is the principal of a client without credentials.
func ByAddress(address string) Principal {
	return Principal{Kind: Anonymous, Name: "address/" + address, Address: address}
}

// Writer is a principal with the rules that may apply to it. It never changes.
type Writer struct {
	Principal
	rules []*rule
}

// Writer finds the rules for a principal.
func (p *Policy) Writer(of Principal) *Writer {
	candidates, ok := p.byName[of.Name]
	if !ok || of.Kind == Anonymous {
		candidates = p.others[of.Kind]
	}
	w := &Writer{Principal: of}
	for _, r := range candidates {
		if applies(r.who, r.deny, variables{of: &w.Principal}) {
			w.rules = append(w.rules, r)
		}
	}
	return w
}

// applies reports whether an expression is true. One that fails is taken to be
// what refuses.
func applies(expression cel.Program, deny bool, with variables) bool {
	if expression == nil {
		return true
	}
	out, _, err := expression.Eval(with)
	if err != nil {
		return deny
	}
	yes, ok := out.Value().(bool)
	return yes || !ok && deny
}

// Decision is what a policy says about an entry of a writer.
type Decision struct {
	Allowed bool
	Rule    string // that decided; empty: none applies
	Rate    Rate   // of the rule
}

// Rate is how many entries a rule lets each of its principals add.
type Rate struct {
	PerSecond float64 // 0: any number
	Burst     int
}

// String is the rate for people.
func (r Rate) String() string {
	switch {
	case r.PerSecond == 0:
		return "at any rate"
	case r.PerSecond*60 < 1:
		return fmt.Sprintf("%g/h, %d at once", r.PerSecond*3600, r.Burst)
	case r.PerSecond < 1:
		return fmt.Sprintf("%g/min, %d at once", r.PerSecond*60, r.Burst)
	}
	return fmt.Sprintf("%g/s, %d at once", r.PerSecond, r.Burst)
}

func (r *rule) decision() Decision {
	return Decision{Allowed: !r.deny, Rule: r.name, Rate: Rate{r.rate, r.burst}}
}

// Hopeless returns the refusal of every entry of the writer, if there is one that
// needs no look at the entry.
func (w *Writer) Hopeless() (Decision, bool) {
	for _, r := range w.rules {
		if !r.deny {
			return Decision{}, false
		}
		if r.entry == nil {
			return r.decision(), true
		}
	}
	return Decision{}, true
}

// Rates are those of the rules that may allow an entry of the writer, by the rule's
// name.
func (w *Writer) Rates() map[string]Rate {
	rates := make(map[string]Rate)
	for _, r := range w.rules {
		if !r.deny {
			rates[r.name] = Rate{r.rate, r.burst}
		}
	}
	return rates
}

// Decide finds the rule for an entry, by its canonical bytes. now is compared with the
// validity of the certificates in the entry.
func (w *Writer) Decide(canonical []byte, now time.Time) Decision {
	return w.decide(&facts{canonical: canonical, now: now}, nil)
}

// decide tells seen, if there is one, of each rule that it looks at.
func (w *Writer) decide(f *facts, seen func(*rule, bool)) Decision {
	for _, r := range w.rules {
		f.roots = r.roots
		yes := applies(r.entry, r.deny, variables{&w.Principal, f})
		if seen != nil {
			seen(r, yes)
		}
		if yes {
			return r.decision()
		}
	}
	return Decision{}
}
