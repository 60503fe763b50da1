// Package gate is the policy of a server that runs: it reads the policy's file, finds
// the writer of a request, and decides about each of its entries.
//
//	g, err := gate.Open(gate.Config{Path: "writers.yaml"})
//	…
//	session, err := g.Enter(ctx, gate.Credentials{Token: token, Address: address})
//	err = g.Allow(session, entry)
//
// [Gate.Enter] comes before the body of a request is read: it refuses those whose
// credentials are wrong, that no rule allows anything, and whose rates are used up.
// Errors are [writers.Refusal]s, or a context's.
//
// A JWT is verified once, and remembered until it expires, or its key is withdrawn; a
// policy that was read again verifies all again.
package gate

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"indelible/entry"
	"indelible/writers"
	"indelible/writers/jwt"
)

// Config is what a Gate is made from.
type Config struct {
	Path string           // of the policy's file; empty: nobody may write
	Now  func() time.Time // nil: time.Now
	Log  *slog.Logger     // nil: nothing is written down
	// Decided is told of each decision: the rule, empty for none, and how it ended;
	// it may be nil.
	Decided func(rule string, how Outcome)
	// Failing is told of an issuer whose keys cannot be fetched, and of its end; it may
	// be nil.
	Failing func(issuer string, err error)
}

// Outcome is how a decision ended.
type Outcome string

// The outcomes.
const (
	Allowed         Outcome = "allowed"
	Unauthenticated Outcome = "unauthenticated"
	Forbidden       Outcome = "forbidden"
	Limited         Outcome = "limited"
	Unavailable     Outcome = "unavailable"
)

// Credentials are what a request shows of its writer.
type Credentials struct {
	Token       string            // an API token or a JWT; empty: none
	Malformed   bool              // there is a header Authorization that has no token
	Bearer      bool              // the token is one that a browser adds to no request by itself
	Elsewhere   bool              // a page of another server has a browser send the request
	Certificate *x509.Certificate // a verified client certificate; nil: none
	Address     string            // the client's
}

// Authorize takes the token from the header Authorization: as Bearer, or as the
// password of Basic, for clients that can send nothing but a URL with a password.
func (c *Credentials) Authorize(header string) {
	if header == "" {
		return
	}
	scheme, value, _ := strings.Cut(header, " ")
	switch value = strings.TrimSpace(value); {
	case strings.EqualFold(scheme, "Bearer"):
		c.Token, c.Bearer = value, value != ""
	case strings.EqualFold(scheme, "Basic"):
		if raw, err := base64.StdEncoding.DecodeString(value); err == nil {
			_, c.Token, _ = strings.Cut(string(raw), ":")
		}
	}
	c.Malformed = c.Token == ""
}

// Session is the writer of a request.
type Session struct{ writer *writers.Writer }

// Name is the writer's name.
func (s *Session) Name() string { return s.writer.Name }

// Anonymous reports whether it is a client without credentials.
func (s *Session) Anonymous() bool { return s.writer.Kind == writers.Anonymous }

// Tokens are API tokens beside those of the policy's file: principals by hash.
type Tokens map[[32]byte]string

// SetTokens puts other tokens in the place of those from before.
func (g *Gate) SetTokens(t Tokens) { g.tokens.Store(&t) }

// Gate decides. Its methods may be called from many goroutines.
type Gate struct {
	cfg    Config
	limits *writers.Limits
	uses   *jwt.Uses
	state  atomic.Pointer[state] // nil: nobody may write
	tokens atomic.Pointer[Tokens]

	mu     sync.Mutex
	broken string // why the newest file is not in use; empty if it is
}

// state is all that follows from a file.
type state struct {
	policy   *writers.Policy
	verifier *jwt.Verifier

	mu         sync.Mutex
	remembered map[shown]remembered
	bytes      int       // of their tokens
	swept      time.Time // when those that count no more went
}

// shown is a token, by its hash, and where it came from: a rule may ask for the address.
type shown struct {
	token   [32]byte
	address string
}

