package server_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	rekorpb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"

	"indelible/server/native"
	"indelible/server/rekorv2"
)

const hostileBody = 2<<20 - 64

// allocated is how much memory was taken while something was done.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestMemoryOfHostileBodies: what is refused costs a few times its size, however
// many values it has. Most of that is for the body itself, as it arrives.
func TestMemoryOfHostileBodies(t *testing.T) {
	h := everyAPI(t, &fakeLog{}, nil)
	for name, c := range map[string]struct{ path, before, again, after string }{
		"a batch":                 {"/v1/entries:batch", `{"entries":[`, `{},`, `{}]}`},
		"a batch in a batch":      {"/v1/entries:batch", `{"entries":[`, `{"hashedRekord":{}},`, `{}]}`},
		"verifiers":               {"/v1/entries", `{"entry":{"dsse":{"verifiers":[`, `{},`, `{}]}}}`},
		"signatures in Rekor v2":  {rekorEntries, `{"dsseRequestV002":{"envelope":{"payload":"","payloadType":"a","signatures":[`, `{},`, `{}]}}}`},
		"verifiers in Rekor v2":   {rekorEntries, `{"dsseRequestV002":{"envelope":{},"verifiers":[`, `{},`, `{}]}}`},
		"short ones of some size": {rekorEntries, `{"dsseRequestV002":{"envelope":{"signatures":[`, `{                                     },`, `{}]}}}`},
		"members in Rekor v1":     {rekorV1Entries, `{`, `"0":1,`, `"z":1}`},
		"unknown members":         {"/v1/entries", `{`, `"0":1,`, `"z":1}`},
	} {
		t.Run(name, func(t *testing.T) {
			body := c.before + strings.Repeat(c.again, (hostileBody-len(c.before)-len(c.after))/len(c.again)) + c.after
			r := post(c.path, []byte(body))
			r.Header.Set("Content-Type", "application/json")
			rec := httptest.NewRecorder()
			took := allocated(func() { h.ServeHTTP(rec, r) })
			if rec.Code != http.StatusBadRequest && rec.Code != http.StatusUnprocessableEntity || took > 12*uint64(len(body)) {
				t.Errorf("%d bytes for a body of %d: %d %.200s", took, len(body), rec.Code, rec.Body)
			}
		})
	}
}

// rawCodec sends a request's bytes as they are.
type rawCodec struct{}

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}
func (rawCodec) Unmarshal(mem.BufferSlice, any) error { return nil }
func (rawCodec) Name() string                         { return "proto" }

// inField is bytes as a field of a message.
func inField(number protowire.Number, b string) string {
	return string(protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), b))
}

// TestMemoryOfHostileMessages is the same over gRPC. The client's memory is counted
// too.
func TestMemoryOfHostileMessages(t *testing.T) {
	conn := dial(t, func(s grpc.ServiceRegistrar) {
		native.Register(s, native.New(native.Config{Log: &fakeLog{}, Kinds: allKinds}))
		rekorpb.RegisterRekorServer(s, rekorv2.New(rekorv2.Config{Log: &fakeLog{}, KeyID: keyID, Kinds: allKinds}))
	})
	again := func(field protowire.Number) string { return strings.Repeat(inField(field, ""), hostileBody/2) }
	for _, c := range []struct{ method, message string }{
		{"/indelible.v1.Log/AddEntries", again(1)},
		{"/indelible.v1.Log/AddEntry", inField(1, inField(2, again(2)))},
		{"/dev.sigstore.rekor.v2.Rekor/CreateEntry", inField(2, inField(1, again(3)))},
		{"/dev.sigstore.rekor.v2.Rekor/CreateEntry", inField(2, again(2))},
	} {
		t.Run(fmt.Sprintf("%s %x", c.method, c.message[:12]), func(t *testing.T) {
			var err error
			took := allocated(func() {
				err = conn.Invoke(deadline(t), c.method, []byte(c.message), &emptypb.Empty{}, grpc.ForceCodecV2(rawCodec{}))
			})
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "which no request needs") || took > 12*uint64(len(c.message)) {
				t.Errorf("%d bytes for a message of %d: %v", took, len(c.message), err)
			}
		})
	}
}
