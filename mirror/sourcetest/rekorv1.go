package sourcetest

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"indelible/checkpoint"
	"indelible/merkle"
)

// RekorV1 is a log with the API of Rekor v1: frozen shards, and an active one. The
// shards' Logs have the entries; their own URLs are not Rekor's.
type RekorV1 struct {
	URL    string
	Key    checkpoint.Verifier
	Shards []*Log // the last one is active

	mux *http.ServeMux
}

// NewRekorV1 starts a log whose shards have these sizes.
func NewRekorV1(t testing.TB, name string, sizes ...int64) *RekorV1 {
	r := &RekorV1{mux: http.NewServeMux()}
	for i, size := range sizes {
		l := New(t, name, size)
		l.Origin = fmt.Sprintf("%s - %d", name, 1000+i)
		r.Key, r.Shards = l.Key, append(r.Shards, l)
	}
	r.mux.HandleFunc("GET /api/v1/log", func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(r.info()) })
	r.mux.HandleFunc("GET /api/v1/log/proof", r.proof)
	r.mux.HandleFunc("POST /api/v1/log/entries/retrieve", r.retrieve)
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.URL = server.URL
	return r
}

// ServeHTTP answers as Rekor v1 does; the active shard's Replace and Before hold.
func (r *RekorV1) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	active := r.Shards[len(r.Shards)-1]
	active.mu.Lock()
	before, replaced := active.before, active.replace[req.URL.Path[1:]]
	active.mu.Unlock()
	if before != nil {
		before(w, req)
	}
	if replaced != nil {
		replaced(w, req)
		return
	}
	r.mux.ServeHTTP(w, req)
}

// Honest answers truly, whatever was replaced.
func (r *RekorV1) Honest(w http.ResponseWriter, req *http.Request) { r.mux.ServeHTTP(w, req) }

// Note is the checkpoint of a shard, with an extension line as Rekor's have.
func (r *RekorV1) Note(shard int) []byte {
	l := r.Shards[shard]
	l.mu.Lock()
	defer l.mu.Unlock()
	text := append(checkpoint.Checkpoint{Origin: l.Origin, Size: l.size, Root: l.root(l.size)}.Text(), "Timestamp: 1700000000000000000\n"...)
	sig, err := l.signer.Sign(text)
	if err != nil {
		panic(err)
	}
	return checkpoint.Note{Text: text, Signatures: []checkpoint.Signature{{Name: r.Key.Name(), KeyID: r.Key.KeyHash(), Blob: sig}}}.Marshal()
}

func (r *RekorV1) info() map[string]any {
	var inactive []map[string]any
	shard := func(i int) map[string]any {
		l := r.Shards[i]
		root := l.Root(l.size)
		return map[string]any{"treeID": strconv.Itoa(1000 + i), "treeSize": l.size, "rootHash": hex.EncodeToString(root[:]), "signedTreeHead": string(r.Note(i))}
	}
	last := len(r.Shards) - 1
	for i := range last {
		inactive = append(inactive, shard(i))
	}
	info := shard(last)
	info["inactiveShards"] = inactive
	return info
}

func (r *RekorV1) proof(w http.ResponseWriter, req *http.Request) {
	number := func(name string) int64 {
		n, err := strconv.ParseInt(req.URL.Query().Get(name), 10, 64)
		if err != nil {
			panic(err)
		}
		return n
	}
	l := r.Shards[number("treeID")-1000]
	plan, err := merkle.PlanConsistency(number("firstSize"), number("lastSize"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	json.NewEncoder(w).Encode(map[string]any{"hashes": l.compute(plan)})
}

// compute makes a proof, in hex.
func (l *Log) compute(plan merkle.Plan) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	hashes, err := plan.Compute(func(t merkle.Tile) (*merkle.Nodes, error) {
		begin := t.Index * merkle.TileWidth
		return merkle.Expand(l.levels[t.Level][begin : begin+int64(t.Width)])
	})
	if err != nil {
		panic(err)
	}
	list := []string{}
	for _, h := range hashes {
		list = append(list, hex.EncodeToString(h[:]))
	}
	return list
}

// retrieve answers as Rekor does, in no particular order.
func (r *RekorV1) retrieve(w http.ResponseWriter, req *http.Request) {
	var asked struct {
		LogIndexes []int64 `json:"logIndexes"`
	}
	if err := json.NewDecoder(req.Body).Decode(&asked); err != nil || len(asked.LogIndexes) > 10 {
		http.Error(w, fmt.Sprintf(`{"code":400,"message":"%d indexes, %v"}`, len(asked.LogIndexes), err), http.StatusBadRequest)
		return
	}
	list := []map[string]any{}
	for _, index := range asked.LogIndexes {
		shard, at := 0, index
		for ; shard < len(r.Shards)-1 && at >= r.Shards[shard].size; shard++ {
			at -= r.Shards[shard].size
		}
		l := r.Shards[shard]
		plan, err := merkle.PlanInclusion(at, l.size)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		leaf := merkle.LeafHash(l.entries[at])
		list = append([]map[string]any{{fmt.Sprintf("%016x%x", 1000+shard, leaf): map[string]any{
			"body": l.entries[at], "logIndex": index, "integratedTime": 1_700_000_000,
			"verification": map[string]any{"inclusionProof": map[string]any{"checkpoint": string(r.Note(shard)), "hashes": l.compute(plan), "logIndex": at, "treeSize": l.size}},
		}}}, list...)
	}
	json.NewEncoder(w).Encode(list)
}
