package jwt

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"indelible/writers"
)

const (
	// maxAnswer is the maximum number of bytes of an issuer's answer, and of a file.
	maxAnswer = 256 << 10
	// maxKeys is the maximum number of keys of an issuer.
	maxKeys = 64
	// maxModulus is the maximum number of bits of an RSA key.
	maxModulus = 8192
	// fetchTimeout is how long the keys may take, the discovery document included.
	fetchTimeout = 5 * time.Second
	// refresh is after what time keys are fetched again.
	refresh = 5 * time.Minute
	// pause is the time between two attempts.
	pause = 10 * time.Second
	// stale is how long keys are used that cannot be fetched again.
	stale = 24 * time.Hour
)

// key is a key of an issuer.
type key struct {
	jose.JSONWebKey
	thumb string // RFC 7638
}

// keySet is the keys of an issuer.
type keySet struct {
	issuer  writers.Issuer
	open    func(string) ([]byte, error)
	now     func() time.Time
	failing func(string, error)
	client  *http.Client
	ca      []byte // of the authorities that the issuer's server is verified by

	mu      sync.Mutex
	keys    []*key
	have    map[string]bool // their thumbprints
	fetched time.Time       // when they were fetched
	tried   time.Time       // when an attempt began
	running chan struct{}   // is closed when the present attempt ends; nil: there is none
}

