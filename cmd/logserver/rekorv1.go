package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"indelible/internal/config"
	"indelible/keys"
)

// rekorV1KeyFact is the name of what is recorded of the key of the Rekor v1
// API: its log id, by which clients trust it.
const rekorV1KeyFact = "rekor-v1-key"

// rekorV1Key opens the key of the Rekor v1 API, or makes it where there never
// was one.
func (o *opened) rekorV1Key(ctx context.Context, v config.Values) (*ecdsa.PrivateKey, error) {
	path := pathsOf(v).rekorV1
	key, made, err := loadRekorV1Key(v, path)
	if err != nil {
		return nil, fmt.Errorf("the key of the Rekor v1 API: %w", err)
	}
	if key.PublicKey.Equal(o.signer.Verifier().PublicKey()) {
		return nil, fmt.Errorf("%s is the log's own key, and the Rekor v1 API needs another: clients tell the two by their keys; "+
			"give another file with --rekor-v1-key, which is made if it is not there", path)
	}
	id, err := rekorV1LogID(key)
	if err != nil {
		return nil, err
	}
	stands, err := o.store.SetOnce(ctx, o.record.ID, rekorV1KeyFact, id)
	switch {
	case err != nil: // perhaps it was recorded: the key stays
		return nil, fmt.Errorf("record the key of the Rekor v1 API: %w", err)
	case stands == id:
		return key, nil
	case made:
		err := fmt.Errorf("log %q has a key for the Rekor v1 API, by the log id %s, and %s does not exist: put the key back, or give its place with "+
			"--rekor-v1-key; a new one is not made, since clients trust that one (--rekor-v1=false does without the API)", o.record.Origin, stands, path)
		// Nobody has used it, and it would be taken for the log's.
		return nil, errors.Join(err, os.Remove(path))
	}
	return nil, fmt.Errorf("%s is not the key of log %q for the Rekor v1 API: its log id is %s, and the log's is %s; "+
		"every replica signs with the log's one key: give it with --rekor-v1-key", path, o.record.Origin, id, stands)
}

func loadRekorV1Key(v config.Values, path string) (key *ecdsa.PrivateKey, made bool, err error) {
	pw, err := password(v, "rekor-v1-key-password-file")
	if err != nil {
		return nil, false, err
	}
	key, err = keys.LoadP256(path, pw)
	if !errors.Is(err, os.ErrNotExist) {
		return key, false, err
	}
	if v.Text("rekor-v1-key") == "" {
		if err := os.MkdirAll(v.Text("data-dir"), 0o700); err != nil {
			return nil, false, fmt.Errorf("create the data directory: %w", err)
		}
	}
	if _, err := keys.GenerateECDSA(path, pw); err != nil {
		return nil, false, err
	}
	key, err = keys.LoadP256(path, pw)
	return key, true, err
}

// rekorV1LogID is what Rekor v1 calls a log by: the SHA-256 of its key, in hex.
func rekorV1LogID(key *ecdsa.PrivateKey) (string, error) {
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return "", fmt.Errorf("encode the key of the Rekor v1 API: %w", err)
	}
	sum := sha256.Sum256(spki)
	return hex.EncodeToString(sum[:]), nil
}
