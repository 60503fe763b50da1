package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	rekorpb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	pb "indelible/api/proto/indelible/v1"
	"indelible/storage"
	strict "indelible/storage/memory"
	"indelible/writers"
	"indelible/writers/gate"
	"indelible/writers/jwt/jwttest"
)

// signedEntry is what the requests of all APIs are made from.
type signedEntry struct{ digest, signature, spki []byte }

func newSignedEntry(t *testing.T, artifact string) (e signedEntry) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(artifact))
	e.digest = digest[:]
	if e.signature, err = ecdsa.SignASN1(rand.Reader, key, e.digest); err == nil {
		e.spki, err = x509.MarshalPKIXPublicKey(key.Public())
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (e signedEntry) native() *pb.Entry {
	return &pb.Entry{Kind: &pb.Entry_HashedRekord{HashedRekord: &pb.HashedRekord{
		Digest: e.digest, Signature: e.signature, Verifier: &pb.Verifier{Key: &pb.Verifier_PublicKey{PublicKey: e.spki}},
	}}}
}

func (e signedEntry) rekorV2(t *testing.T) []byte {
	t.Helper()
	return asJSON(t, map[string]any{"hashedRekordRequestV002": map[string]any{"digest": e.digest, "signature": map[string]any{
		"content": e.signature, "verifier": map[string]any{"publicKey": map[string]any{"rawBytes": e.spki}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"},
	}}})
}

func (e signedEntry) rekorV1(t *testing.T) []byte {
	t.Helper()
	return asJSON(t, map[string]any{"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": map[string]any{
		"data":      map[string]any{"hash": map[string]any{"algorithm": "sha256", "value": fmt.Sprintf("%x", e.digest)}},
		"signature": map[string]any{"content": e.signature, "publicKey": map[string]any{"content": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: e.spki})}},
	}})
}

func asJSON(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// answer is what a client gets, whatever the API: HTTP's status, when to come back, and
// the text.
type answer struct {
	status     int
	retryAfter string
	text       string
	header     http.Header
}

// add adds an entry over one of the APIs, with the header Authorization.
type add func(t *testing.T, authorization, artifact string) answer

// clients are those of the server, with TLS where the configuration is not nil.
func (s *instance) clients(t *testing.T, secure *tls.Config) map[string]add {
	t.Helper()
	how := insecure.NewCredentials()
	if secure != nil {
		how = credentials.NewTLS(secure)
	}
	conn, err := grpc.NewClient(s.grpc, grpc.WithTransportCredentials(how))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: secure}}
	t.Cleanup(web.CloseIdleConnections)
	post := func(path string, body func(*testing.T, signedEntry) []byte) add {
		return func(t *testing.T, authorization, artifact string) answer {
			t.Helper()
			return s.post(t, web, path, authorization, body(t, newSignedEntry(t, artifact)))
		}
	}
	call := func(ask func(context.Context, *testing.T, signedEntry) error) add {
		return func(t *testing.T, authorization, artifact string) answer {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			if authorization != "" {
				ctx = metadata.AppendToOutgoingContext(ctx, "authorization", authorization)
			}
			return grpcAnswer(ask(ctx, t, newSignedEntry(t, artifact)))
		}
	}
	return map[string]add{
		"REST": post("/v1/entries", func(t *testing.T, e signedEntry) []byte {
			data, err := protojson.Marshal(&pb.AddEntryRequest{Entry: e.native()})
			if err != nil {
				t.Fatal(err)
			}
			return data
		}),
		"Rekor v2": post("/api/v2/log/entries", func(t *testing.T, e signedEntry) []byte { return e.rekorV2(t) }),
		"Rekor v1": post("/api/v1/log/entries", func(t *testing.T, e signedEntry) []byte { return e.rekorV1(t) }),
		"gRPC": call(func(ctx context.Context, _ *testing.T, e signedEntry) error {
			_, err := pb.NewLogClient(conn).AddEntry(ctx, &pb.AddEntryRequest{Entry: e.native()})
			return err
		}),
		"Rekor v2 over gRPC": call(func(ctx context.Context, t *testing.T, e signedEntry) error {
			req := new(rekorpb.CreateEntryRequest)
			if err := protojson.Unmarshal(e.rekorV2(t), req); err != nil {
				t.Fatal(err)
			}
			_, err := rekorpb.NewRekorClient(conn).CreateEntry(ctx, req)
			return err
		}),
	}
}

