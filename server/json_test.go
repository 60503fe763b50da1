package server

import (
	"bytes"
	"encoding/json"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

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

// FuzzPages compares pages of lists and searches with protojson's.
func FuzzPages(f *testing.F) {
	f.Add(0, int64(0), []byte{}, "", "")
	f.Add(3, int64(7), []byte(`{"kind":"x"}`), "dsse", "after-7")
	f.Add(1, int64(-1), make([]byte, 99), "\"", "\xff")
	f.Fuzz(func(t *testing.T, n int, number int64, data []byte, kind, token string) {
		var entries []*pb.LoggedEntry
		for i := range max(0, min(n, 5)) {
			entries = append(entries, &pb.LoggedEntry{Index: number + int64(i), LeafHash: data, Canonical: data, IntegratedAt: number, Kind: kind})
		}
		for _, r := range []proto.Message{
			&pb.ListEntriesResponse{Entries: entries, Next: number, TreeSize: number},
			&pb.SearchEntriesResponse{Entries: entries, NextPageToken: token, CompleteTo: number, TreeSize: number},
		} {
			got, ok := marshal(r)
			if !ok {
				continue
			}
			want, err := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(r)
			var compact bytes.Buffer
			if err != nil || json.Compact(&compact, want) != nil || !bytes.Equal(got, compact.Bytes()) {
				t.Fatalf("%v:\n%s\n%s", err, got, want)
			}
		}
	})
}

// TestPagesAreMadeOnce: the buffer of a page has its size from the beginning.
func TestPagesAreMadeOnce(t *testing.T) {
	page := &pb.ListEntriesResponse{}
	for range 100 {
		page.Entries = append(page.Entries, &pb.LoggedEntry{Canonical: make([]byte, 10_000), LeafHash: make([]byte, 32), Kind: "hashedrekord"})
	}
	if data, ok := marshal(page); !ok || cap(data)-len(data) > len(data)/10 {
		t.Errorf("%d bytes in a buffer of %d", len(data), cap(data))
	}
	if n := testing.AllocsPerRun(10, func() { marshal(page) }); n > 3 {
		t.Errorf("%v buffers were made", n)
	}
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
