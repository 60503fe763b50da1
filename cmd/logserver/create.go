package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"indelible/checkpoint"
	"indelible/guard"
	"indelible/guard/registers"
	"indelible/internal/config"
	"indelible/internal/durable"
	"indelible/keys"
)

// newKey loads the log's key, or makes it under another name, which link changes
// to its own: a key by its own name belongs to a log, or to a register at least.
func (o *opened) newKey(v config.Values, p paths, origin string) (link func() error, err error) {
	link = func() error { return nil }
	var key crypto.Signer
	if _, stat := os.Stat(p.key); stat == nil {
		key, err = loadKey(v, p)
	} else {
		// A name of this process's own: another that makes the log at the same time
		// would replace the key of a fixed one, and this would link what it never had.
		unused := p.key + ".new." + rand.Text()
		key, err = o.generate(v, unused)
		link = func() error {
			if err := o.rename(unused, p.key); err != nil {
				return err
			}
			return o.writeVkey(p.key + ".vkey")
		}
	}
	if err == nil {
		o.signer, err = checkpoint.NewSigner(origin, key)
	}
	return link, err
}

// generate makes a key in a new file.
func (o *opened) generate(v config.Values, path string) (crypto.Signer, error) {
	pw, err := password(v, "log-key-password-file")
	if err != nil {
		return nil, err
	}
	key, err := keys.GenerateEd25519(path, pw)
	if err == nil {
		o.undo = append(o.undo, func() error {
			if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
				return err
			}
			return nil // it has its own name by now
		})
	}
	return key, err
}

// rename gives a new key its own name, which no other file has.
func (o *opened) rename(from, to string) error {
	if err := os.Link(from, to); err != nil {
		return fmt.Errorf("new key file: %w", err)
	}
	o.removes(to)
	if err := os.Remove(from); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(to))
}

// writeVkey writes the vkey of a new key beside it, for the lists and policies of
// others. One that is there already is of a key that is gone.
func (o *opened) writeVkey(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("write the vkey of the new key: %w", err)
	}
	o.removes(path)
	_, err = fmt.Fprintln(f, o.signer.Verifier())
	return errors.Join(err, f.Close())
}

// moreKeys makes the keys of the Rekor v1 API and of ML-DSA-44 where they are
// asked for, or looks whether those that are there can be used.
func (o *opened) moreKeys(ctx context.Context, v config.Values, p paths, origin string) error {
	if v.Bool("rekor-v1") {
		key, made, err := openRekorV1Key(ctx, v, p.rekorV1, slog.New(slog.DiscardHandler))
		if made && err == nil {
			o.removes(p.rekorV1)
		}
		if err == nil {
			err = o.apart(key, p.rekorV1)
		}
		if err != nil {
			return fmt.Errorf("--rekor-v1-key, the key of the Rekor v1 API: %w", err)
		}
	}
	path := v.Text("mldsa-key")
	if path == "" {
		return nil
	}
	key, made, err := loadMLDSA(path, true)
	if made {
		o.removes(path)
	}
	if err == nil {
		_, err = mldsaCosigner(origin, key)
	}
	if err != nil {
		return fmt.Errorf("--mldsa-key %s: %w", path, err)
	}
	return nil
}

// newRegister makes the register of a new log.
func (o *opened) newRegister(ctx context.Context, p paths, origin string) (err error) {
	id := guard.NewID()
	if o.place != p.register {
		id = registerID(o.signer)
		o.place = p.newRegisterAt(id)
		if err := o.makeDir(filepath.Dir(o.place)); err != nil {
			return fmt.Errorf("create the folder of the register: %w; give another place with --register", err)
		}
	}
	if o.register, err = registers.Create(ctx, o.place, origin, id); err != nil {
		o.register = nil
		return err
	}
	place := o.place
	o.undo = append(o.undo, func() error { return registers.Remove(context.WithoutCancel(ctx), place, origin, id) })
	return nil
}
