package foreign

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/ctonly"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"

	"indelible/checkpoint"
	"indelible/mirror/source"
)

// ctSigner signs tree heads as RFC 6962 says, as static CT logs do.
type ctSigner struct {
	checkpoint.Verifier
	key *ecdsa.PrivateKey
}

func (s ctSigner) Sign(text []byte) ([]byte, error) {
	c, err := checkpoint.ParseText(text)
	if err != nil {
		return nil, err
	}
	at := uint64(time.Now().UnixMilli())
	head := binary.BigEndian.AppendUint64([]byte{0, 1}, at)
	head = append(binary.BigEndian.AppendUint64(head, uint64(c.Size)), c.Root[:]...)
	digest := sha256.Sum256(head)
	sig, err := ecdsa.SignASN1(rand.Reader, s.key, digest[:])
	blob := append(binary.BigEndian.AppendUint64(nil, at), 4, 3)
	return append(binary.BigEndian.AppendUint16(blob, uint16(len(sig))), sig...), err
}

// A CT log that Tessera writes in the layout of static-ct-api, with its issuers.
func TestStaticCT(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := checkpoint.NewLogVerifier("ct.example/2026h2", &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var chain [][32]byte
	for i := range 3 {
		issuer := fmt.Appendf(nil, "issuer %d", i)
		chain = append(chain, sha256.Sum256(issuer))
		if err := write(filepath.Join(dir, "issuer", fmt.Sprintf("%x", chain[i])), issuer); err != nil {
			t.Fatal(err)
		}
	}
	driver, err := posix.New(t.Context(), posix.Config{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	options := tessera.NewAppendOptions().WithCheckpointSigner(ctSigner{verifier, key}).WithCTLayout().WithCheckpointInterval(100*time.Millisecond).WithBatching(256, 50*time.Millisecond)
	appender, shutdown, reader, err := tessera.NewAppender(t.Context(), driver, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	add, last := tessera.NewCertificateTransparencyAppender(appender), tessera.IndexFuture(nil)
	for i := range 600 {
		e := &ctonly.Entry{Timestamp: uint64(1_700_000_000_000 + i), Certificate: fmt.Appendf(nil, "certificate %d", i), FingerprintsChain: chain[:i%4]}
		if i%3 == 0 {
			e.IsPrecert, e.Precertificate, e.IssuerKeyHash = true, fmt.Appendf(nil, "precertificate %d", i), make([]byte, 32)
		}
		last = add(t.Context(), e)
	}
	if _, _, err := tessera.NewPublicationAwaiter(t.Context(), reader.ReadCheckpoint, 20*time.Millisecond).Await(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(server.Close)
	copy := copied(t, t.TempDir(), server.URL, verifier, source.StaticCT)
	same(t, copy, server.URL, asIs)
	if found, err := filepath.Glob(filepath.Join(copy, "issuer/*")); err != nil || len(found) != len(chain) {
		t.Errorf("%d issuers, %v", len(found), err)
	}
}

func write(file string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o644)
}

// A checksum database of the go command's own server.
func TestSumDB(t *testing.T) {
	secret, public, err := note.GenerateKey(rand.Reader, "sum.example")
	if err != nil {
		t.Fatal(err)
	}
	ops := sumdb.NewTestServer(secret, func(path, version string) ([]byte, error) {
		return fmt.Appendf(nil, "%s %s h1:abc=\n%s %s/go.mod h1:def=\n", path, version, path, version), nil
	})
	mux := http.NewServeMux()
	for _, path := range sumdb.ServerPaths {
		mux.Handle(path, sumdb.NewServer(ops))
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	dir, copy := t.TempDir(), ""
	for _, size := range [][2]int{{0, 300}, {300, 700}} {
		for i := size[0]; i < size[1]; i++ {
			if _, err := ops.Lookup(t.Context(), module.Version{Path: "example.com/m", Version: fmt.Sprintf("v1.0.%d", i)}); err != nil {
				t.Fatal(err)
			}
		}
		copy = copied(t, dir, server.URL, vkey(t, public), source.SumDB)
	}
	same(t, copy, server.URL, func(name string) string {
		if name == "checkpoint" {
			return "latest"
		}
		return "tile/8" + strings.TrimPrefix(strings.TrimPrefix(name, "tile"), "/8")
	})
}
