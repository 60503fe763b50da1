package main

import (
	"context"
	"io"
)

// run is what main does with a command line.
func run(ctx context.Context, args []string, getenv func(string) (string, bool), stdout, stderr io.Writer) error {
	p := &program{getenv: getenv, stdout: stdout, stderr: stderr}
	return p.run(ctx, args)
}
