package kmstest

import (
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"strings"
)

// Vault is the transit engine of a Vault server, below /v1/transit/.
type Vault struct {
	service
	token string
}

// NewVault is a Vault without keys, for those who have a token.
func NewVault(token string) *Vault { return &Vault{token: token} }

type object = map[string]any

// ServeHTTP implements http.Handler.
func (v *Vault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if v.met(w, r) {
		return
	}
	if r.Header.Get("X-Vault-Token") != v.token {
		vaultError(w, http.StatusForbidden, "permission denied")
		return
	}
	path := strings.Split(strings.TrimPrefix(r.URL.Path, "/v1/transit/"), "/")
	switch {
	case r.Method == http.MethodGet && len(path) == 2 && path[0] == "keys":
		v.show(w, path[1])
	case (r.Method == http.MethodPut || r.Method == http.MethodPost) && len(path) == 3 && path[0] == "sign" && path[2] == "sha2-256":
		v.signFor(w, r, path[1])
	default:
		vaultError(w, http.StatusNotFound, "unsupported path")
	}
}

func vaultError(w http.ResponseWriter, status int, text string) {
	answer(w, status, "application/json", object{"errors": []string{text}})
}

func (v *Vault) show(w http.ResponseWriter, name string) {
	key, spki := v.key(name)
	if key == nil {
		vaultError(w, http.StatusNotFound, "no such key")
		return
	}
	kind := "rsa-2048"
	if ec, ok := key.Public().(*ecdsa.PublicKey); ok {
		kind = ec.Params().Name
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}))
	version := object{"name": kind, "public_key": text, "creation_time": "2026-01-02T03:04:05Z"}
	answer(w, http.StatusOK, "application/json", object{"data": object{"name": name, "latest_version": 1, "keys": object{"1": version}}})
}

func (v *Vault) signFor(w http.ResponseWriter, r *http.Request, name string) {
	var ask struct {
		Input     []byte `json:"input"`
		Prehashed bool   `json:"prehashed"`
	}
	key, _ := v.key(name)
	if err := json.NewDecoder(r.Body).Decode(&ask); err != nil || !ask.Prehashed || key == nil {
		vaultError(w, http.StatusBadRequest, "no such key, or not a digest")
		return
	}
	sig, err := v.sign(key, ask.Input)
	if err != nil {
		vaultError(w, http.StatusBadRequest, err.Error())
		return
	}
	answer(w, http.StatusOK, "application/json", object{"data": object{"signature": "vault:v1:" + base64.StdEncoding.EncodeToString(sig)}})
}
