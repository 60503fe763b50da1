package kms_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"indelible/keys/kms"
	"indelible/keys/kms/kmstest"
)

func ecKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// standIn is a service with one key, called rekor-v1.
type standIn struct {
	uri  string
	key  *ecdsa.PrivateKey
	set  func(key crypto.Signer)
	meet func(func(http.ResponseWriter, *http.Request) bool)
	deny func(http.ResponseWriter, *http.Request) bool // answers that it may not be
}

const vaultToken = "s.a-token-of-vault"

func vault(t *testing.T) standIn {
	v := kmstest.NewVault(vaultToken)
	server := httptest.NewServer(v)
	t.Cleanup(server.Close)
	t.Setenv("VAULT_ADDR", server.URL)
	t.Setenv("VAULT_TOKEN", vaultToken)
	s := standIn{uri: "hashivault://rekor-v1", key: ecKey(t, elliptic.P256()), meet: v.Meet}
	s.set = func(key crypto.Signer) { v.Set("rekor-v1", key) }
	s.deny = func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, `{"errors":["permission denied"]}`, http.StatusForbidden)
		return true
	}
	s.set(s.key)
	return s
}

const awsSecret = "a-secret-access-key-of-aws"

func aws(t *testing.T) standIn {
	a := kmstest.NewAWS("AKIDEXAMPLE")
	server := httptest.NewTLSServer(a)
	t.Cleanup(server.Close)
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(bundle, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": awsSecret, "AWS_REGION": "eu-central-1", "AWS_CA_BUNDLE": bundle,
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_MAX_ATTEMPTS": "1",
	} {
		t.Setenv(name, value)
	}
	s := standIn{uri: "awskms://" + server.Listener.Addr().String() + "/alias/rekor-v1", key: ecKey(t, elliptic.P256()), meet: a.Meet}
	s.set = func(key crypto.Signer) { a.Set("alias/rekor-v1", key) }
	s.deny = func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(http.StatusBadRequest)
		w.Write([]byte(`{"__type":"AccessDeniedException","message":"User is not authorized to perform kms:Sign"}`))
		return true
	}
	s.set(s.key)
	return s
}

func services() map[string]func(*testing.T) standIn {
	return map[string]func(*testing.T) standIn{"vault": vault, "aws": aws}
}

// each runs a test with each service that has a stand-in.
func each(t *testing.T, test func(t *testing.T, s standIn)) {
	for name, newService := range services() {
		t.Run(name, func(t *testing.T) { test(t, newService(t)) })
	}
}

func open(t *testing.T, s standIn, cfg kms.Config) *kms.Key {
	t.Helper()
	key, err := kms.Open(t.Context(), s.uri, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var digest = sha256.Sum256([]byte("a message"))

// refused wants an error that says all of these, and no secret.
func refused(t *testing.T, err error, says ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; it should say %q", says)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%v\ndoes not say %q", err, s)
		}
	}
	for _, secret := range []string{vaultToken, awsSecret, "pa55word"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("it tells a secret: %v", err)
		}
	}
}

func TestSigns(t *testing.T) {
	each(t, func(t *testing.T, s standIn) {
		key := open(t, s, kms.Config{})
		if !key.Public().Equal(&s.key.PublicKey) {
			t.Error("another public key")
		}
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				digest := sha256.Sum256([]byte{byte(i)})
				if sig, err := key.Sign(t.Context(), digest); err != nil || !ecdsa.VerifyASN1(&s.key.PublicKey, digest[:], sig) {
					t.Errorf("%x, %v", sig, err)
				}
			})
		}
		all.Wait()
	})
}

func TestKeysOfAnotherType(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, s standIn) {
		for says, key := range map[string]crypto.Signer{
			"its curve is P-384; this key must be on P-256":           ecKey(t, elliptic.P384()),
			"it is a *rsa.PublicKey; this key must be ECDSA on P-256": rsaKey,
			"it is a ed25519.PublicKey; this key must be ECDSA":       ed,
		} {
			s.set(key)
			_, err := kms.Open(t.Context(), s.uri, kms.Config{})
			refused(t, err, s.uri, says)
		}
	})
}

// TestMayNot: who may look at a key may not yet sign with it.
func TestMayNot(t *testing.T) {
	each(t, func(t *testing.T, s standIn) {
		s.meet(s.deny)
		_, err := kms.Open(t.Context(), s.uri, kms.Config{})
		refused(t, err, s.uri+" did not show its public key")
		s.meet(func(w http.ResponseWriter, r *http.Request) bool { return isSign(r) && s.deny(w, r) })
		_, err = kms.Open(t.Context(), s.uri, kms.Config{})
		refused(t, err, s.uri+" does not sign")
	})
}

func isSign(r *http.Request) bool {
	return strings.Contains(r.URL.Path, "/sign/") || strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".Sign")
}

