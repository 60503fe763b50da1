package monitor_test

import (
	"slices"
	"strings"
	"testing"
	"unicode"

	"indelible/mirror/source"
	"indelible/monitor"
)

func exact(s string) monitor.Text { return monitor.Text{Exact: s} }
func glob(s string) monitor.Text  { return monitor.Text{Glob: s} }
func re(s string) monitor.Text    { return monitor.Text{Regexp: s} }

func fact(by monitor.By, value string) monitor.Fact { return monitor.Fact{By: by, Value: value} }

func matcher(t testing.TB, patterns ...monitor.Pattern) *monitor.Matcher {
	t.Helper()
	return must(monitor.NewMatcher(patterns))(t)
}

func TestMatch(t *testing.T) {
	const hex64 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	id, issuer, module, domain := monitor.ByIdentity, monitor.ByIssuer, monitor.ByModule, monitor.ByDomain
	for _, test := range []struct {
		pattern monitor.Pattern
		yes, no []monitor.Fact
	}{
		{
			monitor.Pattern{Identity: exact("Jane@Example.com")},
			[]monitor.Fact{fact(id, "jane@example.com"), fact(id, "JANE@EXAMPLE.COM")},
			[]monitor.Fact{fact(id, "jane@example.com.evil"), fact(id, "xjane@example.com"), fact(issuer, "jane@example.com"), fact(id, "")},
		},
		{
			monitor.Pattern{Identity: glob("https://github.com/acme/*@refs/tags/*")},
			[]monitor.Fact{fact(id, "https://github.com/acme/a/b@refs/tags/v1"), fact(id, "https://github.com/acme/@refs/tags/")},
			[]monitor.Fact{fact(id, "https://github.com/acme"), fact(id, "xhttps://github.com/acme/a@refs/tags/v1"), fact(id, "https://github.com/acme/a@refs/heads/main")},
		},
		{
			monitor.Pattern{Identity: glob("*@example.com")},
			[]monitor.Fact{fact(id, "a@example.com"), fact(id, "@example.com")},
			[]monitor.Fact{fact(id, "a@example.com.org"), fact(id, "example.com")},
		},
		{monitor.Pattern{Identity: glob("ab*ba")}, []monitor.Fact{fact(id, "abba"), fact(id, "abxba")}, []monitor.Fact{fact(id, "aba"), fact(id, "ba")}},
		{monitor.Pattern{Identity: glob("*")}, []monitor.Fact{fact(id, "x")}, []monitor.Fact{fact(issuer, "x")}},
		{
			monitor.Pattern{Identity: re(`^https://[^/]+/(Acme|Other)/x\.git$`)},
			[]monitor.Fact{fact(id, "https://git.example/acme/x.git"), fact(id, "HTTPS://git.example/other/X.git")},
			[]monitor.Fact{fact(id, "https://git.example/acme/xagit"), fact(id, "https://git.example/another/x.git")},
		},
		{monitor.Pattern{Identity: re(`[0-9]+`)}, []monitor.Fact{fact(id, "a1")}, []monitor.Fact{fact(id, "a")}},
		{monitor.Pattern{Identity: re(`(long literal)?x`)}, []monitor.Fact{fact(id, "x"), fact(id, "long literalx")}, []monitor.Fact{fact(id, "long literal")}},
		{monitor.Pattern{Identity: re(`(?:abcdef|xy)z`)}, []monitor.Fact{fact(id, "abcdefz"), fact(id, "xyz")}, []monitor.Fact{fact(id, "abcdef")}},
		{monitor.Pattern{Identity: re(`(abcd){2}e`)}, []monitor.Fact{fact(id, "abcdabcde")}, []monitor.Fact{fact(id, "abcde")}},
		{monitor.Pattern{Issuer: exact("https://Issuer.example/Path")}, []monitor.Fact{fact(issuer, "https://issuer.example/Path")}, []monitor.Fact{fact(id, "https://issuer.example/Path")}},
		{monitor.Pattern{Key: "SHA256:" + hex64}, []monitor.Fact{fact(monitor.ByKey, hex64)}, []monitor.Fact{fact(monitor.ByDigest, hex64)}},
		{monitor.Pattern{Key: strings.ToUpper(hex64)}, []monitor.Fact{fact(monitor.ByKey, hex64)}, nil},
		{monitor.Pattern{Digest: "sha256:" + hex64}, []monitor.Fact{fact(monitor.ByDigest, "sha256:"+hex64)}, []monitor.Fact{fact(monitor.ByDigest, "sha384:"+hex64)}},
		{monitor.Pattern{Digest: hex64}, []monitor.Fact{fact(monitor.ByDigest, "sha256:"+hex64)}, nil},
		{
			monitor.Pattern{Module: "example.com/team,*.corp.example"},
			[]monitor.Fact{fact(module, "example.com/team"), fact(module, "example.com/team/x/v2"), fact(module, "git.corp.example/a"), fact(module, "Git.Corp.example")},
			[]monitor.Fact{fact(module, "example.com/teams"), fact(module, "example.com"), fact(module, "corp.example"), fact(module, "a.example/git.corp.example")},
		},
		{monitor.Pattern{Module: "example.com/[ab]?"}, []monitor.Fact{fact(module, "example.com/ax/y")}, []monitor.Fact{fact(module, "example.com/cx"), fact(module, "example.com/a")}},
		{
			monitor.Pattern{Domain: "www.Example.com"},
			[]monitor.Fact{fact(domain, "www.example.com"), fact(domain, "a.b.www.example.com"), fact(domain, "*.www.example.com"), fact(domain, "*.example.com"), fact(domain, "WWW.EXAMPLE.COM.")},
			[]monitor.Fact{fact(domain, "example.com"), fact(domain, "xwww.example.com"), fact(domain, "www.example.com.evil"), fact(domain, "*.a.example.com"), fact(id, "www.example.com")},
		},
	} {
		m := matcher(t, test.pattern)
		for _, f := range test.yes {
			if len(m.Match([]monitor.Fact{f})) != 1 {
				t.Errorf("%s does not match %s %q", test.pattern, f.By, f.Value)
			}
		}
		for _, f := range test.no {
			if len(m.Match([]monitor.Fact{f})) != 0 {
				t.Errorf("%s matches %s %q", test.pattern, f.By, f.Value)
			}
		}
	}
}

