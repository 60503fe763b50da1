package feeder

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"time"

	"indelible/client"
	"indelible/evidence"
	"indelible/internal/wait"
	"indelible/witness"
)

// Config is what a Feeder is made from. Zero values mean what is said.
type Config struct {
	Witness *witness.Witness // required; it must know the logs
	Logs    []Log
	// Evidence is the folder that evidence is written to; required.
	Evidence string
	// Interval is how long after one look at a log the next one comes; 1 minute.
	Interval time.Duration
	// MaxInterval is how long that can become for a log that fails; 1 hour.
	MaxInterval time.Duration
	// Timeout is how long one look may take; 30 seconds.
	Timeout time.Duration
	// Refresh is how old a cosignature may become while a log does not grow;
	// 1 hour.
	Refresh time.Duration
	// HTTP does the requests; one that takes up to 64 KiB of headers. No redirect
	// is followed: a log is where its list says, and does not send this machine
	// to others, such as its own ports.
	HTTP   *http.Client
	Events Events
}

// Events tells what happens. Each may be nil; they may be called at once.
type Events struct {
	// Fed: the witness cosigned a checkpoint.
	Fed func(origin string, size int64)
	// Failed: nothing could be fed; the next look is after a pause.
	Failed func(origin string, err error, pause time.Duration)
	// Contradicted: a new file of evidence was written.
	Contradicted func(origin string, kind evidence.Kind, file string)
}

// Feeder polls logs.
type Feeder struct {
	cfg   Config
	feeds []*feed
}

// feed is one log. It is its goroutine's alone.
type feed struct {
	Log
	cfg    *Config
	client *client.Client
}

// New makes a Feeder. The folder of evidence must be there.
func New(cfg Config) (*Feeder, error) {
	if cfg.Witness == nil {
		return nil, errors.New("feeder: Witness is required")
	}
	if info, err := os.Stat(cfg.Evidence); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("evidence folder %q: it is not a folder that exists (%v)", cfg.Evidence, err)
	}
	f := &Feeder{cfg: cfg.withDefaults()}
	for _, l := range cfg.Logs {
		one, err := newFeed(l, &f.cfg)
		if err != nil {
			return nil, err
		}
		f.feeds = append(f.feeds, one)
	}
	return f, nil
}

func newFeed(l Log, cfg *Config) (*feed, error) {
	c, err := client.New(client.Config{
		URL: l.URL, Keys: l.Keys, Origin: l.Origin, Extended: true, HTTP: cfg.HTTP, Tries: 1, UserAgent: "indelible-feeder",
		Stall: 2 * cfg.Timeout, // a look as a whole has its limit
	})
	if err != nil {
		return nil, fmt.Errorf("log %s: %w", l.Origin, err)
	}
	return &feed{Log: l, cfg: cfg, client: c}, nil
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		of    *time.Duration
		value time.Duration
	}{{&c.Interval, time.Minute}, {&c.MaxInterval, time.Hour}, {&c.Timeout, 30 * time.Second}, {&c.Refresh, time.Hour}} {
		if *d.of == 0 {
			*d.of = d.value
		}
	}
	c.MaxInterval = max(c.MaxInterval, c.Interval)
	if c.HTTP == nil {
		c.HTTP = &http.Client{Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
			MaxIdleConns: 100, IdleConnTimeout: 90 * time.Second, MaxConnsPerHost: 4, MaxResponseHeaderBytes: 64 << 10,
		}}
	}
	own := *c.HTTP
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.HTTP = &own
	return c
}

// Run polls until ctx ends.
func (f *Feeder) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, l := range f.feeds {
		all.Go(func() { l.run(ctx) })
	}
	all.Wait()
	return ctx.Err()
}

// run looks at one log again and again. It first waits for a while of its own,
// so that many logs are not asked at once.
func (l *feed) run(ctx context.Context) {
	failures := 0
	for delay := rand.N(l.cfg.Interval); wait.For(ctx, delay) == nil; {
		err := l.look(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			failures = 0
		} else {
			failures++
		}
		delay = l.cfg.after(failures, err)
		if err != nil && l.cfg.Events.Failed != nil {
			l.cfg.Events.Failed(l.Origin, err, delay)
		}
	}
}

// after is how long to wait after a number of failures: twice as long after each,
// and no shorter than the witness asks.
func (c *Config) after(failures int, err error) time.Duration {
	wait := c.Interval
	for range failures {
		wait = min(2*wait, c.MaxInterval)
	}
	var busy *witness.TooManyError
	if errors.As(err, &busy) {
		wait = max(wait, busy.RetryAfter())
	}
	return wait + rand.N(wait/8+1)
}
