package server_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	rekorpb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	pb "indelible/api/proto/indelible/v1"
	"indelible/checkpoint"
	"indelible/entry"
	"indelible/guard"
	"indelible/internal/transport"
	"indelible/internal/transport/rpc"
	translog "indelible/log"
	"indelible/merkle"
	"indelible/server"
	"indelible/server/native"
	"indelible/server/rekorv2"
	"indelible/server/tiles"
	"indelible/storage"
	"indelible/storage/memory"
)

const origin = "log.example.com"

// keyID is Rekor v2's name of the log; the log's own tests say how it is made.
var keyID = sha256.Sum256([]byte("the log"))

// world is a log over a database in memory, and both of its servers.
type world struct {
	store storage.Store
	log   *translog.Log
	rest  http.Handler
	grpc  pb.LogClient
	rekor rekorpb.RekorClient
	fault []error // that clients were not shown
}

var allKinds = []entry.Kind{entry.KindHashedRekord, entry.KindDSSE, entry.KindRaw}

// newWorld runs a log until the test ends. witness may be nil.
func newWorld(t *testing.T, witness translog.Witness) *world {
	t.Helper()
	w := &world{store: memory.New()}
	key, err := checkpoint.NewSigner(origin, ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	reg, err := guard.CreateFile(filepath.Join(t.TempDir(), "register"), origin, guard.NewID())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reg.Close() })
	record, err := w.store.CreateLog(t.Context(), storage.Log{
		Instance: guard.NewID(), Origin: origin, Keys: []string{key.Verifier().String()},
		Register: reg.ID(), CreatedAt: time.Now().UTC().Truncate(time.Millisecond),
	}, storage.Head{Root: merkle.EmptyRoot()})
	if err != nil {
		t.Fatal(err)
	}
	w.log, err = translog.Open(translog.Config{Store: w.store, Record: record, Signers: []translog.Signer{key}, Register: reg, Witness: witness})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.log.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if _, err := w.log.AwaitNewer(deadline(t), -1); err != nil {
		t.Fatal(err)
	}
	w.serve(t, w.log, record.Keys)
	return w
}

// anyLog is what both servers need of a log.
type anyLog interface {
	native.Log
	tiles.Log
}

func newFakeWorld(t *testing.T, log anyLog) *world {
	t.Helper()
	w := &world{}
	w.serve(t, log, []string{origin + "+00000000+AQ=="})
	return w
}

func (w *world) serve(t *testing.T, log anyLog, keys []string) {
	t.Helper()
	var mu sync.Mutex
	fault := func(_ context.Context, err error) {
		mu.Lock()
		defer mu.Unlock()
		w.fault = append(w.fault, err)
	}
	static := tiles.New(log, 1<<20, nil)
	service := native.New(native.Config{Log: log, Kinds: allKinds, Timeout: 3 * time.Minute, Fault: fault})
	v2 := rekorv2.New(rekorv2.Config{Log: log, KeyID: keyID, Kinds: allKinds, Timeout: time.Minute, Tiles: static, MaxBody: 2 << 20, Fault: fault})
	var err error
	w.rest, err = server.Handler(t.Context(), server.Config{
		Native: service, Tiles: static, RekorV2: v2.Handler(), Origin: origin, Keys: keys, MaxBody: 2 << 20,
		Size: func() int64 { p, _ := log.Published(); return p.Size },
	})
	if err != nil {
		t.Fatal(err)
	}
	conn := dial(t, func(s grpc.ServiceRegistrar) { native.Register(s, service); rekorpb.RegisterRekorServer(s, v2) })
	w.grpc, w.rekor = pb.NewLogClient(conn), rekorpb.NewRekorClient(conn)
}

// dial serves over gRPC without a network until the test ends.
func dial(t *testing.T, register func(grpc.ServiceRegistrar)) *grpc.ClientConn {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := rpc.NewServer(ctx, rpc.Config{MaxMessage: 2 << 20, Log: slog.New(slog.DiscardHandler)})
	register(s)
	on := bufconn.Listen(1 << 20)
	done := make(chan error, 1)
	go func() { done <- transport.Servers{GRPC: s, GRPCOn: on, Grace: time.Minute}.Run(ctx) }()
	conn, err := grpc.NewClient("passthrough:log", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return on.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return conn
}

// deadline is far beyond what any step takes; it only ends a test that hangs.
func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// ask sends a request to the HTTP port. body may be nil.
func (w *world) ask(t *testing.T, method, target string, body []byte) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, target, bytes.NewReader(body)).WithContext(deadline(t))
	if body == nil {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	rec := httptest.NewRecorder()
	w.rest.ServeHTTP(rec, r)
	return rec
}

// get asks and expects an answer.
func (w *world) get(t *testing.T, target string, into proto.Message) {
	t.Helper()
	w.decode(t, w.ask(t, "GET", target, nil), into)
}

func (w *world) decode(t *testing.T, rec *httptest.ResponseRecorder, into proto.Message) {
	t.Helper()
	if rec.Code != http.StatusOK || rec.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v: %s", rec.Code, rec.Header(), rec.Body)
	}
	if err := protojson.Unmarshal(rec.Body.Bytes(), into); err != nil {
		t.Fatalf("%v: %s", err, rec.Body)
	}
}

// failure is the shape of errors.
type failure struct {
	Code    *int             `json:"code"`
	Message *string          `json:"message"`
	Details *[]errorDetail   `json:"details"`
	Rest    *json.RawMessage `json:"-"`
}

type errorDetail struct {
	Type       string `json:"@type"`
	RetryDelay string `json:"retryDelay"`
}

// failureOf checks that an answer has the one shape of errors.
func failureOf(t *testing.T, rec *httptest.ResponseRecorder) failure {
	t.Helper()
	var f failure
	d := json.NewDecoder(bytes.NewReader(rec.Body.Bytes()))
	d.DisallowUnknownFields()
	err := d.Decode(&f)
	if _, more := d.Token(); err != nil || more != io.EOF || f.Code == nil || f.Message == nil || f.Details == nil ||
		rec.Header().Get("Content-Type") != "application/json" || rec.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("not the shape of an error: %v, %d %v %s", err, rec.Code, rec.Header(), rec.Body)
	}
	return f
}

// refused expects an error.
func (w *world) refused(t *testing.T, method, target string, body []byte, status int, contains string) failure {
	t.Helper()
	rec := w.ask(t, method, target, body)
	f := failureOf(t, rec)
	if rec.Code != status || !strings.Contains(*f.Message, contains) {
		t.Errorf("%s %.80s: %d %q, and not %d with %q", method, target, rec.Code, *f.Message, status, contains)
	}
	return f
}