// An issuer beside an identity must stand in the same certificate.
func TestIssuerOfAnotherSigner(t *testing.T) {
	m := matcher(t, monitor.Pattern{Identity: exact("jane@example.com"), Issuer: exact("https://good.example")})
	jane, good := fact(monitor.ByIdentity, "jane@example.com"), fact(monitor.ByIssuer, "https://good.example")
	if len(m.Match([]monitor.Fact{jane, good})) != 1 {
		t.Error("it does not match its own issuer")
	}
	good.Signer = 1
	if len(m.Match([]monitor.Fact{jane, good})) != 0 {
		t.Error("it matches the issuer of another certificate")
	}
}

func TestPatternsRefused(t *testing.T) {
	for want, p := range map[string]monitor.Pattern{
		"0 things":       {Name: "x"},
		"2 things":       {Identity: exact("a"), Domain: "example.com"},
		"beside an":      {Issuer: exact("a"), Domain: "example.com"},
		"give one of":    {Identity: monitor.Text{Exact: "a", Glob: "b"}},
		"missing closin": {Identity: re("(a")},
		"unexpected )":   {Identity: re("a)(b")},
		"flag i off":     {Identity: re("(?s-i)A")},
		"64 hex digits":  {Key: "SHA256:abc"},
		"not a digest":   {Digest: "md5:00"},
		"GOPRIVATE":      {Module: "example.com/[a"},
		"Punycode":       {Domain: "bücher.example"},
		"not a domain":   {Domain: "*."},
	} {
		if _, err := monitor.NewMatcher([]monitor.Pattern{p}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

// Every letter that regular expressions take for another is folded to the same.
func TestFold(t *testing.T) {
	for r := range unicode.MaxRune {
		if a, b := monitor.Fold(string(r)), monitor.Fold(string(unicode.SimpleFold(r))); a != b {
			t.Errorf("%U and %U are %q and %q", r, unicode.SimpleFold(r), a, b)
		}
	}
}

// Of the patterns of the benchmark all but the exact ones are found by letters.
func TestThousandPatternsAreIndexed(t *testing.T) {
	if indexed, always := matcher(t, thousand()...).Indexed(); indexed != 750 || always != 0 {
		t.Errorf("%d are indexed, and %d are always tried", indexed, always)
	}
}

// What an index finds is what trying all patterns in turn finds.
func FuzzMatch(f *testing.F) {
	f.Add(`^https://a\.b/(c|d)+`, "https://*/x*", "team.example/*", "https://a.b/cd")
	f.Add(`(?i)ſtreet|K[a-z]{4,}`, "*ß*abcd", "*.example", "STREET kelvin")
	f.Add(`(abcd|efghi)?jkl(mnop)*`, "a*b*c", "a/b?/[c]", "a/bx/c/d")
	f.Fuzz(func(t *testing.T, expr, globbed, modules, value string) {
		var patterns []monitor.Pattern
		for _, p := range []monitor.Pattern{{Identity: re(expr)}, {Identity: glob(globbed)}, {Issuer: re(expr)}, {Issuer: glob(globbed)}, {Module: modules}} {
			if _, err := monitor.NewMatcher([]monitor.Pattern{p}); err == nil {
				patterns = append(patterns, p)
			}
		}
		m := matcher(t, patterns...)
		for _, v := range []string{value, expr, globbed, modules} {
			facts := []monitor.Fact{fact(monitor.ByIdentity, v), fact(monitor.ByIssuer, v), fact(monitor.ByModule, v)}
			if got, want := m.Match(facts), m.Matches(facts); !slices.Equal(got, want) {
				t.Errorf("%q: the index finds %v, and all in turn %v", v, got, want)
			}
		}
	})
}

func FuzzFacts(f *testing.F) {
	ca := newFulcio(f)
	key := newKey(f)
	cert := ca.issue(f, key, "jane@example.com", "https://issuer.example")
	f.Add(signed(f, key, cert, "x"))
	f.Add(leafOf(0, cert))
	f.Add(leafOf(1, tbsOf(f, cert)))
	f.Add([]byte(record))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, format := range []source.Format{source.Tiles, source.RekorV1, source.SumDB, source.StaticCT} {
			if facts, err := monitor.Facts(nil, format, data); err == nil && len(facts) == 0 {
				t.Errorf("%s: no error, and nothing is read", format)
			}
		}
	})
}
