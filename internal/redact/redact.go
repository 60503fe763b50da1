// Package redact leaves out of URLs what may be secret, for messages.
package redact

import (
	"errors"
	"net/url"
	"strings"
)

// hidden stands for what is left out.
const hidden = "xxxxx"

// URL is a URL without its user, its password and its query. What is not a URL
// loses all up to the last @, since a password with a slash makes it none.
func URL(s string) string {
	begin := 0
	if at := strings.Index(s, "://"); at >= 0 {
		begin = at + len("://")
	}
	rest := s[begin:]
	if u, err := url.Parse(s); err == nil && begin > 0 && u.Host != "" {
		if u.User == nil {
			return s[:begin] + withoutQuery(rest)
		}
		end := strings.IndexAny(rest, "/?#")
		if end < 0 {
			end = len(rest)
		}
		at := strings.LastIndexByte(rest[:end], '@')
		return s[:begin] + hidden + withoutQuery(rest[at:])
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		rest = hidden + rest[at:]
	}
	return s[:begin] + withoutQuery(rest)
}

// Error takes the same out of an error of net/http, which names the URL.
func Error(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		e.URL = URL(e.URL)
	}
	return err
}

func withoutQuery(s string) string {
	path, query, _ := strings.Cut(s, "?")
	if query == "" {
		return s
	}
	return path + "?" + hidden
}
