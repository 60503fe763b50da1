package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"indelible/checkpoint"
	"indelible/internal/filename"
	"indelible/keys"
)

type keygenOptions struct {
	algorithm, origin, passwordFile string
	encrypt                         bool
}

func (p *program) keygenCommand() *cobra.Command {
	var o keygenOptions
	cmd := &cobra.Command{
		Use: "keygen FILE", Short: "Make a key: to sign entries with, or for a log", Args: args(cobra.ExactArgs(1)),
		Long: "Make a private key in FILE (PKCS#8, readable to you only) and print its public\n" +
			"key. With --origin it is a log's key, and its vkey is printed as well.\n\n" +
			"--encrypt encrypts it; logcli asks for the password twice on the terminal, and\n" +
			"its public key goes to FILE.pub. Nothing opens the key without the password.",
		RunE: func(cmd *cobra.Command, a []string) error { return p.keygen(cmd.Context(), a[0], o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.algorithm, "algorithm", "", "`ecdsa|ed25519`: ECDSA on P-256, which signs entries, or Ed25519, which is for logs (default: ecdsa; with --origin ed25519)")
	f.StringVar(&o.origin, "origin", "", "the log's `NAME`")
	f.BoolVar(&o.encrypt, "encrypt", false, "encrypt the key with a password")
	f.StringVar(&o.passwordFile, "password-file", "", "`FILE` with that password, instead of asking (it implies --encrypt)")
	return cmd
}

func (p *program) keygen(ctx context.Context, file string, o keygenOptions) error {
	if err := filename.Check(file); err != nil {
		return usage(err)
	}
	if o.algorithm == "" {
		o.algorithm = "ecdsa"
		if o.origin != "" {
			o.algorithm = "ed25519"
		}
	}
	if o.origin != "" {
		if err := checkpoint.ValidateOrigin(o.origin); err != nil {
			return usagef("--origin: %w", err)
		}
	}
	make := map[string]func(string, []byte) (crypto.Signer, error){"ecdsa": keys.GenerateECDSA, "ed25519": keys.GenerateEd25519}[o.algorithm]
	if make == nil {
		return usagef("--algorithm %q: it is ecdsa or ed25519", o.algorithm)
	}
	if !o.encrypt && o.passwordFile == "" {
		key, err := make(file, nil)
		if err != nil {
			return err
		}
		return p.printKey(file, key.Public(), o.origin)
	}
	key, err := p.makeEncrypted(ctx, file, o.passwordFile, make)
	if err != nil {
		return err
	}
	return p.printKey(file, key.Public(), o.origin)
}

// makeEncrypted makes a key with a password, and puts its public key beside it.
// It asks for nothing before it is known that neither is there.
func (p *program) makeEncrypted(ctx context.Context, file, passwordFile string, make func(string, []byte) (crypto.Signer, error)) (crypto.Signer, error) {
	for _, f := range []string{file, publicOf(file)} {
		if _, err := os.Lstat(f); !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("new key file: %s exists, and keys are never overwritten: give another name", f)
		}
	}
	password, err := p.newPassword(ctx, file, passwordFile)
	if err != nil {
		return nil, err
	}
	key, err := make(file, password)
	if err != nil {
		return nil, err
	}
	return key, writePublic(file, key.Public())
}

func pemOfPublic(pub crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}

func (p *program) printKey(file string, pub crypto.PublicKey, origin string) error {
	text, err := pemOfPublic(pub)
	if err != nil {
		return err
	}
	fp, err := keys.Fingerprint(pub)
	if err != nil {
		return err
	}
	vkey := ""
	if origin != "" {
		v, err := checkpoint.NewVerifier(origin, pub)
		if err != nil {
			return err
		}
		vkey = v.String()
	}
	out := map[string]string{"file": file, "publicKey": text, "fingerprint": fp, "vkey": vkey}
	shown := fmt.Sprintf("%s\nfingerprint  %s\n", text, fp)
	if vkey != "" {
		shown += fmt.Sprintf("vkey         %s\n", vkey)
	}
	return p.print(out, "%s", shown)
}
