package conformance

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"indelible/internal/redact"
	"indelible/internal/wait"
)

const (
	// maxAnswer bounds what is read of an answer, in bytes.
	maxAnswer = 256 << 10
	// maxThrottled is how often one request is tried again after 429.
	maxThrottled = 20
	// maxPause is how long a Retry-After is waited for at most.
	maxPause = 20 * time.Second
)

// asker sends requests. It may be used by many goroutines at once.
type asker struct {
	http                   *http.Client
	submission, monitoring string // without a slash at the end
	throttled              atomic.Int64
}

func newAsker(cfg Config) (*asker, error) {
	a := &asker{http: &http.Client{
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if cfg.HTTP != nil {
		a.http.Transport = cfg.HTTP.Transport
	}
	var err error
	if a.submission, err = prefix(cfg.Submission); err != nil {
		return nil, err
	}
	a.monitoring, err = prefix(cfg.Monitoring)
	return a, err
}

// prefix is a URL that paths are put behind.
func prefix(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("URL %q: it must begin with http:// or https:// and a host, and have neither ? nor #", redact.URL(s))
	}
	return strings.TrimSuffix(s, "/"), nil
}

// answer is what came of a request: an answer, or why there was none.
type answer struct {
	err    error
	status int
	header http.Header
	body   []byte
	reused bool // the connection had been used before
	at     time.Time
}

// ask sends a request, again if it is throttled.
func (a *asker) ask(ctx context.Context, method, url string, body []byte) answer {
	for range maxThrottled {
		got := a.once(ctx, method, url, body)
		if got.status != http.StatusTooManyRequests {
			return got
		}
		a.throttled.Add(1)
		if err := pause(ctx, got.header.Get("Retry-After")); err != nil {
			return answer{err: err}
		}
	}
	return answer{err: fmt.Errorf("429 (too many requests) %d times", maxThrottled)}
}

// pause waits for as long as an answer asks for, in seconds.
func pause(ctx context.Context, retryAfter string) error {
	d := time.Second
	if n, err := strconv.Atoi(retryAfter); err == nil && n > 0 {
		d = min(time.Duration(n)*time.Second, maxPause)
	}
	return wait.For(ctx, d)
}

func (a *asker) once(ctx context.Context, method, url string, body []byte) (got answer) {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { got.reused = c.Reused }})
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	req.Header.Set("User-Agent", "indelible-conformance")
	res, err := a.http.Do(req)
	if err != nil {
		return answer{err: redact.Error(err)}
	}
	defer res.Body.Close()
	got.status, got.header, got.at = res.StatusCode, res.Header, time.Now()
	if got.body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer)); err != nil {
		return answer{err: err}
	}
	return got
}

// says is the answer in words.
func (a answer) says() string {
	if a.err != nil {
		return "no answer: " + a.err.Error()
	}
	if a.status == http.StatusOK {
		return "200"
	}
	if to := a.header.Get("Location"); to != "" && a.status/100 == 3 {
		return fmt.Sprintf("%d: a redirect to %.200q, which is not followed", a.status, redact.URL(to))
	}
	text := strings.Join(strings.Fields(string(a.body)), " ")
	if len(text) > 120 {
		text = text[:120] + "…"
	}
	return strings.TrimSuffix(fmt.Sprintf("%d: %s", a.status, text), ": ")
}
