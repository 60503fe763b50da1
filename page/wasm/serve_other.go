//go:build !js

package main

import (
	"fmt"
	"os"
)

// serve says how the program is built.
func serve() {
	fmt.Fprintln(os.Stderr, "this program runs in a browser: make generate compiles it with GOOS=js and GOARCH=wasm")
	os.Exit(2)
}
