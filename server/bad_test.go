package server_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "indelible/api/proto/indelible/v1"
	"indelible/entry"
	translog "indelible/log"
	"indelible/server"
	"indelible/server/native"
	"indelible/server/tiles"
)

// edited is a signed entry's request with one thing about it changed.
func edited(t *testing.T, s signer, edit func(h map[string]any)) []byte {
	t.Helper()
	e := s.entry(t, "artifact")
	edit(e["hashedRekord"].(map[string]any))
	return toJSON(t, map[string]any{"entry": e})
}

func TestBadInput(t *testing.T) {
	w, s := newWorld(t, nil), newSigner(t)
	add := func(body string, status int, contains string) {
		t.Helper()
		if f := w.refused(t, "POST", "/v1/entries", []byte(body), status, contains); status == 400 && *f.Code != int(codes.InvalidArgument) {
			t.Errorf("%.80s: code %d", body, *f.Code)
		}
	}
	good := string(s.request(t, "good"))
	add("", 400, "no entry")
	add("{", 400, "invalid JSON")
	add("null", 400, "invalid JSON")
	add("[]", 400, "invalid JSON")
	add(`{"entry":{"raw":"%%%"}}`, 400, "invalid JSON")
	add(`{"entry":{"raw":"AAE"}} x`, 400, "invalid JSON")
	add(good+good, 400, "invalid JSON")
	add(`{"entri":{}}`, 400, `unknown field "entri"`)
	add(`{"entry":{"hashedRekord":{"digset":"AA=="}}}`, 400, `unknown field "digset"`)
	add(`{"entry":{"raw":"AA==","raw":"AA=="}}`, 400, "raw")
	add(`{"entry":{"raw":"AA==","dsse":{}}}`, 400, "oneof")
	add(`{"entry":{}}`, 400, "no entry")
	add(`{"entry":{"raw":""}}`, 400, "")
	add(string([]byte{'{', '"', 0xff, '"', ':', '1', '}'}), 400, "invalid JSON")
	add(string(edited(t, s, func(h map[string]any) { h["digest"] = make([]byte, 31) })), 400, "31")
	add(string(edited(t, s, func(h map[string]any) { h["digest"] = make([]byte, 32) })), 400, "does not verify")
	add(string(edited(t, s, func(h map[string]any) { h["signature"] = []byte("x") })), 400, "signature")
	add(string(edited(t, s, func(h map[string]any) { delete(h, "verifier") })), 400, "")
	add(string(edited(t, s, func(h map[string]any) {
		h["verifier"].(map[string]any)["keyDetails"] = "PKIX_RSA_PKCS1V15_2048_SHA256"
	})), 400, "PKIX_RSA_PKCS1V15_2048_SHA256")
	add(string(edited(t, s, func(h map[string]any) { h["verifier"].(map[string]any)["keyDetails"] = "MD5" })), 400, "MD5")
	add(`{"entry":{"raw":"`+base64.StdEncoding.EncodeToString(make([]byte, 65536))+`"}}`, 400, "65535")
	add(`{"entry":{"raw":"`+strings.Repeat("A", 2<<20)+`"}}`, 413, "limit of 2097152 bytes")

	w.refused(t, "POST", "/v1/entries:batch", []byte(`{"entries":[]}`), 400, "1 to 1024")
	w.refused(t, "POST", "/v1/entries:batch", toJSON(t, map[string]any{"entries": make([]struct{}, 1025)}), 400, "1025 entries")
	w.refused(t, "GET", "/v1/entries/0", nil, 404, "size is 0")
	w.refused(t, "GET", "/v1/entries/-1", nil, 404, "-1")
	w.refused(t, "GET", "/v1/entries/x", nil, 400, `"/v1/entries/x" does not end in the index`)
	w.refused(t, "GET", "/v1/entries/9223372036854775808", nil, 400, "index")
	w.refused(t, "GET", "/v1/entries?start=1", nil, 400, "size is 0")
	w.refused(t, "GET", "/v1/entries?start=x", nil, 400, `says "x" where a whole number`)
	w.refused(t, "GET", "/v1/entries?limit=1001", nil, 400, "1 to 1000")
	w.refused(t, "GET", "/v1/entries?limit=-1", nil, 400, "1 to 1000")
	w.refused(t, "GET", "/v1/entries?limt=1", nil, 400, `unknown query parameter "limt"`)
	w.refused(t, "GET", "/v1/entries?start=0&start=0", nil, 400, "start")
	w.refused(t, "GET", "/v1/entries:lookup", nil, 400, "0 bytes")
	w.refused(t, "GET", "/v1/entries:lookup?leafHash=AAAA", nil, 400, "3 bytes")
	w.refused(t, "GET", "/v1/entries:lookup?leafHash=%25", nil, 400, "leaf")
	w.refused(t, "GET", "/v1/proofs/inclusion?index=0", nil, 400, "size 0")
	w.refused(t, "GET", "/v1/proofs/inclusion?index=0&treeSize=1", nil, 400, "tree size 1")
	w.refused(t, "GET", "/v1/proofs/inclusion", nil, 400, "index is not given")
	w.refused(t, "GET", "/v1/proofs/inclusion?treeSize=1", nil, 400, "index is not given")
	w.refused(t, "GET", "/v1/proofs/consistency?to=0", nil, 400, "from is not given")
	w.refused(t, "GET", "/v1/proofs/consistency?from=2&to=1", nil, 400, "from 2 to 1")

	for _, path := range []string{"/v1/checkpoint", "/v1/entries/0", "/v1/entries", "/v1/entries:lookup", "/v1/entries:search", "/v1/proofs/inclusion", "/v1/proofs/consistency"} {
		w.refused(t, "GET", path+"?x=1", nil, 400, "unknown query parameter")
		w.refused(t, "GET", path+"?x;y", nil, 400, "")
	}
	for _, path := range []string{"/v1/entries", "/v1/entries:batch"} {
		w.refused(t, "POST", path+"?start=1", []byte(good), 400, `unknown query parameters "start=1"; POST`)
	}
	w.refused(t, "GET", "/v1/nothing?x=1", nil, 404, "/v1/nothing")
	w.refused(t, "GET", "/v1/nothing", nil, 404, "/v1/nothing")
	w.refused(t, "GET", "/nothing", nil, 404, "/nothing")
	w.refused(t, "GET", "/tile/0/0", nil, 404, "tile")
	w.refused(t, "GET", "//tile/0/000", nil, 404, "")
	w.refused(t, "GET", "/tile/../checkpoint", nil, 404, "")
	w.refused(t, "GET", "/v1/../checkpoint", nil, 404, "")
}

