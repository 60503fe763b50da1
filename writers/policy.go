package writers

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	_ "embed" // for Schema
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Schema is the JSON Schema of the policy's file.
//
//go:embed schema.json
var Schema string

// MaxFile is the maximum number of bytes of a policy.
const MaxFile = 4 << 20

// Policy is a policy that was read and compiled. It never changes.
type Policy struct {
	Issuers []Issuer

	principals int
	tokens     map[[32]byte]string  // by hash
	names      map[string]string    // by a certificate's name
	subjects   map[[2]string]string // by an issuer's name and a subject
	rules      []*rule              // in the file's order
	byName     map[string][]*rule   // those that could apply to a principal that the rules name
	others     map[Kind][]*rule     // and to all others, by kind
}

// Issuer is one whose JWTs count.
type Issuer struct {
	Name      string
	URL       string // as the claim iss has it
	Audiences []string
	Keys      string // where its keys are: a URL, or a file; empty: the issuer's discovery document says so
	CA        string // a file with the authorities that its server is verified by; empty: the system's
	OneUse    bool   // a token is accepted once, by its jti
}

// file is the policy as it is written.
type file struct {
	Issuers    []fileIssuer    `yaml:"issuers"`
	Principals []filePrincipal `yaml:"principals"`
	Rules      []fileRule      `yaml:"rules"`
}

type fileIssuer struct {
	Name      string   `yaml:"name"`
	URL       string   `yaml:"url"`
	Audiences []string `yaml:"audiences"`
	Keys      string   `yaml:"keys"`
	CA        string   `yaml:"ca"`
	OneUse    bool     `yaml:"one-use"`
}

type filePrincipal struct {
	Name         string        `yaml:"name"`
	Tokens       []string      `yaml:"tokens"`
	Certificates []string      `yaml:"certificates"`
	Subjects     []fileSubject `yaml:"subjects"`
}

type fileSubject struct {
	Issuer  string `yaml:"issuer"`
	Subject string `yaml:"subject"`
}

type fileRule struct {
	Name        string   `yaml:"name"`
	Principals  []string `yaml:"principals"`
	Who         string   `yaml:"who"`
	Entry       string   `yaml:"entry"`
	Effect      string   `yaml:"effect"`
	Rate        string   `yaml:"rate"`
	Burst       int      `yaml:"burst"`
	Authorities string   `yaml:"certificate-authorities"`
}

// Parse reads and compiles a policy. open reads the files that it names. An error
// names the line.
func Parse(data []byte, open func(path string) ([]byte, error)) (*Policy, error) {
	f, lines, err := read(data)
	if err != nil {
		return nil, err
	}
	p := &Policy{tokens: map[[32]byte]string{}, names: map[string]string{}, subjects: map[[2]string]string{}, principals: len(f.Principals)}
	for i, x := range f.Issuers {
		if err := p.addIssuer(x); err != nil {
			return nil, fmt.Errorf("line %d: issuer %q: %w", lines.of("issuers", i), x.Name, err)
		}
	}
	known := map[string]bool{}
	for i, x := range f.Principals {
		if err := p.addPrincipal(x, known); err != nil {
			return nil, fmt.Errorf("line %d: principal %q: %w", lines.of("principals", i), x.Name, err)
		}
	}
	compile, err := newCompiler(open)
	if err != nil {
		return nil, err
	}
	for i, x := range f.Rules {
		r, err := compile.rule(x)
		if err == nil && slices.ContainsFunc(p.rules, func(o *rule) bool { return o.name == r.name }) {
			err = errors.New("there is another rule of this name; give each its own")
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: rule %q: %w", lines.of("rules", i), x.Name, err)
		}
		p.rules = append(p.rules, r)
	}
	if len(p.rules) == 0 {
		return nil, errors.New("there are no rules, so nobody could write; add one, or make the server read-only with --writers none")
	}
	p.index()
	return p, nil
}

// lines finds the lines of the file's parts.
type lines struct{ root *yaml.Node }

// of is the line of item i of a list.
func (l lines) of(list string, i int) int {
	for k := 0; k+1 < len(l.root.Content); k += 2 {
		if l.root.Content[k].Value == list && i < len(l.root.Content[k+1].Content) {
			return l.root.Content[k+1].Content[i].Line
		}
	}
	return l.root.Line
}

func read(data []byte) (f file, l lines, err error) {
	if len(data) > MaxFile {
		return f, l, fmt.Errorf("the policy has %d bytes; the maximum is %d", len(data), MaxFile)
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	switch err := d.Decode(&f); {
	case err == io.EOF:
		return f, l, errors.New("the policy is empty; give rules, or make the server read-only with --writers none")
	case err != nil:
		return f, l, plain(err)
	}
	var more yaml.Node
	if err := d.Decode(&more); err != io.EOF {
		return f, l, errors.New("the policy has a second document; a policy is one: leave out the line ---")
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return f, l, plain(err)
	}
	return f, lines{doc.Content[0]}, nil
}

// plain says the errors of package yaml without the names of Go's types.
func plain(err error) error {
	unknownField := regexp.MustCompile(`field (\S+) not found in type writers\.file(\w*)`)
	otherType := regexp.MustCompile(`(?s)cannot unmarshal .* into \S+`)
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	text = strings.TrimPrefix(text, "unmarshal errors:\n  ")
	text, _, _ = strings.Cut(text, "\n")
	text = unknownField.ReplaceAllStringFunc(text, func(s string) string {
		part := unknownField.FindStringSubmatch(s)
		where := "a policy"
		if part[2] != "" {
			where = "a policy's " + strings.ToLower(part[2])
		}
		return fmt.Sprintf("unknown member %q of %s", part[1], where)
	})
	return errors.New(otherType.ReplaceAllString(text, "a value of another type than a policy has here"))
}

// plainName reports whether a name is of 1 to most letters, digits and the characters
// that are given as well, of which none is the first.
func plainName(name string, most int, also string) bool {
	for i, c := range []byte(name) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || !strings.ContainsRune(also, rune(c))) {
			return false
		}
	}
	return name != "" && len(name) <= most
}

