package server_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	pb "indelible/api/proto/indelible/v1"
	"indelible/checkpoint"
	"indelible/entry"
	translog "indelible/log"
	"indelible/merkle"
)

// requestOf is a REST request's body as a message.
func requestOf[M proto.Message](t *testing.T, body []byte, m M) M {
	t.Helper()
	if err := protojson.Unmarshal(body, m); err != nil {
		t.Fatal(err)
	}
	return m
}

func hashesOf(list [][]byte) []merkle.Hash {
	var out []merkle.Hash
	for _, h := range list {
		out = append(out, merkle.Hash(h))
	}
	return out
}

// checkProof checks an entry's proof, and that it leads to the checkpoint.
func checkProof(t *testing.T, e *pb.LoggedEntry, p *pb.InclusionProof, c *pb.Checkpoint) {
	t.Helper()
	if p.GetIndex() != e.GetIndex() || p.GetTreeSize() != c.GetTreeSize() || string(p.GetRootHash()) != string(c.GetRootHash()) {
		t.Fatalf("%v, %v and %v do not fit", e, p, c)
	}
	if err := merkle.VerifyInclusion(p.GetIndex(), p.GetTreeSize(), merkle.Hash(e.GetLeafHash()), hashesOf(p.GetHashes()), merkle.Hash(p.GetRootHash())); err != nil {
		t.Fatal(err)
	}
	note, err := checkpoint.ParseNote([]byte(c.GetNote()))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := checkpoint.ParseText(note.Text)
	if err != nil || signed.Origin != origin || c.GetOrigin() != origin || signed.Size != c.GetTreeSize() || string(signed.Root[:]) != string(c.GetRootHash()) {
		t.Fatalf("%v: %v says another thing than its note", err, c)
	}
	if can := e.GetCanonical(); len(can) > 0 && merkle.LeafHash(can) != merkle.Hash(e.GetLeafHash()) {
		t.Fatal("the canonical bytes have another leaf hash")
	}
}

func same(t *testing.T, what string, got, want proto.Message) {
	t.Helper()
	if !proto.Equal(got, want) {
		t.Errorf("%s:\nREST %v\ngRPC %v", what, got, want)
	}
}

