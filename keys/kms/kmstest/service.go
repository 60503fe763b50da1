// Package kmstest has stand-ins for key management services, which the real
// clients talk to: as much of Vault's transit engine, which OpenBao has too, and
// of AWS KMS as signing takes. They sign with real keys, and fail as asked.
//
//	vault := kmstest.NewVault("a token")
//	vault.Set("rekor-v1", key)
//	server := httptest.NewServer(vault) // VAULT_ADDR is its URL
package kmstest

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"sync"
)

// service is what the stand-ins have in common.
type service struct {
	mu     sync.Mutex
	keys   map[string]crypto.Signer
	meet   func(http.ResponseWriter, *http.Request) bool
	signed int
}

// Set gives a name a key, in place of the one that it had.
func (s *service) Set(name string, key crypto.Signer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		s.keys = map[string]crypto.Signer{}
	}
	s.keys[name] = key
}

// Meet has each request met by f first, which says whether it answered. nil is
// nobody.
func (s *service) Meet(f func(http.ResponseWriter, *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meet = f
}

// Signed is how many signatures were made.
func (s *service) Signed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.signed
}

func (s *service) met(w http.ResponseWriter, r *http.Request) bool {
	s.mu.Lock()
	meet := s.meet
	s.mu.Unlock()
	return meet != nil && meet(w, r)
}

// key returns a key and its SubjectPublicKeyInfo.
func (s *service) key(name string) (crypto.Signer, []byte) {
	s.mu.Lock()
	key := s.keys[name]
	s.mu.Unlock()
	if key == nil {
		return nil, nil
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, nil
	}
	return key, spki
}

func (s *service) sign(key crypto.Signer, digest []byte) ([]byte, error) {
	s.mu.Lock()
	s.signed++
	s.mu.Unlock()
	return key.Sign(rand.Reader, digest, crypto.SHA256)
}

func answer(w http.ResponseWriter, status int, contentType string, body any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}
