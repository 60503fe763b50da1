package main

import (
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"indelible/checkpoint"
	"indelible/keys"
	"indelible/verify"
	"indelible/verify/trustedroot"
)

// home is the folder of this user's key and pins.
func (p *program) home() (string, error) {
	if dir, ok := p.getenv("XDG_CONFIG_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "indelible"), nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find the folder for keys and pins: %w; set XDG_CONFIG_HOME", err)
	}
	return filepath.Join(dir, "indelible"), nil
}

// pinFile is where the key of a log is remembered. The origin is hashed, since
// it may hold anything that a file name may not.
func pinFile(home, origin string) string {
	sum := sha256.Sum256([]byte(origin))
	return filepath.Join(home, "logs", fmt.Sprintf("%x.vkey", sum[:16]))
}

// readKeys parses a vkey, or a file of vkeys.
func readKeys(s string) ([]checkpoint.Verifier, error) {
	k, bad := checkpoint.ParseVerifier(s)
	if bad == nil {
		return []checkpoint.Verifier{k}, nil
	}
	data, err := readFile(s, maxTrust)
	if errors.Is(err, os.ErrNotExist) && strings.Count(s, "+") >= 2 {
		return nil, usagef("--log-key: %w", bad)
	}
	if err != nil {
		return nil, usagef("--log-key %q is neither a vkey (name+hash+key) nor a file that can be read: %w", s, err)
	}
	var list []checkpoint.Verifier
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		k, err := checkpoint.ParseVerifier(line)
		if err != nil {
			return nil, usagef("%s: %w", s, err)
		}
		list = append(list, k)
	}
	if len(list) == 0 {
		return nil, usagef("%s holds no vkey", s)
	}
	return list, nil
}

func readPolicy(file string) (*checkpoint.Policy, error) {
	data, err := readFile(file, maxTrust)
	if err != nil {
		return nil, usage(err)
	}
	policy, err := checkpoint.ParsePolicy(data)
	if err != nil {
		return nil, usagef("%s: %w", file, err)
	}
	return policy, nil
}

// givenLogs are the keys of the logs that the flags name; none if they name
// none. It says what a policy is weaker in than it looks.
func (p *program) givenLogs() ([]checkpoint.Verifier, *checkpoint.Policy, error) {
	switch {
	case p.logKey != "":
		list, err := readKeys(p.logKey)
		return list, nil, err
	case p.policy != "":
		policy, err := readPolicy(p.policy)
		if err != nil {
			return nil, nil, err
		}
		var list []checkpoint.Verifier
		for _, l := range policy.Logs {
			list = append(list, l.Key)
		}
		for _, w := range policy.Warnings() {
			fmt.Fprintf(p.stderr, "warning: --policy: %s\n", harmless(w))
		}
		return list, policy, nil
	}
	return nil, nil, nil
}

// pinned returns the remembered keys of a log; none if there are none.
func (p *program) pinned(origin string) ([]checkpoint.Verifier, string, error) {
	home, err := p.home()
	if err != nil {
		return nil, "", err
	}
	file := pinFile(home, origin)
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		return nil, file, nil
	}
	list, err := readKeys(file)
	return list, file, err
}

// known reports whether a log's keys are remembered, and in which file. A log that
// has other keys than are remembered is not the same log.
func (p *program) known(origin string, list []checkpoint.Verifier) (yes bool, file string, err error) {
	remembered, file, err := p.pinned(origin)
	if err != nil || len(remembered) == 0 {
		return false, file, err
	}
	for _, k := range list {
		if !slices.ContainsFunc(remembered, k.Equal) {
			return false, file, unverified(fmt.Errorf("log %q has the key %s, and %s remembers another: this is not the log that you used before.\n"+
				"If you know that its operator replaced it, delete that file", origin, k, file))
		}
	}
	return true, file, nil
}

// pin remembers a log's keys.
func (p *program) pin(origin string, list []checkpoint.Verifier) error {
	known, file, err := p.known(origin, list)
	if known || err != nil {
		return err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "# log %s, as first seen\n", oneLine(origin))
	for _, k := range list {
		fmt.Fprintf(&text, "%s\n", k)
	}
	if err := writeOwn(file, []byte(text.String())); err != nil {
		return err
	}
	p.say("Remembered the log's key, as first seen:\n%s\nin %s", list[0], file)
	return nil
}

// ownKey names the file of this user's own key.
func (p *program) ownKey() (string, error) {
	home, err := p.home()
	return filepath.Join(home, "signer.key"), err
}

// signerKey loads the key to sign with. Without one given, it is this user's
// own, which the first use makes.
func (p *program) signerKey(ctx context.Context, file, passwordFile string) (crypto.Signer, error) {
	if file != "" {
		key, _, err := p.loadKey(ctx, file, passwordFile)
		return key, err
	}
	file, err := p.ownKey()
	if err != nil {
		return nil, err
	}
	key, encrypted, err := p.loadKey(ctx, file, passwordFile)
	switch {
	case errors.Is(err, os.ErrNotExist) && !encrypted:
		return p.firstKey(file)
	case err == nil && encrypted:
		err = p.keepPublic(file, key.Public())
	}
	return key, err
}

// firstKey makes this user's own key.
func (p *program) firstKey(file string) (crypto.Signer, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, err
	}
	key, err := keys.GenerateECDSA(file, nil)
	if err != nil {
		return nil, err
	}
	if err := writePublic(file, key.Public()); errors.Is(err, os.ErrExist) {
		if err := p.keepPublic(file, key.Public()); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	p.say("Made you a signing key, and its public key for others to verify with:\n%s\n%s\nKeep the first: whoever has it signs as you.", file, publicOf(file))
	return key, nil
}

// signers are those whose signature is accepted.
func (p *program) signers(cert certificateFlags, root trustedroot.Root) ([]verify.Signer, error) {
	if cert.given() {
		if p.signer != "" {
			return nil, usagef("give --signer, or a certificate's identity, not both")
		}
		return cert.signers(root)
	}
	if digest, ok := strings.CutPrefix(p.signer, "SHA256:"); ok {
		if sum, err := hex.DecodeString(digest); err != nil || len(sum) != sha256.Size {
			return nil, usagef("--signer %q: a fingerprint is SHA256: and 64 hex digits, the SHA-256 of the public key in DER", p.signer)
		}
		return []verify.Signer{{Fingerprint: p.signer}}, nil
	}
	pub, err := p.signerPublic()
	if pub == nil || err != nil {
		return nil, err
	}
	fp, err := keys.Fingerprint(pub)
	return []verify.Signer{{Fingerprint: fp}}, err
}

// signerPublic is the public key of --signer, or of this user's own key; nil
// if there is neither.
func (p *program) signerPublic() (crypto.PublicKey, error) {
	if p.signer != "" {
		data, err := readFile(p.signer, maxTrust)
		if err != nil {
			return nil, usagef("--signer: %w", err)
		}
		pub, err := keys.LoadPublic(data)
		if err != nil {
			return nil, usagef("--signer %s: %w", p.signer, err)
		}
		return pub, nil
	}
	file, err := p.ownKey()
	if err != nil {
		return nil, err
	}
	key, err := keys.Load(file, nil)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil
	case errors.Is(err, keys.ErrEncrypted):
		return publicBeside(file)
	case err != nil:
		return nil, err
	}
	return key.Public(), nil
}
