package main

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"indelible/client"
	"indelible/internal/redact"
	"indelible/internal/web"
)

// tries is how often a log is asked the same, and maxReasons how many reasons to
// ask again are told: a log can think of a new one each time.
const (
	tries      = 5
	maxReasons = 10
)

// client makes one that asks the URLs of the flags, if it has none, and says to a person why it asks
// again.
func (p *program) client(ctx context.Context, cfg client.Config) (*client.Client, error) {
	if cfg.URL == "" {
		cfg.URL, cfg.Others = p.url, p.urls[1:]
	}
	return client.New(p.patient(ctx, cfg))
}

// patient is the configuration of a client that says to a person why it asks again,
// and until when at the latest.
func (p *program) patient(ctx context.Context, cfg client.Config) client.Config {
	cfg.Tries, cfg.Stall, cfg.FollowRedirects = tries, p.stall, p.redirects
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{Transport: p.toLog}
	}
	limit := ""
	if end, ok := ctx.Deadline(); ok {
		limit = " or until " + end.Format("15:04:05") + " (--timeout)"
	}
	cfg.Retrying = func(err error, wait time.Duration) {
		if p.reasons.isNew(reason(err)) {
			p.say("logcli: no answer yet from %s: %s. Asking again, the next time in %s, up to %d times in all%s.",
				redact.URL(p.url), reason(err), wait.Round(100*time.Millisecond), tries, limit)
		}
	}
	return cfg
}

// web makes requests that are no client's: once each, with the same limit.
func (p *program) web() *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: web.Stalling(cmp.Or(p.toLog, http.DefaultTransport), p.stall)}
}

// reason is why there was no answer, without the port that this machine chose
// for that connection.
func reason(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return op.Op + ": " + op.Err.Error()
	}
	return err.Error()
}

// reasons are those that were told already.
type reasons struct {
	mu   sync.Mutex
	told map[string]bool
}

func (r *reasons) isNew(reason string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.told[reason] || len(r.told) == maxReasons {
		return false
	}
	if r.told == nil {
		r.told = make(map[string]bool)
	}
	r.told[reason] = true
	return true
}