func (p *Policy) addIssuer(x fileIssuer) error {
	u, err := url.Parse(x.URL)
	switch {
	case !plainName(x.Name, 63, "-") || strings.ToLower(x.Name) != x.Name || x.Name == "certificate" || x.Name == "address":
		return errors.New("the name must be of small letters, digits and dashes (not certificate, not address)")
	case slices.ContainsFunc(p.Issuers, func(o Issuer) bool { return o.Name == x.Name || o.URL == x.URL }):
		return errors.New("there is another issuer of this name or URL")
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("the url must be as in the claim iss of its tokens, such as https://token.actions.githubusercontent.com")
	case !secure(u):
		return errors.New("the url must begin with https:// (http:// is for this machine's own addresses)")
	case len(x.Audiences) == 0 || slices.Contains(x.Audiences, ""):
		return errors.New("audiences is missing: name this log, so that a token for another service is of no use here")
	}
	if strings.Contains(x.Keys, "://") {
		if k, err := url.Parse(x.Keys); err != nil || k.Host == "" || !secure(k) {
			return errors.New("keys must be a file, or a URL that begins with https://")
		}
	}
	p.Issuers = append(p.Issuers, Issuer(x))
	return nil
}

// secure reports whether nobody between can change what comes from a URL.
func secure(u *url.URL) bool {
	host := u.Hostname()
	return u.Scheme == "https" || u.Scheme == "http" && (host == "localhost" || host == "127.0.0.1" || host == "::1")
}

// The names of many principals, in rules.
const (
	anyone        = "anyone"
	authenticated = "authenticated"
	anonymous     = "anonymous"
)

// CheckPrincipal finds what is wrong with the name of a principal.
func CheckPrincipal(name string) error {
	if !plainName(name, 128, "._@-") || name == anyone || name == authenticated || name == anonymous {
		return errors.New("the name must be of letters, digits and ._@- (not anyone, authenticated or anonymous)")
	}
	return nil
}

func (p *Policy) addPrincipal(x filePrincipal, known map[string]bool) error {
	if err := CheckPrincipal(x.Name); err != nil {
		return err
	}
	if known[x.Name] {
		return errors.New("there is another principal of this name")
	}
	known[x.Name] = true
	for _, text := range x.Tokens {
		sum, err := ParseHash(text)
		if err != nil {
			return err
		}
		if other, ok := p.tokens[sum]; ok {
			return fmt.Errorf("its token is that of %q, too", other)
		}
		p.tokens[sum] = x.Name
	}
	for _, name := range x.Certificates {
		if other, ok := p.names[name]; ok || name == "" {
			return fmt.Errorf("its certificate %q is empty, or that of %q, too", name, other)
		}
		p.names[name] = x.Name
	}
	for _, s := range x.Subjects {
		id := [2]string{s.Issuer, s.Subject}
		other, taken := p.subjects[id]
		switch {
		case !slices.ContainsFunc(p.Issuers, func(o Issuer) bool { return o.Name == s.Issuer }):
			return fmt.Errorf("there is no issuer %q", s.Issuer)
		case s.Subject == "" || taken:
			return fmt.Errorf("its subject %q is empty, or that of %q, too", s.Subject, other)
		}
		p.subjects[id] = x.Name
	}
	return nil
}

// Hash is what a policy or a database keeps of an API token.
func Hash(token string) [32]byte { return sha256.Sum256([]byte(token)) }

// FormatHash writes a token's hash as a policy has it.
func FormatHash(sum [32]byte) string { return "sha256:" + hex.EncodeToString(sum[:]) }

// ParseHash reads a token's hash. Its error does not repeat the text, which may be
// a token.
func ParseHash(text string) (sum [32]byte, err error) {
	digits, ok := strings.CutPrefix(text, "sha256:")
	raw, err := hex.DecodeString(digits)
	if !ok || err != nil || len(raw) != len(sum) {
		return sum, errors.New("a token must be given as its hash, sha256: and 64 hex digits: see logserver writers token")
	}
	return [32]byte(raw), nil
}

// parseRate reads a rate, such as 10/s; 0 for none.
func parseRate(text string) (perSecond float64, err error) {
	if text == "" {
		return 0, nil
	}
	count, per, _ := strings.Cut(text, "/")
	unit, ok := map[string]time.Duration{"s": time.Second, "min": time.Minute, "h": time.Hour}[per]
	n, err := strconv.ParseUint(count, 10, 31)
	if !ok || err != nil {
		return 0, fmt.Errorf("the rate %q is not such as 10/s, 30/min or 100/h", text)
	}
	if n == 0 {
		return 0, fmt.Errorf("the rate %q must be from 1 up", text)
	}
	return float64(n) / unit.Seconds(), nil
}

// authorities reads certificates in PEM.
func authorities(path string, open func(string) ([]byte, error)) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	data, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("certificate-authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("certificate-authorities: %s has no certificate in PEM", path)
	}
	return pool, nil
}
