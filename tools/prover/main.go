// Command prover compiles package page/wasm for browsers, and copies the file of
// Go's that runs it:
//
//	cd tools && go run ./prover -out ../page/files
//
// One version of Go makes the same bytes of the same sources, on any system.
package main

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// most is how large the compressed program may be, in bytes.
const most = 3 << 20

func main() {
	log.SetFlags(0)
	out := flag.String("out", "../page/files", "folder to write to")
	flag.Parse()
	if err := write(*out); err != nil {
		log.Fatalln("prover:", err)
	}
}

func write(out string) error {
	program, err := compile()
	if err != nil {
		return err
	}
	var z bytes.Buffer
	w, _ := gzip.NewWriterLevel(&z, gzip.BestCompression) // the level is valid
	if _, err := w.Write(program); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	if z.Len() > most {
		return fmt.Errorf("the program has %d bytes compressed; the limit is %d", z.Len(), most)
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	runs, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", "wasm_exec.js"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, "wasm_exec.js"), runs, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "prover.wasm.gz"), z.Bytes(), 0o644)
}

// compile returns the program, without what depends on the machine.
func compile() ([]byte, error) {
	dir, err := os.MkdirTemp("", "prover")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "prover.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", file, "./page/wasm")
	cmd.Dir, cmd.Stderr = "..", os.Stderr
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "GOWASM=", "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOEXPERIMENT=")
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go build: %w", err)
	}
	return os.ReadFile(file)
}
