package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"

	"indelible/entry"
)

// printed is what a program prints while it runs.
type printed struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.Write(b)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.String()
}

// instance is a logserver that runs in this process.
type instance struct {
	url, grpc, banner string
	log               *printed
	stop              func()
}

// start runs a logserver until the test ends, or stop is called.
func start(t *testing.T, dir string, args ...string) *instance {
	t.Helper()
	return startAs(t, append([]string{"--data-dir", dir, "--origin", "log.example.com"}, args...)...)
}

// startAs starts a server with these arguments, on free ports.
func startAs(t *testing.T, args ...string) *instance {
	t.Helper()
	out, log := &printed{}, &printed{}
	ctx, cancel := context.WithCancel(context.Background())
	args = append([]string{"--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, args...)
	done := make(chan error, 1)
	go func() { done <- run(ctx, args, func(string) (string, bool) { return "", false }, out, log) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	deadline := time.Now().Add(3 * time.Minute)
	for !strings.Contains(out.String(), "Try next") {
		select {
		case err := <-done:
			done <- nil // for stop
			t.Fatalf("it ended: %v", err)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("it does not start")
		}
	}
	banner := out.String()
	return &instance{
		banner: banner, stop: stop, log: log,
		url:  regexp.MustCompile(`HTTP +(\S+)`).FindStringSubmatch(banner)[1],
		grpc: regexp.MustCompile(`gRPC +(\S+)`).FindStringSubmatch(banner)[1],
	}
}

func (s *instance) ask(t *testing.T, method, path string, body []byte) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(data)
}

// services are the names that gRPC's reflection lists.
func (s *instance) services(t *testing.T) []string {
	t.Helper()
	conn, err := grpc.NewClient(s.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, service := range answer.GetListServicesResponse().GetService() {
		names = append(names, service.GetName())
	}
	return names
}

// signed is a hashedrekord as Rekor v2's clients ask for it.
func signed(t *testing.T, artifact string) (request []byte, digest [32]byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	digest = sha256.Sum256([]byte(artifact))
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	type object map[string]any
	request, err = json.Marshal(object{"hashedRekordRequestV002": object{"digest": digest[:], "signature": object{
		"content": sig, "verifier": object{"publicKey": object{"rawBytes": spki}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return request, digest
}

func TestServeEverything(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	s.becomes(t, http.StatusOK, "SERVING") // the first checkpoint may come later
	for path, contains := range map[string]string{
		"/checkpoint":              "log.example.com\n0\n",
		"/api/v2/checkpoint":       "log.example.com\n0\n",
		"/api/v1/log":              `"signedTreeHead":"log.example.com - `,
		"/api/v1/log/publicKey":    "BEGIN PUBLIC KEY",
		"/ping":                    ".",
		"/trust/trusted_root.json": "PKIX_ECDSA_P256_SHA_256",
		"/trust/rekor-v1.pem":      "BEGIN PUBLIC KEY",
		"/":                        "/api/v1/",
		"/v1/entries:search?artifact=sha256:" + strings.Repeat("0", 64): "completeTo",
	} {
		if status, body := s.ask(t, "GET", path, nil); status != 200 || !strings.Contains(body, contains) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	for _, want := range []string{"writers   everyone who reaches these ports", "/api/v2/ (Rekor v2)", "/api/v1/ (Rekor v1)", "/trust/", filepath.Join(dir, "rekor-v1.key")} {
		if !strings.Contains(s.banner, want) {
			t.Errorf("the banner does not say %q:\n%s", want, s.banner)
		}
	}
	if names := s.services(t); !slices.Contains(names, "dev.sigstore.rekor.v2.Rekor") || !slices.Contains(names, "indelible.v1.Log") {
		t.Errorf("services %q", names)
	}

	request, _ := signed(t, "a")
	if status, body := s.ask(t, "POST", "/api/v2/log/entries", request); status != 201 || !strings.HasPrefix(body, `{"logIndex":"0",`) {
		t.Errorf("%d %s", status, body)
	}
	if status, body := s.ask(t, "GET", "/api/v1/log/entries?logIndex=0", nil); status != 200 || !strings.Contains(body, "signedEntryTimestamp") {
		t.Errorf("%d %s", status, body)
	}
	var root struct {
		Tlogs []struct {
			LogID struct{ KeyID string } `json:"logId"`
		}
	}
	_, trusted := s.ask(t, "GET", "/trust/trusted_root.json", nil)
	if err := json.Unmarshal([]byte(trusted), &root); err != nil || len(root.Tlogs) != 2 {
		t.Fatalf("%v: %s", err, trusted)
	}
	// The log id in answers is the one that clients are told to trust.
	if _, body := s.ask(t, "POST", "/api/v2/log/entries", request); !strings.Contains(body, `"logId":{"keyId":"`+root.Tlogs[0].LogID.KeyID+`"}`) &&
		!strings.Contains(body, `"logId":{"keyId":"`+root.Tlogs[1].LogID.KeyID+`"}`) {
		t.Errorf("%s\n%s", body, trusted)
	}
}

func TestServeNothingMore(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, "--rekor-v1=false", "--rekor-v2=false", "--search=false")
	for path, says := range map[string]string{
		"/api/v2/checkpoint": "--rekor-v2", "/api/v2/log/entries": "--rekor-v2", "/api/v1/log": "--rekor-v1", "/ping": "--rekor-v1",
	} {
		if status, body := s.ask(t, "GET", path, nil); status != 404 || !strings.Contains(body, says) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, body := s.ask(t, "GET", "/v1/entries:search?artifact=sha256:"+strings.Repeat("0", 64), nil); status != 501 || !strings.Contains(body, "--search") {
		t.Errorf("search: %d %s", status, body)
	}
	if status, _ := s.ask(t, "GET", "/trust/rekor-v1.pem", nil); status != 404 {
		t.Errorf("the key of an API that is off: %d", status)
	}
	if names := s.services(t); slices.Contains(names, "dev.sigstore.rekor.v2.Rekor") {
		t.Errorf("services %q", names)
	}
	if found, err := filepath.Glob(filepath.Join(dir, "rekor*")); err != nil || found != nil {
		t.Errorf("a key was made for an API that is off: %q", found)
	}
	if strings.Contains(s.banner, "Rekor") || strings.Contains(s.banner, "v1 key") {
		t.Errorf("the banner:\n%s", s.banner)
	}
}

// A hash that an intoto's client made up finds nothing, by the native API and by
// Rekor v1's. What is proven is found by both.
func TestSearchFindsNothingForged(t *testing.T) {
	s := start(t, t.TempDir())
	request, victim := signed(t, "release.tar.gz")
	if status, body := s.ask(t, "POST", "/api/v2/log/entries", request); status != 201 {
		t.Fatalf("%d %s", status, body)
	}
	payload := []byte(`{"_type":"forged"}`)
	if status, body := s.ask(t, "POST", "/api/v1/log/entries", intotoOf(t, payload, victim)); status != 201 {
		t.Fatalf("%d %s", status, body)
	}
	for _, c := range []struct {
		by      string
		digest  [32]byte
		indexes []int64
	}{
		{"artifact", victim, []int64{0}},
		{"envelope", victim, nil},
		{"payload", sha256.Sum256(payload), []int64{1}},
	} {
		if found := s.search(t, c.by, c.digest); !slices.Equal(found, c.indexes) {
			t.Errorf("%s: entries %v, and not %v", c.by, found, c.indexes)
		}
	}
	for digest, count := range map[[32]byte]int{victim: 1, sha256.Sum256(payload): 1} {
		status, body := s.ask(t, "POST", "/api/v1/index/retrieve", fmt.Appendf(nil, `{"hash":"sha256:%x"}`, digest))
		var ids []string
		if err := json.Unmarshal([]byte(body), &ids); err != nil || status != 200 || len(ids) != count {
			t.Errorf("%x: %d %s, and not %d entries", digest, status, body, count)
		}
	}
}

// search asks the native API until the index knows both entries.
func (s *instance) search(t *testing.T, by string, digest [32]byte) (indexes []int64) {
	t.Helper()
	for t.Context().Err() == nil {
		status, body := s.ask(t, "GET", fmt.Sprintf("/v1/entries:search?%s=sha256:%x", by, digest), nil)
		var found struct {
			CompleteTo int64 `json:"completeTo,string"`
			Entries    []struct {
				Index int64 `json:"index,string"`
			}
		}
		if err := json.Unmarshal([]byte(body), &found); err != nil || status != 200 {
			t.Fatalf("%v: %d %s", err, status, body)
		}
		if found.CompleteTo == 2 {
			for _, e := range found.Entries {
				indexes = append(indexes, e.Index)
			}
			return indexes
		}
	}
	return nil
}

// intotoOf is what older clients of Rekor v1 propose for an envelope, with a hash
// of their choice.
func intotoOf(t *testing.T, payload []byte, hash [32]byte) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(entry.PAE("text/plain", payload))
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	twice := func(b []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(b)) }
	type object map[string]any
	proposed, err := json.Marshal(object{"kind": "intoto", "apiVersion": "0.0.2", "spec": object{"content": object{
		"envelope": object{"payloadType": "text/plain", "payload": twice(payload), "signatures": []any{
			object{"sig": twice(sig), "publicKey": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})},
		}},
		"hash": object{"algorithm": "sha256", "value": fmt.Sprintf("%x", hash)},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return proposed
}

func TestPublicURL(t *testing.T) {
	for url, warned := range map[string]bool{"https://log.example.com": false, "https://another.example.com/": true} {
		s := start(t, t.TempDir(), "--public-url", url)
		want := `"url": "` + strings.TrimSuffix(url, "/") + `"`
		if _, body := s.ask(t, "GET", "/trust/signing_config.json", nil); !strings.Contains(body, want) {
			t.Errorf("%s: no %s in %s", url, want, body)
		}
		if said := s.log.String(); strings.Contains(said, "another.example.com") != warned {
			t.Errorf("%s: the log says %s", url, said)
		}
		s.stop()
	}
}

func TestIndexRebuild(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, "--search=false")
	request, digest := signed(t, "a")
	if status, body := s.ask(t, "POST", "/api/v2/log/entries", request); status != 201 {
		t.Fatalf("%d %s", status, body)
	}
	s.stop()
	var out bytes.Buffer
	err := run(t.Context(), []string{"index", "rebuild", "--data-dir", dir}, func(string) (string, bool) { return "", false }, &out, &out)
	if err != nil || out.String() != "log.example.com: the search index is complete: it has 1 entry.\n" {
		t.Fatalf("%v: %s", err, out.String())
	}
	s = start(t, dir)
	// Rebuilt, it needs no time to follow.
	status, body := s.ask(t, "POST", "/api/v1/index/retrieve", []byte(`{"hash":"sha256:`+hex.EncodeToString(digest[:])+`"}`))
	if status != 200 || strings.Count(body, `"`) != 2 {
		t.Errorf("%d %s", status, body)
	}
}
