package server

import (
	"bytes"
	"encoding/json"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	pb "indelible/api/proto/indelible/v1"
)

// FuzzAnswer compares the answer to an add with protojson's.
func FuzzAnswer(f *testing.F) {
	f.Add(int64(0), int64(1), []byte{}, []byte{}, "", "", "", false)
	f.Add(int64(7), int64(1_700_000_000_123), make([]byte, 96), []byte(`{"kind":"x"}`), "hashedrekord", "log.example.com", "log\n7\n\n— log AA==\n", true)
	f.Add(int64(-1), int64(1)<<62, make([]byte, 33), []byte{0}, "\"", "\\", "\u2028\x7f<&>", true)
	f.Add(int64(1), int64(1), []byte{1}, []byte{1}, "\x00", "\t", "\xff", true)
	f.Fuzz(func(t *testing.T, index, at int64, hash, canonical []byte, kind, origin, note string, duplicate bool) {
		r := &pb.AddEntryResponse{
			Entry:      &pb.LoggedEntry{Index: index, LeafHash: hash, Canonical: canonical, IntegratedAt: at, Kind: kind},
			Proof:      &pb.InclusionProof{Index: index, TreeSize: at, RootHash: hash},
			Checkpoint: &pb.Checkpoint{Origin: origin, TreeSize: at, RootHash: hash, Note: note},
			Duplicate:  duplicate,
		}
		for len(hash) >= 32 {
			r.Proof.Hashes, hash = append(r.Proof.Hashes, hash[:32]), hash[32:]
		}
		got, ok := marshalAdded(r)
		want, err := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(r)
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
	full := func() *pb.AddEntryResponse {
		return &pb.AddEntryResponse{Entry: &pb.LoggedEntry{}, Proof: &pb.InclusionProof{}, Checkpoint: &pb.Checkpoint{Note: "a\n— b\n"}}
	}
	if _, ok := marshalAdded(full()); !ok {
		t.Fatal("a plain answer is not written")
	}
	for name, change := range map[string]func(r *pb.AddEntryResponse){
		"no entry":      func(r *pb.AddEntryResponse) { r.Entry = nil },
		"no proof":      func(r *pb.AddEntryResponse) { r.Proof = nil },
		"no checkpoint": func(r *pb.AddEntryResponse) { r.Checkpoint = nil },
		"a quote":       func(r *pb.AddEntryResponse) { r.Checkpoint.Origin = `"` },
		"a backslash":   func(r *pb.AddEntryResponse) { r.Checkpoint.Origin = `\` },
		"a tab":         func(r *pb.AddEntryResponse) { r.Checkpoint.Origin = "\t" },
		"not UTF-8":     func(r *pb.AddEntryResponse) { r.Checkpoint.Origin = "\xff" },
	} {
		r := full()
		change(r)
		if got, ok := marshalAdded(r); ok {
			t.Errorf("%s: %s", name, got)
		}
	}
}