// TestForged: a signature by another key, as after a rotation, is not given
// away; nor is one of a service that gives another key's to begin with.
func TestForged(t *testing.T) {
	each(t, func(t *testing.T, s standIn) {
		var events told
		key := open(t, s, kms.Config{Events: events.events()})
		s.set(ecKey(t, elliptic.P256()))
		sig, err := key.Sign(t.Context(), digest)
		refused(t, err, "does not verify", "rotated")
		if sig != nil || events.failing.Load() != 1 {
			t.Errorf("%x; told %d times", sig, events.failing.Load())
		}
		s.set(s.key)
		if _, err := key.Sign(t.Context(), digest); err != nil || events.working.Load() != 1 {
			t.Errorf("%v; told %d times", err, events.working.Load())
		}
	})
}

type told struct{ failing, working atomic.Int64 }

func (e *told) events() kms.Events {
	return kms.Events{Failing: func(error) { e.failing.Add(1) }, Working: func() { e.working.Add(1) }}
}

// hang answers nothing until it is let go.
func hang(s standIn) (letGo func()) {
	gone := make(chan struct{})
	s.meet(func(http.ResponseWriter, *http.Request) bool { <-gone; return true })
	return sync.OnceFunc(func() { s.meet(nil); close(gone) })
}

// TestSlow: there is an answer in time, as often as asked, and when the service
// is back the key signs.
func TestSlow(t *testing.T) {
	each(t, func(t *testing.T, s standIn) {
		key, events := openQuick(t, s, 300*time.Millisecond, 2)
		letGo := hang(s)
		defer letGo()
		for range 3 {
			begin := time.Now()
			_, err := key.Sign(t.Context(), digest)
			refused(t, err, "there was no answer in time")
			if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took > time.Minute {
				t.Errorf("%v after %s", err, took)
			}
		}
		if n := events.failing.Load(); n != 1 {
			t.Errorf("told %d times of three failures", n)
		}
		letGo()
		comesBack(t, key)
	})
}

