// Package jwt verifies the JWTs of the issuers that a policy names.
//
//	v, err := jwt.New(jwt.Config{Issuers: policy.Issuers})
//	verified, err := v.Verify(ctx, token)
//
// # What a token must be
//
// A JWS in compact form, by RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384,
// ES512 or EdDSA, with one signature by a key of its issuer whose use and algorithm
// (if the key says them) are the token's. It has the issuer's URL as iss, one of the
// issuer's audiences, a sub, an exp, and was issued before now. A minute of skew is
// allowed. Its expiry is no more than a day away.
//
// # Keys
//
// An issuer's keys come from where the policy says, or from the jwks_uri of its
// discovery document, in answers of 256 KiB at most, within 5 seconds, without
// redirects. They are fetched when they are first needed, and again after 5 minutes,
// while those from before stay in use; for a token by an unknown key once in 10
// seconds. A key that is not among them any more verifies nothing from then on, nor
// do the tokens that it verified before. While the keys cannot be fetched, those from
// before are used for a day.
package jwt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"indelible/writers"
)

const (
	// MaxToken is the maximum number of bytes of a token: what fits into the headers
	// of a request.
	MaxToken = 12 << 10
	// skew is how far the clocks of issuers may differ from this one.
	skew = time.Minute
	// longest is how long a token may be valid for.
	longest = 24*time.Hour + skew
	// maxUsed is the maximum number of tokens of one use that are remembered.
	maxUsed = 1 << 16
)

// algorithms are those that tokens may be signed by: none with a shared key.
func algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA}
}

// Config is what a Verifier is made from.
type Config struct {
	Issuers []writers.Issuer
	Open    func(path string) ([]byte, error) // reads the files that issuers name
	Now     func() time.Time                  // nil: time.Now
	Uses    *Uses                             // tokens of one use that others accepted; nil: of this Verifier alone
	// Before is a Verifier whose fetched keys count for the same issuers until they are
	// fetched again; it may be nil.
	Before *Verifier
	// Failing is told of an issuer whose keys cannot be fetched, and, with nil, when
	// they can; it may be nil.
	Failing func(issuer string, err error)
}

// Verifier verifies tokens. Its methods may be called from many goroutines.
type Verifier struct {
	now     func() time.Time
	issuers map[string]*keySet // by URL
	uses    *Uses
}

// Uses are the tokens of one use that were accepted. They outlive a Verifier: a policy
// that is read again accepts none of them a second time.
type Uses struct {
	mu   sync.Mutex
	used map[use]time.Time // until when the token would count
}

// use is a token, by the URL of its issuer: its name in the policy can change.
type use struct{ issuer, id string }

// NewUses makes Uses of no token.
func NewUses() *Uses { return &Uses{used: make(map[use]time.Time)} }

// New makes a Verifier. It fetches nothing.
func New(cfg Config) (*Verifier, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Failing == nil {
		cfg.Failing = func(string, error) {}
	}
	if cfg.Uses == nil {
		cfg.Uses = NewUses()
	}
	v := &Verifier{now: cfg.Now, issuers: make(map[string]*keySet), uses: cfg.Uses}
	for _, i := range cfg.Issuers {
		keys, err := newKeySet(i, cfg)
		if err != nil {
			return nil, fmt.Errorf("issuer %q: %w", i.Name, err)
		}
		v.issuers[i.URL] = keys
	}
	return v, nil
}

// Verified is a token that was verified.
type Verified struct {
	Issuer  writers.Issuer
	Claims  map[string]any
	Expires time.Time // skew included
	by      *key
	set     *keySet
}

// Valid reports whether a token that was verified before still counts.
func (v Verified) Valid(now time.Time) bool {
	return now.Before(v.Expires) && !v.Issuer.OneUse && v.set.stands(v.by)
}

func unknown(format string, args ...any) error {
	return &writers.Refusal{Reason: writers.Unknown, Why: "the token is not accepted: " + fmt.Sprintf(format, args...)}
}