func TestEveryCallOverGRPCAndREST(t *testing.T) {
	w, s, ctx := newWorld(t, nil), newSigner(t), deadline(t)

	// One over each; the second time it is a duplicate with the same index.
	body := s.request(t, "a")
	var added, again pb.AddEntryResponse
	w.decode(t, w.ask(t, "POST", "/v1/entries", body), &added)
	checkProof(t, added.Entry, added.Proof, added.Checkpoint)
	parsed, err := entry.Parse(added.Entry.Canonical)
	if err != nil || added.Duplicate || added.Entry.Kind != "hashedrekord" || parsed.Kind != entry.KindHashedRekord {
		t.Fatalf("%v: %v", err, &added)
	}
	over, err := w.grpc.AddEntry(ctx, requestOf(t, body, &pb.AddEntryRequest{}))
	if err != nil || !over.Duplicate {
		t.Fatal(err, over)
	}
	checkProof(t, over.Entry, over.Proof, over.Checkpoint)
	w.decode(t, w.ask(t, "POST", "/v1/entries", body), &again)
	same(t, "add", &again, over)

	raw, err := w.grpc.AddEntry(ctx, &pb.AddEntryRequest{Entry: &pb.Entry{Kind: &pb.Entry_Raw{Raw: []byte("raw")}}})
	if err != nil || len(raw.Entry.Canonical) > 0 || raw.Entry.Kind != "raw" || raw.Entry.Index != 1 {
		t.Fatal(err, raw)
	}

	// Many, of which some are refused.
	var entries []any
	for i := range 500 {
		entries = append(entries, s.entry(t, numbered(i)))
	}
	entries = append(entries, entries[:100]...)
	entries[3] = map[string]any{"hashedRekord": map[string]any{"digest": []byte("short")}}
	entries[599] = map[string]any{"raw": make([]byte, 65536)}
	batch := toJSON(t, map[string]any{"entries": entries})
	var many pb.AddEntriesResponse
	w.decode(t, w.ask(t, "POST", "/v1/entries:batch", batch), &many)
	checkBatch(t, &many)
	overMany, err := w.grpc.AddEntries(ctx, requestOf(t, batch, &pb.AddEntriesRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	checkBatch(t, overMany)
	for i, o := range overMany.Outcomes {
		if !proto.Equal(o.Entry, many.Outcomes[i].Entry) || o.Error == nil && !o.Duplicate {
			t.Fatalf("entry %d: %v, then %v", i, many.Outcomes[i], o)
		}
	}

	var cp pb.Checkpoint
	w.get(t, "/v1/checkpoint", &cp)
	overCP, err := w.grpc.GetCheckpoint(ctx, &pb.GetCheckpointRequest{})
	if err != nil || cp.TreeSize != 2+500 {
		t.Fatal(err, &cp)
	}
	same(t, "checkpoint", &cp, overCP)

	for _, index := range []int64{0, 1, 2, 255, 256, 501} {
		var got, found pb.GetEntryResponse
		w.get(t, fmt.Sprintf("/v1/entries/%d", index), &got)
		checkProof(t, got.Entry, got.Proof, got.Checkpoint)
		if merkle.LeafHash(got.Entry.Canonical) != merkle.Hash(got.Entry.LeafHash) || got.Entry.Index != index || got.Entry.IntegratedAt == 0 {
			t.Fatal(&got)
		}
		over, err := w.grpc.GetEntry(ctx, &pb.GetEntryRequest{Index: &index})
		if err != nil {
			t.Fatal(err)
		}
		same(t, "get", &got, over)
		for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			w.get(t, "/v1/entries:lookup?leafHash="+url.QueryEscape(enc.EncodeToString(got.Entry.LeafHash)), &found)
			same(t, "lookup", &found, over)
		}
		overFound, err := w.grpc.LookupEntry(ctx, &pb.LookupEntryRequest{LeafHash: got.Entry.LeafHash})
		if err != nil {
			t.Fatal(err)
		}
		same(t, "lookup", &found, overFound)
	}

	var listed []*pb.LoggedEntry
	for start := int64(0); start < cp.TreeSize; {
		var page pb.ListEntriesResponse
		w.get(t, fmt.Sprintf("/v1/entries?start=%d&limit=250", start), &page)
		over, err := w.grpc.ListEntries(ctx, &pb.ListEntriesRequest{Start: start, Limit: 250})
		if err != nil || page.TreeSize != cp.TreeSize || page.Next <= start {
			t.Fatal(err, page.Next, page.TreeSize)
		}
		same(t, "list", &page, over)
		listed, start = append(listed, page.Entries...), page.Next
	}
	if len(listed) != 502 || !slices.IsSortedFunc(listed, func(a, b *pb.LoggedEntry) int { return int(a.Index - b.Index) }) {
		t.Fatalf("%d entries are listed", len(listed))
	}

	var inc pb.InclusionProof
	w.get(t, "/v1/proofs/inclusion?index=5&treeSize=300", &inc)
	if err := merkle.VerifyInclusion(5, 300, merkle.Hash(listed[5].LeafHash), hashesOf(inc.Hashes), merkle.Hash(inc.RootHash)); err != nil {
		t.Error(err)
	}
	overInc, err := w.grpc.GetInclusionProof(ctx, &pb.GetInclusionProofRequest{Index: proto.Int64(5), TreeSize: proto.Int64(300)})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "inclusion", &inc, overInc)

	var con pb.ConsistencyProof
	w.get(t, "/v1/proofs/consistency?from=300", &con)
	if err := merkle.VerifyConsistency(300, 502, merkle.Hash(inc.RootHash), merkle.Hash(cp.RootHash), hashesOf(con.Hashes)); err != nil || con.To != 502 {
		t.Error(err, &con)
	}
	overCon, err := w.grpc.GetConsistencyProof(ctx, &pb.GetConsistencyProofRequest{From: proto.Int64(300)})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "consistency", &con, overCon)
	checkTiles(t, w, listed, &cp)
}

