// Package jwttest is an OpenID Connect issuer for tests: it has a discovery document,
// keys that can be rotated, and signs JWTs.
package jwttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Audience is what the issuer's tokens are for.
const Audience = "log"

// Issuer is a running issuer.
type Issuer struct {
	URL string

	mu      sync.Mutex
	key     *ecdsa.PrivateKey
	made    int // keys
	fetches int // of the keys
	answer  http.HandlerFunc
}

// New starts an issuer, until the test ends.
func New(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{}
	s := httptest.NewServer(i)
	t.Cleanup(s.Close)
	i.URL = s.URL
	i.Rotate(t)
	return i
}

// Rotate makes a new key, and withdraws the one from before.
func (i *Issuer) Rotate(t testing.TB) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.key = key
	i.made++
}

// Answer has the issuer answer all questions so; nil: as it should.
func (i *Issuer) Answer(h http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = h
}

// Fetches is how often the keys were asked for.
func (i *Issuer) Fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

// Key is the present key, and its id.
func (i *Issuer) Key() (*ecdsa.PrivateKey, string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.key, fmt.Sprintf("key-%d", i.made)
}

// ServeHTTP implements http.Handler.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	answer := i.answer
	if r.URL.Path == "/keys" {
		i.fetches++
	}
	i.mu.Unlock()
	key, id := i.Key()
	switch {
	case answer != nil:
		answer(w, r)
	case r.URL.Path == "/.well-known/openid-configuration":
		json.NewEncoder(w).Encode(map[string]string{"issuer": i.URL, "jwks_uri": i.URL + "/keys"})
	case r.URL.Path == "/keys":
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: id, Algorithm: "ES256", Use: "sig"}}})
	default:
		http.NotFound(w, r)
	}
}

// Claims are those of a token that is valid for an hour, with others in their place.
// A value of nil leaves a claim out.
func (i *Issuer) Claims(others map[string]any) map[string]any {
	now := time.Now()
	c := map[string]any{"iss": i.URL, "aud": Audience, "sub": "someone", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	maps.Copy(c, others)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// Token signs the Claims.
func (i *Issuer) Token(t testing.TB, others map[string]any) string {
	t.Helper()
	key, id := i.Key()
	return Sign(t, jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: id}}, i.Claims(others))
}

// Sign makes a JWT.
func Sign(t testing.TB, by jose.SigningKey, claims map[string]any) string {
	t.Helper()
	s, err := jose.NewSigner(by, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(s).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}
