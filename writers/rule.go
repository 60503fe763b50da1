package writers

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
)

const (
	// maxExpression is the maximum number of bytes of an expression.
	maxExpression = 4096
	// maxCost bounds the work of an expression, in CEL's units: it is a hundred times
	// what a rule with three comparisons costs.
	maxCost = 10_000
)

// isRuleName reports whether a name can stand in messages and metrics.
func isRuleName(name string) bool {
	odd := func(c rune) bool { return !unicode.IsPrint(c) || c == '"' || c == '/' }
	return name != "" && len(name) <= 128 && utf8.ValidString(name) && strings.TrimSpace(name) == name && !strings.ContainsFunc(name, odd)
}

// rule is a rule of a policy, compiled.
type rule struct {
	name       string
	principals map[string]bool
	who, entry cel.Program // nil: true
	text       fileRule
	deny       bool
	rate       float64 // entries a second; 0: any
	burst      int
	roots      *x509.CertPool
}

// compiler compiles the rules of a policy.
type compiler struct {
	who, entry *cel.Env
	open       func(string) ([]byte, error)
}

func newCompiler(open func(string) ([]byte, error)) (compiler, error) {
	words := cel.ListType(cel.StringType)
	who, err := cel.NewEnv(
		cel.ParserExpressionSizeLimit(maxExpression), cel.ParserRecursionLimit(32), cel.ExtendedValidations(),
		cel.Variable("principal.name", cel.StringType), cel.Variable("principal.kind", cel.StringType),
		cel.Variable("principal.issuer", cel.StringType), cel.Variable("principal.subject", cel.StringType),
		cel.Variable("principal.names", words), cel.Variable("principal.address", cel.StringType),
		cel.Variable("claims", cel.MapType(cel.StringType, cel.DynType)),
	)
	if err != nil {
		return compiler{}, err
	}
	entry, err := who.Extend(
		cel.Variable("entry.kind", cel.StringType), cel.Variable("entry.version", cel.StringType), cel.Variable("entry.size", cel.IntType),
		cel.Variable("entry.keys", words), cel.Variable("entry.subjects", words), cel.Variable("entry.issuers", words),
		cel.Variable("entry.artifacts", words), cel.Variable("entry.certified", cel.BoolType),
	)
	return compiler{who, entry, open}, err
}

func (c compiler) rule(x fileRule) (*rule, error) {
	r := &rule{name: x.Name, text: x, burst: x.Burst, principals: make(map[string]bool)}
	switch {
	case !isRuleName(x.Name):
		return r, errors.New("the name must have 1 to 128 letters, without quotes and slashes")
	case x.Effect != "" && x.Effect != "allow" && x.Effect != "deny":
		return r, fmt.Errorf("the effect %q is not one of allow (the default) and deny", x.Effect)
	case len(x.Principals) == 0 && x.Who == "":
		return r, errors.New(`it does not say whom it is for: give principals (names, anyone, authenticated or anonymous), or who`)
	case slices.Contains(x.Principals, ""):
		return r, errors.New("principals has an empty name")
	case x.Effect == "deny" && (x.Rate != "" || x.Burst != 0):
		return r, errors.New("a rule that denies has no rate")
	case x.Burst < 0 || x.Burst > 0 && x.Rate == "":
		return r, errors.New("burst goes with a rate, and is from 1 up")
	}
	r.deny = x.Effect == "deny"
	for _, name := range x.Principals {
		r.principals[name] = true
	}
	var err error
	if r.rate, err = parseRate(x.Rate); err != nil {
		return r, err
	}
	if r.burst == 0 {
		r.burst = max(1, int(r.rate))
	}
	if r.roots, err = authorities(x.Authorities, c.open); err != nil {
		return r, err
	}
	if r.who, err = compile(c.who, "who", x.Who); err != nil {
		return r, err
	}
	r.entry, err = compile(c.entry, "entry", x.Entry)
	if err == nil && strings.Contains(x.Entry, "entry.certified") && r.roots == nil {
		err = errors.New("entry.certified needs certificate-authorities, a file of certificates")
	}
	return r, err
}

// compile checks an expression; nil for an empty one.
func compile(env *cel.Env, member, text string) (cel.Program, error) {
	if text == "" {
		return nil, nil
	}
	if len(text) > maxExpression {
		return nil, fmt.Errorf("%s has %d bytes; the maximum is %d", member, len(text), maxExpression)
	}
	ast, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, fmt.Errorf("%s: %w", member, issues.Err())
	}
	if ast.OutputType() != cel.BoolType {
		return nil, fmt.Errorf("%s: the expression is a %s; it must be true or false", member, ast.OutputType())
	}
	return env.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost))
}

// named reports whether a rule is for a principal by its name.
func (r *rule) named(kind Kind, name string) bool {
	if len(r.principals) == 0 {
		return kind != Anonymous
	}
	return r.principals[anyone] || r.principals[name] || r.principals[authenticated] && kind != Anonymous || r.principals[anonymous] && kind == Anonymous
}

// index finds the rules for each name once.
func (p *Policy) index() {
	p.byName, p.others = make(map[string][]*rule), make(map[Kind][]*rule)
	for _, r := range p.rules {
		for name := range r.principals {
			p.byName[name] = nil
		}
	}
	choose := func(kind Kind, name string) (list []*rule) {
		for _, r := range p.rules {
			if r.named(kind, name) {
				list = append(list, r)
			}
		}
		return list
	}
	for name := range p.byName {
		p.byName[name] = choose(Token, name)
	}
	for _, kind := range []Kind{Token, JWT, Certificate, Anonymous} {
		p.others[kind] = choose(kind, "")
	}
}