func checkBatch(t *testing.T, r *pb.AddEntriesResponse) {
	t.Helper()
	if len(r.Outcomes) != 600 {
		t.Fatalf("%d outcomes", len(r.Outcomes))
	}
	for i, o := range r.Outcomes {
		if refused := i == 3 || i == 599; refused {
			if o.Error.GetCode() != int32(codes.InvalidArgument) || o.Error.GetMessage() == "" || o.Entry != nil {
				t.Fatalf("entry %d: %v", i, o)
			}
			continue
		}
		if o.Error != nil {
			t.Fatalf("entry %d: %v", i, o)
		}
		checkProof(t, o.Entry, o.Proof, r.Checkpoint)
		if i >= 500 && i != 503 && o.Entry.Index != r.Outcomes[i-500].Entry.Index {
			t.Fatalf("entry %d is %d, and the same one %d", i, o.Entry.Index, r.Outcomes[i-500].Entry.Index)
		}
	}
}

// checkTiles recomputes the root from the bundles and the lowest tiles.
func checkTiles(t *testing.T, w *world, entries []*pb.LoggedEntry, cp *pb.Checkpoint) {
	t.Helper()
	if note := w.ask(t, "GET", "/checkpoint", nil); note.Body.String() != cp.Note {
		t.Errorf("%s is not %s", note.Body, cp.Note)
	}
	var edge merkle.Edge
	for from := int64(0); from < cp.TreeSize; from += merkle.TileWidth {
		width := int(min(merkle.TileWidth, cp.TreeSize-from))
		bundle := w.ask(t, "GET", "/"+merkle.Bundle{Index: from / merkle.TileWidth, Width: width}.Path(), nil)
		tile := w.ask(t, "GET", "/"+merkle.Tile{Index: from / merkle.TileWidth, Width: width}.Path(), nil)
		bodies, err := merkle.ParseBundle(bundle.Body.Bytes(), width)
		if err != nil {
			t.Fatal(err)
		}
		hashes, err := merkle.DecodeTile(tile.Body.Bytes())
		if err != nil || len(hashes) != width {
			t.Fatal(err, len(hashes))
		}
		for i, b := range bodies {
			if string(b) != string(entries[from+int64(i)].Canonical) || merkle.LeafHash(b) != hashes[i] {
				t.Fatalf("entry %d is another one in its bundle or its tile", from+int64(i))
			}
		}
		edge, _ = edge.Append(hashes)
	}
	if root := edge.Root(); string(root[:]) != string(cp.RootHash) {
		t.Error("the tiles have another root")
	}
}

func TestDSSE(t *testing.T) {
	w, s := newWorld(t, nil), newSigner(t)
	good := s.envelope(t, `{"a":1}`)
	var added pb.AddEntryResponse
	w.decode(t, w.ask(t, "POST", "/v1/entries", toJSON(t, map[string]any{"entry": good})), &added)
	checkProof(t, added.Entry, added.Proof, added.Checkpoint)
	var got pb.GetEntryResponse
	w.get(t, "/v1/entries/0", &got)
	if got.Entry.Kind != "dsse" || len(added.Entry.Canonical) == 0 {
		t.Errorf("%v", &got)
	}
	same(t, "the entry added and got", added.Entry, got.Entry)

	other := s.envelope(t, `{"a":1}`)
	other["dsse"].(map[string]any)["verifiers"] = []any{map[string]any{"publicKey": newSigner(t).spki}}
	w.refused(t, "POST", "/v1/entries", toJSON(t, map[string]any{"entry": other}), 400, "verif")
}

