package trust

import (
	"fmt"
	"net/url"
	"strings"

	"indelible/internal/redact"
)

// BaseURL checks a log's URL, and takes the slash from its end, which some
// clients stumble over. What passes is safe in a shell and in YAML as it is.
func BaseURL(s string) (string, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "", fmt.Errorf("%q is not the URL of a log; give one such as https://log.example.com", redact.URL(s))
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return "", fmt.Errorf("the log's URL %q must begin with http:// or https:// and a host", redact.URL(s))
	case u.User != nil || strings.ContainsAny(s, "?#"):
		return "", fmt.Errorf("the log's URL %q must be a scheme, a host, and perhaps a port and a path; no user, query or fragment", redact.URL(s))
	}
	if i := strings.IndexFunc(s, unsafe); i >= 0 {
		return "", fmt.Errorf("the log's URL %q has a character that a URL there has not: %q", s, s[i])
	}
	return strings.TrimRight(s, "/"), nil
}

func unsafe(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".-_~:/[]%", r))
}

// Misfit is something about a log's URL and origin that stops some client.
type Misfit struct {
	Fatal bool   // cosign, or every client built upon sigstore-go
	What  string // is wrong, and whom it stops
	Do    string
}

// Misfits says which clients a log's URL and origin stop. A bare
// https://host with the origin host fits all of them:
//
//	cosign, sigstore-go   a v2 checkpoint's origin is the trusted root's URL's hostname, without port and path
//	rekor-monitor         it is the URL without https://, with port and path
//	sigstore-js           the name on the signature line is a part of the URL
//
// All that is about Rekor v2: nobody compares the two where a log does not serve it.
func Misfits(l Log) []Misfit {
	base, err := BaseURL(l.URL)
	if err != nil {
		return []Misfit{{true, err.Error(), "Give clients a plain URL."}}
	}
	u, err := url.Parse(base)
	if err != nil {
		return []Misfit{{true, err.Error(), "Give clients a plain URL."}}
	}
	var list []Misfit
	host, _, _ := strings.Cut(l.Origin, "/")
	if l.RekorV2 && u.Hostname() != l.Origin {
		list = append(list, Misfit{
			true,
			fmt.Sprintf("the log's origin is %q and its URL's host %q: cosign and sigstore-go verify v2 bundles only if they are the same", l.Origin, u.Hostname()),
			fmt.Sprintf("Let clients reach the log as %s://%s (logserver --public-url, logcli trust export --public-url), or make a new log with --origin %s: a log's origin cannot be changed.", u.Scheme, host, u.Hostname()),
		})
	}
	if rest := strings.TrimPrefix(base, u.Scheme+"://"); l.RekorV2 && rest != u.Hostname() {
		list = append(list, Misfit{
			false,
			fmt.Sprintf("the URL %s has a port or a path: rekor-monitor then expects the origin %q, while cosign expects %q", base, rest, u.Hostname()),
			"To monitor with it, serve the log on the scheme's own port, at the root.",
		})
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		list = append(list, Misfit{
			false,
			fmt.Sprintf("the URL %s is not https: nobody can forge what the log signed, but anybody on the way can read and withhold entries", base),
			"Serve it over TLS.",
		})
	}
	return list
}

func loopback(host string) bool {
	return host == "localhost" || host == "::1" || strings.HasPrefix(host, "127.")
}