func TestMethods(t *testing.T) {
	w := newWorld(t, nil)
	for target, allow := range map[string]string{
		"/v1/entries": "GET, HEAD, OPTIONS, POST", "/v1/entries:batch": "POST", "/v1/checkpoint": "GET, HEAD, OPTIONS", "/page/main.js": "GET, HEAD", "/": "GET, HEAD", "/openapi.json": "GET, HEAD", "/checkpoint": "GET, HEAD, OPTIONS",
	} {
		rec := w.ask(t, "DELETE", target, nil)
		if failureOf(t, rec); rec.Code != 405 || rec.Header().Get("Allow") != allow {
			t.Errorf("DELETE %s: %d, allow %q", target, rec.Code, rec.Header().Get("Allow"))
		}
	}
	for _, path := range []string{"/v1/entries/0", "/v1/checkpoint"} {
		r := httptest.NewRequest("POST", path, strings.NewReader(""))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-HTTP-Method-Override", "GET")
		rec := httptest.NewRecorder()
		if w.rest.ServeHTTP(rec, r); rec.Code != 405 {
			t.Errorf("POST %s as GET: %d", path, rec.Code)
		}
	}
}

// HEAD tells what GET would, and sends no body.
func TestHead(t *testing.T) {
	w := newWorld(t, nil)
	s := httptest.NewServer(w.rest)
	defer s.Close()
	for target, code := range map[string]int{
		"/v1/checkpoint": 200, "/v1/entries": 200, "/v1/entries/77": 404, "/v1/nothing": 404, "/v1/entries?x=1": 400, "/v1/entries:batch": 405, "/": 200,
	} {
		head, err := http.Head(s.URL + target)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(head.Body)
		if head.Body.Close(); err != nil || len(body) > 0 || head.StatusCode != code {
			t.Errorf("HEAD %s: %d, want %d; %d bytes, %v", target, head.StatusCode, code, len(body), err)
		}
		get, err := http.Get(s.URL + target)
		if err != nil {
			t.Fatal(err)
		}
		get.Body.Close()
		if code != 405 && (get.StatusCode != code || head.ContentLength != get.ContentLength || head.Header.Get("Content-Type") != get.Header.Get("Content-Type")) {
			t.Errorf("%s: HEAD answers %d %v, and GET %d %v", target, head.StatusCode, head.Header, get.StatusCode, get.Header)
		}
	}
}

