// Command vault is package kmstest's stand-in for Vault as a program, for tests
// that cannot import it. It has a new ECDSA P-256 key by each name that it is
// given, says its URL on a line, and serves those who have the token until its
// input ends:
//
//	VAULT_TOKEN=… vault NAME…
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	"indelible/keys/kms/kmstest"
)

func main() {
	if err := run(os.Args[1:], os.Getenv("VAULT_TOKEN"), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(names []string, token string, stdin io.Reader, stdout io.Writer) error {
	if len(names) == 0 || token == "" {
		return errors.New("vault takes the names of its keys, and VAULT_TOKEN")
	}
	vault := kmstest.NewVault(token)
	for _, name := range names {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		vault.Set(name, key)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "http://%s\n", listener.Addr())
	go func() {
		io.Copy(io.Discard, stdin)
		listener.Close()
	}()
	if err := http.Serve(listener, vault); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
