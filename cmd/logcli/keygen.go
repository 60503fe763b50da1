package main

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"github.com/spf13/cobra"

	"indelible/checkpoint"
	"indelible/keys"
)

func (p *program) keygenCommand() *cobra.Command {
	var algorithm, origin string
	cmd := &cobra.Command{
		Use: "keygen FILE", Short: "Make a key: to sign entries with, or for a log", Args: args(cobra.ExactArgs(1)),
		Long: "Make a private key in FILE (PKCS#8, readable to you only) and print its public key.\n" +
			"With --origin it is a log's key, and its vkey is printed as well.",
		RunE: func(_ *cobra.Command, a []string) error { return p.keygen(a[0], algorithm, origin) },
	}
	cmd.Flags().StringVar(&algorithm, "algorithm", "", "ecdsa (P-256; signs entries, the default) or ed25519 (a log's key, the default with --origin)")
	cmd.Flags().StringVar(&origin, "origin", "", "the log's name")
	return cmd
}

func (p *program) keygen(file, algorithm, origin string) error {
	if algorithm == "" {
		algorithm = "ecdsa"
		if origin != "" {
			algorithm = "ed25519"
		}
	}
	if origin != "" {
		if err := checkpoint.ValidateOrigin(origin); err != nil {
			return usagef("--origin: %w", err)
		}
	}
	make := map[string]func(string, []byte) (crypto.Signer, error){"ecdsa": keys.GenerateECDSA, "ed25519": keys.GenerateEd25519}[algorithm]
	if make == nil {
		return usagef("--algorithm %q: it is ecdsa or ed25519", algorithm)
	}
	key, err := make(file, nil)
	if err != nil {
		return err
	}
	return p.printKey(file, key.Public(), origin)
}

func (p *program) printKey(file string, pub crypto.PublicKey, origin string) error {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return err
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
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
