package foreign

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"filippo.io/torchwood"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/api"
	tesseraclient "github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"indelible/merkle"
	"indelible/mirror/source"
)

// tesseraLog is a log of Tessera on a file system, whose entries are added by add.
type tesseraLog struct {
	dir, vkey string
	add       func(entries ...string)
}

func newTessera(t *testing.T) tesseraLog {
	t.Helper()
	secret, public, err := note.GenerateKey(rand.Reader, "tessera.example")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	l := tesseraLog{dir: t.TempDir(), vkey: public}
	driver, err := posix.New(t.Context(), posix.Config{Path: l.dir})
	if err != nil {
		t.Fatal(err)
	}
	options := tessera.NewAppendOptions().WithCheckpointSigner(signer).WithCheckpointInterval(100*time.Millisecond).WithBatching(256, 50*time.Millisecond)
	appender, shutdown, reader, err := tessera.NewAppender(t.Context(), driver, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	published := tessera.NewPublicationAwaiter(t.Context(), reader.ReadCheckpoint, 20*time.Millisecond)
	l.add = func(entries ...string) {
		var last tessera.IndexFuture
		for _, e := range entries {
			last = appender.Add(t.Context(), tessera.NewEntry([]byte(e)))
		}
		if _, _, err := published.Await(t.Context(), last); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func numbered(from, to int) (list []string) {
	for i := from; i < to; i++ {
		list = append(list, fmt.Sprint("entry ", i))
	}
	return list
}

// A log of Tessera is mirrored, also when it grew, to the byte; and Tessera's fsck and
// torchwood's client find the copy in order.
func TestTessera(t *testing.T) {
	l := newTessera(t)
	server := httptest.NewServer(http.FileServer(http.Dir(l.dir)))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	copy := ""
	for _, size := range [][2]int{{0, 700}, {700, 1300}} {
		l.add(numbered(size[0], size[1])...)
		copy = copied(t, dir, server.URL, vkey(t, l.vkey), source.Tiles)
	}
	same(t, copy, server.URL, asIs)
	readByTessera(t, copy, l.vkey)
	readByTorchwood(t, copy, l.vkey)
}

func readByTessera(t *testing.T, copy, vkey string) {
	t.Helper()
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	hashes := func(bundle []byte) (list [][]byte, err error) {
		var b api.EntryBundle
		err = b.UnmarshalText(bundle)
		for _, e := range b.Entries {
			h := merkle.LeafHash(e)
			list = append(list, h[:])
		}
		return list, err
	}
	if err := fsck.New(verifier.Name(), verifier, tesseraclient.FileFetcher{Root: copy}, hashes, fsck.Opts{N: 2}).Check(t.Context()); err != nil {
		t.Errorf("Tessera's fsck: %v", err)
	}
}

func readByTorchwood(t *testing.T, copy, vkey string) {
	t.Helper()
	server := httptest.NewServer(http.FileServer(http.Dir(copy)))
	t.Cleanup(server.Close)
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(get(t, server.URL+"/checkpoint"), note.VerifierList(verifier))
	if err != nil {
		t.Fatal(err)
	}
	c, err := torchwood.ParseCheckpoint(n.Text)
	if err != nil {
		t.Fatal(err)
	}
	fetcher, err := torchwood.NewTileFetcher(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := torchwood.NewClient(fetcher)
	if err != nil {
		t.Fatal(err)
	}
	found := int64(0)
	for range reader.AllEntries(t.Context(), tlog.Tree{N: c.N, Hash: c.Hash}, 0) {
		found++
	}
	if reader.Err() != nil || found != c.N {
		t.Errorf("torchwood's client read %d entries of %d: %v", found, c.N, reader.Err())
	}
}
