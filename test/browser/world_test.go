package browser

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"indelible/entry"
	"indelible/mirror/sourcetest"
	"indelible/page"
)

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// start runs a program until the test ends, and returns what it says of itself.
func start(t *testing.T, form, name string, args ...string) string {
	t.Helper()
	var out buffer
	cmd := exec.Command(filepath.Join(bin, name), args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+filepath.Join(bin, "config"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			t.Errorf("%s: %v: %s", name, err, out.String())
		}
	})
	end := time.After(2 * time.Minute)
	for {
		if m := regexp.MustCompile(form).FindStringSubmatch(out.String()); m != nil {
			return m[1]
		}
		select {
		case <-end:
			t.Fatalf("%s does not say %s: %s", name, form, out.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// newLog is a logserver, and the URL of its page without the slash.
func newLog(t *testing.T, flags ...string) string {
	t.Helper()
	return "http://127.0.0.1:" + start(t, `HTTP +http://127\.0\.0\.1:(\d+)\n`, "logserver", append([]string{
		"--data-dir", filepath.Join(t.TempDir(), "log"), "--origin", "log.example", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0",
	}, flags...)...)
}

// logcli runs logcli to its end.
func logcli(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "logcli"), args...)
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+filepath.Join(bin, "config"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("logcli %q: %v: %s", args, err, out)
	}
	return string(out)
}

// signer signs artifacts, with a certificate where it has one.
type signer struct {
	key         *ecdsa.PrivateKey
	spki        []byte
	certificate []byte
}

func newSigner(t *testing.T, template *x509.Certificate) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := signer{key: key}
	if s.spki, err = x509.MarshalPKIXPublicKey(key.Public()); err != nil {
		t.Fatal(err)
	}
	if template != nil {
		template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(77), time.Unix(1_700_000_000, 0), time.Unix(1_900_000_000, 0)
		if s.certificate, err = x509.CreateCertificate(rand.Reader, template, template, key.Public(), key); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// workflow is a certificate as Fulcio writes it for a GitHub workflow.
func workflow(t *testing.T) *x509.Certificate {
	t.Helper()
	u, err := url.Parse("https://github.com/example/app/.github/workflows/release.yml@refs/heads/main")
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{Subject: pkix.Name{}, URIs: []*url.URL{u}, EmailAddresses: []string{"releases@example.com"}}
	for number, value := range map[int]string{8: "https://token.actions.githubusercontent.com", 12: "https://github.com/example/app", 14: "refs/heads/main", 20: "push"} {
		c.ExtraExtensions = append(c.ExtraExtensions, extension(t, number, value))
	}
	return c
}

// extension is one of Fulcio's.
func extension(t *testing.T, number int, value string) pkix.Extension {
	t.Helper()
	der, err := asn1.MarshalWithParams(value, "utf8")
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, number}, Value: der}
}

// sign signs an artifact, as the native API takes it.
func (s signer) sign(t *testing.T, artifact string) (entry.HashedRekord, object) {
	t.Helper()
	digest := sha256.Sum256([]byte(artifact))
	sig, err := s.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	e := entry.HashedRekord{Digest: digest[:], Signature: sig, Verifier: entry.Verifier{PublicKey: s.spki}}
	by := object{"publicKey": s.spki}
	if s.certificate != nil {
		e.Verifier, by = entry.Verifier{Certificate: s.certificate}, object{"certificate": s.certificate}
	}
	return e, object{"hashedRekord": object{"digest": digest[:], "signature": sig, "verifier": by}}
}

func (s signer) canonical(t *testing.T, artifact string) []byte {
	t.Helper()
	e, _ := s.sign(t, artifact)
	made, err := entry.NewHashedRekord(e)
	if err != nil {
		t.Fatal(err)
	}
	return made.Canonical()
}

// logged is an entry that the log answered with.
type logged struct{ Index, LeafHash string }

// add logs artifacts, and returns what the log says of them.
func (s signer) add(t *testing.T, log string, artifacts ...string) (all []logged) {
	t.Helper()
	for len(artifacts) > 0 {
		n := min(len(artifacts), 1000)
		var entries []object
		for _, a := range artifacts[:n] {
			_, e := s.sign(t, a)
			entries = append(entries, e)
		}
		artifacts = artifacts[n:]
		body, err := json.Marshal(object{"entries": entries})
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.Post(log+"/v1/entries:batch", "application/json", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var answer struct{ Outcomes []struct{ Entry *logged } }
		if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode != 200 {
			t.Fatalf("%d %v", res.StatusCode, err)
		}
		for _, o := range answer.Outcomes {
			all = append(all, *o.Entry)
		}
	}
	indexed(t, log)
	return all
}

// indexed waits until the log's search index has all entries.
func indexed(t *testing.T, log string) {
	t.Helper()
	end := time.After(2 * time.Minute)
	for {
		var answer struct{ CompleteTo, TreeSize string }
		request(t, log+"/v1/entries:search?subject=x", nil, &answer)
		if answer.CompleteTo == answer.TreeSize {
			return
		}
		select {
		case <-end:
			t.Fatalf("the index is complete to %s of %s", answer.CompleteTo, answer.TreeSize)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// tiles is a log of tiles alone, with the page: what it serves can be replaced by lies.
type tiles struct {
	*sourcetest.Log
	mu   sync.Mutex
	keys []string
	url  string
}

// pageOf serves a log's page. What switch replaces is served from then on.
func pageOf(t *testing.T, l *sourcetest.Log) *tiles {
	t.Helper()
	s, look := &tiles{Log: l, keys: []string{l.Key.String()}}, page.New()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		log, keys := s.Log, s.keys
		s.mu.Unlock()
		if name, ok := strings.CutPrefix(r.URL.Path, "/"+page.Prefix); ok && look.File(w, r, name) {
			return
		}
		if r.URL.Path == "/" {
			look.Write(w, page.Facts{Origin: log.Origin, URL: s.url, Files: page.Prefix, Keys: keys, Mirror: true})
			return
		}
		log.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// become serves another log from now on.
func (s *tiles) become(l *sourcetest.Log) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Log = l
}

// logOf is a log of signed entries. The same origin has the same key.
func logOf(t *testing.T, origin string, s signer, name string, size int) *sourcetest.Log {
	t.Helper()
	l := sourcetest.New(t, origin, 0)
	for i := range size {
		l.Add(s.canonical(t, fmt.Sprintf("%s %d", name, i)))
	}
	return l
}

// file is a file of the test's own.
func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// lying is a proxy in front of a log that answers some paths with lies.
func lying(t *testing.T, log string, lie func(path string, body []byte) []byte) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		res, err := http.Get(log + r.URL.RequestURI())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", res.Header.Get("Content-Type"))
		w.WriteHeader(res.StatusCode)
		w.Write(lie(r.URL.Path, body))
	}))
	t.Cleanup(server.Close)
	return server.URL
}
