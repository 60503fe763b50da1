// Command objectstore serves an object store with Amazon's S3 API and one empty
// bucket, from memory, for tests of programs in other modules.
//
//	objectstore 127.0.0.1:9000 bucket
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "objectstore:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("give an address and a bucket's name, and not %q", args)
	}
	backend := s3mem.New()
	if err := backend.CreateBucket(args[1]); err != nil {
		return err
	}
	store := gofakes3.New(backend, gofakes3.WithLogger(gofakes3.StdLog(log.New(io.Discard, "", 0))))
	return http.ListenAndServe(args[0], store.Server())
}
