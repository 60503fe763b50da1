package doctor_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"indelible/checkpoint"
	"indelible/doctor"
	"indelible/entry"
	"indelible/guard"
	"indelible/index"
	translog "indelible/log"
	"indelible/merkle"
	"indelible/server"
	"indelible/server/native"
	"indelible/server/rekorv1"
	"indelible/server/rekorv2"
	"indelible/server/tiles"
	"indelible/server/trustfiles"
	"indelible/storage"
	"indelible/storage/memory"
	"indelible/trust"
)

// origin is a name that httptest's certificate is for.
const origin = "example.com"

// change makes one thing about an answer wrong.
type change func(r *http.Request, answer *httptest.ResponseRecorder)

// world is the real server, over TLS, with something in front of it that may
// change an answer.
type world struct {
	t       *testing.T
	signer  *checkpoint.KeySigner
	key     checkpoint.Verifier
	v1Key   *ecdsa.PrivateKey
	v1      []byte // its SPKI
	server  *httptest.Server
	handler http.Handler
	change  change
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOf(t, ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
}

func newWorldOf(t *testing.T, logKey crypto.Signer) *world {
	t.Helper()
	w := &world{t: t}
	signer := must(checkpoint.NewSigner(origin, logKey))(t)
	w.signer, w.key = signer, signer.Verifier()
	store := memory.New()
	reg := must(guard.CreateFile(filepath.Join(t.TempDir(), "register"), origin, guard.NewID()))(t)
	t.Cleanup(func() { reg.Close() })
	record := must(store.CreateLog(t.Context(), storage.Log{
		Instance: guard.NewID(), Origin: origin, Keys: []string{w.key.String()},
		Register: reg.ID(), CreatedAt: time.Now().UTC().Truncate(time.Millisecond),
	}, storage.Head{Root: merkle.EmptyRoot()}))(t)
	l := must(translog.Open(translog.Config{Store: store, Record: record, Signers: []translog.Signer{signer}, Register: reg}))(t)
	x := must(index.Open(index.Config{Store: store, LogID: record.ID, Log: l, Gather: time.Millisecond}))(t)
	runs(t, l.Run)
	runs(t, x.Run)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	must(l.AwaitNewer(ctx, -1))(t)
	w.serve(l, x, record)
	return w
}

// must returns what a call returned, and ends the test if it failed.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// runs runs something until the test ends.
func runs(t *testing.T, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func (w *world) serve(l *translog.Log, x *index.Index, record storage.Log) {
	t := w.t
	kinds := []entry.Kind{entry.KindHashedRekord, entry.KindDSSE}
	static := tiles.New(l, 1<<20, nil)
	w.v1Key = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	w.v1 = must(x509.MarshalPKIXPublicKey(&w.v1Key.PublicKey))(t)
	v1 := must(rekorv1.New(rekorv1.Config{
		Log: l, Key: rekorv1.LocalKey(w.v1Key), Host: origin, TreeID: must(rekorv1.TreeID(record.Instance))(t), Kinds: kinds, Search: x,
	}))(t)
	v2 := rekorv2.New(rekorv2.Config{Log: l, KeyID: must(trust.LogID(w.key))(t), Kinds: kinds, Tiles: static})
	w.handler = must(server.Handler(t.Context(), server.Config{
		Native: native.New(native.Config{Log: l, Kinds: kinds, Search: x}), Tiles: static, RekorV2: v2.Handler(), RekorV1: v1,
		Trust: trustfiles.New(func(url string) ([]trust.File, error) {
			return trust.Files(trust.Log{URL: url, Origin: origin, Keys: record.Keys, RekorV1Key: w.v1, RekorV2: true})
		}, ""),
		Origin: origin, Keys: record.Keys, Size: func() int64 { p, _ := l.Published(); return p.Size },
	}))(t)
	w.server = httptest.NewTLSServer(w)
	t.Cleanup(w.server.Close)
}

func (w *world) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	r.Header.Del("Accept-Encoding")
	answer := httptest.NewRecorder()
	w.handler.ServeHTTP(answer, r)
	if w.change != nil {
		w.change(r, answer)
	}
	maps.Copy(out.Header(), answer.Header())
	out.Header().Del("Content-Length")
	out.WriteHeader(answer.Code)
	out.Write(answer.Body.Bytes())
}

// http is a client that finds a server under every name.
func (w *world) http(server *httptest.Server) *http.Client {
	roots := x509.NewCertPool()
	if c := server.Certificate(); c != nil {
		roots.AddCert(c)
	}
	return w.trusting(roots, server)
}

func (w *world) trusting(roots *x509.CertPool, server *httptest.Server) *http.Client {
	address := server.Listener.Addr().String()
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

// config is of one who trusts the log, and all of whose clients reach it as
// they should. It is patient: what is there, is found.
func (w *world) config() doctor.Config {
	return doctor.Config{
		URL: "https://" + origin, RekorV1: true, HTTP: w.http(w.server), Fresh: time.Minute, Found: time.Minute,
		Trusted: func(string) (doctor.Trusted, error) {
			return doctor.Trusted{Keys: []checkpoint.Verifier{w.key}, From: "the test", RekorV1Key: w.v1, RekorFrom: "the test"}, nil
		},
	}
}

// run examines the log, and demands that checks are told as they are reported.
func (w *world) run(cfg doctor.Config) (doctor.Report, error) {
	w.t.Helper()
	var told []doctor.Check
	report, err := doctor.Run(w.t.Context(), cfg, func(c doctor.Check) { told = append(told, c) })
	if !slices.Equal(told, report.Checks) {
		w.t.Errorf("told %v, reported %v", told, report.Checks)
	}
	return report, err
}

// others are the checks that did not pass, as "name state".
func others(r doctor.Report) string {
	var list []string
	for _, c := range r.Checks {
		if c.State != doctor.Passed {
			list = append(list, c.Name+" "+string(c.State))
		}
	}
	return strings.Join(list, ", ")
}

// says is all that a report has to say of what did not pass.
func says(r doctor.Report) string {
	var b strings.Builder
	for _, c := range r.Checks {
		if c.State != doctor.Passed {
			b.WriteString(c.Name + ": " + c.Detail + "\n  " + c.Do + "\n")
		}
	}
	return b.String()
}

// on makes a change to the answers of one request only.
func on(method, path string, c change) change {
	return func(r *http.Request, answer *httptest.ResponseRecorder) {
		if r.Method == method && (r.URL.Path == path || strings.HasSuffix(path, "*") && strings.HasPrefix(r.URL.Path, strings.TrimSuffix(path, "*"))) {
			c(r, answer)
		}
	}
}

// second makes a change to the second answer.
func second(c change) change {
	n := 0
	return func(r *http.Request, answer *httptest.ResponseRecorder) {
		if n++; n == 2 {
			c(r, answer)
		}
	}
}

func answers(code int, body string) change {
	return func(_ *http.Request, answer *httptest.ResponseRecorder) {
		answer.Code, answer.Body = code, bytes.NewBufferString(body)
	}
}

func header(name, value string) change {
	return func(_ *http.Request, answer *httptest.ResponseRecorder) {
		answer.Header().Set(name, value)
		if value == "" {
			answer.Header().Del(name)
		}
	}
}

func all(list ...change) change {
	return func(r *http.Request, answer *httptest.ResponseRecorder) {
		for _, c := range list {
			c(r, answer)
		}
	}
}

func replaced(old, new string) change {
	return func(_ *http.Request, answer *httptest.ResponseRecorder) {
		answer.Body = bytes.NewBufferString(strings.ReplaceAll(answer.Body.String(), old, new))
	}
}

// member sets a member of a JSON answer; nil removes it. In a path, * is the
// only member there is.
func member(path string, value any) change {
	return func(_ *http.Request, answer *httptest.ResponseRecorder) {
		d := json.NewDecoder(answer.Body)
		d.UseNumber()
		var doc map[string]any
		if d.Decode(&doc) != nil {
			return
		}
		set(doc, strings.Split(path, "."), value)
		answer.Body = new(bytes.Buffer)
		json.NewEncoder(answer.Body).Encode(doc)
	}
}

func set(m map[string]any, path []string, value any) {
	name := path[0]
	if name == "*" {
		for name = range m {
		}
	}
	inner, ok := m[name].(map[string]any)
	switch {
	case len(path) > 1 && ok:
		set(inner, path[1:], value)
	case value == nil:
		delete(m, name)
	default:
		m[name] = value
	}
}

// otherNote is a checkpoint that some other log with this name signed.
func otherNote(t *testing.T) string {
	t.Helper()
	signer := must(checkpoint.NewSigner(origin, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, ed25519.SeedSize))))(t)
	return string(must(checkpoint.Sign(checkpoint.Checkpoint{Origin: origin, Size: 0, Root: merkle.EmptyRoot()}, signer))(t))
}

// certified is a TLS server whose certificate ends at a time.
func (w *world) certified(end time.Time) *httptest.Server {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(w.t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{origin}, NotBefore: time.Now().Add(-time.Hour), NotAfter: end,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))(w.t)
	s := httptest.NewUnstartedServer(w)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.StartTLS()
	w.t.Cleanup(s.Close)
	return s
}