func TestTheContentTypeDoesNotMatter(t *testing.T) {
	w, s := newWorld(t, nil), newSigner(t)
	for i, contentType := range []string{"", "application/json", "text/plain", "application/x-www-form-urlencoded", "application/octet-stream", "x"} {
		r := httptest.NewRequest("POST", "/v1/entries", strings.NewReader(string(s.request(t, numbered(i))))).WithContext(deadline(t))
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("Accept", contentType)
		rec := httptest.NewRecorder()
		if w.rest.ServeHTTP(rec, r); rec.Code != 200 || rec.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%q: %d %s", contentType, rec.Code, rec.Body)
		}
	}
}

func TestBadMessages(t *testing.T) {
	w, s, ctx := newWorld(t, nil), newSigner(t), deadline(t)
	short := requestOf(t, edited(t, s, func(h map[string]any) { h["digest"] = make([]byte, 31) }), &pb.AddEntryRequest{})
	for want, req := range map[string]*pb.AddEntryRequest{
		"no entry": {}, "31": short,
		"65535": rawEntry(strings.Repeat("x", 65536)),
	} {
		if _, err := w.grpc.AddEntry(ctx, req); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, and not %q", err, want)
		}
	}
	if _, err := w.grpc.AddEntry(ctx, rawEntry(strings.Repeat("x", 3<<20))); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a message over the limit: %v", err)
	}
	for want, req := range map[string]*pb.AddEntryRequest{
		"unknown field number 77 of AddEntryRequest":                            {},
		"unknown field number 77 in entry of AddEntryRequest":                   rawEntry("x"),
		"unknown field number 77 in entry.hashedRekord of AddEntryRequest":      {Entry: &pb.Entry{Kind: &pb.Entry_HashedRekord{HashedRekord: &pb.HashedRekord{}}}},
		"unknown field number 77 in entry.dsse.verifiers[1] of AddEntryRequest": {Entry: &pb.Entry{Kind: &pb.Entry_Dsse{Dsse: &pb.Dsse{Verifiers: []*pb.Verifier{{}, {}}}}}},
	} {
		if _, err := w.grpc.AddEntry(ctx, withUnknown(req)); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, and not %q", err, want)
		}
	}
	many := &pb.AddEntriesRequest{Entries: []*pb.Entry{rawEntry("x").Entry, {}}}
	addUnknown(many.Entries[1])
	if _, err := w.grpc.AddEntries(ctx, many); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "77 in entries[1] of") {
		t.Error(err)
	}
	// 0 is not what is meant by a number that is not there.
	for name, ask := range map[string]func() error{
		"entry":     func() error { _, err := w.grpc.GetEntry(ctx, &pb.GetEntryRequest{}); return err },
		"inclusion": func() error { _, err := w.grpc.GetInclusionProof(ctx, &pb.GetInclusionProofRequest{}); return err },
		"consistency": func() error {
			_, err := w.grpc.GetConsistencyProof(ctx, &pb.GetConsistencyProofRequest{To: proto.Int64(1)})
			return err
		},
	} {
		if err := ask(); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "is not given") {
			t.Errorf("%s: %v", name, err)
		}
	}
	watch := &pb.WatchCheckpointsRequest{}
	addUnknown(watch)
	stream, err := w.grpc.WatchCheckpoints(ctx, watch)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "number 77 of WatchCheckpointsRequest") {
		t.Error(err)
	}
	if _, err := w.grpc.LookupEntry(ctx, &pb.LookupEntryRequest{LeafHash: make([]byte, 31)}); status.Code(err) != codes.InvalidArgument {
		t.Error(err)
	}
	if _, err := w.grpc.GetConsistencyProof(ctx, &pb.GetConsistencyProofRequest{From: proto.Int64(2), To: proto.Int64(1)}); status.Code(err) != codes.OutOfRange {
		t.Error(err)
	}
}

