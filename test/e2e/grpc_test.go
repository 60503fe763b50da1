//go:build unix

package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	rekorpb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "indelible/api/proto/indelible/v1"
)

// asIs is a codec that sends bytes as they are, and says that they are a
// message.
type asIs struct{}

func (asIs) Marshal(v any) ([]byte, error)   { return *v.(*[]byte), nil }
func (asIs) Unmarshal(b []byte, v any) error { *v.(*[]byte) = bytes.Clone(b); return nil }
func (asIs) Name() string                    { return "proto" }

// maxBody is what the server of these tests takes.
const maxBody = 64 << 10

func grpcServer(t *testing.T) (*server, *grpc.ClientConn) {
	t.Helper()
	s := newSQLite(t)
	s.args = append(s.args, "--max-body", "64KiB")
	s.start()
	s.ready()
	conn, err := grpc.NewClient(s.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(asIs{})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return s, conn
}

// call sends bytes to a method.
func call(t testing.TB, conn *grpc.ClientConn, method string, message []byte) *status.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var out []byte
	return status.Convert(conn.Invoke(ctx, method, &message, &out))
}

// lives demands that the server went through all that without harm.
func (s *server) lives(conn *grpc.ClientConn) {
	s.t.Helper()
	message, err := proto.Marshal(&pb.AddEntryRequest{Entry: &pb.Entry{Kind: &pb.Entry_Raw{Raw: []byte("still here")}}})
	if err != nil {
		s.t.Fatal(err)
	}
	if st := call(s.t, conn, pb.Log_AddEntry_FullMethodName, message); st.Code() != codes.OK {
		s.t.Errorf("an add afterwards: %v", st)
	}
	if out := s.out.String(); strings.Contains(out, "panic") {
		s.t.Errorf("a panic: %s", tail(out))
	}
}

// unary are the methods of the services that take one message.
func unary() []string {
	var names []string
	for _, service := range []grpc.ServiceDesc{pb.Log_ServiceDesc, rekorpb.Rekor_ServiceDesc, healthpb.Health_ServiceDesc} {
		for _, m := range service.Methods {
			names = append(names, "/"+service.ServiceName+"/"+m.MethodName)
		}
	}
	return names
}

func TestMalformedMessages(t *testing.T) {
	s, conn := grpcServer(t)
	if n := len(unary()); n < 10 {
		t.Fatalf("%d methods", n)
	}
	for _, method := range unary() {
		for _, message := range []string{
			"\xff",      // a tag that does not end
			"\x07",      // a wire type that there is not
			"\x0a\x05x", // fewer bytes than announced
			"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", // a length of 2^64-1
			"\x0b",                         // a group that does not end
			"\x0c",                         // the end of a group that did not begin
			strings.Repeat("\x0b", 20_000), // nested without end
		} {
			st := call(t, conn, method, []byte(message))
			if st.Code() != codes.Internal && st.Code() != codes.InvalidArgument || !strings.Contains(st.Message(), "unmarshal") {
				t.Errorf("%s, %.20q: %v", method, message, st)
			}
		}
	}
	s.lives(conn)
}