// remembered is the session of a token that was verified.
type remembered struct {
	session  *Session
	verified jwt.Verified
	bytes    int // of the token, which its claims take in memory several times
}

// The maximum number of tokens that are remembered, and of their bytes.
const (
	maxRemembered      = 1 << 14
	maxRememberedBytes = 8 << 20
)

// Open reads the policy.
func Open(cfg Config) (*Gate, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Decided == nil {
		cfg.Decided = func(string, Outcome) {}
	}
	g := &Gate{cfg: cfg, limits: writers.NewLimits(), uses: jwt.NewUses()}
	if cfg.Path == "" {
		return g, nil
	}
	return g, g.Reload()
}

// Load reads a policy's file. What the file names is in the folder of the file, unless
// the name is a whole path.
func Load(path string) (*writers.Policy, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p, err := writers.Parse(data, beside(path))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

func beside(path string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(path), name)
		}
		return os.ReadFile(name)
	}
}

// Reload reads the policy again. On an error the policy from before stays in use, and
// Warnings says so.
func (g *Gate) Reload() error {
	if g.cfg.Path == "" {
		return nil
	}
	p, err := Load(g.cfg.Path)
	s := &state{policy: p, remembered: make(map[shown]remembered)}
	if err == nil {
		var before *jwt.Verifier
		if old := g.state.Load(); old != nil {
			before = old.verifier
		}
		s.verifier, err = jwt.New(jwt.Config{Issuers: p.Issuers, Open: beside(g.cfg.Path), Now: g.cfg.Now, Uses: g.uses, Before: before, Failing: g.cfg.Failing})
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.broken = fmt.Sprintf("the policy of writers was not read again, and the one from before stays in use: %v; mend the file, and send SIGHUP", err)
		return err
	}
	g.broken = ""
	g.state.Store(s)
	return nil
}

// Warnings says what an operator should do about the policy.
func (g *Gate) Warnings() []string {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.broken == "" {
		return nil
	}
	return []string{g.broken}
}

// Policy is the one in use; nil if nobody may write.
func (g *Gate) Policy() *writers.Policy {
	if s := g.state.Load(); s != nil {
		return s.policy
	}
	return nil
}

// Principal is whom credentials show, for an operator who asks.
func (g *Gate) Principal(ctx context.Context, c Credentials) (writers.Principal, error) {
	s := g.state.Load()
	if s == nil {
		return writers.Principal{}, errors.New("there is no policy: nobody may write")
	}
	session, err := s.session(ctx, c, g.cfg.Now(), g.tokens.Load())
	if err != nil {
		return writers.Principal{}, err
	}
	return session.writer.Principal, nil
}

// Enter finds the writer of a request, and refuses one that cannot add anything now.
func (g *Gate) Enter(ctx context.Context, c Credentials) (*Session, error) {
	s := g.state.Load()
	if s == nil {
		return nil, g.told(&writers.Refusal{Reason: writers.Forbidden, Why: "this server is read-only; add entries through another server of the log"})
	}
	session, err := s.session(ctx, c, g.cfg.Now(), g.tokens.Load())
	if err != nil {
		return nil, g.told(err)
	}
	if d, hopeless := session.writer.Hopeless(); hopeless {
		return nil, g.told(writers.Refuse(session.writer.Principal, d, nil))
	}
	if d, after, spent := g.limits.Spent(session.writer, g.cfg.Now()); spent {
		return nil, g.told(writers.Exceed(session.writer.Principal, d, after))
	}
	return session, nil
}

// Allow decides about an entry of a writer, and counts it.
func (g *Gate) Allow(s *Session, e entry.Entry) error {
	now := g.cfg.Now()
	d := s.writer.Decide(e.Canonical(), now)
	if !d.Allowed {
		return g.told(writers.Refuse(s.writer.Principal, d, e.Canonical()))
	}
	if after, ok := g.limits.Take(d, s.writer.Name, now); !ok {
		return g.told(writers.Exceed(s.writer.Principal, d, after))
	}
	g.cfg.Decided(d.Rule, Allowed)
	return nil
}