// openQuick opens a key with little time for an answer, as soon as the service
// is that quick.
func openQuick(t *testing.T, s standIn, timeout time.Duration, inFlight int) (*kms.Key, *told) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; {
		events := new(told)
		key, err := kms.Open(t.Context(), s.uri, kms.Config{Timeout: timeout, InFlight: inFlight, Events: events.events()})
		if err == nil {
			return key, events
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// comesBack signs again and again until it is done.
func comesBack(t *testing.T, key *kms.Key) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; {
		_, err := key.Sign(t.Context(), digest)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// TestNeverAnswered: of requests that a client cannot take back there are only
// so many.
func TestNeverAnswered(t *testing.T) {
	s := vault(t)
	key, _ := openQuick(t, s, 50*time.Millisecond, 1)
	letGo := hang(s)
	defer letGo()
	var err error
	for range 20 {
		_, err = key.Sign(t.Context(), digest)
	}
	refused(t, err, "9 requests were never answered")
	letGo()
	comesBack(t, key)
}

// TestTurns: at most so many requests at a time, and so many callers who wait.
func TestTurns(t *testing.T) {
	s := vault(t)
	key := open(t, s, kms.Config{Timeout: 60 * time.Second, InFlight: 2, Waiting: 3})
	var now, most atomic.Int64
	gone, arrived := make(chan struct{}), make(chan struct{}, 100)
	s.meet(func(_ http.ResponseWriter, r *http.Request) bool {
		if isSign(r) {
			for n, m := now.Add(1), most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			arrived <- struct{}{}
			<-gone
			now.Add(-1)
		}
		return false
	})
	errs := make(chan error)
	for range 8 {
		go func() {
			_, err := key.Sign(t.Context(), digest)
			errs <- err
		}()
	}
	<-arrived
	<-arrived
	for range 3 { // two are in flight and three wait
		refused(t, <-errs, "3 signatures wait for their turn already")
	}
	close(gone)
	for range 5 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if most.Load() != 2 {
		t.Errorf("%d at a time", most.Load())
	}
}

// TestCallerGone: the caller's end is no failure of the service.
func TestCallerGone(t *testing.T) {
	s := vault(t)
	var events told
	key := open(t, s, kms.Config{Events: events.events()})
	defer hang(s)()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := key.Sign(ctx, digest); !errors.Is(err, context.Canceled) || events.failing.Load() != 0 {
		t.Errorf("%v, told %d times", err, events.failing.Load())
	}
}

// TestAwayAtTheStart: nobody listens, or nobody answers.
func TestAwayAtTheStart(t *testing.T) {
	each(t, func(t *testing.T, s standIn) {
		letGo := hang(s)
		defer letGo()
		begin := time.Now()
		_, err := kms.Open(t.Context(), s.uri, kms.Config{Timeout: 150 * time.Millisecond})
		refused(t, err, s.uri, "did not show its public key: there was no answer in time (300ms)")
		if took := time.Since(begin); took > time.Minute {
			t.Errorf("it took %s", took)
		}
		letGo()
		open(t, s, kms.Config{})
	})
	t.Setenv("VAULT_ADDR", "http://root:pa55word@127.0.0.1:1")
	t.Setenv("VAULT_TOKEN", vaultToken)
	_, err := kms.Open(t.Context(), "hashivault://rekor-v1", kms.Config{})
	refused(t, err, "hashivault://rekor-v1 did not show its public key", "connection refused")
}

// TestAddressesWithPasswords: an address that cannot be used is not told with its
// password, however it is written.
func TestAddressesWithPasswords(t *testing.T) {
	t.Setenv("VAULT_TOKEN", vaultToken)
	for _, address := range []string{
		"http://root:pa55word@127.0.0.1:1", "root:pa55word@127.0.0.1:8200", "http://root:x/pa55word@127.0.0.1:1", "http://root:pa55word%@127.0.0.1:1",
		"http://root:@pa55word@127.0.0.1:1", "http://pa55word@127.0.0.1:1", "https://root:pa55word@no such host/", "http://root:pa55word@127.0.0.1:1/a?b=@",
	} {
		t.Setenv("VAULT_ADDR", address)
		_, err := kms.Open(t.Context(), "hashivault://rekor-v1", kms.Config{Timeout: time.Second})
		refused(t, err, "hashivault://rekor-v1")
		t.Log(err)
	}
}

// TestTokenThatEnded: another in ~/.vault-token is taken without a restart.
func TestTokenThatEnded(t *testing.T) {
	s := vault(t)
	home := t.TempDir()
	token := filepath.Join(home, ".vault-token")
	t.Setenv("HOME", home)
	t.Setenv("VAULT_TOKEN", "")
	if err := os.WriteFile(token, []byte(vaultToken), 0o600); err != nil {
		t.Fatal(err)
	}
	key := open(t, s, kms.Config{})
	s.meet(func(w http.ResponseWriter, r *http.Request) bool {
		return r.Header.Get("X-Vault-Token") != "s.the-next" && s.deny(w, r)
	})
	_, err := key.Sign(t.Context(), digest)
	refused(t, err, "permission denied")
	if err := os.WriteFile(token, []byte("s.the-next"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.meet(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("X-Vault-Token") != "s.the-next" {
			return s.deny(w, r)
		}
		r.Header.Set("X-Vault-Token", vaultToken)
		return false
	})
	comesBack(t, key)
}

func TestURIsThatAreRefused(t *testing.T) {
	for uri, says := range map[string]string{
		"awskms://key:pa55word@host/alias/x":   "a key's URI carries no credentials",
		"hashivault://x?token=pa55word":        "a key's URI carries no credentials",
		"hashivault://a/b":                     "hashivault://<key>",
		"hashivault://a b":                     "white space",
		"awskms://alias":                       "awskms://[ENDPOINT]/[ID/ALIAS/ARN]",
		"gcpkms://projects/p":                  "gcpkms://projects/[PROJECT_ID]",
		"azurekms://vault":                     "azurekms://[VAULT_NAME]",
		"pkcs11://token":                       "there is no such key management service; there are awskms://, azurekms://, gcpkms://, hashivault:// and openbao://",
		"://":                                  "no such key management service",
		"https://user:pa55word@vault/v1/thing": "a key's URI carries no credentials",
	} {
		refused(t, kms.Check(uri), says)
		_, err := kms.Open(t.Context(), uri, kms.Config{})
		refused(t, err, says)
	}
	for _, uri := range []string{
		"awskms:///alias/rekor-v1", "awskms://localhost:4566/alias/rekor-v1", "awskms:///1234abcd-12ab-34cd-56ef-1234567890ab",
		"awskms:///arn:aws:kms:us-east-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
		"azurekms://vault-name.vault.azure.net/rekor-v1", "azurekms://vault-name.vault.azure.net/rekor-v1/0123abcd",
		"gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1", "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k",
		"hashivault://rekor-v1", "openbao://rekor-v1",
	} {
		if err := kms.Check(uri); err != nil {
			t.Error(err)
		}
	}
	if _, err := kms.Open(t.Context(), "hashivault://x", kms.Config{InFlight: -1}); err == nil {
		t.Error("a negative limit is taken")
	}
}

// TestNonsense: answers of no shape at all are errors, and end nothing.
func TestNonsense(t *testing.T) {
	each(t, func(t *testing.T, s standIn) {
		for _, body := range []string{"", "{}", "null", `{"data":null}`, `{"data":{}}`, `{"KeyMetadata":{},"PublicKey":"AA==","Signature":""}`, "<html>"} {
			key := open(t, s, kms.Config{})
			s.meet(func(w http.ResponseWriter, _ *http.Request) bool { w.Write([]byte(body)); return true })
			if _, err := key.Sign(t.Context(), digest); err == nil {
				t.Errorf("%q is a signature", body)
			}
			if _, err := kms.Open(t.Context(), s.uri, kms.Config{}); err == nil {
				t.Errorf("%q is a key", body)
			}
			s.meet(nil)
		}
	})
}
