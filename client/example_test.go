package client_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/merkle"
)

// A log of two entries, signed by a key that is for this example only.
func exampleLog() (url, vkey string, stop func()) {
	const note = "example.com/log\n2\nOuW/pX/6dp2WNKhvOiYoaqaf1Q6gWF+AYfkCrV8DJ/c=\n\n" +
		"— example.com/log Hd5FMah5JEtoIXomysiiOqyrLni6aUCmyREfc5IfbCz7PZzrMet/qbLr6fS6xIxLlKorycGC51lF0xGf52FcMH5FeQQ=\n"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/checkpoint":
			fmt.Fprint(w, note)
		case "/tile/entries/000.p/2":
			fmt.Fprint(w, "\x00\x05first\x00\x06second")
		default:
			http.NotFound(w, r)
		}
	}))
	return server.URL, "example.com/log+1dde4531+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop", server.Close
}

// Reading any log that serves tlog-tiles: the checkpoint is verified, and the
// entries are held against it.
func Example() {
	url, vkey, stop := exampleLog()
	defer stop()
	key, err := checkpoint.ParseVerifier(vkey) // from whom you trust, not from the log
	if err != nil {
		log.Fatal(err)
	}
	c, err := client.New(client.Config{URL: url, Keys: []checkpoint.Verifier{key}})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	tree, err := c.Checkpoint(ctx)
	if err != nil {
		log.Fatal(err)
	}
	entries, err := c.Entries(ctx, 0, tree.Size)
	if err != nil {
		log.Fatal(err)
	}
	var edge merkle.Edge
	for _, e := range entries {
		edge, _ = edge.Append([]merkle.Hash{merkle.LeafHash(e)})
	}
	fmt.Printf("%s has %d entries, as signed: %v\n", tree.Origin, tree.Size, edge.Root() == tree.Root)
	// Output: example.com/log has 2 entries, as signed: true
}
