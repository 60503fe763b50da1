package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"indelible/keys/kms/kmstest"
)

const vaultKey = "hashivault://rekor-v1"

// newVault runs a stand-in for Vault that has a P-256 key called rekor-v1.
func newVault(t *testing.T) (*kmstest.Vault, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	vault := kmstest.NewVault("s.token-of-the-log")
	vault.Set("rekor-v1", key)
	server := httptest.NewServer(vault)
	t.Cleanup(server.Close)
	t.Setenv("VAULT_ADDR", server.URL)
	t.Setenv("VAULT_TOKEN", "s.token-of-the-log")
	return vault, key
}

// v1Entry is a hashedrekord, as Rekor v1's clients propose it.
func v1Entry(t *testing.T, content string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(content))
	sig, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	type object = map[string]any
	body, err := json.Marshal(object{"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": object{
		"signature": object{"content": sig, "publicKey": object{"content": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})}},
		"data":      object{"hash": object{"algorithm": "sha256", "value": hex.EncodeToString(digest[:])}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// checkSET verifies the one entry of an answer, and returns its log id.
func checkSET(t *testing.T, key *ecdsa.PrivateKey, answer string) string {
	t.Helper()
	var entries map[string]struct {
		Body           string `json:"body"`
		IntegratedTime int64  `json:"integratedTime"`
		LogID          string `json:"logID"`
		LogIndex       int64  `json:"logIndex"`
		Verification   struct {
			SignedEntryTimestamp []byte `json:"signedEntryTimestamp"`
		} `json:"verification"`
	}
	if err := json.Unmarshal([]byte(answer), &entries); err != nil || len(entries) != 1 {
		t.Fatalf("%v: %s", err, answer)
	}
	for _, e := range entries {
		payload, err := json.Marshal(map[string]any{"body": e.Body, "integratedTime": e.IntegratedTime, "logID": e.LogID, "logIndex": e.LogIndex})
		if err != nil {
			t.Fatal(err)
		}
		if digest := sha256.Sum256(payload); !ecdsa.VerifyASN1(&key.PublicKey, digest[:], e.Verification.SignedEntryTimestamp) {
			t.Errorf("the SET does not verify: %s", answer)
		}
		return e.LogID
	}
	return ""
}

// TestKeyInVault: made, run, and run again with a key that stays in Vault.
func TestKeyInVault(t *testing.T) {
	vault, key := newVault(t)
	dir := t.TempDir()
	out, err := initLog(t, dir, "--rekor-v1-key", vaultKey)
	spki, _ := x509.MarshalPKIXPublicKey(key.Public())
	sum := sha256.Sum256(spki)
	id := hex.EncodeToString(sum[:])
	if err != nil || !strings.Contains(out, "v1 key    "+vaultKey+" (log id "+id+")") {
		t.Fatalf("%v: %s", err, out)
	}
	for _, content := range []string{"a", "b"} { // a restart in between
		s := start(t, dir, "--rekor-v1-key", vaultKey)
		status, answer := s.ask(t, "POST", "/api/v1/log/entries", v1Entry(t, content))
		if status != 201 || checkSET(t, key, answer) != id {
			t.Errorf("%d, and the log id was %s: %s", status, id, answer)
		}
		if _, answer := s.ask(t, "GET", "/api/v1/log/entries?logIndex=0", nil); checkSET(t, key, answer) != id {
			t.Errorf("another log id: %s", answer)
		}
		if !strings.Contains(s.banner, vaultKey) {
			t.Errorf("the banner does not say which key:\n%s", s.banner)
		}
		s.stop()
		if printed := s.banner + s.log.String(); strings.Contains(printed, "s.token-of-the-log") {
			t.Errorf("the token is printed: %s", printed)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*v1*")); files != nil {
		t.Errorf("there are files %q", files)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	vault.Set("rekor-v1", other)
	_, err = initLog(t, dir, "--rekor-v1-key", vaultKey)
	refusedBy(t, err, vaultKey+" is not the key of log", "its log id is")
}

// becomesAnswer asks until the answer is this, which on a busy machine is not
// always the first: an add may be out of time before it comes to the key.
func (s *instance) becomesAnswer(t *testing.T, status int, says, path string, body []byte) (answer string) {
	t.Helper()
	got := 0
	poll(t, fmt.Sprintf("POST %s is answered with %d %s", path, status, says), func() bool {
		got, answer = s.ask(t, http.MethodPost, path, body)
		if got != status && got != http.StatusGatewayTimeout && got != http.StatusServiceUnavailable {
			t.Fatalf("%d %s", got, answer)
		}
		return got == status && strings.Contains(answer, says)
	})
	return answer
}

// TestVaultAway: what needs a new signature of Rekor v1 waits; the other APIs
// and what was signed before go on.
func TestVaultAway(t *testing.T) {
	vault, key := newVault(t)
	s := start(t, t.TempDir(), "--rekor-v1-key", vaultKey, "--add-timeout", "1s")
	s.becomesAnswer(t, 201, "", "/api/v1/log/entries", v1Entry(t, "before"))
	vault.Meet(func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, `{"errors":["Vault is sealed"]}`, http.StatusServiceUnavailable)
		return true
	})
	after := v1Entry(t, "after")
	if answer := s.becomesAnswer(t, 503, "cannot sign at present", "/api/v1/log/entries", after); strings.Contains(answer, "sealed") {
		t.Errorf("%s", answer)
	}
	native, _ := signed(t, "native")
	s.becomesAnswer(t, 201, "", "/api/v2/log/entries", native)
	if status, answer := s.ask(t, "GET", "/checkpoint", nil); status != 200 {
		t.Errorf("tiles: %d %s", status, answer)
	}
	poll(t, "the operator is told", func() bool {
		log := s.log.String()
		return strings.Contains(log, "does not sign") && strings.Contains(log, "Vault is sealed")
	})

	// The log itself takes entries, and so says that it is ready.
	if status, answer := s.asked(t, "/readyz"); status != http.StatusOK {
		t.Errorf("readiness: %d %s", status, answer)
	}

	gone := make(chan struct{})
	defer close(gone)
	vault.Meet(func(http.ResponseWriter, *http.Request) bool { <-gone; return true })
	s.becomesAnswer(t, 504, "did not sign in time", "/api/v1/log/entries", after)

	vault.Meet(nil)
	checkSET(t, key, s.becomesAnswer(t, 201, "", "/api/v1/log/entries", after))
}

func TestKeysInServicesThatAreRefused(t *testing.T) {
	vault, key := newVault(t)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	vault.Set("large", p384)
	password := filepath.Join(t.TempDir(), "password")
	for _, c := range []struct{ args, says []string }{
		{[]string{"--rekor-v1-key", "hashivault://large"}, []string{"its curve is P-384", "P-256"}},
		{[]string{"--rekor-v1-key", "hashivault://none"}, []string{"hashivault://none did not show its public key", "--rekor-v1=false"}},
		{[]string{"--rekor-v1-key", "awskms://a:secret@b/alias/x"}, []string{"--rekor-v1-key", "carries no credentials"}},
		{[]string{"--rekor-v1-key", "kms://x"}, []string{"a scheme that is not known here", "hashivault://"}},
		{[]string{"--rekor-v1-key", vaultKey, "--rekor-v1-key-password-file", password}, []string{"has no password"}},
		{[]string{"--log-key", vaultKey}, []string{"hashivault://", "give a file"}},
		{[]string{"--adopt-key", "--log-key", keyFile(t, key), "--rekor-v1-key", vaultKey}, []string{vaultKey + " is the log's own key"}},
	} {
		_, err := initLog(t, t.TempDir(), c.args...)
		refusedBy(t, err, c.says...)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var out printed
	err = run(ctx, []string{"config", "check", "--rekor-v1-key", vaultKey}, func(string) (string, bool) { return "", false }, &out, &out)
	if err != nil || !strings.Contains(out.String(), vaultKey) {
		t.Errorf("%v: %s", err, &out)
	}
}
