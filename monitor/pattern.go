package monitor

import (
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode"
	"unicode/utf8"

	"indelible/entry"
)

// Text is how a name is compared: exactly, by a glob in which * stands for any
// letters, or by a regular expression of Go's that matches anywhere in it. At most
// one is set. Letters match in both cases.
type Text struct {
	Exact, Glob, Regexp string
}

func (t Text) String() string {
	switch {
	case t.Glob != "":
		return "glob " + t.Glob
	case t.Regexp != "":
		return "regexp " + t.Regexp
	}
	return t.Exact
}

// Pattern is what somebody asks about. One of its members is set; an Identity may
// have an Issuer beside it, which then stands in the same certificate.
type Pattern struct {
	Name     string // for events; empty: what it asks about
	Identity Text
	Issuer   Text
	Key      string // the fingerprint of a public key, "SHA256:" and 64 hex digits, or these alone
	Digest   string // "sha256:" and 64 hex digits, or of sha384 or sha512
	Module   string // a pattern of Go's GOPRIVATE: globs, of which one matches the beginning of a module's path
	Domain   string // a DNS name; its subdomains match, too
}

// String says what a pattern asks about.
func (p Pattern) String() string {
	if p.Name != "" {
		return p.Name
	}
	by, what := p.subject()
	if by == ByIdentity && p.Issuer != (Text{}) {
		return fmt.Sprintf("identity %s, issuer %s", what, p.Issuer)
	}
	return fmt.Sprintf("%s %s", by, what)
}

// subject is the member that is looked for first.
func (p Pattern) subject() (By, Text) {
	switch {
	case p.Identity != (Text{}):
		return ByIdentity, p.Identity
	case p.Issuer != (Text{}):
		return ByIssuer, p.Issuer
	case p.Key != "":
		return ByKey, Text{Exact: p.Key}
	case p.Digest != "":
		return ByDigest, Text{Exact: p.Digest}
	case p.Module != "":
		return ByModule, Text{Exact: p.Module}
	}
	return ByDomain, Text{Exact: p.Domain}
}

// check checks that a pattern asks about one thing.
func (p Pattern) check() error {
	n := 0
	for _, given := range []bool{p.Identity != Text{}, p.Key != "", p.Digest != "", p.Module != "", p.Domain != ""} {
		if given {
			n++
		}
	}
	if n == 0 && p.Issuer != (Text{}) {
		n = 1
	} else if n == 1 && p.Identity == (Text{}) && p.Issuer != (Text{}) {
		return errors.New("an issuer stands alone, or beside an identity")
	}
	if n != 1 {
		return fmt.Errorf("it asks about %d things; give one: an identity, an issuer, a key, a digest, a module or a domain", n)
	}
	return nil
}

// test compares a value, whose letters are folded.
type test func(value string) bool

// compiled is how the values of one thing are compared.
type compiled struct {
	exact string // the one value that matches; test is nil
	test  test
	// options are sets of literals: whatever matches has one of each set in it.
	options [][]string
}

// fold makes letters that differ by case alone the same, as regular expressions
// compare them.
func fold(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return strings.Map(foldRune, s)
		}
	}
	return s
}

// foldRune is the least of the letters that differ by case alone; of ASCII the
// small one.
func foldRune(r rune) rune {
	least := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		least = min(least, other)
	}
	if 'A' <= least && least <= 'Z' {
		return least + 'a' - 'A'
	}
	return least
}

func (t Text) compile() (c compiled, err error) {
	switch {
	case t.Exact != "" && t.Glob == "" && t.Regexp == "":
		return compiled{exact: fold(t.Exact)}, nil
	case t.Glob != "" && t.Exact == "" && t.Regexp == "":
		return compileGlob(fold(t.Glob)), nil
	case t.Regexp != "" && t.Exact == "" && t.Glob == "":
		return compileRegexp(t.Regexp)
	}
	return c, errors.New("give one of an exact text, a glob and a regular expression")
}

func compileGlob(glob string) compiled {
	parts := strings.Split(glob, "*")
	c := compiled{test: func(s string) bool { return matchGlob(parts, s) }}
	for _, part := range parts {
		c.options = append(c.options, []string{part})
	}
	return c
}

// matchGlob looks for the parts in their order, the first and the last at the
// ends.
func matchGlob(parts []string, s string) bool {
	last := len(parts) - 1
	if last == 0 {
		return s == parts[0]
	}
	s, ok := strings.CutPrefix(s, parts[0])
	if !ok || len(s) < len(parts[last]) || !strings.HasSuffix(s, parts[last]) {
		return false
	}
	s = s[:len(s)-len(parts[last])]
	for _, part := range parts[1:last] {
		if _, s, ok = strings.Cut(s, part); !ok {
			return false
		}
	}
	return true
}

