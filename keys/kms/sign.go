package kms

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/sigstore/sigstore/pkg/signature/options"
)

// errUnverified: what the service gave is no signature by its key.
var errUnverified = errors.New("what it gave for a signature does not verify with the key it showed at first: was the key rotated, or replaced? " +
	"A log keeps the key that its clients trust")

// Sign signs a SHA-256 digest: ASN.1 DER, verified. Where the time is over its
// error is context.DeadlineExceeded.
func (k *Key) Sign(ctx context.Context, digest [sha256.Size]byte) ([]byte, error) {
	own, cancel := context.WithTimeout(ctx, k.cfg.Timeout)
	defer cancel()
	sig, err := k.turn(own, digest)
	if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, ctx.Err() // the caller is gone, which says nothing of the service
	}
	if err != nil {
		err = k.because("does not sign", k.cfg.Timeout, err)
	}
	k.tell(err)
	return sig, err
}

// turn waits for a place among the requests in flight.
func (k *Key) turn(ctx context.Context, digest [sha256.Size]byte) ([]byte, error) {
	select {
	case k.slots <- struct{}{}:
	default:
		if k.waiting.Add(1) > int64(k.cfg.Waiting) {
			k.waiting.Add(-1)
			return nil, fmt.Errorf("%d signatures wait for their turn already", k.cfg.Waiting)
		}
		defer k.waiting.Add(-1)
		select {
		case k.slots <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	defer func() { <-k.slots }()
	return k.ask(ctx, digest)
}

// ask has the service sign, and verifies what it gave.
func (k *Key) ask(ctx context.Context, digest [sha256.Size]byte) ([]byte, error) {
	sig, err := within(ctx, k, func() ([]byte, error) {
		c, err := k.current(ctx)
		if err != nil {
			return nil, err
		}
		return c.SignMessage(nil, options.WithContext(ctx), options.WithDigest(digest[:]), options.WithCryptoSignerOpts(crypto.SHA256))
	})
	if err == nil && !ecdsa.VerifyASN1(k.pub, digest[:], sig) {
		err = errUnverified
	}
	if err != nil {
		k.mu.Lock()
		k.stale = true
		k.mu.Unlock()
		return nil, err
	}
	return sig, nil
}

// reopenAfter is how old a client must be before another is opened in its place.
const reopenAfter = time.Second

// current returns the client. Where the provider's holds on to what may have
// ended, a token or a connection, one that failed is replaced.
func (k *Key) current(ctx context.Context) (client, error) {
	k.mu.Lock()
	c, again := k.client, k.provider.reopen && k.stale && time.Since(k.opened) > reopenAfter
	if again { // one caller does it
		k.stale, k.opened = false, time.Now()
	}
	k.mu.Unlock()
	if !again {
		return c, nil
	}
	c, err := k.provider.open(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.client = c
	return c, nil
}

// within calls a provider, which may not return when ctx ends, and may panic:
// they take an answer apart without looking.
func within[T any](ctx context.Context, k *Key, call func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var none T
	if n := k.pending.Add(1); n > int64(left+1)*int64(k.cfg.InFlight) {
		k.pending.Add(-1)
		return none, fmt.Errorf("%d requests were never answered, and no more are made until some of them end", n-1)
	}
	done := make(chan answer, 1)
	go func() {
		var a answer
		defer func() {
			if r := recover(); r != nil {
				a.err = fmt.Errorf("its answer makes no sense: %v", r)
			}
			k.pending.Add(-1)
			done <- a
		}()
		a.value, a.err = call()
	}()
	select {
	case a := <-done:
		if a.err != nil && ctx.Err() != nil {
			return none, ctx.Err() // providers say it each in their own words
		}
		return a.value, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// because says what the service does not do, and why.
func (k *Key) because(what string, timeout time.Duration, err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s %s: there was no answer in time (%s): %w", k.uri, what, timeout, context.DeadlineExceeded)
	}
	return fmt.Errorf("%s %s: %s", k.uri, what, withoutUser(err.Error()))
}

// user matches what comes before the host in a URL, and in what was meant to be
// one: without a scheme, and with a password that is not escaped.
const user = `[^\s"]*:[^\s"]*@`

// withoutUser leaves the user and password of URLs out, which a service's
// address in the environment may have and its client repeats.
func withoutUser(text string) string {
	return regexp.MustCompile(user).ReplaceAllLiteralString(text, "…@")
}

// tell tells the operator that signatures fail, or are made again.
func (k *Key) tell(err error) {
	k.mu.Lock()
	was, now := k.fails, time.Now()
	k.fails = err != nil
	failing := k.fails && (!was || now.Sub(k.told) >= tellAgain)
	if failing {
		k.told = now
	}
	k.mu.Unlock()
	switch {
	case failing && k.cfg.Events.Failing != nil:
		k.cfg.Events.Failing(err)
	case was && err == nil && k.cfg.Events.Working != nil:
		k.cfg.Events.Working()
	}
}
