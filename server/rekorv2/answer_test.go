package rekorv2

import (
	"bytes"
	"encoding/json"
	"testing"

	commonpb "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	entrypb "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// FuzzAnswer compares an answer with protojson's.
func FuzzAnswer(f *testing.F) {
	f.Add(int64(0), int64(1), []byte{}, []byte{}, "", "")
	f.Add(int64(7), int64(1)<<62, make([]byte, 96), []byte(`{"kind":"x"}`), "hashedrekord", "log.example.com\n1\nAA==\n\n— log.example.com AA==\n")
	f.Add(int64(-1), int64(9), make([]byte, 33), []byte{0}, `"`, "\u2028\x7f<&>\\")
	f.Add(int64(1), int64(1), []byte{1}, []byte{1}, "\x00", "\xff")
	f.Fuzz(func(t *testing.T, index, size int64, hash, canonical []byte, kind, note string) {
		e := &entrypb.TransparencyLogEntry{
			LogIndex: index, LogId: &commonpb.LogId{KeyId: hash}, KindVersion: &entrypb.KindVersion{Kind: kind, Version: "0.0.2"},
			InclusionProof:    &entrypb.InclusionProof{LogIndex: index, RootHash: hash, TreeSize: size, Checkpoint: &entrypb.Checkpoint{Envelope: note}},
			CanonicalizedBody: canonical,
		}
		for len(hash) >= 32 {
			e.InclusionProof.Hashes, hash = append(e.InclusionProof.Hashes, hash[:32]), hash[32:]
		}
		got, ok := marshalPlain(e)
		want, err := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(e)
		if !ok {
			return // protojson does it
		}
		var compact bytes.Buffer // protojson varies its spaces
		if err != nil || json.Compact(&compact, want) != nil || !bytes.Equal(got, compact.Bytes()) {
			t.Fatalf("%v:\n%s\n%s", err, got, want)
		}
	})
}

// TestAnswersThatAreNotPlain are protojson's.
func TestAnswersThatAreNotPlain(t *testing.T) {
	full := func() *entrypb.TransparencyLogEntry {
		return &entrypb.TransparencyLogEntry{
			LogId: &commonpb.LogId{}, KindVersion: &entrypb.KindVersion{},
			InclusionProof: &entrypb.InclusionProof{Checkpoint: &entrypb.Checkpoint{Envelope: "a\n— b\n"}},
		}
	}
	if _, ok := marshalPlain(full()); !ok {
		t.Fatal("a plain answer is not written")
	}
	for name, change := range map[string]func(e *entrypb.TransparencyLogEntry){
		"no log id":     func(e *entrypb.TransparencyLogEntry) { e.LogId = nil },
		"no kind":       func(e *entrypb.TransparencyLogEntry) { e.KindVersion = nil },
		"no proof":      func(e *entrypb.TransparencyLogEntry) { e.InclusionProof = nil },
		"no checkpoint": func(e *entrypb.TransparencyLogEntry) { e.InclusionProof.Checkpoint = nil },
		"a promise":     func(e *entrypb.TransparencyLogEntry) { e.InclusionPromise = &entrypb.InclusionPromise{} },
		"a quote":       func(e *entrypb.TransparencyLogEntry) { e.InclusionProof.Checkpoint.Envelope = `"` },
	} {
		e := full()
		change(e)
		if got, ok := marshalPlain(e); ok {
			t.Errorf("%s: %s", name, got)
		}
		want, err := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(e)
		if got, gotErr := marshal(e); gotErr != nil || err != nil || !sameJSON(got, want) {
			t.Errorf("%s: %s, %v; protojson writes %s, %v", name, got, gotErr, want, err)
		}
	}
}

func sameJSON(a, b []byte) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}
