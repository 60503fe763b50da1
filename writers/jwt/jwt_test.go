package jwt

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"indelible/writers"
	"indelible/writers/jwt/jwttest"
)

// clock is a time that a test moves.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) forward(d time.Duration) { c.ahead.Add(int64(d)) }

func verifier(t *testing.T, c *clock, change func(*writers.Issuer), i *jwttest.Issuer) *Verifier {
	t.Helper()
	issuer := writers.Issuer{Name: "test", URL: i.URL, Audiences: []string{"other", jwttest.Audience}}
	if change != nil {
		change(&issuer)
	}
	v, err := New(Config{Issuers: []writers.Issuer{issuer}, Now: c.now, Open: os.ReadFile})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// refused fails a test where a token is not refused for a reason, or the reason
// repeats the token.
func refused(t *testing.T, name string, err error, reason writers.Reason, says, token string) {
	t.Helper()
	r, ok := errors.AsType[*writers.Refusal](err)
	if !ok || r.Reason != reason || !strings.Contains(r.Why, says) {
		t.Errorf("%s: %v, and not %q", name, err, says)
		return
	}
	for part := range strings.SplitSeq(token, ".") {
		if len(part) > 20 && strings.Contains(r.Why, part) {
			t.Errorf("%s: the error has a part of the token: %s", name, r.Why)
		}
	}
}

func TestVerify(t *testing.T) {
	i, c := jwttest.New(t), &clock{}
	v := verifier(t, c, nil, i)
	token := i.Token(t, map[string]any{"repository": "example/app", "aud": []string{"x", "log"}})
	got, err := v.Verify(t.Context(), token)
	if err != nil || got.Claims["repository"] != "example/app" || got.Issuer.Name != "test" || !got.Valid(c.now()) {
		t.Fatalf("%+v, %v", got, err)
	}
	c.forward(59 * time.Minute)
	if _, err := v.Verify(t.Context(), token); err != nil || !got.Valid(c.now()) {
		t.Error("it ends too early", err)
	}
	c.forward(3 * time.Minute)
	_, err = v.Verify(t.Context(), token)
	refused(t, "after its end", err, writers.Unknown, "it expired at", token)
	if got.Valid(c.now()) {
		t.Error("it is remembered beyond its end")
	}
}

// TestBadTokens are refused, each for what is wrong.
func TestBadTokens(t *testing.T) {
	i, c := jwttest.New(t), &clock{}
	v := verifier(t, c, nil, i)
	key, id := i.Key()
	now := time.Now()
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})
	by := func(alg jose.SignatureAlgorithm, k any, id string) string {
		return jwttest.Sign(t, jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: k, KeyID: id}}, i.Claims(nil))
	}
	good := i.Token(t, nil)
	parts := strings.Split(good, ".")
	unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + "."
	for name, bad := range map[string]struct{ token, says string }{
		"expired":                  {i.Token(t, map[string]any{"exp": now.Add(-2 * time.Minute).Unix()}), "it expired at"},
		"not yet":                  {i.Token(t, map[string]any{"nbf": now.Add(5 * time.Minute).Unix()}), "not valid yet"},
		"issued in the future":     {i.Token(t, map[string]any{"iat": now.Add(5 * time.Minute).Unix()}), "not valid yet"},
		"no expiry":                {i.Token(t, map[string]any{"exp": nil}), "no expiry"},
		"valid for a year":         {i.Token(t, map[string]any{"exp": now.Add(365 * 24 * time.Hour).Unix()}), "more than a day"},
		"no subject":               {i.Token(t, map[string]any{"sub": nil}), "no subject"},
		"another audience":         {i.Token(t, map[string]any{"aud": "https://other.example.com"}), "its audience"},
		"no audience":              {i.Token(t, map[string]any{"aud": nil}), "its audience"},
		"another issuer":           {i.Token(t, map[string]any{"iss": "https://evil.example.com"}), `its issuer "https://evil.example.com" is not`},
		"another issuer's path":    {i.Token(t, map[string]any{"iss": i.URL + "/"}), "is not in the log's policy"},
		"unsigned":                 {unsigned, "not a JWT that is signed"},
		"HMAC by the public key":   {by(jose.HS256, public, id), "not a JWT that is signed"},
		"HMAC by the DER":          {by(jose.HS256, spki, id), "not a JWT that is signed"},
		"a stranger's key":         {by(jose.ES256, stranger, id), "no key of its issuer"},
		"a key that nobody has":    {by(jose.ES256, key, "other"), "no key of its issuer"},
		"another algorithm":        {by(jose.RS256, rsaKey, id), "no key of its issuer"},
		"claims that were changed": {parts[0] + "." + base64.RawURLEncoding.EncodeToString(mustJSON(t, i.Claims(map[string]any{"sub": "root"}))) + "." + parts[2], "no key of its issuer"},
		"two parts":                {parts[0] + "." + parts[1], "not a JWT"},
		"nothing":                  {"", "not a JWT"},
		"too long":                 {strings.Repeat("x", MaxToken+1), "the maximum is"},
	} {
		_, err := v.Verify(t.Context(), bad.token)
		refused(t, name, err, writers.Unknown, bad.says, bad.token)
	}
	if _, err := v.Verify(t.Context(), good); err != nil {
		t.Error(err)
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestRotation: a new key counts at once, and one that was withdrawn not any more,
// nor what it verified before. Tokens by unknown keys do not have the keys fetched each.
func TestRotation(t *testing.T) {
	i, c := jwttest.New(t), &clock{}
	v := verifier(t, c, nil, i)
	old := i.Token(t, nil)
	before, err := v.Verify(t.Context(), old)
	if err != nil {
		t.Fatal(err)
	}
	i.Rotate(t)
	young := i.Token(t, nil)
	for range 20 { // within the pause nothing is fetched
		_, err := v.Verify(t.Context(), young)
		refused(t, "at once", err, writers.Unknown, "no key of its issuer", young)
	}
	if n := i.Fetches(); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
	c.forward(pause)
	if _, err := v.Verify(t.Context(), young); err != nil {
		t.Error(err)
	}
	_, err = v.Verify(t.Context(), old)
	refused(t, "by a key that was withdrawn", err, writers.Unknown, "no key of its issuer", old)
	if before.Valid(c.now()) {
		t.Error("what it verified before still counts")
	}
}

// TestWithdrawnKeyIsNoticed though only tokens come that are remembered.
func TestWithdrawnKeyIsNoticed(t *testing.T) {
	i, c := jwttest.New(t), &clock{}
	v := verifier(t, c, nil, i)
	got, err := v.Verify(t.Context(), i.Token(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	i.Rotate(t)
	c.forward(refresh)
	for deadline := time.Now().Add(time.Minute); got.Valid(c.now()); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the key was not fetched again")
		}
	}
}

// TestRotationUnderLoad: whoever asks while keys change gets an answer that is right.
func TestRotationUnderLoad(t *testing.T) {
	i, c := jwttest.New(t), &clock{}
	v := verifier(t, c, nil, i)
	for range 5 {
		i.Rotate(t)
		c.forward(pause)
		token := i.Token(t, nil)
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				if _, err := v.Verify(t.Context(), token); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	if n := i.Fetches(); n != 5 {
		t.Errorf("the keys were fetched %d times for five rotations", n)
	}
}

// TestKeysThatCannotBeFetched: nothing waits for long, or holds much, and the keys
// from before stay in use.
func TestKeysThatCannotBeFetched(t *testing.T) {
	i, c := jwttest.New(t), &clock{}
	slow := make(chan struct{})
	defer close(slow)
	for name, answer := range map[string]http.HandlerFunc{
		"gone": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
		"huge": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"keys":["`+strings.Repeat("x", maxAnswer)+`"]}`)
		},
		"no JSON":  func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") },
		"no keys":  func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"keys":[]}`) },
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"another's document": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"issuer":"https://evil.example.com","jwks_uri":"%s/keys"}`, i.URL)
		},
		"hangs up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		i.Answer(answer)
		v := verifier(t, c, nil, i)
		for range 3 {
			_, err := v.Verify(t.Context(), i.Token(t, nil))
			refused(t, name, err, writers.Unavailable, "cannot be fetched at present", "")
		}
		i.Answer(nil)
		c.forward(pause)
		token := i.Token(t, nil)
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Errorf("%s: it is right again: %v", name, err)
		}
		i.Answer(answer)
		c.forward(refresh + pause)
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Errorf("%s: the keys from before are not used: %v", name, err)
		}
		i.Answer(nil)
	}
	i.Answer(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-slow:
		case <-r.Context().Done():
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := verifier(t, c, nil, i).Verify(ctx, i.Token(t, nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("slow: %v", err)
	}
}

// TestStaleKeys are not used for ever.
func TestStaleKeys(t *testing.T) {
	i, c := jwttest.New(t), &clock{}
	v := verifier(t, c, nil, i)
	if _, err := v.Verify(t.Context(), i.Token(t, nil)); err != nil {
		t.Fatal(err)
	}
	i.Answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	c.forward(stale)
	at := c.now()
	_, err := v.Verify(t.Context(), i.Token(t, map[string]any{"iat": at.Unix(), "exp": at.Add(time.Hour).Unix()}))
	refused(t, "after a day", err, writers.Unavailable, "cannot be fetched", "")
}

// TestOneUse: a token whose id was used is refused, where the policy says so.
func TestOneUse(t *testing.T) {
	i, c := jwttest.New(t), &clock{}
	v := verifier(t, c, func(i *writers.Issuer) { i.OneUse = true }, i)
	token := i.Token(t, map[string]any{"jti": "a"})
	got, err := v.Verify(t.Context(), token)
	if err != nil || got.Valid(c.now()) {
		t.Fatal(err, "or it may be remembered")
	}
	_, err = v.Verify(t.Context(), token)
	refused(t, "again", err, writers.Unknown, "it was used before", token)
	_, err = v.Verify(t.Context(), i.Token(t, nil))
	refused(t, "without an id", err, writers.Unknown, "no id (jti)", "")
	if _, err := v.Verify(t.Context(), i.Token(t, map[string]any{"jti": "b"})); err != nil {
		t.Error(err)
	}
}

// TestKeysInAFile verify without a network; one that is wrong is an error at the start.
func TestKeysInAFile(t *testing.T) {
	i, c := jwttest.New(t), &clock{}
	key, id := i.Key()
	set := mustJSON(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: id}}})
	path := t.TempDir() + "/keys"
	if err := os.WriteFile(path, set, 0o600); err != nil {
		t.Fatal(err)
	}
	v := verifier(t, c, func(i *writers.Issuer) { i.Keys = path }, i)
	if _, err := v.Verify(t.Context(), i.Token(t, nil)); err != nil || i.Fetches() != 0 {
		t.Error(err, i.Fetches())
	}
	for _, bad := range []string{"", "{}", `{"keys":[{"kty":"oct","k":"AAAA"}]}`} {
		if _, err := parseKeys([]byte(bad)); err == nil {
			t.Errorf("%q is a set of keys", bad)
		}
	}
	if _, err := New(Config{Issuers: []writers.Issuer{{Name: "x", URL: i.URL, Keys: path + "x"}}, Open: os.ReadFile}); err == nil {
		t.Error("a file that is not there is no error")
	}
}

func FuzzKeys(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := parseKeys(data)
		if err == nil && len(keys) == 0 {
			t.Error("no keys and no error")
		}
	})
}
