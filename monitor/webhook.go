package monitor

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"indelible/internal/redact"
	"indelible/internal/wait"
	"indelible/internal/web"
)

const (
	// webhookTries is how often events are sent, and the pauses begin with a second
	// and double. Retry-After can make one longer, up to maxRetryAfter.
	webhookTries  = 6
	maxRetryAfter = 2 * time.Minute
	// webhookTimeout is how long one answer can take.
	webhookTimeout = 30 * time.Second
	// maxDelivery is the maximum number of events of one request.
	maxDelivery = 100
)

// Webhook posts events to a URL, as the specification Standard Webhooks has it: the
// headers webhook-id, webhook-timestamp and webhook-signature, and a JSON object with
// type, timestamp and data. The id of the same events is the same. Any 2xx answer
// takes them.
type Webhook struct {
	url    string
	secret []byte
	client *http.Client
}

// NewWebhook makes a Webhook. The secret is "whsec_" and the base64 of 24 to 64
// bytes.
func NewWebhook(to, secret string) (*Webhook, error) {
	if u, err := url.Parse(to); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("the webhook %q is not a URL; give one as https://alerts.example.com/hook", redact.URL(to))
	}
	encoded, ok := strings.CutPrefix(strings.TrimSpace(secret), "whsec_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return nil, errors.New(`the webhook's secret is not as Standard Webhooks has it: whsec_ and the base64 of 24 to 64 bytes. Make one with: echo "whsec_$(openssl rand -base64 32)"`)
	}
	client := &http.Client{Timeout: webhookTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	client.Transport = web.Stalling(http.DefaultTransport, webhookTimeout)
	return &Webhook{to, key, client}, nil
}

// delivery is the body of a request.
type delivery struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      struct {
		Log    string  `json:"log"`
		Events []Event `json:"events"`
	} `json:"data"`
}

// Deliver posts events until they are taken, or no more tries are left.
func (w *Webhook) Deliver(ctx context.Context, events []Event) error {
	for len(events) > 0 {
		n := min(len(events), maxDelivery)
		if err := w.deliver(ctx, events[:n]); err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}

func (w *Webhook) deliver(ctx context.Context, events []Event) error {
	var ids []any
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	id := "msg_" + eventID("delivery", events[0].Log, ids...)
	d := delivery{Type: "log.events", Timestamp: now()}
	d.Data.Log, d.Data.Events = events[0].Log, events
	body, err := Marshal(d)
	if err != nil {
		return err
	}
	for n := range webhookTries {
		var asked time.Duration
		if asked, err = w.post(ctx, id, body); err == nil {
			return nil
		}
		var r *refusedError
		if errors.As(err, &r) || n == webhookTries-1 || wait.For(ctx, max(asked, rand.N(time.Second<<n)+time.Second/4)) != nil {
			break
		}
	}
	return fmt.Errorf("the webhook %s: %w", redact.URL(w.url), err)
}

// refusedError is an answer that will be the same again.
type refusedError struct{ status string }

func (e *refusedError) Error() string { return "it refuses what is sent: " + e.status }

// post makes one request; after an error it returns how long the server asks to
// wait.
func (w *Webhook) post(ctx context.Context, id string, body []byte) (wait time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return 0, redact.Error(err)
	}
	at := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "indelible-monitor")
	req.Header.Set("webhook-id", id)
	req.Header.Set("webhook-timestamp", at)
	req.Header.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(w.sign(id, at, body)))
	res, err := w.client.Do(req)
	if err != nil {
		return 0, redact.Error(err)
	}
	defer res.Body.Close()
	io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
	status := fmt.Sprintf("%d %s", res.StatusCode, http.StatusText(res.StatusCode))
	switch {
	case res.StatusCode/100 == 2:
		return 0, nil
	case res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusRequestTimeout || res.StatusCode/100 == 5:
		return retryAfter(res.Header.Get("Retry-After")), errors.New("its answer is " + status)
	}
	return 0, &refusedError{status}
}

// sign is the signature of Standard Webhooks: HMAC-SHA256 over id, time and body.
func (w *Webhook) sign(id, at string, body []byte) []byte {
	mac := hmac.New(sha256.New, w.secret)
	fmt.Fprintf(mac, "%s.%s.", id, at)
	mac.Write(body)
	return mac.Sum(nil)
}

// retryAfter is how long a server asks to wait, in seconds or until a date.
func retryAfter(header string) time.Duration {
	wait := time.Duration(0)
	if seconds, err := strconv.Atoi(header); err == nil {
		wait = time.Duration(min(seconds, 3600)) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		wait = time.Until(at)
	}
	return max(min(wait, maxRetryAfter), 0)
}
