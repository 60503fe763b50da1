package monitor

import (
	"fmt"
	"strings"
)

// Matcher has many patterns in one index. Its methods may be called at the same
// time.
type Matcher struct {
	patterns []Pattern
	issuers  []compiled // that stand beside an identity; of the others both members are nil

	identity, issuer, key, digest, module values
	domains                               map[string][]int32
	parents                               map[string][]int32 // the patterns one label below a domain
}

// NewMatcher makes an index of patterns.
func NewMatcher(patterns []Pattern) (*Matcher, error) {
	m := &Matcher{
		patterns: patterns, issuers: make([]compiled, len(patterns)),
		domains: make(map[string][]int32), parents: make(map[string][]int32),
	}
	for i, p := range patterns {
		if err := m.add(int32(i), p); err != nil {
			return nil, fmt.Errorf("pattern %d (%s): %w", i+1, p, err)
		}
	}
	for _, v := range []*values{&m.identity, &m.issuer, &m.key, &m.digest, &m.module} {
		v.build()
	}
	return m, nil
}

func (m *Matcher) add(i int32, p Pattern) (err error) {
	if err := p.check(); err != nil {
		return err
	}
	by, text := p.subject()
	if by == ByDomain {
		return m.addDomain(i, p.Domain)
	}
	var list []compiled
	switch by {
	case ByKey:
		list = make([]compiled, 1)
		list[0], err = compileKey(p.Key)
	case ByDigest:
		list = make([]compiled, 1)
		list[0], err = compileDigest(p.Digest)
	case ByModule:
		list, err = compileModule(p.Module)
	default:
		list = make([]compiled, 1)
		list[0], err = text.compile()
	}
	if err != nil {
		return err
	}
	for _, c := range list {
		m.of(by).add(i, c)
	}
	if by == ByIdentity && p.Issuer != (Text{}) {
		m.issuers[i], err = p.Issuer.compile()
	}
	return err
}

func (m *Matcher) addDomain(i int32, domain string) error {
	name, err := checkDomain(domain)
	if err != nil {
		return err
	}
	m.domains[name] = append(m.domains[name], i)
	if _, parent, ok := strings.Cut(name, "."); ok {
		m.parents[parent] = append(m.parents[parent], i)
	}
	return nil
}

// of is the index of what facts of one sort are compared with.
func (m *Matcher) of(by By) *values {
	switch by {
	case ByIdentity:
		return &m.identity
	case ByIssuer:
		return &m.issuer
	case ByKey:
		return &m.key
	case ByDigest:
		return &m.digest
	}
	return &m.module
}

// Match returns the patterns that facts of one entry match, in the order they were
// given, each once.
func (m *Matcher) Match(facts []Fact) (matched []Pattern) {
	var found set
	for _, f := range facts {
		if f.By == ByDomain {
			m.matchDomain(fold(f.Value), &found)
			continue
		}
		m.of(f.By).match(fold(f.Value), func(i int32) {
			if !found.has(i) && m.issuedAs(i, f, facts) {
				found.add(i, len(m.patterns))
			}
		})
	}
	for i := range found {
		if found.has(int32(i)) {
			matched = append(matched, m.patterns[i])
		}
	}
	return matched
}

// issuedAs reports whether the issuer that a pattern asks for beside an identity
// stands in the certificate of a fact.
func (m *Matcher) issuedAs(i int32, f Fact, facts []Fact) bool {
	c := m.issuers[i]
	if c.exact == "" && c.test == nil {
		return true
	}
	for _, other := range facts {
		if other.By == ByIssuer && other.Signer == f.Signer && c.matches(fold(other.Value)) {
			return true
		}
	}
	return false
}

func (c compiled) matches(value string) bool {
	if c.test == nil {
		return value == c.exact
	}
	return c.test(value)
}