// told reports a refusal.
func (g *Gate) told(err error) error {
	r, ok := err.(*writers.Refusal)
	if !ok {
		return err
	}
	how := map[writers.Reason]Outcome{writers.Unknown: Unauthenticated, writers.Forbidden: Forbidden, writers.TooMany: Limited, writers.Unavailable: Unavailable}[r.Reason]
	g.cfg.Decided(r.Rule, how)
	g.cfg.Log.Debug("a writer was refused", "how", string(how), "rule", r.Rule, "why", r.Why)
	return err
}

// session finds the writer by credentials. A token counts more than a certificate. What a
// browser shows by itself, for any page (a certificate, a password, the address), counts
// for the log's own pages alone: another server's could otherwise write as the user.
func (s *state) session(ctx context.Context, c Credentials, now time.Time, more *Tokens) (*Session, error) {
	if c.Elsewhere && !c.Bearer {
		return nil, &writers.Refusal{Reason: writers.Forbidden, Why: "a page of another server sent this request by a browser: it must have a token of its own (the header Authorization: Bearer …)"}
	}
	if c.Token != "" {
		return s.byToken(ctx, c, now, more)
	}
	if c.Malformed {
		return nil, &writers.Refusal{Reason: writers.Unknown, Why: "the header Authorization has no token: send Bearer and the token, or Basic with the token as the password"}
	}
	p := writers.ByAddress(c.Address)
	if c.Certificate != nil {
		if now.After(c.Certificate.NotAfter) {
			return nil, &writers.Refusal{Reason: writers.Unknown, Why: "the client certificate expired; renew it"}
		}
		p = s.policy.ByCertificate(entry.SubjectNames(c.Certificate))
	}
	p.Address = c.Address
	return &Session{s.policy.Writer(p)}, nil
}

func (s *state) byToken(ctx context.Context, c Credentials, now time.Time, more *Tokens) (*Session, error) {
	hash := sha256.Sum256([]byte(c.Token))
	p, ok := s.policy.ByToken(hash)
	if !ok && more != nil {
		p.Name, ok = (*more)[hash]
	}
	if ok {
		p.Address = c.Address
		return &Session{s.policy.Writer(p)}, nil
	}
	if session := s.recall(shown{hash, c.Address}, now); session != nil {
		return session, nil
	}
	if strings.Count(c.Token, ".") != 2 {
		return nil, &writers.Refusal{Reason: writers.Unknown, Why: "the token is not accepted: it is not one of this log's API tokens, or was revoked"}
	}
	verified, err := s.verifier.Verify(ctx, c.Token)
	if err != nil {
		return nil, err
	}
	p = s.policy.ByClaims(verified.Issuer, verified.Claims)
	p.Address = c.Address
	session := &Session{s.policy.Writer(p)}
	if !verified.Issuer.OneUse {
		s.remember(shown{hash, c.Address}, remembered{session, verified, len(c.Token)}, now)
	}
	return session, nil
}

// recall is the session of a token that was verified before; nil if it must be
// verified.
func (s *state) recall(token shown, now time.Time) *Session {
	s.mu.Lock()
	r, ok := s.remembered[token]
	s.mu.Unlock()
	if !ok || !r.verified.Valid(now) {
		return nil
	}
	return r.session
}

// remember keeps a session. When there are too many, those that count no more go, else
// any.
func (s *state) remember(token shown, r remembered, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(token)
	full := func() bool { return len(s.remembered) >= maxRemembered || s.bytes+r.bytes > maxRememberedBytes }
	if full() && now.Sub(s.swept) >= time.Second {
		s.swept = now
		for h, old := range s.remembered {
			if !now.Before(old.verified.Expires) {
				s.forget(h)
			}
		}
	}
	for h := range s.remembered {
		if !full() {
			break
		}
		s.forget(h)
	}
	s.remembered[token] = r
	s.bytes += r.bytes
}

// forget is for a token that may be remembered. The caller holds the lock.
func (s *state) forget(token shown) {
	s.bytes -= s.remembered[token].bytes
	delete(s.remembered, token)
}
