package doctor

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"indelible/internal/redact"
	"indelible/trust"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 4 << 20

// asker asks one log, once each time, and follows no redirects: what it is
// sent elsewhere by would send clients elsewhere too, or stop them.
type asker struct {
	url  string
	http *http.Client
	now  func() time.Time
}

func newAsker(h *http.Client, logURL string, now func() time.Time) (asker, error) {
	base, err := trust.BaseURL(logURL)
	if err != nil {
		return asker{}, err
	}
	own := http.Client{Timeout: 30 * time.Second}
	if h != nil {
		own = *h
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return asker{base, &own, now}, nil
}

type answer struct {
	status int
	header http.Header
	body   []byte
	tls    *tls.ConnectionState
	asked  time.Time
	took   time.Duration
}

func (a asker) ask(ctx context.Context, method, path string, body []byte) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, a.url+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("User-Agent", "indelible-doctor")
	req.Header.Set("Origin", "https://elsewhere.example") // what a page elsewhere would send
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	asked := a.now()
	res, err := a.http.Do(req)
	if err != nil {
		var e *url.Error // it says the method and URL, which is said below
		if errors.As(err, &e) {
			err = e.Err
		}
		return answer{}, fmt.Errorf("%s %s%s: no answer: %w", method, a.url, path, err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err == nil && len(data) > maxAnswer {
		err = fmt.Errorf("the answer has over %d bytes", maxAnswer)
	}
	if err != nil {
		err = fmt.Errorf("%s %s%s: %w", method, a.url, path, err)
	}
	return answer{res.StatusCode, res.Header, data, res.TLS, asked, a.now().Sub(asked)}, err
}

// get asks for something that must be there.
func (a asker) get(ctx context.Context, path string) (answer, error) {
	got, err := a.ask(ctx, http.MethodGet, path, nil)
	if err == nil && got.status != http.StatusOK {
		err = fmt.Errorf("GET %s%s: %s", a.url, path, got.says())
	}
	return got, err
}

// message is what a log of this product says of an error; "" if it is no such
// answer.
func (a answer) message() string {
	var said struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(a.body, &said) != nil {
		return ""
	}
	return said.Message
}

// says is an answer that is an error, in words.
func (a answer) says() string {
	if to := a.header.Get("Location"); a.status/100 == 3 && to != "" {
		return fmt.Sprintf("HTTP %d, a redirect to %s, which clients do not follow with what they send", a.status, redact.URL(to))
	}
	text := cmp.Or(a.message(), strings.TrimSpace(string(a.body)))
	if len(text) > 300 || strings.HasPrefix(text, "<") {
		text = "" // a page of a proxy's
	}
	return strings.TrimSuffix(fmt.Sprintf("HTTP %d %s: %s", a.status, http.StatusText(a.status), text), ": ")
}

// Served is which of the Rekor APIs a log serves.
type Served struct {
	RekorV1Key []byte // SubjectPublicKeyInfo, DER; nil: not served
	RekorV2    bool
	Since      time.Time // when the log says that it began; zero if it does not
}

// FindServed asks a log what it serves. All of it is the log's own word. The URLs are of
// one log: if the first does not answer, the next is asked.
func FindServed(ctx context.Context, h *http.Client, logURL string, others ...string) (Served, error) {
	var errs error
	for _, u := range append([]string{logURL}, others...) {
		a, err := newAsker(h, u, time.Now)
		if err != nil {
			return Served{}, err
		}
		s, err := a.findServed(ctx)
		if err == nil {
			return s, nil
		}
		errs = errors.Join(errs, err)
	}
	return Served{}, errs
}

func (a asker) findServed(ctx context.Context) (s Served, err error) {
	if s.RekorV2, err = a.servesV2(ctx); err != nil {
		return s, err
	}
	if s.RekorV1Key, err = a.fetchV1Key(ctx); err != nil {
		return s, err
	}
	s.Since, err = a.fetchSince(ctx)
	return s, err
}

// fetchSince finds out when the log began, so that files made here are those
// that it serves itself.
func (a asker) fetchSince(ctx context.Context) (time.Time, error) {
	got, err := a.ask(ctx, http.MethodGet, "/trust/trusted_root.json", nil)
	if err != nil || got.status != http.StatusOK {
		return time.Time{}, err
	}
	var root struct {
		Tlogs []struct {
			PublicKey struct {
				ValidFor struct {
					Start time.Time `json:"start"`
				} `json:"validFor"`
			} `json:"publicKey"`
		} `json:"tlogs"`
	}
	if err := json.Unmarshal(got.body, &root); err != nil || len(root.Tlogs) == 0 {
		return time.Time{}, fmt.Errorf("GET %s/trust/trusted_root.json: the answer is no trusted root", a.url)
	}
	return root.Tlogs[0].PublicKey.ValidFor.Start, nil
}

// servesV2 looks at a path that only a log with the Rekor v2 API has.
func (a asker) servesV2(ctx context.Context) (bool, error) {
	got, err := a.ask(ctx, http.MethodGet, "/api/v2/checkpoint", nil)
	switch {
	case err != nil:
		return false, err
	case got.status == http.StatusNotFound:
		return false, nil
	case got.status != http.StatusOK && got.status != http.StatusNotImplemented: // Rekor's own answers 501
		return false, fmt.Errorf("GET %s/api/v2/checkpoint: %s", a.url, got.says())
	}
	return true, nil
}

// fetchV1Key fetches the key of the Rekor v1 API; nil if that is not served.
func (a asker) fetchV1Key(ctx context.Context) ([]byte, error) {
	const path = "/api/v1/log/publicKey"
	got, err := a.ask(ctx, http.MethodGet, path, nil)
	if err != nil || got.status == http.StatusNotFound {
		return nil, err
	}
	if got.status != http.StatusOK {
		return nil, fmt.Errorf("GET %s%s: %s", a.url, path, got.says())
	}
	block, _ := pem.Decode(got.body)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, fmt.Errorf("GET %s%s: the answer is not a public key in PEM", a.url, path)
	}
	return block.Bytes, nil
}
