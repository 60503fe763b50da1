package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	pb "indelible/api/proto/indelible/v1"
	"indelible/checkpoint"
	"indelible/entry"
	"indelible/merkle"
)

// fakeLog is a log of up to 256 entries. It is honest, unless a test replaces
// an answer.
type fakeLog struct {
	t       *testing.T
	signer  *checkpoint.KeySigner
	entries [][]byte
	replace map[string]http.HandlerFunc // by path
	asked   []string
}

// world is a fake log, and a person with a folder of their own.
type world struct {
	t   *testing.T
	log *fakeLog
	url string
	dir string
	env map[string]string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := checkpoint.NewSigner("log.example", key)
	if err != nil {
		t.Fatal(err)
	}
	log := &fakeLog{t: t, signer: s, replace: map[string]http.HandlerFunc{}}
	server := httptest.NewServer(log)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	return &world{t: t, log: log, url: server.URL, dir: dir, env: map[string]string{"XDG_CONFIG_HOME": filepath.Join(dir, "config"), "INDELIBLE_URL": server.URL}}
}

func (w *world) file(name, content string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// run runs logcli, and demands an exit code.
func (w *world) run(code int, args ...string) (stdout, stderr string) {
	w.t.Helper()
	var out, errs bytes.Buffer
	getenv := func(name string) (string, bool) { v, ok := w.env[name]; return v, ok }
	if got := run(w.t.Context(), args, getenv, strings.NewReader("from stdin"), &out, &errs); got != code {
		w.t.Errorf("logcli %q: exit code %d, want %d\n%s%s", args, got, code, &out, &errs)
	}
	return out.String(), errs.String()
}

func (l *fakeLog) leaves() []merkle.Hash {
	out := make([]merkle.Hash, len(l.entries))
	for i, e := range l.entries {
		out[i] = merkle.LeafHash(e)
	}
	return out
}

func (l *fakeLog) note() *pb.Checkpoint {
	edge, _ := merkle.Edge{}.Append(l.leaves())
	note, err := checkpoint.Sign(checkpoint.Checkpoint{Origin: "log.example", Size: edge.Size(), Root: edge.Root()}, l.signer)
	if err != nil {
		l.t.Error(err)
	}
	return &pb.Checkpoint{Note: string(note)}
}

func (l *fakeLog) proof(index int) *pb.InclusionProof {
	plan, err := merkle.PlanInclusion(int64(index), int64(len(l.entries)))
	if err != nil {
		l.t.Error(err)
	}
	hashes, err := plan.Compute(func(merkle.Tile) (*merkle.Nodes, error) { return merkle.Expand(l.leaves()) })
	if err != nil {
		l.t.Error(err)
	}
	p := &pb.InclusionProof{Index: int64(index)}
	for i := range hashes {
		p.Hashes = append(p.Hashes, hashes[i][:])
	}
	return p
}

func verifier(v *pb.Verifier) entry.Verifier {
	return entry.Verifier{PublicKey: v.GetPublicKey(), Certificate: v.GetCertificate()}
}

// append takes in an entry.
func (l *fakeLog) append(e *pb.Entry) error {
	made, err := entry.NewRaw(e.GetRaw())
	if r := e.GetHashedRekord(); r != nil {
		made, err = entry.NewHashedRekord(entry.HashedRekord{Digest: r.GetDigest(), Signature: r.GetSignature(), Verifier: verifier(r.GetVerifier())})
	}
	if d := e.GetDsse(); d != nil {
		made, err = entry.NewDSSE(entry.DSSE{Envelope: d.GetEnvelope(), Verifiers: []entry.Verifier{verifier(d.GetVerifiers()[0])}})
	}
	if err == nil {
		l.entries = append(l.entries, made.Canonical())
	}
	return err
}

func (l *fakeLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.asked = append(l.asked, r.Method+" "+r.URL.Path)
	if h, ok := l.replace[r.URL.Path]; ok {
		h(w, r)
		return
	}
	n := len(l.entries)
	switch r.Method + " " + r.URL.Path {
	case "GET /log.vkey":
		fmt.Fprintln(w, l.signer.Verifier())
	case "GET /checkpoint":
		io.WriteString(w, l.note().GetNote())
	case "POST /v1/entries":
		l.add(w, r)
	case "GET /v1/entries":
		l.list(w, r)
	case "POST /v1/entries:batch":
		l.addAll(w, r)
	case fmt.Sprintf("GET /v1/entries/%d", n-1):
		l.answer(w, &pb.GetEntryResponse{Entry: &pb.LoggedEntry{Canonical: l.entries[n-1]}, Proof: l.proof(n - 1), Checkpoint: l.note()})
	case fmt.Sprintf("GET /tile/0/000.p/%d", n):
		w.Write(merkle.EncodeTile(l.leaves()))
	case fmt.Sprintf("GET /tile/entries/000.p/%d", n):
		var data []byte
		for _, e := range l.entries {
			data, _ = merkle.AppendBundleEntry(data, e)
		}
		w.Write(data)
	default:
		fail(w, http.StatusNotFound, "nothing here")
	}
}

func (l *fakeLog) answer(w io.Writer, m proto.Message) {
	data, err := protojson.Marshal(m)
	if err != nil {
		l.t.Error(err)
	}
	w.Write(data)
}

func fail(w http.ResponseWriter, status int, message string) {
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"code": 5, "message": message})
}

func (l *fakeLog) read(r *http.Request, m proto.Message) {
	data, err := io.ReadAll(r.Body)
	if err == nil {
		err = protojson.Unmarshal(data, m)
	}
	if err != nil {
		l.t.Error(err)
	}
}

func (l *fakeLog) add(w http.ResponseWriter, r *http.Request) {
	var req pb.AddEntryRequest
	l.read(r, &req)
	if err := l.append(req.GetEntry()); err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	n := len(l.entries) - 1
	l.answer(w, &pb.AddEntryResponse{Entry: &pb.LoggedEntry{Canonical: l.entries[n]}, Proof: l.proof(n), Checkpoint: l.note()})
}

// list gives as many entries as asked for, up to three.
func (l *fakeLog) list(w http.ResponseWriter, r *http.Request) {
	start, err := strconv.Atoi(r.URL.Query().Get("start"))
	if err != nil {
		l.t.Error(err)
	}
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil || limit < 1 {
		l.t.Error(limit, err)
	}
	res := &pb.ListEntriesResponse{}
	for _, e := range l.entries[start:min(start+min(limit, 3), len(l.entries))] {
		res.Entries = append(res.Entries, &pb.LoggedEntry{Canonical: e, IntegratedAt: 1_700_000_000_000})
	}
	l.answer(w, res)
}

// addAll refuses every third entry.
func (l *fakeLog) addAll(w http.ResponseWriter, r *http.Request) {
	var req pb.AddEntriesRequest
	l.read(r, &req)
	res := &pb.AddEntriesResponse{}
	var at []int
	for i, e := range req.GetEntries() {
		if i%3 == 2 {
			res.Outcomes, at = append(res.Outcomes, &pb.AddOutcome{Error: &pb.OutcomeError{Code: 3, Message: "not this one"}}), append(at, -1)
			continue
		}
		if err := l.append(e); err != nil {
			l.t.Error(err)
		}
		res.Outcomes, at = append(res.Outcomes, &pb.AddOutcome{Entry: &pb.LoggedEntry{}}), append(at, len(l.entries)-1)
	}
	for i, n := range at {
		if n >= 0 {
			res.Outcomes[i].Proof = l.proof(n)
		}
	}
	res.Checkpoint = l.note()
	l.answer(w, res)
}
