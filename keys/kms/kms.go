// Package kms signs with ECDSA P-256 keys that stay in a key management service.
//
// A key is named by the URI that cosign takes:
//
//	awskms:///alias/rekor-v1
//	awskms:///arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab
//	awskms://kms.internal:4566/alias/rekor-v1
//	azurekms://vault-name.vault.azure.net/rekor-v1
//	gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/1
//	hashivault://rekor-v1
//	openbao://rekor-v1
//
// Where the service is, as far as the URI does not say it, and who we are comes
// from the environment, as each service's own tools take it (VAULT_ADDR and
// VAULT_TOKEN, the chains of default credentials of the others). A URI with
// credentials in it is refused.
//
//	key, err := kms.Open(ctx, "hashivault://rekor-v1", kms.Config{})
//	sig, err := key.Sign(ctx, sha256.Sum256(message))
//
// # What is promised of a signature
//
// It verifies, with the public key that the service showed when the key was
// opened: a key that was rotated or replaced since signs nothing. It is there in
// Config.Timeout, or an error is. At most Config.InFlight are asked for at a
// time, and a bounded number of callers wait for their turn.
//
// Not every provider's client ends when it is told to. A request that is not
// answered in time is left behind, and its answer thrown away; there can only be
// so many of those.
//
// No error holds a credential.
package kms

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"
)

// Config is how a Key asks for signatures. A field's zero value means the
// default that its comment names.
type Config struct {
	Timeout  time.Duration // for one signature, the wait for its turn included; 10 s. Open takes twice that at most
	InFlight int           // most requests at a time; 16
	Waiting  int           // most callers that wait for their turn; 1024
	Events   Events
}

// Events are called when something happened; each may be nil. They must return
// at once.
type Events struct {
	Failing func(err error) // signatures are not made; told again once a minute while it lasts
	Working func()          // they are made again
}

// tellAgain is after what time an operator is told again that signatures fail.
const tellAgain = time.Minute

// left is how many requests may have been left behind, for each that may be in
// flight.
const left = 8

func (c Config) complete() (Config, error) {
	if c.Timeout < 0 || c.InFlight < 0 || c.Waiting < 0 {
		return c, errors.New("limits of a key management service must not be negative")
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.InFlight == 0 {
		c.InFlight = 16
	}
	if c.Waiting == 0 {
		c.Waiting = 1024
	}
	return c, nil
}

// Key is a key in a key management service. Any number of goroutines may use it.
type Key struct {
	uri      string
	provider provider
	cfg      Config
	pub      *ecdsa.PublicKey

	slots   chan struct{} // one for each request in flight
	waiting atomic.Int64
	pending atomic.Int64 // requests without an answer, those left behind included

	mu     sync.Mutex // of what follows; never held while the service is asked
	client client
	opened time.Time // when client was
	stale  bool      // it failed since
	fails  bool      // the last signature did
	told   time.Time // when Events.Failing was called
}

// client is what each provider's package signs with.
type client interface {
	PublicKey(...signature.PublicKeyOption) (crypto.PublicKey, error)
	SignMessage(message io.Reader, opts ...signature.SignOption) ([]byte, error)
}

// Open finds a key, and has it sign once, to see that it can.
func Open(ctx context.Context, uri string, cfg Config) (*Key, error) {
	p, err := providerOf(uri)
	if err != nil {
		return nil, err
	}
	if cfg, err = cfg.complete(); err != nil {
		return nil, err
	}
	k := &Key{uri: uri, provider: p, cfg: cfg, slots: make(chan struct{}, cfg.InFlight)}
	ctx, cancel := context.WithTimeout(ctx, 2*cfg.Timeout)
	defer cancel()
	if k.client, err = within(ctx, k, func() (client, error) { return p.open(context.WithoutCancel(ctx)) }); err != nil {
		return nil, k.because("could not be reached", 2*cfg.Timeout, err)
	}
	k.opened = time.Now()
	pub, err := within(ctx, k, func() (crypto.PublicKey, error) { return k.client.PublicKey(options.WithContext(ctx)) })
	if err != nil {
		return nil, k.because("did not show its public key", 2*cfg.Timeout, err)
	}
	if k.pub, err = p256(pub); err != nil {
		return nil, fmt.Errorf("%s: %w", uri, err)
	}
	var probe [sha256.Size]byte
	rand.Read(probe[:])
	if _, err := k.ask(ctx, probe); err != nil {
		return nil, k.because("does not sign", 2*cfg.Timeout, err)
	}
	return k, nil
}

func p256(pub crypto.PublicKey) (*ecdsa.PublicKey, error) {
	key, ok := pub.(*ecdsa.PublicKey)
	switch {
	case !ok:
		return nil, fmt.Errorf("it is a %T; this key must be ECDSA on P-256", pub)
	case key.Curve != elliptic.P256():
		return nil, fmt.Errorf("its curve is %s; this key must be on P-256", key.Params().Name)
	}
	return key, nil
}

// Public is the public key that the service showed when the key was opened.
func (k *Key) Public() *ecdsa.PublicKey { return k.pub }