// addUnknown gives a message a field that no message of the API has.
func addUnknown(m proto.Message) {
	m.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 77, protowire.VarintType), 1))
}

// withUnknown gives one to the innermost message of a request.
func withUnknown(req *pb.AddEntryRequest) *pb.AddEntryRequest {
	switch e := req.GetEntry(); {
	case e == nil:
		addUnknown(req)
	case e.GetHashedRekord() != nil:
		addUnknown(e.GetHashedRekord())
	case e.GetDsse() != nil:
		addUnknown(e.GetDsse().GetVerifiers()[1])
	default:
		addUnknown(e)
	}
	return req
}

func TestKindsThatAreNotTaken(t *testing.T) {
	h := handlerOver(t, &fakeLog{})
	w := &world{rest: h}
	w.refused(t, "POST", "/v1/entries", []byte(`{"entry":{"raw":"AA=="}}`), 400, "takes hashedrekord, dsse (the operator sets it with --entry-kinds)")
}

// TestFailures is the table of errors, over both APIs.
func TestFailures(t *testing.T) {
	secret := "dial tcp db.internal:3306: user root"
	for _, c := range []struct {
		err     error
		grpc    codes.Code
		http    int
		retry   bool
		message string
	}{
		{fmt.Errorf("%w: 16384 entries are waiting", translog.ErrQueueFull), codes.ResourceExhausted, 429, true, "16384 entries"},
		{fmt.Errorf("%w: the head went back", translog.ErrPoisoned), codes.FailedPrecondition, 503, false, "the head went back"},
		{translog.ErrStopping, codes.Unavailable, 503, true, "stopping"},
		{fmt.Errorf("%w: the clock is 3 h behind", translog.ErrClock), codes.Unavailable, 503, true, "3 h"},
		{fmt.Errorf("%w: %w", translog.ErrUnavailable, fmt.Errorf("%s: %w", secret, context.DeadlineExceeded)), codes.Unavailable, 503, true, "not available"},
		{errors.New(secret), codes.Internal, 500, false, "internal error"},
		{fmt.Errorf("%s: %w", secret, context.DeadlineExceeded), codes.DeadlineExceeded, 504, false, "add it again"},
		{fmt.Errorf("%w: 4 entries, and its queue holds 3", translog.ErrTooMuch), codes.InvalidArgument, 400, false, "its queue holds 3"},
		{fmt.Errorf("%w: %w: %s", context.DeadlineExceeded, translog.ErrNotAppending, secret), codes.DeadlineExceeded, 504, false, "not published in time, since the log cannot append to its database at present; it may be yet: add it again"},
		{fmt.Errorf("%w: %w: %s", context.DeadlineExceeded, translog.ErrNotPublishing, secret), codes.DeadlineExceeded, 504, false, "since the log cannot publish what it appended at present; it may be yet"},
		{context.Canceled, codes.Canceled, 499, false, ""},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			w, s := newFakeWorld(t, &fakeLog{err: c.err}), newSigner(t)
			body := s.request(t, "a")
			rec := w.ask(t, "POST", "/v1/entries", body)
			f := failureOf(t, rec)
			if rec.Code != c.http || *f.Code != int(c.grpc) || !strings.Contains(*f.Message, c.message) || strings.Contains(*f.Message, "db.internal") {
				t.Errorf("%d %s", rec.Code, rec.Body)
			}
			if retry := rec.Header().Get("Retry-After") == "1"; retry != c.retry || retry != (len(*f.Details) == 1 && (*f.Details)[0].RetryDelay == "1s") {
				t.Errorf("Retry-After %q, details %v", rec.Header().Get("Retry-After"), *f.Details)
			}
			_, err := w.grpc.AddEntry(deadline(t), requestOf(t, body, &pb.AddEntryRequest{}))
			st := status.Convert(err)
			if st.Code() != c.grpc || st.Message() != *f.Message {
				t.Errorf("over gRPC: %v", err)
			}
			if info, ok := first(st.Details()).(*errdetails.RetryInfo); ok != c.retry || ok && info.RetryDelay.AsDuration() != time.Second {
				t.Errorf("details over gRPC: %v", st.Details())
			}
			if faults := len(w.fault); faults > 0 != (c.grpc == codes.Internal) {
				t.Errorf("the operator is told of %v", w.fault)
			}
			rec = w.ask(t, "GET", "/v1/checkpoint", nil)
			if failureOf(t, rec); rec.Code != c.http || strings.Contains(rec.Body.String(), "add it again") || strings.Contains(rec.Body.String(), "db.internal") {
				t.Errorf("a read: %d %s", rec.Code, rec.Body)
			}
		})
	}
}

