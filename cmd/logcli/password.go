package main

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/term"

	"indelible/keys"
)

// maxPassword bounds a file with a password, in bytes.
const maxPassword = 4 << 10

// passwordTries is how often a person may mistype a password.
const passwordTries = 3

// loadKey loads a private key. If it is encrypted, its password comes from a
// file, or, without one, from the person at the terminal.
func (p *program) loadKey(ctx context.Context, file, passwordFile string) (key crypto.Signer, encrypted bool, err error) {
	if key, err = keys.Load(file, nil); !errors.Is(err, keys.ErrEncrypted) {
		return key, false, err
	}
	if passwordFile == "" {
		key, err = p.askForKey(ctx, file)
		return key, true, err
	}
	password, err := readPassword(passwordFile)
	if err == nil {
		if key, err = keys.Load(file, password); err != nil {
			err = usagef("%w\nThe password was read from %s", err, passwordFile)
		}
	}
	return key, true, err
}

func (p *program) askForKey(ctx context.Context, file string) (crypto.Signer, error) {
	tty, leave := p.terminal()
	if tty == nil {
		return nil, usagef("key file %s is encrypted, and there is no terminal to ask for its password.\n"+
			"Give --password-file FILE: a file with the password, readable to you only (chmod 600)", file)
	}
	defer leave()
	for try := 1; ; try++ {
		password, err := p.ask(ctx, tty, fmt.Sprintf("Password of the key in %s: ", file))
		if err != nil {
			return nil, err
		}
		key, err := keys.Load(file, password)
		wrong := errors.Is(err, keys.ErrPassword) || errors.Is(err, keys.ErrEncrypted)
		switch {
		case wrong && try < passwordTries:
			p.prompt(tty, "That is not its password. Try again.\n")
		case wrong:
			return nil, usage(err)
		default:
			return key, err
		}
	}
}

// newPassword is the password for a key that is being made: from a file, or
// typed twice.
func (p *program) newPassword(ctx context.Context, key, file string) ([]byte, error) {
	if file != "" {
		return readPassword(file)
	}
	tty, leave := p.terminal()
	if tty == nil {
		return nil, usagef("there is no terminal to ask for the new key's password.\n" +
			"Give --password-file FILE: a file with the password, readable to you only (chmod 600)")
	}
	defer leave()
	password, err := p.ask(ctx, tty, fmt.Sprintf("Password for the new key in %s: ", key))
	switch {
	case err != nil:
		return nil, err
	case len(password) == 0:
		return nil, usagef("the password is empty; no key was made")
	}
	again, err := p.ask(ctx, tty, "The same password again: ")
	if err == nil && !bytes.Equal(password, again) {
		err = usagef("the two passwords are not the same; no key was made")
	}
	return password, err
}

// readPassword reads the one line of a file. White space around it does not
// count, as in the files of logserver. Pipes are read too, so that a shell can
// hand over a password in <(…).
func readPassword(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, usagef("--password-file: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && runtime.GOOS != "windows" && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return nil, usagef("--password-file: %s holds a secret, and its mode %04o lets others use it; run: chmod 600 %s", file, info.Mode().Perm(), file)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxPassword+1))
	if err != nil {
		return nil, fmt.Errorf("--password-file: %w", err)
	}
	password := bytes.TrimSpace(data)
	if len(data) > maxPassword || len(password) == 0 || bytes.ContainsAny(password, "\r\n") {
		return nil, usagef("--password-file: %s must hold the password and nothing else, in one line", file)
	}
	return password, nil
}

// terminal is where a person can be asked, even while standard input is a file;
// nil if there is nobody. A program that is not run with a file as its input
// has no terminal.
func (p *program) terminal() (tty *os.File, leave func()) {
	in, ok := p.stdin.(*os.File)
	switch {
	case !ok:
		return nil, nil
	case term.IsTerminal(int(in.Fd())):
		return in, func() {}
	}
	name := "/dev/tty"
	if runtime.GOOS == "windows" {
		name = "CONIN$"
	}
	tty, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, nil
	}
	if !term.IsTerminal(int(tty.Fd())) {
		tty.Close()
		return nil, nil
	}
	return tty, func() { tty.Close() }
}

// prompt tells the person at the terminal something; by standard error, if the
// terminal was opened for reading only.
func (p *program) prompt(tty *os.File, text string) {
	if _, err := io.WriteString(tty, harmless(text)); err != nil {
		io.WriteString(p.stderr, harmless(text))
	}
}

// ask reads a line that is not shown while it is typed. Ctrl-C ends it, and the
// terminal shows again what is typed.
func (p *program) ask(ctx context.Context, tty *os.File, question string) ([]byte, error) {
	fd := int(tty.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("ask for the password: %w", err)
	}
	type answer struct {
		line []byte
		err  error
	}
	typed := make(chan answer, 1)
	p.hiding.Store(true)
	p.prompt(tty, question)
	go func() {
		line, err := term.ReadPassword(fd) // which nothing ends but a line
		typed <- answer{line, err}
	}()
	select {
	case a := <-typed:
		p.hiding.Store(false)
		p.prompt(tty, "\n")
		if a.err != nil {
			return nil, usagef("no password was given (%w)", a.err)
		}
		return a.line, nil
	case <-ctx.Done():
		p.prompt(tty, "\n")
		return nil, errors.Join(usagef("interrupted: no password was given"), term.Restore(fd, before))
	}
}

// publicOf names the file of an encrypted key's public half, which can be read
// without its password.
func publicOf(file string) string { return file + ".pub" }

// publicBeside reads the public half of this user's own key, which is
// encrypted.
func publicBeside(file string) (crypto.PublicKey, error) {
	data, err := readFile(publicOf(file), maxKeyFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil, usagef("your own key, %s, is encrypted, and its public key is not beside it, in %s.\n"+
			"Give --signer FILE; or log something with logcli add, which puts it there", file, publicOf(file))
	}
	if err != nil {
		return nil, err
	}
	pub, err := keys.LoadPublic(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", publicOf(file), err)
	}
	return pub, nil
}

// keepPublic puts an encrypted key's public half beside it. One that is there
// must be it: verify trusts that file.
func (p *program) keepPublic(file string, pub crypto.PublicKey) error {
	have, err := readFile(publicOf(file), maxKeyFile)
	if errors.Is(err, os.ErrNotExist) {
		if err = writePublic(file, pub); err == nil {
			p.say("Put your public key, which verify needs, beside the encrypted one:\n%s", publicOf(file))
		}
		return err
	}
	if err != nil {
		return err
	}
	old, err := keys.LoadPublic(have)
	if err != nil || !equal(old, pub) {
		return usagef("%s is not the public key of %s: delete it, and it is written again", publicOf(file), file)
	}
	return nil
}

func writePublic(file string, pub crypto.PublicKey) error {
	text, err := pemOfPublic(pub)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(publicOf(file), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("write the public key: %w", err)
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

func equal(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}
