package checkpoint

import (
	"bytes"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"indelible/internal/redact"
)

// Warnings says, one sentence each, where the policy promises less than it
// seems to: a quorum counts the keys of a witness that has two as if they were
// of two, and a log that is its own witness proves nothing. logs are keys of the
// log beside those of the policy's log lines.
//
// SPEC: tlog-policy: none of this makes a policy invalid: a key may be that of a
// log and of a witness, and the log of one may be a witness of another. So it
// is parsed, and whoever wrote it is told.
func (p *Policy) Warnings(logs ...Verifier) []string {
	logs = slices.Clone(logs)
	for _, l := range p.Logs {
		logs = append(logs, l.Key)
	}
	var all []string
	for i, a := range p.Witnesses {
		if own := ownWitness(a, logs); own != "" {
			all = append(all, own)
		}
		for _, b := range p.Witnesses[:i] {
			if one := oneWitness(b, a); one != "" {
				all = append(all, one)
			}
		}
	}
	return all
}

// ownWitness says why a witness may be one of the logs; "" if nothing says so.
func ownWitness(w PolicyWitness, logs []Verifier) string {
	const proves = "what it cosigns of its own log proves nothing, neither that others saw the same nor the time"
	for _, l := range logs {
		if bytes.Equal(l.key, w.Key.key) {
			return fmt.Sprintf("witness %q has the key of log %q: it is the log, and %s", w.Name, l.name, proves)
		}
	}
	for _, l := range logs {
		if l.name == w.Key.name {
			return fmt.Sprintf("witness %q has a key of the log's own name, %q: if it is the log, %s", w.Name, l.name, proves)
		}
	}
	return ""
}

// oneWitness says why two witnesses may be one; "" if nothing says so.
func oneWitness(a, b PolicyWitness) string {
	const twice = "if they are one witness, the quorum counts it twice"
	switch {
	case a.Key.name == b.Key.name:
		return fmt.Sprintf("witnesses %q and %q have keys of one name, %q: %s", a.Name, b.Name, a.Key.name, twice)
	case a.URL == "" || place(a.URL) != place(b.URL):
		return ""
	case strings.TrimRight(a.URL, "/") == strings.TrimRight(b.URL, "/"):
		return fmt.Sprintf("witnesses %q and %q have one URL, %q: %s", a.Name, b.Name, redact.URL(b.URL), twice)
	}
	return fmt.Sprintf("witnesses %q and %q have URLs of one place, %q and %q: %s", a.Name, b.Name, redact.URL(a.URL), redact.URL(b.URL), twice)
}

// place is a URL in one of its spellings: with the port that its scheme means,
// and one name for this machine. Which other names are one host, nobody knows.
func place(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return strings.TrimRight(address, "/")
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	switch host = strings.TrimSuffix(host, "."); host {
	case "127.0.0.1", "::1":
		host = "localhost"
	}
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return fmt.Sprintf("%s://%s:%s%s?%s", u.Scheme, host, port, strings.TrimRight(u.EscapedPath(), "/"), u.RawQuery)
}