// Verify verifies a token. Its error is a [writers.Refusal], whose text holds nothing
// of the token but the names of its issuer and algorithm, or that of ctx.
func (v *Verifier) Verify(ctx context.Context, token string) (Verified, error) {
	if len(token) > MaxToken {
		return Verified{}, unknown("it has %d bytes; the maximum is %d", len(token), MaxToken)
	}
	parsed, err := jwt.ParseSigned(token, algorithms())
	if err != nil {
		return Verified{}, unknown("it is not a JWT that is signed by an asymmetric key (RS256, ES256, EdDSA or their like)")
	}
	var claims jwt.Claims
	if parsed.UnsafeClaimsWithoutVerification(&claims) != nil {
		return Verified{}, unknown("its claims cannot be read")
	}
	set, ok := v.issuers[claims.Issuer]
	if !ok {
		return Verified{}, unknown("its issuer %.200q is not in the log's policy", claims.Issuer)
	}
	// What cannot pass costs no signature.
	if err := v.check(set.issuer, claims); err != nil {
		return Verified{}, err
	}
	by, all, err := set.verify(ctx, parsed)
	if err != nil {
		return Verified{}, err
	}
	if err := v.uses.note(set.issuer, claims, v.now()); err != nil {
		return Verified{}, err
	}
	return Verified{Issuer: set.issuer, Claims: all, Expires: claims.Expiry.Time().Add(skew), by: by, set: set}, nil
}

// check compares the claims with what the issuer's tokens must say.
func (v *Verifier) check(i writers.Issuer, c jwt.Claims) error {
	now := v.now()
	err := c.ValidateWithLeeway(jwt.Expected{Issuer: i.URL, AnyAudience: i.Audiences, Time: now}, skew)
	switch {
	case errors.Is(err, jwt.ErrInvalidAudience):
		return unknown("its audience is not this log's; ask the issuer for one of %q", i.Audiences)
	case errors.Is(err, jwt.ErrExpired):
		return unknown("it expired at %s; get a new one", c.Expiry.Time().UTC().Format(time.RFC3339))
	case err != nil:
		return unknown("it is not valid yet: compare the clocks of its issuer and of the log")
	case c.Expiry == nil:
		return unknown("it has no expiry (exp)")
	case c.Expiry.Time().After(now.Add(longest)):
		return unknown("it expires more than a day from now; get one for a shorter time")
	case c.Subject == "":
		return unknown("it has no subject (sub)")
	case i.OneUse && c.ID == "":
		return unknown("it has no id (jti), which the log's policy asks for")
	}
	return nil
}

// note notes the use of a token of one use, and refuses another.
func (u *Uses) note(i writers.Issuer, c jwt.Claims, now time.Time) error {
	if !i.OneUse {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.used) >= maxUsed {
		maps.DeleteFunc(u.used, func(_ use, until time.Time) bool { return now.After(until) })
	}
	id := use{i.URL, c.ID}
	if until, ok := u.used[id]; ok && !now.After(until) {
		return unknown("it was used before, and the log's policy accepts each once (by its jti)")
	}
	if len(u.used) >= maxUsed {
		return &writers.Refusal{Reason: writers.Unavailable, After: time.Minute, Why: "too many tokens of one use are valid at present; try again"}
	}
	u.used[id] = c.Expiry.Time().Add(skew)
	return nil
}

// verify verifies a token's signature by one of the issuer's keys.
func (s *keySet) verify(ctx context.Context, token *jwt.JSONWebToken) (*key, map[string]any, error) {
	h := token.Headers[0]
	keys, err := s.find(ctx, h.KeyID, h.Algorithm)
	if err != nil {
		return nil, nil, err
	}
	for _, k := range keys {
		var all json.RawMessage
		if token.Claims(k.Key, &all) != nil {
			continue
		}
		var claims map[string]any
		if json.Unmarshal(all, &claims) != nil {
			break
		}
		return k, claims, nil
	}
	return nil, nil, unknown("no key of its issuer %q verifies its signature", s.issuer.Name)
}

// fits reports whether a key may have signed by an algorithm, by what it says of
// itself. Its type is compared when it verifies.
func (k *key) fits(id, algorithm string) bool {
	return (id == "" || k.KeyID == id) && (k.Algorithm == "" || k.Algorithm == algorithm) && slices.Contains([]string{"", "sig"}, k.Use)
}
