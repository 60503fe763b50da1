//go:build unix

package main

import (
	"crypto"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"indelible/checkpoint"
	"indelible/internal/config"
	"indelible/keys"
)

func (p *program) keygenCommand() *cobra.Command {
	var name, out string
	var mldsa, ifMissing bool
	cmd := &cobra.Command{
		Use:   "keygen --name NAME",
		Short: "Make a key for a witness, and print its vkey",
		Long: "Make a key for a witness, and print its vkey, which says its name too: what logs and verifiers need.\n\n" +
			"The vkey is also written to FILE.vkey, where serve finds the name.\n\n" +
			"Everyone takes the vkey of an Ed25519 key, which Tessera and rekor-tiles need. That of an ML-DSA-44 key (--mldsa)\n" +
			"is for Indelible and others that take ML-DSA: Tessera and rekor-tiles refuse a policy that has it.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if ifMissing {
				if there, err := p.printVkey(name, out); there || err != nil {
					return err
				}
			}
			return p.keygen(name, out, mldsa)
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "the witness's name, best a domain of yours and a path, such as witness.example.com/w1")
	cmd.Flags().StringVar(&out, "out", defaultKey, "`FILE` of the key, which must not be there yet")
	cmd.Flags().BoolVar(&mldsa, "mldsa", false, "an ML-DSA-44 key, whose signatures a quantum computer cannot forge; otherwise Ed25519")
	cmd.Flags().BoolVar(&ifMissing, "if-missing", false, "if FILE is there and is the witness's key, print its vkey")
	cobra.CheckErr(cmd.MarkFlagRequired("name"))
	return cmd
}

// printVkey prints the vkey of a key that keygen made before, if it is there.
func (p *program) printVkey(name, path string) (there bool, err error) {
	written, err := writtenVerifier(path)
	if written == nil || err != nil {
		return false, err
	}
	c, err := loadCosigner(path, name)
	if err != nil {
		return true, err
	}
	_, err = fmt.Fprintln(p.stdout, c.Verifier())
	return true, err
}

func (p *program) keygen(name, out string, mldsa bool) error {
	if err := checkpoint.ValidateOrigin(name); err != nil {
		return fmt.Errorf("--name: %w", err)
	}
	if _, err := os.Stat(vkeyFile(out)); err == nil {
		return fmt.Errorf("%s is there already: a key was made before, and its vkey is not overwritten; name another file with --out", vkeyFile(out))
	}
	generate := func() (crypto.Signer, error) { return keys.GenerateEd25519(out, nil) }
	if mldsa {
		generate = func() (crypto.Signer, error) { return keys.GenerateMLDSA44(out) }
	}
	key, err := generate()
	if err != nil {
		return err
	}
	vkey, err := writeVkey(name, key, out)
	if err != nil {
		return errors.Join(err, os.Remove(out)) // without its vkey, the key is not used yet
	}
	_, err = fmt.Fprint(p.stdout, vkey)
	return err
}

// writeVkey writes a key's vkey beside the key.
func writeVkey(name string, key crypto.Signer, path string) (string, error) {
	cosigner, err := checkpoint.NewCosigner(name, key)
	if err != nil {
		return "", err
	}
	vkey := cosigner.Verifier().String() + "\n"
	f, err := os.OpenFile(vkeyFile(path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return "", fmt.Errorf("the vkey cannot be written, and so no key was made: %w", err)
	}
	_, err = f.WriteString(vkey)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(fmt.Errorf("the vkey cannot be written, and so no key was made: %w", err), os.Remove(f.Name()))
	}
	return vkey, nil
}

// vkeyFile is where the vkey of a key file is.
func vkeyFile(key string) string { return key + ".vkey" }

// cosigners loads the witness's keys.
func cosigners(v config.Values) ([]*checkpoint.Cosigner, error) {
	var all []*checkpoint.Cosigner
	for _, path := range v.List("key") {
		c, err := loadCosigner(path, v.Text("name"))
		if err != nil {
			return nil, err
		}
		for _, other := range all {
			if other.Verifier().Algorithm() == c.Verifier().Algorithm() {
				return nil, fmt.Errorf("%s is a second key of one type: give one Ed25519 key, one ML-DSA-44 key, or one of each", path)
			}
		}
		all = append(all, c)
	}
	return all, nil
}

func loadCosigner(path, name string) (*checkpoint.Cosigner, error) {
	key, err := keys.Load(path, nil)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no key %s: make one with logwitness keygen --name NAME --out %s", path, path)
	}
	if err != nil {
		return nil, err
	}
	written, err := writtenVerifier(path)
	switch {
	case err != nil:
		return nil, err
	case written == nil && name == "":
		return nil, fmt.Errorf("there is no %s with the witness's name: give it with --name NAME", vkeyFile(path))
	case name == "":
		name = written.Name()
	}
	c, err := checkpoint.NewCosigner(name, key)
	if err == nil && written != nil && !c.Verifier().Equal(*written) {
		err = fmt.Errorf("%s says %s, and the key by the name %q is %s: name and key of a witness never change", vkeyFile(path), written, name, c.Verifier())
	}
	return c, err
}

// writtenVerifier reads what keygen wrote beside a key; nil if it is not there.
func writtenVerifier(path string) (*checkpoint.Verifier, error) {
	text, err := os.ReadFile(vkeyFile(path))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	verifier, err := checkpoint.ParseVerifier(strings.TrimSuffix(string(text), "\n"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", vkeyFile(path), err)
	}
	return &verifier, nil
}