func TestWatchCheckpoints(t *testing.T) {
	w, s := newWorld(t, nil), newSigner(t)
	ctx, cancel := context.WithCancel(deadline(t))
	stream, err := w.grpc.WatchCheckpoints(ctx, &pb.WatchCheckpointsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		c, err := stream.Recv()
		if err != nil || c.TreeSize != int64(i) || c.Origin != origin || c.Note == "" {
			t.Fatalf("%v, %v after %d adds", err, c, i)
		}
		if rec := w.ask(t, "POST", "/v1/entries", s.request(t, numbered(i))); rec.Code != http.StatusOK {
			t.Fatal(rec.Body)
		}
	}
	cancel()
	for err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Canceled {
		t.Fatal(err)
	}
}

// holdingWitness lets the first checkpoint through, and holds the others up.
type holdingWitness struct{ free chan struct{} }

func (holdingWitness) Enough([]byte) bool { return true }

func (holdingWitness) Confirm(context.Context, []byte, translog.Tree, func(context.Context) (int64, error)) error {
	return nil
}

func (h holdingWitness) Cosign(ctx context.Context, note []byte, _ translog.Tree) ([]byte, error) {
	n, err := checkpoint.ParseNote(note)
	if err != nil {
		return nil, err
	}
	c, err := checkpoint.ParseText(n.Text)
	if err != nil || c.Size <= 3 {
		return note, err
	}
	select {
	case <-h.free:
		return note, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestNothingBeyondThePublishedSize(t *testing.T) {
	h := holdingWitness{make(chan struct{})}
	w, ctx := newWorld(t, h), deadline(t)
	for i := range 3 {
		if _, err := w.grpc.AddEntry(ctx, rawEntry(numbered(i))); err != nil {
			t.Fatal(err)
		}
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := w.grpc.AddEntry(ctx, rawEntry("held up"))
		waiting <- err
	}()
	record, err := w.store.FindLog(ctx, origin)
	if err != nil {
		t.Fatal(err)
	}
	for size := int64(0); size < 4; {
		head, err := w.store.LockedHead(ctx, record.ID)
		if err != nil {
			t.Fatal(err)
		}
		size = head.Size
	}
	leaf := merkle.LeafHash([]byte("held up"))
	lookup := "/v1/entries:lookup?leafHash=" + url.QueryEscape(base64.StdEncoding.EncodeToString(leaf[:]))
	w.refused(t, "GET", "/v1/entries/3", nil, 404, "size is 3")
	w.refused(t, "GET", lookup, nil, 404, "not in the log")
	w.refused(t, "GET", "/v1/entries?start=4", nil, 400, "size is 3")
	w.refused(t, "GET", "/v1/proofs/inclusion?index=3", nil, 400, "size 3")
	w.refused(t, "GET", "/v1/proofs/inclusion?index=0&treeSize=4", nil, 400, "tree size 4")
	w.refused(t, "GET", "/v1/proofs/consistency?from=1&to=4", nil, 400, "3, the published size")
	w.refused(t, "GET", "/tile/0/000.p/4", nil, 404, "size is 3")
	w.refused(t, "GET", "/tile/entries/000.p/4", nil, 404, "size is 3")
	w.refused(t, "GET", "/tile/0/000", nil, 404, "size is 3")
	var page pb.ListEntriesResponse
	w.get(t, "/v1/entries?start=2", &page)
	if len(page.Entries) != 1 || page.Next != 3 || page.TreeSize != 3 {
		t.Errorf("%v", &page)
	}
	close(h.free)
	if err := <-waiting; err != nil {
		t.Fatal(err)
	}
	var got pb.GetEntryResponse
	w.get(t, lookup, &got)
	if got.Entry.Index != 3 {
		t.Errorf("%v", &got)
	}
}

func rawEntry(s string) *pb.AddEntryRequest {
	return &pb.AddEntryRequest{Entry: &pb.Entry{Kind: &pb.Entry_Raw{Raw: []byte(s)}}}
}