func compileRegexp(expr string) (c compiled, err error) {
	if _, err := syntax.Parse(expr, syntax.Perl); err != nil {
		return c, err
	}
	if regexp.MustCompile(turnsCase).MatchString(expr) {
		return c, fmt.Errorf("the regular expression %q turns the flag i off: letters match in both cases here", expr)
	}
	re, err := regexp.Compile("(?i:" + expr + ")")
	if err != nil {
		return c, err
	}
	tree, err := syntax.Parse(re.String(), syntax.Perl)
	if err != nil {
		return c, err
	}
	return compiled{test: re.MatchString, options: required(tree.Simplify())}, nil
}

// turnsCase finds flags of which i is turned off.
const turnsCase = `\(\?[a-zA-Z]*-[a-zA-Z]*i`

// maxLiterals bounds the literals of one set.
const maxLiterals = 64

// required returns sets of literals: a text that matches has one of each set in it.
func required(re *syntax.Regexp) (options [][]string) {
	switch re.Op {
	case syntax.OpLiteral:
		return [][]string{{fold(string(re.Rune))}}
	case syntax.OpCapture, syntax.OpPlus:
		return required(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return required(re.Sub[0])
		}
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			options = append(options, required(sub)...)
		}
	case syntax.OpAlternate:
		var all []string
		for _, sub := range re.Sub {
			one := longest(required(sub))
			if all = append(all, one...); one == nil || len(all) > maxLiterals {
				return nil
			}
		}
		return [][]string{all}
	}
	return options
}

// longest is the set whose shortest literal is the longest; nil if there is none.
func longest(options [][]string) (best []string) {
	for _, set := range options {
		if best == nil || shortest(set) > shortest(best) {
			best = set
		}
	}
	return best
}

func shortest(set []string) int {
	n := len(set[0])
	for _, s := range set[1:] {
		n = min(n, len(s))
	}
	return n
}

// compileModule makes a test of a pattern as GOPRIVATE has them: globs of
// path.Match, with commas between them, of which one matches the first elements of
// a module's path.
func compileModule(globs string) (list []compiled, err error) {
	for glob := range strings.SplitSeq(fold(globs), ",") {
		glob = strings.TrimSuffix(glob, "/")
		if _, err := path.Match(glob, ""); err != nil || glob == "" {
			return nil, fmt.Errorf("%q is not a pattern of module paths, as GOPRIVATE has them: give example.com/team, or *.example.com", globs)
		}
		c := compiled{test: func(value string) bool {
			ok, _ := path.Match(glob, firstElements(value, strings.Count(glob, "/")+1))
			return ok
		}}
		if strings.ContainsAny(glob, `\[`) {
			c.options = nil // of which no letters are sure to be there
		} else {
			for _, part := range strings.FieldsFunc(glob, func(r rune) bool { return r == '*' || r == '?' }) {
				c.options = append(c.options, []string{part})
			}
		}
		list = append(list, c)
	}
	return list, nil
}

// firstElements are the first n elements of a path, or the whole of a shorter one.
func firstElements(s string, n int) string {
	for i := range len(s) {
		if s[i] == '/' {
			if n--; n == 0 {
				return s[:i]
			}
		}
	}
	return s
}

func compileKey(key string) (compiled, error) {
	k, err := entry.NewIndexKey(entry.ByPublicKey, strings.TrimPrefix(strings.ToLower(key), "sha256:"))
	return compiled{exact: k.Value}, err
}

func compileDigest(digest string) (compiled, error) {
	k, err := entry.NewIndexKey(entry.ByArtifact, digest)
	if err != nil && len(digest) == 64 {
		if _, bad := hex.DecodeString(digest); bad == nil {
			return compileDigest("sha256:" + digest)
		}
	}
	return compiled{exact: k.Value}, err
}

// checkDomain returns a domain as certificates have it.
func checkDomain(domain string) (string, error) {
	name := strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(domain, "*."), "."))
	bad := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '.' && r != '_'
	}
	if name == "" || strings.ContainsFunc(name, bad) || strings.Contains(name, "..") || name[0] == '.' {
		return "", fmt.Errorf("%q is not a domain: give one as example.com, of other letters in Punycode (xn--…)", domain)
	}
	return name, nil
}