func (s *instance) post(t *testing.T, web *http.Client, path, authorization string, body []byte) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	res, err := web.Do(req)
	if err != nil {
		return answer{text: err.Error()}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header.Get("Retry-After"), string(text), res.Header}
}

func grpcAnswer(err error) answer {
	st := status.Convert(err)
	http := map[codes.Code]int{codes.OK: 200, codes.Unauthenticated: 401, codes.PermissionDenied: 403, codes.ResourceExhausted: 429}
	a := answer{status: http[st.Code()], text: st.Message()}
	if len(st.Details()) > 0 {
		a.retryAfter = regexp.MustCompile(`seconds:([0-9]+)`).FindString(fmt.Sprint(st.Details()[0]))
	}
	return a
}

// policyOf writes a policy with the API tokens token-NAME of the principals that are
// named, and returns the file.
func policyOf(t *testing.T, dir, rest string, principals ...string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("principals:\n")
	for _, name := range principals {
		fmt.Fprintf(&b, "- {name: %s, tokens: [%q], certificates: [%q]}\n", name, writers.FormatHash(writers.Hash("token-"+name)), "spiffe://example.org/"+name)
	}
	path := filepath.Join(dir, "writers.yaml")
	if err := os.WriteFile(path, []byte(b.String()+rest), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestWritersOverAllAPIs: each API allows and refuses alike, with statuses and texts that
// help, and without what was sent.
func TestWritersOverAllAPIs(t *testing.T) {
	issuer := jwttest.New(t)
	dir := t.TempDir()
	limited := []string{"limited-REST", "limited-gRPC", "limited-Rekor-v1", "limited-Rekor-v2", "limited-Rekor-v2-over-gRPC"}
	file := policyOf(t, dir, fmt.Sprintf(`
issuers: [{name: test, url: %q, audiences: [log]}]
rules:
- {name: good, principals: [good], entry: 'entry.kind == "hashedrekord" && size(entry.keys) == 1'}
- {name: tiny, principals: [tiny], entry: entry.size < 10}
- {name: team, who: 'principal.kind == "jwt" && claims.team == "a"'}
- {name: limited, who: principal.name.startsWith("limited"), rate: 1/h}
`, issuer.URL), append([]string{"good", "tiny", "idle"}, limited...)...)
	s := start(t, dir, "--writers", file)
	if !strings.Contains(s.banner, "those of "+file) {
		t.Errorf("the banner:\n%s", s.banner)
	}
	jwtOf := func(team string) string { return "Bearer " + issuer.Token(t, map[string]any{"team": team}) }
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("anything:token-good"))
	for api, add := range s.clients(t, nil) {
		for name, c := range map[string]struct {
			authorization string
			want          int
			says          string
		}{
			"an API token":          {"Bearer token-good", 200, ""},
			"it as a password":      {basic, 200, ""},
			"a JWT":                 {jwtOf("a"), 200, ""},
			"nothing":               {"", 401, "send a token"},
			"an unknown token":      {"Bearer token-gone", 401, "not one of this log's API tokens"},
			"a scheme of its own":   {"Digest token-good", 401, "has no token"},
			"an expired JWT":        {"Bearer " + issuer.Token(t, map[string]any{"exp": 1700000000, "iat": 1600000000}), 401, "it expired at"},
			"a JWT of another team": {jwtOf("b"), 403, "test/someone may not add entries"},
			"no rule":               {"Bearer token-idle", 403, "idle may not add entries"},
			"another entry":         {"Bearer token-tiny", 403, "tiny may not add this entry (hashedrekord, "},
		} {
			got := add(t, c.authorization, api+name)
			if got.status != c.want && !(c.want == 200 && got.status == 201) || !strings.Contains(got.text, c.says) {
				t.Errorf("%s: %s: %d %s", api, name, got.status, got.text)
			}
			if secret := strings.TrimPrefix(c.authorization, "Bearer "); got.status > 300 && secret != "" && strings.Contains(got.text, secret) {
				t.Errorf("%s: %s: the answer has the token: %s", api, name, got.text)
			}
			if got.status == 401 && got.header != nil && got.header.Get("Www-Authenticate") == "" {
				t.Errorf("%s: %s: no WWW-Authenticate", api, name)
			}
		}
		token := "Bearer token-limited-" + strings.ReplaceAll(api, " ", "-")
		if got := add(t, token, api); got.status > 201 {
			t.Errorf("%s: the first: %d %s", api, got.status, got.text)
		}
		if got := add(t, token, api+"2"); got.status != 429 || !strings.Contains(got.text, "has used up its rate (1/h") || got.retryAfter == "" || got.retryAfter == "1" {
			t.Errorf("%s: the second: %+v", api, got)
		}
	}
	// Reads are open.
	if status, body := s.ask(t, "GET", "/v1/entries/0", nil); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	if strings.Contains(s.log.String(), "token-good") || strings.Contains(s.log.String(), "eyJ") {
		t.Errorf("the log has a token:\n%s", s.log)
	}
}

// TestBatchOfAWriter: the policy decides about each entry.
func TestBatchOfAWriter(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, "--entry-kinds", "hashedrekord,raw", "--writers", policyOf(t, dir, `
rules:
- {name: no raw, principals: [anyone], entry: entry.kind == "raw", effect: deny}
- {name: two, principals: [a], rate: 1/h, burst: 2}
`, "a"))
	req := &pb.AddEntriesRequest{Entries: []*pb.Entry{{Kind: &pb.Entry_Raw{Raw: []byte("raw")}}}}
	for n := range 4 {
		req.Entries = append(req.Entries, newSignedEntry(t, fmt.Sprint(n)).native())
	}
	body, err := protojson.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	got := s.post(t, http.DefaultClient, "/v1/entries:batch", "Bearer token-a", body)
	var res pb.AddEntriesResponse
	if err := protojson.Unmarshal([]byte(got.text), &res); err != nil || got.status != 200 {
		t.Fatal(err, got)
	}
	added, limited := 0, 0
	for i, o := range res.GetOutcomes() {
		switch code := codes.Code(o.GetError().GetCode()); {
		case i == 0:
			if code != codes.PermissionDenied || !strings.Contains(o.GetError().GetMessage(), `the rule "no raw"`) {
				t.Errorf("%v", o)
			}
		case code == codes.ResourceExhausted:
			limited++
		case o.GetError() == nil:
			added++
		}
	}
	if added != 2 || limited != 2 {
		t.Errorf("%d were added, %d limited: %v", added, limited, &res)
	}
	if got := s.post(t, http.DefaultClient, "/v1/entries:batch", "", body); got.status != 401 {
		t.Errorf("%+v", got)
	}
}