// What is nearly a request is refused in words, or is one.
func TestDamagedMessages(t *testing.T) {
	s, conn := grpcServer(t)
	message, err := proto.Marshal(&pb.AddEntriesRequest{Entries: []*pb.Entry{
		{Kind: &pb.Entry_Raw{Raw: []byte("damaged")}},
		{Kind: &pb.Entry_HashedRekord{HashedRekord: &pb.HashedRekord{
			Digest: make([]byte, 32), Signature: make([]byte, 64), Verifier: &pb.Verifier{Key: &pb.Verifier_PublicKey{PublicKey: make([]byte, 44)}, KeyDetails: "PKIX_ED25519"},
		}}},
		{Kind: &pb.Entry_Dsse{Dsse: &pb.Dsse{Envelope: []byte(`{"payload":"","payloadType":"x","signatures":[{"sig":""}]}`), Verifiers: []*pb.Verifier{{Key: &pb.Verifier_Certificate{Certificate: make([]byte, 20)}}}}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	answers := map[codes.Code]int{}
	for range 500 {
		damaged := slices.Clone(message)
		for range 1 + random.IntN(4) {
			damaged[random.IntN(len(damaged))] = byte(random.Uint32())
		}
		damaged = damaged[:len(damaged)-random.IntN(2)*random.IntN(len(damaged))]
		st := call(t, conn, pb.Log_AddEntries_FullMethodName, damaged)
		answers[st.Code()]++
		switch st.Code() {
		case codes.OK, codes.InvalidArgument:
		case codes.Internal:
			if !strings.Contains(st.Message(), "unmarshal") {
				t.Errorf("%x: %v", damaged, st)
			}
		default:
			t.Errorf("%x: %v", damaged, st)
		}
	}
	if answers[codes.OK] == 0 || answers[codes.Internal] == 0 {
		t.Errorf("the answers are %v: some should be requests, and some not", answers)
	}
	s.lives(conn)
}

func TestUnknownMethods(t *testing.T) {
	s, conn := grpcServer(t)
	for method, says := range map[string]string{
		"/indelible.v1.Log/DeleteEntry":           "unknown method DeleteEntry",
		"/indelible.v1.Nothing/AddEntry":          "unknown service indelible.v1.Nothing",
		"/dev.sigstore.rekor.v2.Rekor/NoSuchCall": "unknown method NoSuchCall",
		"/": "malformed method name",
	} {
		if st := call(t, conn, method, nil); st.Code() != codes.Unimplemented || !strings.Contains(st.Message(), says) {
			t.Errorf("%s: %v, want %q", method, st, says)
		}
	}
	s.lives(conn)
}

func TestOversizedMessages(t *testing.T) {
	s, conn := grpcServer(t)
	for _, method := range unary() {
		st := call(t, conn, method, make([]byte, maxBody+1))
		if st.Code() != codes.ResourceExhausted || !strings.Contains(st.Message(), fmt.Sprintf("larger than max (%d vs. %d)", maxBody+1, maxBody)) {
			t.Errorf("%s: %v", method, st)
		}
	}
	s.lives(conn)
}

// TestTruncatedFrames: HTTP/2 that is right, around gRPC frames that are not.
func TestTruncatedFrames(t *testing.T) {
	s, conn := grpcServer(t)
	var h2c http.Protocols
	h2c.SetUnencryptedHTTP2(true)
	web := &http.Client{Transport: &http.Transport{Protocols: &h2c}, Timeout: 2 * time.Minute}
	defer web.CloseIdleConnections()
	for name, c := range map[string]struct {
		body  []byte
		codes string
		says  string
	}{
		"half a prefix":              {[]byte{0, 0, 0}, "13", "unexpected EOF"},
		"a prefix alone":             {frame(0, 10, nil), "13", "unexpected EOF"},
		"half a message":             {frame(0, 10, []byte("abc")), "13", "unexpected EOF"},
		"4 GiB announced":            {frame(0, 1<<32-1, []byte("abc")), "8", "larger than max"},
		"compressed, not saying how": {frame(1, 3, []byte("abc")), "13", "compressed flag set"},
		"a flag that there is not":   {frame(77, 3, []byte("abc")), "13", "unexpected payload format"},
		"a second message":           {append(frame(0, 0, nil), frame(0, 0, nil)...), "13", "cardinality violation"},
		"no message":                 {nil, "13", "cardinality violation"},
	} {
		req, err := http.NewRequest("POST", "http://"+s.grpc+pb.Log_GetCheckpoint_FullMethodName, bytes.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/grpc")
		req.Header.Set("Te", "trailers")
		res, err := web.Do(req)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		code, message := res.Trailer.Get("Grpc-Status")+res.Header.Get("Grpc-Status"), res.Trailer.Get("Grpc-Message")+res.Header.Get("Grpc-Message")
		if code != c.codes || !strings.Contains(message, c.says) {
			t.Errorf("%s: status %s, %q; want %s, %q", name, code, message, c.codes, c.says)
		}
	}
	s.lives(conn)
}

// frame is a gRPC frame, which announces so many bytes.
func frame(flag byte, announced uint32, message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{flag}, announced), message...)
}

// TestBrokenConnections: what is not HTTP/2 ends the connection that it came
// over, and nothing else.
func TestBrokenConnections(t *testing.T) {
	s, conn := grpcServer(t)
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	for name, sent := range map[string]string{
		"nothing":                    "",
		"HTTP/1.1":                   "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"TLS":                        "\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03",
		"half a preface":             "PRI * HTTP",
		"half a frame's head":        preface + "\x00\x00",
		"half a frame":               preface + "\x00\x00\x40\x01\x04\x00\x00\x00\x01abc",
		"a frame of 16 MiB":          preface + "\xff\xff\xff\x00\x00\x00\x00\x00\x01abc",
		"data of a stream not begun": preface + "\x00\x00\x03\x00\x01\x00\x00\x00\x01abc",
		"headers that do not decode": preface + "\x00\x00\x03\x01\x05\x00\x00\x00\x01\xff\xff\xff",
		"a stream of the server's":   preface + "\x00\x00\x01\x01\x05\x00\x00\x00\x02\x82",
		"settings of half a setting": preface + "\x00\x00\x03\x04\x00\x00\x00\x00\x00abc",
		"a window past its end":      preface + "\x00\x00\x04\x08\x00\x00\x00\x00\x00\x7f\xff\xff\xff",
	} {
		c, err := net.Dial("tcp", s.grpc)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(2 * time.Minute))
		if _, err := io.WriteString(c, sent); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		c.(*net.TCPConn).CloseWrite()
		if _, err := io.Copy(io.Discard, c); err != nil && !strings.Contains(err.Error(), "reset by peer") {
			t.Errorf("%s: the server keeps the connection: %v", name, err)
		}
		c.Close()
	}
	s.lives(conn)
}
