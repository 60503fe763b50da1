package gate

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"indelible/entry"
	"indelible/writers"
	"indelible/writers/jwt"
	"indelible/writers/jwt/jwttest"
)

const policy = `
issuers: [{name: test, url: %q, audiences: [log]}]
principals:
- {name: ci, tokens: [%q], certificates: [spiffe://example.org/ci]}
rules:
- {name: ci, principals: [ci], entry: entry.size < 10, rate: 1/s, burst: 2}
- {name: jwt, who: claims.team == "a"}
- {name: near, who: 'principal.kind == "jwt" && principal.address == "192.0.2.7"'}
`

// world is a gate over a file, with a clock and an issuer.
type world struct {
	*Gate
	issuer *jwttest.Issuer
	path   string
	at     time.Time
	told   map[string]int // decisions, by rule and outcome
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{issuer: jwttest.New(t), path: filepath.Join(t.TempDir(), "writers.yaml"), at: time.Now(), told: make(map[string]int)}
	w.write(t, fmt.Sprintf(policy, w.issuer.URL, writers.FormatHash(writers.Hash("secret-token"))))
	var err error
	w.Gate, err = Open(Config{Path: w.path, Now: func() time.Time { return w.at }, Decided: func(rule string, how Outcome) { w.told[rule+" "+string(how)]++ }})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(w.path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func raw(t *testing.T, text string) entry.Entry {
	t.Helper()
	e, err := entry.NewRaw([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// add enters and asks for one entry.
func (w *world) add(t *testing.T, c Credentials, e entry.Entry) error {
	t.Helper()
	s, err := w.Enter(t.Context(), c)
	if err != nil {
		return err
	}
	return w.Allow(s, e)
}

func reason(err error) writers.Reason {
	if r, ok := errors.AsType[*writers.Refusal](err); ok {
		return r.Reason
	}
	return 0
}

func TestCredentials(t *testing.T) {
	w := newWorld(t)
	later := time.Now().Add(time.Hour)
	spiffe := &x509.Certificate{NotAfter: later, URIs: []*url.URL{{Scheme: "spiffe", Host: "example.org", Path: "/ci"}}}
	stranger := &x509.Certificate{NotAfter: later, DNSNames: []string{"example.org"}}
	for name, c := range map[string]struct {
		of   Credentials
		want writers.Reason // 0: it is allowed
		says string
	}{
		"an API token":           {Credentials{Token: "secret-token"}, 0, ""},
		"an unknown one":         {Credentials{Token: "secret-tokem"}, writers.Unknown, "not one of this log's API tokens"},
		"a certificate":          {Credentials{Certificate: spiffe}, 0, ""},
		"an expired certificate": {Credentials{Certificate: &x509.Certificate{URIs: spiffe.URIs}}, writers.Unknown, "expired"},
		"no token":               {Credentials{Malformed: true}, writers.Unknown, "has no token"},
		"another":                {Credentials{Certificate: stranger}, writers.Forbidden, "certificate/example.org may not add entries"},
		"a bad token beside it":  {Credentials{Token: "x", Certificate: spiffe}, writers.Unknown, "not accepted"},
		"a JWT":                  {Credentials{Token: w.issuer.Token(t, map[string]any{"team": "a"})}, 0, ""},
		"a JWT of another team":  {Credentials{Token: w.issuer.Token(t, map[string]any{"team": "b"})}, writers.Forbidden, "test/someone may not"},
		"a JWT from an address":  {Credentials{Token: w.issuer.Token(t, map[string]any{"team": "b"}), Address: "192.0.2.7"}, 0, ""},
		"nothing":                {Credentials{Address: "192.0.2.7"}, writers.Unknown, "send a token"},
	} {
		w.at = w.at.Add(time.Second)
		err := w.add(t, c.of, raw(t, "x"))
		if reason(err) != c.want || err != nil && !strings.Contains(err.Error(), c.says) || c.want == 0 && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && c.of.Token != "" && len(c.of.Token) > 5 && strings.Contains(err.Error(), c.of.Token) {
			t.Errorf("%s: the error has the token: %v", name, err)
		}
	}
	if w.told["ci allowed"] != 2 || w.told[" unauthenticated"] != 5 || w.told[" forbidden"] != 2 {
		t.Errorf("%v", w.told)
	}
}

// TestRefusedBeforeTheBody: a writer whose rate is used up is refused without its
// entry, and may come back.
func TestRefusedBeforeTheBody(t *testing.T) {
	w := newWorld(t)
	c := Credentials{Token: "secret-token"}
	for range 2 {
		if err := w.add(t, c, raw(t, "x")); err != nil {
			t.Fatal(err)
		}
	}
	_, err := w.Enter(t.Context(), c)
	if r, ok := errors.AsType[*writers.Refusal](err); !ok || r.Reason != writers.TooMany || r.After != time.Second || r.Rule != "ci" {
		t.Fatalf("%+v", err)
	}
	w.at = w.at.Add(time.Second)
	s, err := w.Enter(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	// Of a batch, each entry counts.
	if err := w.Allow(s, raw(t, "0123456789")); reason(err) != writers.Forbidden {
		t.Error(err)
	}
	if err := w.Allow(s, raw(t, "x")); err != nil {
		t.Error(err)
	}
	if err := w.Allow(s, raw(t, "x")); reason(err) != writers.TooMany {
		t.Error(err)
	}
}

// TestReload: a file that is broken changes nothing, and Warnings says so; a rule that
// stays gives no new burst.
func TestReload(t *testing.T) {
	w := newWorld(t)
	c := Credentials{Token: "secret-token"}
	before, err := os.ReadFile(w.path)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.add(t, c, raw(t, "x")); err != nil {
			t.Fatal(err)
		}
	}
	w.write(t, "rules: [{name: broken}]")
	if err := w.Reload(); err == nil || len(w.Warnings()) != 1 || !strings.Contains(w.Warnings()[0], "stays in use") {
		t.Errorf("%v, %q", err, w.Warnings())
	}
	w.write(t, string(before)+"- {name: new, principals: [anyone], effect: deny}\n")
	if err := w.Reload(); err != nil || len(w.Warnings()) != 0 {
		t.Errorf("%v, %q", err, w.Warnings())
	}
	if err := w.add(t, c, raw(t, "x")); reason(err) != writers.TooMany {
		t.Errorf("a new burst: %v", err)
	}
	if err := w.add(t, Credentials{Address: "x"}, raw(t, "x")); reason(err) != writers.Forbidden || !strings.Contains(err.Error(), `"new"`) {
		t.Errorf("the new rule: %v", err)
	}
	w.write(t, "rules: [{name: none, principals: [other]}]")
	if err := w.Reload(); err != nil {
		t.Fatal(err)
	}
	if err := w.add(t, c, raw(t, "x")); reason(err) != writers.Unknown {
		t.Errorf("a token that was taken out: %v", err)
	}
}

// TestReloadForgetsNoUse: a token of one use is not accepted again when the policy was
// read again, even if the issuer has another name in it.
func TestReloadForgetsNoUse(t *testing.T) {
	w := newWorld(t)
	text := `
issuers: [{name: %s, url: %q, audiences: [log], one-use: true}]
rules: [{name: all, principals: [authenticated]}]
`
	w.write(t, fmt.Sprintf(text, "test", w.issuer.URL))
	if err := w.Reload(); err != nil {
		t.Fatal(err)
	}
	c := Credentials{Token: w.issuer.Token(t, map[string]any{"jti": "a"})}
	if err := w.add(t, c, raw(t, "x")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"test", "renamed"} {
		w.write(t, fmt.Sprintf(text, name, w.issuer.URL))
		if err := w.Reload(); err != nil {
			t.Fatal(err)
		}
		if err := w.add(t, c, raw(t, "x")); reason(err) != writers.Unknown || !strings.Contains(err.Error(), "used before") {
			t.Errorf("the issuer is %s: %v", name, err)
		}
	}
}

// TestReloadKeepsKeys: an issuer that does not answer when the policy is read again goes on
// with the keys that it had. Those of another place do not count.
func TestReloadKeepsKeys(t *testing.T) {
	w := newWorld(t)
	c := Credentials{Token: w.issuer.Token(t, map[string]any{"team": "a"})}
	if err := w.add(t, c, raw(t, "x")); err != nil {
		t.Fatal(err)
	}
	w.issuer.Answer(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusBadGateway) })
	if err := w.Reload(); err != nil {
		t.Fatal(err)
	}
	if err := w.add(t, c, raw(t, "x")); err != nil {
		t.Errorf("after the policy was read again: %v", err)
	}
	before, err := os.ReadFile(w.path)
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, strings.Replace(string(before), "audiences: [log]", "audiences: [log], keys: "+w.issuer.URL+"/others", 1))
	if err := w.Reload(); err != nil {
		t.Fatal(err)
	}
	if err := w.add(t, c, raw(t, "x")); reason(err) != writers.Unavailable {
		t.Errorf("keys of another place: %v", err)
	}
}

// TestRemembered: a token is verified once, and as long as it counts.
func TestRemembered(t *testing.T) {
	w := newWorld(t)
	token := w.issuer.Token(t, map[string]any{"team": "a"})
	first, err := w.Enter(t.Context(), Credentials{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.Enter(t.Context(), Credentials{Token: token})
	if err != nil || again != first {
		t.Error("it was verified again", err)
	}
	w.at = w.at.Add(2 * time.Hour)
	if _, err := w.Enter(t.Context(), Credentials{Token: token}); reason(err) != writers.Unknown || !strings.Contains(err.Error(), "it expired") {
		t.Error(err)
	}
	s := w.state.Load()
	for n := range maxRemembered + 100 {
		s.remember(shown{address: fmt.Sprint(n)}, remembered{session: first}, w.at)
	}
	if len(s.remembered) > maxRemembered {
		t.Errorf("%d are remembered", len(s.remembered))
	}
}

// TestRememberedIsBounded: tokens take a bounded memory, however large they are, and from
// however many addresses one comes.
func TestRememberedIsBounded(t *testing.T) {
	s := &state{remembered: make(map[shown]remembered)}
	now := time.Now()
	size := func(bytes int) remembered {
		return remembered{verified: jwt.Verified{Expires: now.Add(time.Hour)}, bytes: bytes}
	}
	for i := range 3 * maxRememberedBytes / jwt.MaxToken {
		for range 2 { // again is not twice
			s.remember(shown{address: fmt.Sprint(i)}, size(jwt.MaxToken), now)
		}
	}
	if n := len(s.remembered); s.bytes != n*jwt.MaxToken || s.bytes > maxRememberedBytes || n < maxRememberedBytes/jwt.MaxToken {
		t.Errorf("%d large tokens of %d bytes", n, s.bytes)
	}
	for i := range 2 * maxRemembered {
		s.remember(shown{address: fmt.Sprint("small", i)}, size(1), now)
	}
	if n := len(s.remembered); n != maxRemembered {
		t.Errorf("%d small tokens", n)
	}
	now = now.Add(time.Hour)
	s.remember(shown{}, size(1), now)
	if n := len(s.remembered); n != 1 || s.bytes != 1 {
		t.Errorf("%d tokens of %d bytes, with those that count no more", n, s.bytes)
	}
}

// TestTokensOfADatabase count beside those of the file, until they are taken out.
func TestTokensOfADatabase(t *testing.T) {
	w := newWorld(t)
	c := Credentials{Token: "of the database"}
	if err := w.add(t, c, raw(t, "x")); reason(err) != writers.Unknown {
		t.Error(err)
	}
	w.SetTokens(Tokens{writers.Hash(c.Token): "ci"})
	if err := w.add(t, c, raw(t, "x")); err != nil {
		t.Error(err)
	}
	w.SetTokens(Tokens{})
	if err := w.add(t, c, raw(t, "x")); reason(err) != writers.Unknown {
		t.Error(err)
	}
}

// TestNone: without a file nobody may write.
func TestNone(t *testing.T) {
	g, err := Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Enter(t.Context(), Credentials{Token: "x"}); reason(err) != writers.Forbidden || !strings.Contains(err.Error(), "read-only") {
		t.Error(err)
	}
	if g.Reload() != nil || g.Policy() != nil || g.Warnings() != nil {
		t.Error("it has a policy")
	}
}

func TestAuthorize(t *testing.T) {
	for header, want := range map[string]Credentials{
		"":                       {},
		"Bearer a.b.c":           {Token: "a.b.c", Bearer: true},
		"bearer  x ":             {Token: "x", Bearer: true},
		"Basic dTpzZWNyZXQ6Mg==": {Token: "secret:2"},
		"Basic !":                {Malformed: true},
		"Basic dTo=":             {Malformed: true},
		"Bearer":                 {Malformed: true},
		"Digest x":               {Malformed: true},
	} {
		var got Credentials
		if got.Authorize(header); got != want {
			t.Errorf("%q: %+v", header, got)
		}
	}
}
