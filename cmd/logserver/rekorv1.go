package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"indelible/internal/config"
	"indelible/keys"
	"indelible/keys/kms"
	"indelible/server/rekorv1"
)

// rekorV1KeyFact is the name of what is recorded of the key of the Rekor v1
// API: its log id, by which clients trust it.
const rekorV1KeyFact = "rekor-v1-key"

// rekorV1Key opens the key of the Rekor v1 API, or makes it where there never
// was one. logger is told when a key management service fails.
func (o *opened) rekorV1Key(ctx context.Context, v config.Values, logger *slog.Logger) (rekorv1.Key, error) {
	path := pathsOf(v).rekorV1
	key, made, err := openRekorV1Key(ctx, v, path, logger)
	if err != nil {
		return nil, fmt.Errorf("--rekor-v1-key, the key of the Rekor v1 API: %w", err)
	}
	if err := o.apart(key, path); err != nil {
		return nil, err
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

// apart refuses the log's own key.
func (o *opened) apart(key rekorv1.Key, path string) error {
	if !key.Public().Equal(o.signer.Verifier().PublicKey()) {
		return nil
	}
	return fmt.Errorf("%s is the log's own key, and the Rekor v1 API needs another: clients tell the two by their keys; "+
		"give another with --rekor-v1-key, a file, which is made if it is not there, or the URI of a key in a key management service", path)
}

// openRekorV1Key opens a key in a file or in a key management service. Only in a
// file it may be made.
func openRekorV1Key(ctx context.Context, v config.Values, place string, logger *slog.Logger) (key rekorv1.Key, made bool, err error) {
	if !kms.Is(place) {
		return loadRekorV1Key(v, place)
	}
	key, err = kms.Open(ctx, place, kms.Config{Events: kms.Events{
		Failing: func(err error) {
			logger.Error("the key of the Rekor v1 API does not sign: what was signed before is answered over Rekor v1, and the other APIs go on", "error", err)
		},
		Working: func() { logger.Info("the key of the Rekor v1 API signs again") },
	}})
	if err != nil {
		err = fmt.Errorf("%w; --rekor-v1=false runs the log without the API", err)
	}
	return key, false, err
}

// describeRekorV1Key opens the key, and says where it is and which it is.
func (o *opened) describeRekorV1Key(ctx context.Context, v config.Values, logger *slog.Logger) (string, error) {
	key, err := o.rekorV1Key(ctx, v, logger)
	if err != nil {
		return "", err
	}
	id, err := rekorV1LogID(key)
	return fmt.Sprintf("%s (log id %s)", pathsOf(v).rekorV1, id), err
}

// checkRekorV1Key finds what is wrong with the settings of the key, without
// asking anybody.
func checkRekorV1Key(v config.Values) error {
	place := v.Text("rekor-v1-key")
	switch {
	case !kms.Is(place):
		return nil
	case v.Text("rekor-v1-key-password-file") != "":
		return errors.New("--rekor-v1-key names a key in a key management service, which has no password: leave --rekor-v1-key-password-file out")
	}
	if err := kms.Check(place); err != nil {
		return fmt.Errorf("--rekor-v1-key: %w", err)
	}
	return nil
}

func loadRekorV1Key(v config.Values, path string) (_ rekorv1.Key, made bool, err error) {
	pw, err := password(v, "rekor-v1-key-password-file")
	if err != nil {
		return nil, false, err
	}
	key, err := keys.LoadP256(path, pw)
	if errors.Is(err, os.ErrNotExist) {
		made = true
		if err = makeRekorV1Key(v, path, pw); err == nil {
			key, err = keys.LoadP256(path, pw)
		}
	}
	if err != nil {
		return nil, made, err
	}
	return rekorv1.LocalKey(key), made, nil
}

func makeRekorV1Key(v config.Values, path string, pw []byte) error {
	if v.Text("rekor-v1-key") == "" {
		if err := os.MkdirAll(v.Text("data-dir"), 0o700); err != nil {
			return fmt.Errorf("create the data directory: %w", err)
		}
	}
	_, err := keys.GenerateECDSA(path, pw)
	return err
}

// rekorV1LogID is what Rekor v1 calls a log by: the SHA-256 of its key, in hex.
func rekorV1LogID(key rekorv1.Key) (string, error) {
	id, err := rekorv1.LogID(key.Public())
	return hex.EncodeToString(id[:]), err
}