// TestNoWayAround: no spelling of a path, method or header lets a stranger add.
func TestNoWayAround(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, "--writers", policyOf(t, dir, "rules: [{name: r, principals: [ci]}]", "ci"))
	e := newSignedEntry(t, "x")
	native, err := protojson.Marshal(&pb.AddEntryRequest{Entry: e.native()})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := protojson.Marshal(&pb.AddEntriesRequest{Entries: []*pb.Entry{e.native()}})
	if err != nil {
		t.Fatal(err)
	}
	for body, paths := range map[string][]string{
		string(native):       {"/v1/entries", "/v1/entries/", "//v1/entries", "/v1//entries", "/v1/%65ntries", "/v1/./entries", "/V1/entries", "/v1/entries?x=1"},
		string(batch):        {"/v1/entries:batch", "/v1/entries%3Abatch", "/v1/entries:batch/", "/v1/entries:%62atch"},
		string(e.rekorV1(t)): {"/api/v1/log/entries", "/api/v1/log/entries/", "//api/v1//log/entries//", "/api/v1/log/%65ntries", "/api/v1/log/entries/retrieve", "/ping"},
		string(e.rekorV2(t)): {"/api/v2/log/entries", "/api/v2/log/entries/", "//api//v2/log/entries", "/api/v2/log/entrie%73", "/api/v2/checkpoint"},
	} {
		for _, path := range paths {
			for _, method := range []string{"POST", "post", "PUT", "PATCH", "GET", "HEAD", "OPTIONS", "DELETE"} {
				for _, header := range []http.Header{
					{},
					{"X-Http-Method-Override": {"POST"}},
					{"Content-Type": {"application/x-www-form-urlencoded"}, "X-Http-Method-Override": {"POST"}},
					{"X-Forwarded-For": {"127.0.0.1"}, "Forwarded": {"for=127.0.0.1"}},
					{"Authorization": {"", "Bearer token-ci"}},
					{"Grpc-Metadata-Authorization": {"Bearer token-ci"}},
					{"Proxy-Authorization": {"Bearer token-ci"}, "Cookie": {"Authorization=Bearer token-ci"}},
					{"X-Ssl-Client-Cert": {"x"}, "X-Client-San": {"spiffe://example.org/ci"}},
				} {
					req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
					if err != nil {
						t.Fatal(err)
					}
					req.Header = header
					res, err := http.DefaultClient.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					res.Body.Close()
				}
			}
		}
	}
	if got := s.clients(t, nil)["REST"](t, "Bearer token-ci", "y"); !strings.Contains(got.text, `"index":"0"`) {
		t.Errorf("the first entry of a writer is not the log's first: %+v", got)
	}
}

