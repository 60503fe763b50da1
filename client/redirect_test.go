package client

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A client goes where its URL says: an entry goes nowhere else, and a question to
// the same host alone. The error says where the log may be.
func TestRedirectsAreNotFollowed(t *testing.T) {
	asked := 0
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer other.Close()
	to := ""
	log := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, to+r.URL.String(), http.StatusPermanentRedirect)
	}))
	defer log.Close()
	for leads, base := range map[string]string{
		other.URL:              other.URL,
		other.URL + "/log":     other.URL + "/log",
		"http://u:s3cr3t@else": "http://else",
	} {
		to = leads
		c, err := New(Config{URL: strings.Replace(log.URL, "://", "://user:s3cr3t@", 1)})
		if err != nil {
			t.Fatal(err)
		}
		_, added := c.Add(t.Context(), Entry{})
		_, got := c.Get(t.Context(), 7)
		found := c.searchOnce(t)
		for _, err := range []error{added, got, found} {
			var status *StatusError
			if !errors.As(err, &status) || status.LeadsTo != base || !strings.Contains(err.Error(), "which is not followed (HTTP 308); if that is the log, its URL is "+base) {
				t.Errorf("to %s: %v", leads, err)
			}
			if err != nil && strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("a password is in %v", err)
			}
		}
	}
	if asked > 0 {
		t.Errorf("the other host was asked %d times", asked)
	}
}

func (c *Client) searchOnce(t *testing.T) error {
	s := search{client: c, query: Query{By: "artifact", Value: "sha256:00"}, last: -1}
	_, err := s.next(t.Context())
	return err
}
