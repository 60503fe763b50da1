package monitor

import "net/http"

// Fold is fold.
func Fold(s string) string { return fold(s) }

// Matches tries all patterns in turn: what a Matcher must find.
func (m *Matcher) Matches(facts []Fact) (matched []Pattern) {
	for i, p := range m.patterns {
		one, err := NewMatcher([]Pattern{p})
		if err != nil {
			panic(err)
		}
		for _, v := range []*values{&one.identity, &one.issuer, &one.module} {
			v.grams, v.always = nil, nil
			for n := range v.list {
				v.always = append(v.always, int32(n))
			}
		}
		if len(one.Match(facts)) > 0 {
			matched = append(matched, m.patterns[i])
		}
	}
	return matched
}

// Indexed is how many tests are found by letters, and how many are always made.
func (m *Matcher) Indexed() (indexed, always int) {
	for _, v := range []*values{&m.identity, &m.issuer, &m.module} {
		indexed += len(v.list) - len(v.always)
		always += len(v.always)
	}
	return indexed, always
}

// WithTransport makes a webhook's requests with a transport.
func WithTransport(w *Webhook, rt http.RoundTripper) *Webhook {
	w.client.Transport = rt
	return w
}

// Sign is sign.
func (w *Webhook) Sign(id, at string, body []byte) []byte { return w.sign(id, at, body) }
