package client

import (
	"encoding/json/v2"
	"math"
	"reflect"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	pb "indelible/api/proto/indelible/v1"
)

// TestWireIsTheAPI compares the messages with those that are generated from the API's description.
func TestWireIsTheAPI(t *testing.T) {
	for _, c := range []struct {
		ours any
		api  proto.Message
	}{
		{addRequest{Request{Raw: []byte("raw")}}, &pb.AddEntryRequest{Entry: &pb.Entry{Kind: &pb.Entry_Raw{Raw: []byte("raw")}}}},
		{addRequest{Request{Raw: []byte{}}}, &pb.AddEntryRequest{Entry: &pb.Entry{Kind: &pb.Entry_Raw{}}}},
		{
			addManyRequest{[]Request{{HashedRekord: &HashedRekord{Digest: []byte{0xff, 0xfe}, Signature: []byte{2}, Verifier: Verifier{PublicKey: []byte{3}, KeyDetails: "K"}}}, {}}},
			&pb.AddEntriesRequest{Entries: []*pb.Entry{{Kind: &pb.Entry_HashedRekord{HashedRekord: &pb.HashedRekord{
				Digest: []byte{0xff, 0xfe}, Signature: []byte{2}, Verifier: &pb.Verifier{Key: &pb.Verifier_PublicKey{PublicKey: []byte{3}}, KeyDetails: "K"},
			}}}, {}}},
		},
		{
			addRequest{Request{DSSE: &DSSE{Envelope: []byte("{}"), Verifiers: []Verifier{{Certificate: []byte{4}}}}}},
			&pb.AddEntryRequest{Entry: &pb.Entry{Kind: &pb.Entry_Dsse{Dsse: &pb.Dsse{Envelope: []byte("{}"), Verifiers: []*pb.Verifier{{Key: &pb.Verifier_Certificate{Certificate: []byte{4}}}}}}}},
		},
	} {
		data, err := json.Marshal(c.ours)
		got := c.api.ProtoReflect().New().Interface()
		if err == nil {
			err = protojson.Unmarshal(data, got)
		}
		if err != nil || !proto.Equal(got, c.api) {
			t.Errorf("%s: %v, got %v, want %v", data, err, got, c.api)
		}
	}
}

func TestWireReadsTheAPI(t *testing.T) {
	logged := &pb.LoggedEntry{Index: math.MaxInt64, LeafHash: []byte{1}, Canonical: []byte{0xfb, 0xff}, IntegratedAt: -1, Kind: "raw"}
	ours := loggedEntry{math.MaxInt64, []byte{0xfb, 0xff}, -1}
	proof := &pb.InclusionProof{Index: 7, TreeSize: 9, Hashes: [][]byte{{1}, {2, 3}}, RootHash: []byte{4}}
	note := &pb.Checkpoint{Origin: "o", TreeSize: 9, RootHash: []byte{5}, Note: "a\n\n— é\n"}
	added := outcome{Entry: ours, Proof: inclusionProof{7, [][]byte{{1}, {2, 3}}}, Duplicate: true}
	for _, c := range []struct {
		api  proto.Message
		want any
	}{
		{&pb.AddEntryResponse{Entry: logged, Proof: proof, Checkpoint: note, Duplicate: true}, addResponse{added, signedNote{note.GetNote()}}},
		{
			&pb.AddEntriesResponse{Outcomes: []*pb.AddOutcome{{Entry: logged, Proof: proof, Duplicate: true}, {Error: &pb.OutcomeError{Code: 3, Message: "no"}}}, Checkpoint: note},
			addManyResponse{[]outcome{added, {Error: &outcomeError{"no"}}}, signedNote{note.GetNote()}},
		},
		{&pb.GetEntryResponse{Entry: logged, Proof: proof, Checkpoint: note}, getResponse{ours, added.Proof, signedNote{note.GetNote()}}},
		{&pb.GetEntryResponse{}, getResponse{}},
		{&pb.ListEntriesResponse{Entries: []*pb.LoggedEntry{logged}, Next: 3, TreeSize: 4}, listResponse{[]loggedEntry{ours}}},
		{&pb.SearchEntriesResponse{Entries: []*pb.LoggedEntry{logged}, NextPageToken: "t", CompleteTo: 5, TreeSize: 6}, searchResponse{[]loggedEntry{ours}, "t", 5, 6}},
		{&pb.ConsistencyProof{From: 1, To: 2, Hashes: [][]byte{{1}}, FromRoot: []byte{2}, ToRoot: []byte{3}}, consistencyProof{[][]byte{{1}}, []byte{2}}},
	} {
		data, err := protojson.Marshal(c.api)
		got := reflect.New(reflect.TypeOf(c.want))
		if err == nil {
			err = decode(data, got.Interface())
		}
		if err != nil || !reflect.DeepEqual(got.Elem().Interface(), c.want) {
			t.Errorf("%s: %v, got %+v, want %+v", data, err, got.Elem(), c.want)
		}
	}
}

func TestWireIsStrict(t *testing.T) {
	for _, text := range []string{
		`{"completeTo":"1","completeTo":"2"}`, `{"completeTo":"1x"}`, `{"completeTo":1.5}`, `{"completeTo":"9223372036854775808"}`, `{"completeTo":""}`,
		`{"entries":[{"canonical":"=="}]}`, `{"nextPageToken":"` + "\xff" + `"}`, `{} {}`, `[]`, ``,
	} {
		var res searchResponse
		if err := decode([]byte(text), &res); err == nil {
			t.Errorf("%q was read as %+v", text, res)
		}
	}
	for text, want := range map[string]searchResponse{
		`{"completeTo":7,"treeSize":"8","new":[{"a":1}]}`: {CompleteTo: 7, TreeSize: 8},
		`{"COMPLETETO":"7","treeSize":null}`:              {},
	} {
		var res searchResponse
		if err := decode([]byte(text), &res); err != nil || !reflect.DeepEqual(res, want) {
			t.Errorf("%q: %v, %+v", text, err, res)
		}
	}
}
