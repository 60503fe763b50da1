package writers

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"indelible/entry"
)

var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func parse(t testing.TB, text string, files ...map[string]string) *Policy {
	t.Helper()
	p, err := Parse([]byte(text), func(path string) ([]byte, error) {
		for _, f := range files {
			if data, ok := f[path]; ok {
				return []byte(data), nil
			}
		}
		return nil, os.ErrNotExist
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// signer is a key, and certificates for it.
type signer struct {
	key  *ecdsa.PrivateKey
	cert []byte // DER; nil: a bare key
}

func newSigner(t testing.TB) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{key: key}
}

func (s signer) fingerprint(t testing.TB) string {
	t.Helper()
	spki, err := x509.MarshalPKIXPublicKey(s.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(spki)
	return hex.EncodeToString(sum[:])
}

// certify gives a signer a certificate by an authority, which is itself where by is
// nil, and returns it in PEM.
func (s *signer) certify(t testing.TB, by *signer, email string) string {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "c"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: by == nil, BasicConstraintsValid: true, EmailAddresses: []string{email},
	}
	parent, key := template, crypto.Signer(s.key)
	if by != nil {
		parsed, err := x509.ParseCertificate(by.cert)
		if err != nil {
			t.Fatal(err)
		}
		parent, key = parsed, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, s.key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	s.cert = der
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func (s signer) entry(t testing.TB) entry.Entry {
	t.Helper()
	digest := sha256.Sum256([]byte("artifact"))
	sig, err := ecdsa.SignASN1(rand.Reader, s.key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	v := entry.Verifier{Certificate: s.cert}
	if s.cert == nil {
		if v.PublicKey, err = x509.MarshalPKIXPublicKey(s.key.Public()); err != nil {
			t.Fatal(err)
		}
	}
	e, err := entry.NewHashedRekord(entry.HashedRekord{Digest: digest[:], Signature: sig, Verifier: v})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func raw(t testing.TB, text string) entry.Entry {
	t.Helper()
	e, err := entry.NewRaw([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

const example = `
issuers:
  - {name: github, url: "https://token.actions.githubusercontent.com", audiences: [log]}
principals:
  - name: release
    tokens: ["sha256:%s"]
    certificates: [spiffe://example.org/release]
    subjects: [{issuer: github, subject: "repo:example/app:ref:refs/heads/main"}]
rules:
  - {name: large, principals: [anyone], entry: entry.size > 2000, effect: deny}
  - {name: releases, principals: [release], entry: 'entry.kind == "hashedrekord"', rate: 10/s, burst: 3}
  - {name: workflows, who: 'principal.issuer == "github" && claims.repository_owner == "example"', rate: 30/min}
  - {name: key, principals: [authenticated], entry: 'size(entry.keys) > 0 && entry.keys.all(k, k == "%s")'}
  - {name: small, principals: [anonymous], entry: entry.size < 10}
`

// TestDecide has each rule allow and refuse.
func TestDecide(t *testing.T) {
	s, other := newSigner(t), newSigner(t)
	hash := Hash("a token")
	p := parse(t, fmt.Sprintf(example, hex.EncodeToString(hash[:]), s.fingerprint(t)))
	token, ok := p.ByToken(hash)
	if _, wrong := p.ByToken(Hash("another")); !ok || wrong {
		t.Fatal("tokens are mixed up")
	}
	github := func(claims map[string]any) Principal { return p.ByClaims(p.Issuers[0], claims) }
	for name, c := range map[string]struct {
		of   Principal
		e    entry.Entry
		want Decision
	}{
		"a token":                         {token, other.entry(t), Decision{true, "releases", Rate{10, 3}}},
		"a token, another kind":           {token, raw(t, "x"), Decision{}},
		"a token, too large":              {token, raw(t, strings.Repeat("x", 2001)), Decision{Rule: "large", Rate: Rate{0, 1}}},
		"a certificate":                   {p.ByCertificate([]string{"x", "spiffe://example.org/release"}), other.entry(t), Decision{true, "releases", Rate{10, 3}}},
		"another certificate":             {p.ByCertificate([]string{"spiffe://example.org/other"}), other.entry(t), Decision{}},
		"another certificate, its key":    {p.ByCertificate([]string{"spiffe://example.org/other"}), s.entry(t), Decision{true, "key", Rate{0, 1}}},
		"a subject":                       {github(map[string]any{"sub": "repo:example/app:ref:refs/heads/main"}), other.entry(t), Decision{true, "releases", Rate{10, 3}}},
		"a claim":                         {github(map[string]any{"sub": "x", "repository_owner": "example"}), raw(t, "x"), Decision{true, "workflows", Rate{0.5, 1}}},
		"another claim":                   {github(map[string]any{"sub": "x", "repository_owner": "attacker"}), raw(t, "x"), Decision{}},
		"a claim of another type":         {github(map[string]any{"sub": "x", "repository_owner": 7}), raw(t, "x"), Decision{}},
		"no such claim":                   {github(map[string]any{"sub": "x"}), raw(t, "x"), Decision{}},
		"a raw entry has no keys":         {p.ByCertificate(nil), raw(t, "x"), Decision{}},
		"anonymous":                       {ByAddress("192.0.2.1"), raw(t, "x"), Decision{true, "small", Rate{0, 1}}},
		"anonymous, not small":            {ByAddress("192.0.2.1"), raw(t, "xxxxxxxxxx"), Decision{}},
		"anonymous by a principal's name": {Principal{Kind: Anonymous, Name: "release"}, other.entry(t), Decision{}},
	} {
		if got := p.Writer(c.of).Decide(c.e.Canonical(), now); got != c.want {
			t.Errorf("%s: %+v, and not %+v", name, got, c.want)
		}
		if x := p.Explain(c.of, c.e.Canonical(), now); x.Decision != c.want || len(x.Steps) == 0 {
			t.Errorf("%s is explained as %+v", name, x)
		}
	}
	if name := github(map[string]any{"sub": "x"}).Name; name != "github/x" {
		t.Error(name)
	}
}

// TestExplain: each rule says why it does not apply.
func TestExplain(t *testing.T) {
	s := newSigner(t)
	p := parse(t, fmt.Sprintf(example, strings.Repeat("0", 64), s.fingerprint(t)))
	x := p.Explain(p.ByClaims(p.Issuers[0], map[string]any{"sub": "x"}), raw(t, "x").Canonical(), now)
	want := []string{
		`rule "large": it does not apply, since this is not true of the entry: entry.size > 2000`,
		`rule "releases": it does not apply, since it is for other principals`,
		`rule "workflows": it does not apply, since this is not true of the principal: principal.issuer == "github" && claims.repository_owner == "example"`,
	}
	if !slices.Equal(x.Steps[:3], want) || len(x.Steps) != 5 {
		t.Errorf("%q", x.Steps)
	}
	text := strings.Join(p.Describe(), "\n")
	for _, says := range []string{"1 principal, 1 issuer, 5 rules", `rule 2, "releases": release may add entries for which entry.kind == "hashedrekord", 10/s, 3 at once`, "30/min, 1 at once", "anyone may not add"} {
		if !strings.Contains(text, says) {
			t.Errorf("it does not say %q:\n%s", says, text)
		}
	}
}

// TestFailingExpressions refuse: in a rule that allows they are false, in one that
// denies true. Work beyond the limit fails.
func TestFailingExpressions(t *testing.T) {
	long := `[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, [1,2,3,4,5,6,7,8,9].all(d, a+b+c+d > 0))))`
	for _, who := range []string{"claims.none == 'x'", "1/int(size(principal.name)-1) == 1", long} {
		p := parse(t, fmt.Sprintf("rules: [{name: a, who: %q}]", who))
		w := p.Writer(Principal{Kind: Token, Name: "x"})
		if d := w.Decide(raw(t, "x").Canonical(), now); d.Allowed {
			t.Errorf("%s allows", who)
		}
		if d, hopeless := w.Hopeless(); !hopeless || d.Rule != "" {
			t.Errorf("%s: %+v", who, d)
		}
		p = parse(t, fmt.Sprintf("rules: [{name: a, who: %q, effect: deny}, {name: b, who: 'true'}]", who))
		if d := p.Writer(Principal{Kind: Token, Name: "x"}).Decide(raw(t, "x").Canonical(), now); d.Allowed || d.Rule != "a" {
			t.Errorf("%s does not deny: %+v", who, d)
		}
	}
}

// TestCertified: each signer must have a valid certificate of the rule's authorities.
func TestCertified(t *testing.T) {
	ca, otherCA, leaf, bare := newSigner(t), newSigner(t), newSigner(t), newSigner(t)
	pemCA := ca.certify(t, nil, "ca@example.com")
	otherCA.certify(t, nil, "ca@example.com")
	p := parse(t, `rules: [{name: a, principals: [anyone], entry: 'entry.certified && "me@example.com" in entry.subjects', certificate-authorities: ca.pem}]`, map[string]string{"ca.pem": pemCA})
	may := func(e entry.Entry, at time.Time) bool {
		return p.Writer(ByAddress("x")).Decide(e.Canonical(), at).Allowed
	}
	leaf.certify(t, &ca, "Me@example.com")
	if e := leaf.entry(t); !may(e, now) || may(e, now.Add(2*time.Hour)) {
		t.Error("a certificate of the authority is refused, or is accepted after its end")
	}
	leaf.certify(t, &ca, "you@example.com")
	if may(leaf.entry(t), now) {
		t.Error("another identity is accepted")
	}
	leaf.certify(t, &otherCA, "me@example.com")
	if may(leaf.entry(t), now) || may(bare.entry(t), now) || may(raw(t, "x"), now) {
		t.Error("an entry without a certificate of the authority is accepted")
	}
}

// TestBadPolicies: what is wrong is named with its line.
func TestBadPolicies(t *testing.T) {
	rules := "rules: [{name: a, principals: [anyone]}]"
	for text, says := range map[string]string{
		"":                  "the policy is empty",
		"rules: []":         "there are no rules",
		rules + "\nrule: 1": `line 2: unknown member "rule" of a policy`,
		"rules:\n- name: a\n  who: 'true'\n  rates: 1/s":                                                            `line 4: unknown member "rates" of a policy's rule`,
		"rules:\n- {name: a, name: b}":                                                                              "already defined",
		rules + "\n---\n" + rules:                                                                                   "a second document",
		"rules:\n- {name: a}":                                                                                       `line 2: rule "a": it does not say whom it is for`,
		"rules:\n- {name: a, who: 'true'}\n- {name: a, who: 'true'}":                                                `line 3: rule "a": there is another rule of this name`,
		"rules:\n- {name: a, who: 'entry.size > 1'}":                                                                "undeclared reference",
		"rules:\n- {name: a, who: 'true', entry: 'entry.sise > 1'}":                                                 "undeclared reference",
		"rules:\n- {name: a, who: 'principal.name'}":                                                                "the expression is a string; it must be true or false",
		"rules:\n- {name: a, who: 'principal.name.matches(\"(\")'}":                                                 "invalid matches argument",
		"rules:\n- {name: a, who: 'true ||'}":                                                                       "Syntax error",
		"rules:\n- {name: a, who: 'true', effect: maybe}":                                                           "not one of allow",
		"rules:\n- {name: a, who: 'true', rate: 1/d}":                                                               "is not such as 10/s",
		"rules:\n- {name: a, who: 'true', rate: 0/s}":                                                               "must be from 1 up",
		"rules:\n- {name: a, who: 'true', burst: 5}":                                                                "burst goes with a rate",
		"rules:\n- {name: a, who: 'true', rate: 1/s, effect: deny}":                                                 "a rule that denies has no rate",
		"rules:\n- {name: a, who: 'true', entry: entry.certified}":                                                  "needs certificate-authorities",
		"rules:\n- {name: a, who: 'true', certificate-authorities: none.pem}":                                       "certificate-authorities: file does not exist",
		"rules:\n- {name: \"a\\nb\", who: 'true'}":                                                                  "1 to 128 letters",
		"rules:\n- {name: a, who: '" + strings.Repeat("x", 5000) + "'}":                                             "the maximum is 4096",
		rules + "\nprincipals:\n- {name: anyone}":                                                                   "not anyone",
		rules + "\nprincipals:\n- {name: a/b}":                                                                      "letters, digits",
		rules + "\nprincipals:\n- {name: a}\n- {name: a}":                                                           `line 4: principal "a": there is another`,
		rules + "\nprincipals:\n- {name: a, tokens: [hunter2]}":                                                     "as its hash",
		rules + "\nprincipals:\n- {name: a, subjects: [{issuer: x, subject: y}]}":                                   `there is no issuer "x"`,
		rules + "\nissuers:\n- {name: a, url: 'http://example.com', audiences: [x]}":                                "must begin with https://",
		rules + "\nissuers:\n- {name: a, url: 'https://example.com'}":                                               "audiences is missing",
		rules + "\nissuers:\n- {name: a, url: 'https://u:hunter2@example.com', audiences: [x]}":                     "must be as in the claim iss",
		rules + "\nissuers:\n- {name: a, url: 'https://example.com', audiences: [x], keys: 'http://example.com/k'}": "keys must be",
		"rules: hunter2": "line 1: a value of another type",
		"rules: 1":       "line 1: a value of another type",
		"- a":            "line 1: a value of another type",
		"null":           "there are no rules",
	} {
		_, err := Parse([]byte(text), func(string) ([]byte, error) { return nil, os.ErrNotExist })
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, and not %q", text, err, says)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "writers.") {
			t.Errorf("%q: the error has a secret, or a name of Go's: %v", text, err)
		}
	}
}

// TestSchema has the members that the program takes, and no other.
func TestSchema(t *testing.T) {
	type object struct {
		Additional bool `json:"additionalProperties"`
		Properties map[string]struct {
			Items struct{ Properties map[string]any }
		}
	}
	var schema struct {
		object
		Defs map[string]object `json:"$defs"`
	}
	schema.Additional = true
	if err := json.Unmarshal([]byte(Schema), &schema); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		of   reflect.Type
		have object
	}{
		{reflect.TypeFor[file](), schema.object},
		{reflect.TypeFor[fileIssuer](), schema.Defs["issuer"]},
		{reflect.TypeFor[filePrincipal](), schema.Defs["principal"]},
		{reflect.TypeFor[fileRule](), schema.Defs["rule"]},
	} {
		for i := range c.of.NumField() {
			if name := c.of.Field(i).Tag.Get("yaml"); !has(c.have.Properties, name) {
				t.Errorf("%s: the schema lacks %q", c.of, name)
			}
		}
		if len(c.have.Properties) != c.of.NumField() || c.have.Additional {
			t.Errorf("%s: the schema has other members", c.of)
		}
	}
	if got := schema.Defs["principal"].Properties["subjects"].Items.Properties; len(got) != reflect.TypeFor[fileSubject]().NumField() {
		t.Errorf("subjects: %v", got)
	}
}

func has[T any](m map[string]T, name string) bool { _, ok := m[name]; return ok }

// TestRates: a burst, then the rate; of each principal, and of each rule.
func TestRates(t *testing.T) {
	l, at := NewLimits(), now
	d := Decision{Allowed: true, Rule: "r", Rate: Rate{2, 3}}
	take := func(d Decision, who string) int {
		n := 0
		for {
			after, ok := l.Take(d, who, at)
			if !ok {
				if after <= 0 || after > time.Second {
					t.Errorf("come back after %v", after)
				}
				return n
			}
			n++
		}
	}
	other := d
	other.Rule = "other"
	if a, b, c, again := take(d, "a"), take(d, "b"), take(other, "a"), take(d, "a"); a != 3 || b != 3 || c != 3 || again != 0 {
		t.Error(a, b, c, again)
	}
	at = at.Add(time.Second)
	if n := take(d, "a"); n != 2 {
		t.Errorf("%d after a second", n)
	}
	at = at.Add(time.Hour)
	if n := take(d, "a"); n != 3 {
		t.Errorf("%d after an hour", n)
	}
	if _, ok := l.Take(Decision{Allowed: true, Rule: "free"}, "a", at); !ok {
		t.Error("a rule without a rate is limited")
	}
}

// TestSpent: a writer who can add nothing now is known without an entry.
func TestSpent(t *testing.T) {
	p := parse(t, "rules: [{name: a, principals: [x], entry: entry.size < 5, rate: 1/s}, {name: b, principals: [x, y], rate: 1/h}]")
	l, x, y := NewLimits(), p.Writer(Principal{Kind: Token, Name: "x"}), p.Writer(Principal{Kind: Token, Name: "y"})
	take := func(w *Writer, e entry.Entry) { l.Take(w.Decide(e.Canonical(), now), w.Name, now) }
	take(x, raw(t, "1"))
	if _, _, spent := l.Spent(x, now); spent {
		t.Error("one rule has room")
	}
	take(x, raw(t, "123456"))
	d, after, spent := l.Spent(x, now)
	if !spent || d.Rule != "a" || after != time.Second {
		t.Errorf("%+v after %v: %v", d, after, spent)
	}
	if _, _, spent := l.Spent(y, now); spent {
		t.Error("another's rate is used up")
	}
	if text := Exceed(x.Principal, d, after).Error(); text != `x has used up its rate (1/s, 1 at once, rule "a"); try again after 1s` {
		t.Error(text)
	}
}

// TestManyPrincipals: what is remembered of rates is bounded.
func TestManyPrincipals(t *testing.T) {
	l := NewLimits()
	l.most = 10
	d := Decision{Allowed: true, Rule: "r", Rate: Rate{1, 1}}
	allowed := 0
	for i := range 100 {
		if _, ok := l.Take(d, fmt.Sprint(i), now); ok {
			allowed++
		}
	}
	if len(l.buckets) > 11 || allowed != 11 { // ten, and the one that the others share
		t.Errorf("%d buckets, %d allowed", len(l.buckets), allowed)
	}
	if _, ok := l.Take(d, "new", now.Add(time.Hour)); !ok || len(l.buckets) > 2 {
		t.Errorf("after an hour: %v, %d buckets", ok, len(l.buckets))
	}
}

// TestRefusals: who shows nothing is told how to, and who is known what is missing.
func TestRefusals(t *testing.T) {
	e := raw(t, "x")
	for _, c := range []struct {
		err    *Refusal
		reason Reason
		says   string
	}{
		{Refuse(ByAddress("192.0.2.1"), Decision{}, nil), Unknown, "send a token"},
		{Refuse(ByAddress("192.0.2.1"), Decision{Rule: "r"}, e.Canonical()), Forbidden, `the rule "r" of the log's policy forbids it`},
		{Refuse(Principal{Kind: Token, Name: "ci"}, Decision{}, e.Canonical()), Forbidden, "ci may not add this entry (raw, 1 bytes): no rule"},
		{Refuse(Principal{Kind: Token, Name: "ci"}, Decision{}, nil), Forbidden, "ci may not add entries"},
	} {
		if got, ok := errors.AsType[*Refusal](fmt.Errorf("x: %w", c.err)); !ok || got.Reason != c.reason || !strings.Contains(got.Error(), c.says) {
			t.Errorf("%+v, and not %d %q", got, c.reason, c.says)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(fmt.Sprintf(example, strings.Repeat("0", 64), "x")))
	f.Add([]byte(`{"rules":[{"name":"a","who":"true"}]}`))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse(data, func(string) ([]byte, error) { return nil, os.ErrNotExist })
		if err == nil {
			p.Writer(ByAddress("x")).Decide(nil, now)
			p.Describe()
		}
	})
}

// BenchmarkDecide is a policy of 1,000 principals and 200 rules.
func BenchmarkDecide(b *testing.B) {
	s := newSigner(b)
	p, e := parse(b, Large(1000, 200)), s.entry(b)
	w := p.Writer(Principal{Kind: Token, Name: "p500"})
	for b.Loop() {
		if !w.Decide(e.Canonical(), now).Allowed {
			b.Fatal("refused")
		}
	}
}

// Large writes a policy with so many principals, p0 and on, and rules, of which each
// is for an equal part of them and looks at the entry; the token of p7 is "token-p7".
func Large(principals, rules int) string {
	var b strings.Builder
	b.WriteString("principals:\n")
	for i := range principals {
		fmt.Fprintf(&b, "- {name: p%d, tokens: [%q]}\n", i, FormatHash(Hash(fmt.Sprintf("token-p%d", i))))
	}
	b.WriteString("rules:\n")
	for r := range rules {
		fmt.Fprintf(&b, "- {name: rule %d, entry: 'entry.kind in [\"hashedrekord\", \"dsse\"] && entry.size < 20000', rate: 1000000/s, burst: 1000000, principals: [", r)
		for i := r; i < principals; i += rules {
			fmt.Fprintf(&b, "p%d, ", i)
		}
		b.WriteString("]}\n")
	}
	return b.String()
}
