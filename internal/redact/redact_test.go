package redact

import (
	"net/url"
	"strings"
	"testing"
)

func TestURL(t *testing.T) {
	for given, want := range map[string]string{
		"":                                    "",
		"https://log.example.com":             "https://log.example.com",
		"https://log.example.com/@scope/a":    "https://log.example.com/@scope/a",
		"https://user:secret@log.example.com": "https://xxxxx@log.example.com",
		"https://secret@log.example.com:8080/a@b": "https://xxxxx@log.example.com:8080/a@b",
		"https://u:secret@h/a?token=secret#x":     "https://xxxxx@h/a?xxxxx",
		"https://h?secret":                        "https://h?xxxxx",
		"https://user:sec/ret@h":                  "https://xxxxx@h",
		"https://user:sec%zzret@h":                "https://xxxxx@h",
		"https://user:sec ret@h/x":                "https://xxxxx@h/x",
		"user:secret@h":                           "xxxxx@h",
		"//user:secret@h":                         "xxxxx@h",
		"log.example.com":                         "log.example.com",
	} {
		if got := URL(given); got != want {
			t.Errorf("%q: %q, and not %q", given, got, want)
		}
	}
}

func FuzzURL(f *testing.F) {
	f.Add("user", "secret", "h/x?y=secret")
	f.Fuzz(func(t *testing.T, user, password, rest string) {
		secret := "s3cr3t" + url.QueryEscape(password)
		if strings.ContainsAny(rest, "@") || strings.Contains(rest, secret) {
			return
		}
		for _, s := range []string{"http://" + url.QueryEscape(user) + ":" + secret + "@" + rest, secret + "@" + rest, "x://" + secret + "@" + rest} {
			if got := URL(s); strings.Contains(got, secret) {
				t.Errorf("%q became %q", s, got)
			}
		}
	})
}
