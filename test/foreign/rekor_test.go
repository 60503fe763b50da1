package foreign

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"indelible/checkpoint"
	"indelible/mirror/source"
)

// Rekor v2's own server, with its POSIX storage served as it stands. That is how it
// is read: the server itself takes entries.
func TestRekorV2(t *testing.T) {
	dir := t.TempDir()
	bin := filepath.Join(dir, "rekor-server")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix")
	build.Dir = "rekor"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	public, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(secret)
	if err == nil {
		err = write(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	}
	if err != nil {
		t.Fatal(err)
	}
	key, err := checkpoint.NewVerifier("rekor.example", public)
	if err != nil {
		t.Fatal(err)
	}
	url := serveRekor(t, bin, dir)
	var adding errgroup.Group
	for i := range 20 {
		adding.Go(func() error { return addToRekor(url, fmt.Sprintf("artifact %d", i)) })
	}
	if err := adding.Wait(); err != nil {
		t.Fatal(err)
	}
	files := httptest.NewServer(http.FileServer(http.Dir(filepath.Join(dir, "log"))))
	t.Cleanup(files.Close)
	same(t, copied(t, t.TempDir(), files.URL, key, source.Tiles), files.URL, asIs)
}

// serveRekor starts the server, and returns its URL when it is ready.
func serveRekor(t *testing.T, bin, dir string) string {
	t.Helper()
	ports := make([]string, 3)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, ports[i], _ = net.SplitHostPort(l.Addr().String())
		l.Close()
	}
	if err := os.Mkdir(filepath.Join(dir, "log"), 0o755); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.Command(bin, "serve", "--hostname=rekor.example", "--storage-dir="+filepath.Join(dir, "log"), "--signer-filepath="+filepath.Join(dir, "key.pem"),
		"--checkpoint-interval=1s", "--http-port="+ports[0], "--grpc-port="+ports[1], "--http-metrics-port="+ports[2])
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	})
	url := "http://127.0.0.1:" + ports[0]
	tick, end := time.NewTicker(50*time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for {
		res, err := http.Get(url + "/healthz")
		if err == nil && res.Body.Close() == nil && res.StatusCode == http.StatusOK {
			return url
		}
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("the server is not ready: %v", err)
		}
	}
}

// addToRekor logs a signature of an artifact, and returns when it is in a checkpoint.
func addToRekor(url, artifact string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	digest := sha256.Sum256([]byte(artifact))
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		return err
	}
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{"hashedRekordRequestV002": map[string]any{
		"digest":    digest[:],
		"signature": map[string]any{"content": sig, "verifier": map[string]any{"publicKey": map[string]any{"rawBytes": spki}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"}},
	}})
	if err != nil {
		return err
	}
	res, err := http.Post(url+"/api/v2/log/entries", "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusCreated {
		said, _ := io.ReadAll(res.Body)
		return fmt.Errorf("%s: %s", res.Status, said)
	}
	return nil
}
