//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"indelible/internal/config"
	"indelible/internal/outage"
	"indelible/internal/transport"
)

func (p *program) healthCommand() *cobra.Command {
	return p.configured(&cobra.Command{
		Use: "health", Short: "Ask the witness at --admin whether it is ready",
		Long: "Ask the witness at --admin whether it is ready, and print why not, and its warnings. The exit code is 0 if it is ready,\n" +
			"else 1. A container without curl uses this as its probe.",
	}, func(ctx context.Context, v config.Values) error {
		return transport.Health(ctx, v.Text("admin"), p.stdout)
	})
}

const (
	// lookEvery is how often the witness looks whether its database answers.
	lookEvery = time.Second
	// patience is how long database and register may take to answer such a look.
	patience = 3 * time.Second
	// tryEvery is how often at most a witness without trouble writes to both, to see
	// whether it can.
	tryEvery = 10 * time.Second
)

// needs are what a witness cannot cosign without.
type needs struct {
	ping  func(context.Context) error // the database answers
	write func(context.Context) error // database and register take a write
}

// lights say whether the witness can cosign. They are kept by watch, so that
// readiness is answered at once, from memory.
type lights struct {
	outage *outage.Outage

	mu    sync.Mutex
	err   error // why it cannot
	doubt bool  // a request failed since the last look
}

func newLights(o *outage.Outage) *lights {
	return &lights{outage: o, err: errors.New("the witness is starting")}
}

// ready says why the witness cannot cosign; nil if it can.
func (l *lights) ready() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *lights) set(err error) {
	l.mu.Lock()
	l.err = err
	l.mu.Unlock()
	l.outage.Step("cosign", err)
}

// doubts has the next look write, and not only ask.
func (l *lights) doubts() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doubt = true
}

// watch looks until ctx ends.
func (l *lights) watch(ctx context.Context, n needs) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var tried time.Time
	for {
		l.mu.Lock()
		try := l.doubt || l.err != nil || time.Since(tried) >= tryEvery
		l.doubt = false
		l.mu.Unlock()
		err := l.bounded(ctx, n.ping)
		if err == nil && try {
			err = l.bounded(ctx, n.write)
			tried = time.Now()
		}
		if ctx.Err() != nil {
			return
		}
		l.set(err)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// bounded calls f, which has patience. A call that lasts longer is waited for, and
// the witness is not ready meanwhile.
func (l *lights) bounded(ctx context.Context, f func(context.Context) error) error {
	call, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began, done := time.Now(), make(chan error, 1)
	silent := func() error {
		return fmt.Errorf("the database or the register has not answered for %s", time.Since(began).Round(time.Second))
	}
	go func() { done <- f(call) }()
	slow := time.NewTimer(patience + lookEvery/2)
	defer slow.Stop()
	for {
		select {
		case err := <-done:
			if err != nil && call.Err() != nil {
				err = silent()
			}
			return err
		case <-slow.C:
			l.set(silent())
			slow.Reset(lookEvery)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