func first(list []any) any {
	if len(list) == 0 {
		return nil
	}
	return list[0]
}

func TestAddsHaveADeadline(t *testing.T) {
	service := native.New(native.Config{Log: &fakeLog{block: true}, Kinds: allKinds, Timeout: time.Millisecond})
	for _, add := range []func() error{
		func() error { _, err := service.AddEntry(t.Context(), rawEntry("x")); return err },
		func() error {
			_, err := service.AddEntries(t.Context(), &pb.AddEntriesRequest{Entries: []*pb.Entry{rawEntry("x").Entry}})
			return err
		},
	} {
		if err := add(); status.Code(err) != codes.DeadlineExceeded || !strings.Contains(err.Error(), "add it again") {
			t.Error(err)
		}
	}
}

// TestSlowBodies sends a body that never ends over a real connection.
func TestSlowBodies(t *testing.T) {
	s := httptest.NewUnstartedServer(handlerOver(t, &fakeLog{}))
	s.Config.ReadTimeout, s.Config.ReadHeaderTimeout = 50*time.Millisecond, 3*time.Minute // however late the head comes
	s.Start()
	defer s.Close()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(3 * time.Minute))
	io.WriteString(conn, "POST /v1/entries HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") || !strings.Contains(string(answer), "did not arrive in time") {
		t.Errorf("%v: %s", err, answer)
	}
}

// TestBodiesWithoutALength are limited as they arrive.
func TestBodiesWithoutALength(t *testing.T) {
	s := httptest.NewServer(newFakeWorld(t, &fakeLog{}).rest)
	defer s.Close()
	// It goes on without an end, and without a byte that the server does not read: who
	// still writes when the connection is closed may miss the answer.
	endless, more := io.Pipe()
	defer more.Close()
	go io.WriteString(more, `{"entry":{"raw":"`+strings.Repeat("A", 2<<20))
	res, err := http.Post(s.URL+"/v1/entries", "application/json", endless)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != 413 || !strings.Contains(string(body), "limit of 2097152 bytes") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

// TestNothingIsLeftRunning compares the goroutines before and after.
func TestNothingIsLeftRunning(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("all", func(t *testing.T) {
		w, s := newWorld(t, nil), newSigner(t)
		stream, err := w.grpc.WatchCheckpoints(context.Background(), &pb.WatchCheckpointsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		w.ask(t, "POST", "/v1/entries", s.request(t, "a"))
		w.ask(t, "GET", "/tile/entries/000.p/1", nil)
	})
	for end := time.Now().Add(3 * time.Minute); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(end) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, and %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
	}
}

// FuzzREST sends bodies that may be anything.
func FuzzREST(f *testing.F) {
	s := newSigner(f)
	log := &fakeLog{}
	h, err := server.Handler(f.Context(), server.Config{
		Native: native.New(native.Config{Log: log, Kinds: []entry.Kind{entry.KindHashedRekord, entry.KindDSSE, entry.KindRaw}}),
		Tiles:  tiles.New(log, 1<<20, nil), Size: func() int64 { return 0 },
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.request(f, "a"), false)
	f.Add(toJSON(f, map[string]any{"entries": []any{s.entry(f, "a"), map[string]any{"raw": "AA=="}}}), true)
	f.Add([]byte(`{"entry":{"raw":"AA=="}}`), false)
	f.Add([]byte(`{"entry":{"dsse":{"envelope":"e30=","verifiers":[{"certificate":"AA=="}]}}}`), false)
	f.Add([]byte(`{} {}`), false)
	f.Fuzz(func(t *testing.T, body []byte, batch bool) {
		path := map[bool]string{false: "/v1/entries", true: "/v1/entries:batch"}[batch]
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, post(path, body))
		switch rec.Code {
		case http.StatusOK:
			if !strictJSON(body) {
				t.Fatalf("taken: %q", body)
			}
		case http.StatusBadRequest:
			failureOf(t, rec)
		default:
			t.Fatalf("%d: %q", rec.Code, body)
		}
	})
}