func newKeySet(i writers.Issuer, cfg Config) (*keySet, error) {
	var ca []byte
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: fetchTimeout, MaxResponseHeaderBytes: 16 << 10, MaxConnsPerHost: 1, IdleConnTimeout: time.Minute}
	if i.CA != "" {
		var err error
		if ca, err = cfg.Open(i.CA); err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("ca: %s has no certificate in PEM", i.CA)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	s := &keySet{issuer: i, open: cfg.Open, now: cfg.Now, failing: cfg.Failing, ca: ca, client: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if before := cfg.Before.of(i); before != nil && bytes.Equal(before.ca, ca) {
		s.inherit(before)
	}
	if i.Keys != "" && !strings.Contains(i.Keys, "://") { // a file is read at the start, and must be right
		keys, err := s.load(context.Background())
		if err != nil {
			return nil, err
		}
		s.take(keys)
	}
	return s, nil
}

// of finds the keys of an issuer, if they came from the same place.
func (v *Verifier) of(i writers.Issuer) *keySet {
	if v == nil || v.issuers[i.URL] == nil || v.issuers[i.URL].issuer.Keys != i.Keys {
		return nil
	}
	return v.issuers[i.URL]
}

// inherit takes the keys over that were fetched before, with their age.
func (s *keySet) inherit(from *keySet) {
	from.mu.Lock()
	defer from.mu.Unlock()
	if from.keys != nil {
		s.keys, s.have, s.fetched, s.tried = from.keys, from.have, from.fetched, from.tried
	}
}

// find returns the keys that may have signed a token, by the id that it names. If
// there is none, it fetches the keys, unless it did so a moment ago.
func (s *keySet) find(ctx context.Context, id, algorithm string) ([]*key, error) {
	for range 2 {
		found, wait, err := s.look(id, algorithm)
		if err != nil || wait == nil {
			return found, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	found, _, err := s.look(id, algorithm)
	return found, err
}

// look finds keys among those that are there. The channel, if it is not nil, is to
// be waited for.
func (s *keySet) look(id, algorithm string) (found []*key, wait <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.age()
	for _, k := range s.keys {
		if k.fits(id, algorithm) {
			found = append(found, k)
		}
	}
	if len(found) > 0 {
		return found, nil, nil
	}
	if s.running == nil && s.now().Sub(s.tried) >= pause {
		s.begin()
	}
	if s.running != nil {
		return nil, s.running, nil
	}
	if s.keys == nil {
		return nil, nil, &writers.Refusal{Reason: writers.Unavailable, After: pause, Why: fmt.Sprintf("the keys of the token's issuer %q cannot be fetched at present; try again", s.issuer.Name)}
	}
	return nil, nil, nil
}

// stands reports whether a key is still among the issuer's.
func (s *keySet) stands(k *key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.age()
	return s.have[k.thumb]
}

// age forgets keys that are too old, and has those that are not new fetched again.
// The caller holds the lock.
func (s *keySet) age() {
	now := s.now()
	if s.keys != nil && now.Sub(s.fetched) >= stale {
		s.keys, s.have = nil, nil
	}
	if s.keys != nil && s.running == nil && now.Sub(s.fetched) >= refresh && now.Sub(s.tried) >= pause {
		s.begin()
	}
}

// begin fetches the keys in a goroutine. The caller holds the lock.
func (s *keySet) begin() {
	done := make(chan struct{})
	s.tried, s.running = s.now(), done
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
		defer cancel()
		keys, err := s.load(ctx)
		s.failing(s.issuer.Name, err)
		s.mu.Lock()
		defer s.mu.Unlock()
		if err == nil {
			s.take(keys)
		}
		s.running = nil
		close(done)
	}()
}

// take puts keys in the place of those from before.
func (s *keySet) take(keys []*key) {
	s.keys, s.have, s.fetched = keys, make(map[string]bool), s.now()
	for _, k := range keys {
		s.have[k.thumb] = true
	}
}

// load reads the keys from where they are.
func (s *keySet) load(ctx context.Context) ([]*key, error) {
	at := s.issuer.Keys
	if at == "" {
		var err error
		if at, err = s.discover(ctx); err != nil {
			return nil, err
		}
	}
	var data []byte
	var err error
	if strings.Contains(at, "://") {
		data, err = s.get(ctx, at)
	} else {
		data, err = s.open(at)
	}
	if err != nil {
		return nil, fmt.Errorf("the keys: %w", err)
	}
	return parseKeys(data)
}

// discover finds the URL of the keys. SPEC: OpenID Connect Discovery 1.0, section 4.
func (s *keySet) discover(ctx context.Context) (string, error) {
	data, err := s.get(ctx, strings.TrimSuffix(s.issuer.URL, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return "", fmt.Errorf("the discovery document: %w", err)
	}
	var doc struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return "", errors.New("the discovery document is not JSON of its kind")
	}
	if doc.Issuer != s.issuer.URL {
		return "", fmt.Errorf("the discovery document is of the issuer %.200q, and not of %q", doc.Issuer, s.issuer.URL)
	}
	if u, err := url.Parse(doc.Keys); err != nil || u.Host == "" || u.Scheme != "https" && !strings.HasPrefix(s.issuer.URL, "http://") {
		return "", fmt.Errorf("the discovery document has the jwks_uri %.200q; it must begin with https://", doc.Keys)
	}
	return doc.Keys, nil
}

func (s *keySet) get(ctx context.Context, at string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	res, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %d; redirects are not followed", at, res.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if len(data) > maxAnswer {
		return nil, fmt.Errorf("the answer of %s has more than %d bytes", at, maxAnswer)
	}
	return data, err
}

// parseKeys reads a JWK set, and leaves out what verifies no tokens.
// SPEC: RFC 7517, section 5: implementations should ignore keys that they do not
// understand.
func parseKeys(data []byte) (keys []*key, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if len(data) > maxAnswer || json.Unmarshal(data, &set) != nil {
		return nil, errors.New("the keys are not a JWK set")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("there are %d keys; the maximum is %d", len(set.Keys), maxKeys)
	}
	for _, raw := range set.Keys {
		k := new(key)
		if k.UnmarshalJSON(raw) != nil || !k.IsPublic() || !k.Valid() {
			continue
		}
		if r, ok := k.Key.(*rsa.PublicKey); ok && (r.N.BitLen() < 2048 || r.N.BitLen() > maxModulus) {
			continue
		}
		thumb, err := k.Thumbprint(crypto.SHA256)
		if err != nil {
			continue
		}
		k.thumb = string(thumb)
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, errors.New("the JWK set has no public key for signatures")
	}
	return keys, nil
}