// TestReadOnlyServer: with none, nobody may write, and everybody read.
func TestReadOnlyServer(t *testing.T) {
	s := start(t, t.TempDir(), "--writers", "none")
	for api, add := range s.clients(t, nil) {
		if got := add(t, "", "x"); got.status != 403 || !strings.Contains(got.text, "read-only") {
			t.Errorf("%s: %+v", api, got)
		}
	}
	if status, body := s.ask(t, "GET", "/v1/checkpoint", nil); status != 200 || !strings.Contains(s.banner, "read-only") {
		t.Errorf("%d %s\n%s", status, body, s.banner)
	}
}

// TestAnybodyMayWrite is what the start says loudly, where it is so.
func TestAnybodyMayWrite(t *testing.T) {
	s := start(t, t.TempDir())
	if n := strings.Count(s.log.String(), "ANYBODY WHO REACHES"); n != 1 {
		t.Errorf("%d times:\n%s", n, s.log)
	}
}

// TestPolicyIsReadAgain at SIGHUP; one that is broken changes nothing, and readiness and
// the log say so.
func TestPolicyIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	rules := "rules: [{name: r, principals: [a, b]}]"
	file := policyOf(t, dir, rules, "a")
	s := start(t, dir, "--writers", file)
	add := s.clients(t, nil)["REST"]
	admin := regexp.MustCompile(`admin +(\S+)`).FindStringSubmatch(s.banner)[1]
	hup := func(says string, times int) {
		t.Helper()
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Minute); strings.Count(s.log.String(), says) < times; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the log does not say %q:\n%s", says, s.log)
			}
		}
	}
	ready := func() string {
		t.Helper()
		res, err := http.Get(admin + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if got := add(t, "Bearer token-b", "x"); got.status != 401 {
		t.Errorf("%+v", got)
	}
	policyOf(t, dir, rules, "b")
	hup("the settings were read again", 1)
	if a, b := add(t, "Bearer token-a", "x"), add(t, "Bearer token-b", "x"); a.status != 401 || b.status != 200 {
		t.Errorf("%+v %+v", a, b)
	}
	policyOf(t, dir, "rules: [{name: r, entry: broken}]", "a")
	hup("the settings were read again", 2)
	if b := add(t, "Bearer token-b", "y"); b.status != 200 {
		t.Errorf("%+v", b)
	}
	if text := ready(); !strings.Contains(text, "warning: the policy of writers was not read again") || !strings.Contains(text, `rule \"r\"`) && !strings.Contains(text, `rule "r"`) {
		t.Error(text)
	}
	if !strings.Contains(s.log.String(), `"level":"ERROR"`) {
		t.Errorf("no error in the log:\n%s", s.log)
	}
	policyOf(t, dir, rules, "a")
	hup("the settings were read again", 3)
	if text := ready(); strings.Contains(text, "writers") {
		t.Error(text)
	}
}

// authority issues certificates for a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := authority{key: key}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err == nil {
		a.cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// issue makes a certificate for this machine, and a URI.
func (a authority) issue(t *testing.T, uri string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	if uri != "" {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		template.IPAddresses, template.URIs = nil, []*url.URL{u}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a authority) write(t *testing.T, path string) string {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestClientCertificates: over all APIs a certificate shows the writer; one by another
// authority opens no connection, and without one there is no writer.
func TestClientCertificates(t *testing.T) {
	dir := t.TempDir()
	ours, other := newAuthority(t), newAuthority(t)
	server := ours.issue(t, "")
	key, err := x509.MarshalPKCS8PrivateKey(server.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: server.Certificate[0]}, "key.pem": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, dir, "--tls-cert", filepath.Join(dir, "cert.pem"), "--tls-key", filepath.Join(dir, "key.pem"),
		"--tls-client-ca", ours.write(t, filepath.Join(dir, "clients.pem")), "--writers", policyOf(t, dir, "rules: [{name: r, principals: [ci]}]", "ci"))
	roots := x509.NewCertPool()
	roots.AddCert(ours.cert)
	for name, c := range map[string]struct {
		cert *tls.Certificate
		want int // 0: there is no connection
	}{
		"its certificate":     {certificateOf(ours.issue(t, "spiffe://example.org/ci")), 200},
		"another":             {certificateOf(ours.issue(t, "spiffe://example.org/cd")), 403},
		"another's authority": {certificateOf(other.issue(t, "spiffe://example.org/ci")), 0},
		"none":                {nil, 401},
	} {
		// A client offers no certificate by an authority that it was not asked for,
		// unless it is told to.
		secure := &tls.Config{RootCAs: roots, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if c.cert == nil {
				return &tls.Certificate{}, nil
			}
			return c.cert, nil
		}}
		for api, add := range s.clients(t, secure) {
			if got := add(t, "", api+name); got.status != c.want && !(c.want == 200 && got.status == 201) {
				t.Errorf("%s, %s: %+v", api, name, got)
			}
		}
	}
}

func certificateOf(c tls.Certificate) *tls.Certificate { return &c }

// TestWritersCommands are what an operator asks.
func TestWritersCommands(t *testing.T) {
	dir := t.TempDir()
	file := policyOf(t, dir, `rules: [{name: small, principals: [ci], entry: entry.size < 1000, rate: 5/s}, {name: any, principals: [other]}]`, "ci", "other")
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	entryFile, token := write("entry", "opaque"), write("token", "token-ci\n")
	ask := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := run(t.Context(), args, func(string) (string, bool) { return "", false }, &out, &out)
		return out.String(), err
	}
	out, err := ask("writers", "test", "--writers", file, "--token", token, "--entry", entryFile)
	if err != nil || !strings.Contains(out, "principal ci (token)") || !strings.Contains(out, `allowed by the rule "small", 5/s, 5 at once`) {
		t.Errorf("%s %v", out, err)
	}
	out, err = ask("writers", "test", "--writers", file, "--token", token, "--entry", write("large", strings.Repeat("x", 1000)))
	if err == nil || !strings.Contains(err.Error(), "no rule allows it") || !strings.Contains(out, "this is not true of the entry: entry.size < 1000") || !strings.Contains(out, "for other principals") {
		t.Errorf("%s %v", out, err)
	}
	if _, err = ask("writers", "test", "--writers", file, "--token", write("bad", "token-none"), "--entry", entryFile); err == nil || strings.Contains(err.Error(), "token-none") {
		t.Error(err)
	}
	if out, err = ask("writers", "test", "--writers", file, "--entry", write("v1", string(newSignedEntry(t, "x").rekorV1(t)))); err == nil || !strings.Contains(out, "address/192.0.2.1 (anonymous)") {
		t.Errorf("%s %v", out, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	odd := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"ci\x1b[1mbold"}}
	der, err := x509.CreateCertificate(rand.Reader, odd, odd, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	out, _ = ask("writers", "test", "--writers", file, "--certificate", write("odd", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))), "--entry", entryFile)
	if !strings.Contains(out, `principal "certificate/ci\x1b[1mbold" (certificate)`) {
		t.Errorf("a name that is for the terminal: %q", out)
	}
	made := filepath.Join(dir, "made")
	hash, err := ask("writers", "token", made)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(made)
	if err != nil || writers.FormatHash(writers.Hash(strings.TrimSpace(string(data)))) != strings.TrimSpace(hash) || !strings.HasPrefix(string(data), "indelible_") {
		t.Errorf("%s %s %v", hash, data, err)
	}
	if _, err := ask("writers", "token", made); err == nil {
		t.Error("a token is written over another")
	}
	if out, err := ask("writers", "schema"); err != nil || out != writers.Schema {
		t.Errorf("%s %v", out, err)
	}
	if out, err := ask("config", "check", "--writers", file); err != nil || !strings.Contains(out, `rule 1, "small": ci may add entries for which entry.size < 1000, 5/s, 5 at once`) {
		t.Errorf("%s %v", out, err)
	}
	if _, err := ask("config", "check", "--writers", write("broken", "rules: [{name: a}]")); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Error(err)
	}
	if _, err := ask("config", "check", "--tls-client-ca", "x"); err == nil || !strings.Contains(err.Error(), "--tls-cert") {
		t.Error(err)
	}
}

