package main

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"indelible/checkpoint"
	"indelible/internal/config"
	"indelible/keys"
)

// mldsaKeyFact is the name of what is recorded of the log's ML-DSA-44 key: its
// vkey.
const mldsaKeyFact = "mldsa-key"

// mldsaKey opens the log's ML-DSA-44 key, if the log is to sign with one, or
// makes it where there never was one.
func (o *opened) mldsaKey(ctx context.Context, v config.Values) error {
	path := v.Text("mldsa-key")
	if path == "" {
		return nil
	}
	key, made, err := loadMLDSA(path, o.mldsaVkey() == "")
	if err != nil {
		return o.noMLDSA(path, err)
	}
	cosigner, err := mldsaCosigner(o.record.Origin, key)
	if err != nil {
		return fmt.Errorf("--mldsa-key %s: %w", path, err)
	}
	vkey := cosigner.Verifier().String()
	if err := o.recordMLDSA(ctx, path, vkey, made); err != nil {
		return err
	}
	o.mldsa = cosigner
	return nil
}

// mldsaCosigner signs with a key, which must be of the type.
func mldsaCosigner(origin string, key crypto.Signer) (*checkpoint.Cosigner, error) {
	cosigner, err := checkpoint.NewCosigner(origin, key)
	if err == nil && cosigner.Verifier().Algorithm() != checkpoint.CosignatureV1MLDSA44 {
		err = errors.New("it holds a key of another type; one of type ML-DSA-44 is made if the file is not there")
	}
	return cosigner, err
}

// loadMLDSA loads the key, or makes it if it may.
func loadMLDSA(path string, create bool) (key crypto.Signer, made bool, err error) {
	key, err = keys.Load(path, nil)
	if errors.Is(err, os.ErrNotExist) && create {
		key, err = keys.GenerateMLDSA44(path)
		made = err == nil
	}
	return key, made, err
}

func (o *opened) noMLDSA(path string, err error) error {
	if errors.Is(err, os.ErrNotExist) && o.mldsaVkey() != "" {
		return fmt.Errorf("log %q has the ML-DSA-44 key %s, and %s does not exist: put the key back; a new one is not made, since clients trust that one",
			o.record.Origin, brief(o.mldsaVkey()), path)
	}
	return fmt.Errorf("--mldsa-key %s: %w", path, err)
}

// recordMLDSA puts the key among the log's. Of two replicas that made one each,
// the first wins.
func (o *opened) recordMLDSA(ctx context.Context, path, vkey string, made bool) error {
	stands, err := o.store.SetOnce(ctx, o.record.ID, mldsaKeyFact, vkey)
	if err != nil { // perhaps it was recorded: the key stays
		return fmt.Errorf("record the ML-DSA-44 key: %w", err)
	}
	if stands != vkey {
		err := fmt.Errorf("%s is not the ML-DSA-44 key of log %q: its vkey begins %s, and that of the log's %s; every replica signs with the log's one key: give it with --mldsa-key",
			path, o.record.Origin, brief(vkey), brief(stands))
		if made { // nobody has used it, and it would be taken for the log's
			err = errors.Join(err, os.Remove(path))
		}
		return err
	}
	if err := o.store.AddKey(ctx, o.record.ID, vkey); err != nil {
		return fmt.Errorf("add the ML-DSA-44 key to the log's: %w", err)
	}
	if !slices.Contains(o.record.Keys, vkey) {
		o.record.Keys = append(o.record.Keys, vkey)
	}
	return nil
}

// mldsaVkey is the log's ML-DSA-44 key; empty if it has none.
func (o *opened) mldsaVkey() string {
	for _, vkey := range o.record.Keys {
		if k, err := checkpoint.ParseVerifier(vkey); err == nil && k.IsCosigner() {
			return vkey
		}
	}
	return ""
}

// brief is a vkey as far as it fits on a line: name, key id, and where its
// 1,700 characters of ML-DSA-44 begin.
func brief(vkey string) string {
	const most = 100
	if len(vkey) <= most {
		return vkey
	}
	return vkey[:strings.IndexByte(vkey, '+')+9] + "… (all of it is in /log.vkey)"
}
