package monitor_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"indelible/monitor"
)

const secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"

// hook is a webhook that answers in turn.
type hook struct {
	t       testing.TB
	answers []func(http.ResponseWriter)
	ids     []string
	events  []string
	at      []time.Time
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := must(io.ReadAll(r.Body))(h.t)
	h.ids, h.at = append(h.ids, r.Header.Get("webhook-id")), append(h.at, time.Now())
	if !strings.HasPrefix(r.Header.Get("webhook-signature"), "v1,") || r.Method != http.MethodPost {
		h.t.Errorf("%s, signed %q", r.Method, r.Header.Get("webhook-signature"))
	}
	if n := len(h.ids) - 1; n < len(h.answers) {
		h.answers[n](w)
		return
	}
	var d struct {
		Data struct{ Events []monitor.Event }
	}
	if err := json.Unmarshal(body, &d); err != nil {
		h.t.Error(err)
	}
	for _, e := range d.Data.Events {
		h.events = append(h.events, e.ID)
	}
}

func status(code int, header ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

func newHook(t testing.TB, h *hook) *monitor.Webhook {
	t.Helper()
	return monitor.WithTransport(must(monitor.NewWebhook("http://user:password@alerts.example/hook", secret))(t), direct{h})
}

func events(n int) (list []monitor.Event) {
	for i := range n {
		list = append(list, monitor.Event{ID: fmt.Sprint(i), Kind: monitor.Found, Log: origin})
	}
	return list
}

// What may pass is tried again with the same id, and no sooner than the server asks.
func TestWebhookTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inAMinute := time.Now().Add(time.Minute).UTC().Format(http.TimeFormat)
		h := &hook{t: t, answers: []func(http.ResponseWriter){
			status(500), status(429, "Retry-After", "30"), status(503, "Retry-After", inAMinute), status(503, "Retry-After", "99999"),
		}}
		if err := newHook(t, h).Deliver(t.Context(), events(1)); err != nil || len(h.events) != 1 {
			t.Fatal(err, h.events)
		}
		if h.at[2].Sub(h.at[1]) < 30*time.Second || h.at[3].Sub(h.at[0]) < time.Minute || h.at[4].Sub(h.at[3]) > 3*time.Minute {
			t.Error(h.at)
		}
		for _, id := range h.ids {
			if id != h.ids[0] || id == "" {
				t.Error(h.ids)
			}
		}
	})
}

func TestWebhookGivesUp(t *testing.T) {
	for name, test := range map[string]struct {
		answer func(http.ResponseWriter)
		asked  int
	}{
		"refused":  {status(400), 1},
		"redirect": {status(307, "Location", "http://other.example/"), 1},
		"away":     {status(502), 6},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := &hook{t: t}
			for range 10 {
				h.answers = append(h.answers, test.answer)
			}
			err := newHook(t, h).Deliver(t.Context(), events(1))
			if err == nil || len(h.ids) != test.asked || strings.Contains(err.Error(), "password") || strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %v after %d requests", name, err, len(h.ids))
			}
		})
	}
}

// Many events are several requests, each of them bounded.
func TestWebhookDeliversAll(t *testing.T) {
	h := &hook{t: t}
	if err := newHook(t, h).Deliver(t.Context(), events(256)); err != nil || len(h.events) != 256 || len(h.ids) != 3 {
		t.Error(err, len(h.events), len(h.ids))
	}
}

// The signature is that of the specification, by its own example.
func TestWebhookSignature(t *testing.T) {
	w := must(monitor.NewWebhook("http://alerts.example", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))(t)
	got := base64.StdEncoding.EncodeToString(w.Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`)))
	if got != "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Error(got)
	}
	for _, bad := range []string{"", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!"} {
		if _, err := monitor.NewWebhook("http://alerts.example", bad); err == nil || strings.Contains(err.Error(), "MfKQ9") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, bad := range []string{"", "alerts.example", "ftp://alerts.example"} {
		if _, err := monitor.NewWebhook(bad, secret); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