// TestTokensInTheDatabase are known to every server of the log, and refused soon after
// they are revoked; what is kept is their hash.
func TestTokensInTheDatabase(t *testing.T) {
	dir := t.TempDir()
	file := policyOf(t, dir, "rules: [{name: r, principals: [ci]}]", "other")
	flags := []string{"--data-dir", dir, "--origin", "log.example.com"}
	ask := func(args ...string) string {
		t.Helper()
		var out bytes.Buffer
		if err := run(t.Context(), append(args, flags...), func(string) (string, bool) { return "", false }, &out, &out); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	ask("init")
	made := filepath.Join(dir, "made")
	hash := regexp.MustCompile(`sha256:[0-9a-f]{64}`).FindString(ask("token", "create", "ci", made))
	data, err := os.ReadFile(made)
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(string(data))
	s := start(t, dir, "--writers", file)
	if got := s.clients(t, nil)["REST"](t, "Bearer "+token, "x"); got.status != 200 {
		t.Errorf("%+v", got)
	}
	s.stop()
	if list := ask("token", "list"); !strings.Contains(list, hash) || !strings.Contains(list, " ci ") || strings.Contains(list, token) {
		t.Error(list)
	}
	ask("token", "revoke", hash[:20])
	if list := ask("token", "list"); !regexp.MustCompile(hash + `.*Z +.* \d{4}-\d\d-\d\dT.*Z\n`).MatchString(list) {
		t.Error(list)
	}
	s = start(t, dir, "--writers", file)
	if got := s.clients(t, nil)["REST"](t, "Bearer "+token, "x"); got.status != 401 {
		t.Errorf("%+v", got)
	}
	for _, args := range [][]string{{"token", "create", "anyone", made + "2"}, {"token", "revoke", "sha256:"}, {"token", "create", "ci", made}} {
		var out bytes.Buffer
		if err := run(t.Context(), append(args, flags...), func(string) (string, bool) { return "", false }, &out, &out); err == nil {
			t.Errorf("%v succeeds", args)
		}
	}
}

// TestTokensAreFollowed while servers run.
func TestTokensAreFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := strict.New()
		record, err := store.CreateLog(t.Context(), storage.Log{Instance: strings.Repeat("0", 32), Origin: "log.example.com"}, storage.Head{})
		if err != nil {
			t.Fatal(err)
		}
		o := &opened{store: store, record: record}
		g, err := gate.Open(gate.Config{Path: policyOf(t, t.TempDir(), "rules: [{name: r, principals: [ci]}]", "other")})
		if err != nil {
			t.Fatal(err)
		}
		enter := func() error {
			_, err := g.Enter(t.Context(), gate.Credentials{Token: "x"})
			return err
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go o.followTokens(ctx, g, slog.New(slog.DiscardHandler))
		for _, fact := range []string{tokenFact, revokedFact} {
			if err := o.note(ctx, fact, writers.Hash("x"), "ci"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(tokensAge)
			synctest.Wait()
			if err := enter(); (err == nil) != (fact == tokenFact) {
				t.Errorf("%s: %v", fact, err)
			}
		}
	})
}