// matchDomain looks a name and the domains that it is in up. A wildcard's
// certificate is for the names one label below, too.
func (m *Matcher) matchDomain(name string, found *set) {
	name = strings.TrimSuffix(name, ".")
	if parent, ok := strings.CutPrefix(name, "*."); ok {
		found.addAll(m.parents[parent], len(m.patterns))
		name = parent
	}
	for ok := true; ok; _, name, ok = strings.Cut(name, ".") {
		found.addAll(m.domains[name], len(m.patterns))
	}
}

// set is a set of patterns; nil is empty.
type set []bool

func (s set) has(i int32) bool { return s != nil && s[i] }

func (s *set) add(i int32, size int) {
	if *s == nil {
		*s = make(set, size)
	}
	(*s)[i] = true
}

func (s *set) addAll(list []int32, size int) {
	for _, i := range list {
		s.add(i, size)
	}
}

// gram is four letters that stand one after the other.
type gram uint32

const gramSize = 4

func gramAt(s string, i int) gram {
	return gram(s[i]) | gram(s[i+1])<<8 | gram(s[i+2])<<16 | gram(s[i+3])<<24
}

// bit is where a filter has a gram.
func (g gram) bit() (word, mask uint64) {
	h := uint64(uint32(g)*0x9e3779b1) >> 16
	return h / 64, 1 << (h % 64)
}

// values compares the values of one sort of facts with all patterns.
type values struct {
	exact map[string][]int32
	list  []tested
	// grams has the tests by four letters of which each stands in what passes;
	// filter has a bit of each.
	grams  map[gram][]int32
	filter [1024]uint64
	always []int32 // tests that have no such letters
}

// tested is a test, and whose it is.
type tested struct {
	compiled
	pattern int32
}

func (v *values) add(i int32, c compiled) {
	if c.test != nil {
		v.list = append(v.list, tested{c, i})
		return
	}
	if v.exact == nil {
		v.exact = make(map[string][]int32)
	}
	v.exact[c.exact] = append(v.exact[c.exact], i)
}

// build chooses the letters that each test is found by: those that the fewest
// others have.
func (v *values) build() {
	shared := make(map[gram]int)
	for _, t := range v.list {
		for _, option := range t.options {
			for _, literal := range option {
				for i := range len(literal) - gramSize + 1 {
					shared[gramAt(literal, i)]++
				}
			}
		}
	}
	v.grams = make(map[gram][]int32)
	for n, t := range v.list {
		grams := rarest(t.options, shared)
		if grams == nil {
			v.always = append(v.always, int32(n))
		}
		for _, g := range grams {
			v.grams[g] = append(v.grams[g], int32(n))
			word, mask := g.bit()
			v.filter[word] |= mask
		}
	}
}

// rarest returns a gram of each literal of the option whose grams are shared by
// the fewest; nil if every option has a literal that is too short.
func rarest(options [][]string, shared map[gram]int) (best []gram) {
	least := 0
	for _, option := range options {
		if shortest(option) < gramSize {
			continue
		}
		var grams []gram
		sum := 0
		for _, literal := range option {
			g := gramAt(literal, 0)
			for i := range len(literal) - gramSize + 1 {
				if other := gramAt(literal, i); shared[other] < shared[g] {
					g = other
				}
			}
			grams, sum = append(grams, g), sum+shared[g]
		}
		if best == nil || sum < least {
			best, least = grams, sum
		}
	}
	return best
}

// match calls found with each pattern that a value matches, perhaps more than
// once.
func (v *values) match(value string, found func(int32)) {
	for _, i := range v.exact[value] {
		found(i)
	}
	for _, n := range v.always {
		if t := &v.list[n]; t.test(value) {
			found(t.pattern)
		}
	}
	if len(v.grams) == 0 {
		return
	}
	var tried set
	for i := range len(value) - gramSize + 1 {
		g := gramAt(value, i)
		word, mask := g.bit()
		if v.filter[word]&mask == 0 {
			continue
		}
		for _, n := range v.grams[g] {
			if tried.has(n) {
				continue
			}
			tried.add(n, len(v.list))
			if t := &v.list[n]; t.test(value) {
				found(t.pattern)
			}
		}
	}
}
