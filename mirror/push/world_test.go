package push

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/mldsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"indelible/checkpoint"
	"indelible/merkle"
	"indelible/mirror/source"
)

// testLog is a log whose entries follow from their indexes. It is a Tree.
type testLog struct {
	origin string
	signer *checkpoint.KeySigner
	fork   int64 // from this index on, its entries are others
	pad    int   // bytes at the end of each entry
}

func newLog(t *testing.T, origin string) *testLog {
	t.Helper()
	seed := sha256.Sum256([]byte(origin))
	signer, err := checkpoint.NewSigner(origin, ed25519.NewKeyFromSeed(seed[:]))
	if err != nil {
		t.Fatal(err)
	}
	return &testLog{origin: origin, signer: signer, fork: 1 << 62}
}

func (l *testLog) entry(i int64) []byte {
	if i >= l.fork {
		return fmt.Appendf(nil, "another entry %d", i)
	}
	return append(bytes.Repeat(fmt.Appendf(nil, "entry %d of %s ", i, l.origin), int(i%3)), make([]byte, l.pad)...)
}

func (l *testLog) Entries(_ context.Context, start, end int64) (all [][]byte, err error) {
	for i := start; i < end; i++ {
		all = append(all, l.entry(i))
	}
	return all, nil
}

// tree is the log's tree at a size.
type tree struct {
	*testLog
	size int64
	edge merkle.Edge
	full map[merkle.Tile]*merkle.Nodes
}

func (l *testLog) at(size int64) *tree {
	t := &tree{testLog: l, size: size, full: make(map[merkle.Tile]*merkle.Nodes)}
	leaves := make([]merkle.Hash, size)
	for i := range leaves {
		leaves[i] = merkle.LeafHash(l.entry(int64(i)))
	}
	edge, full := merkle.Edge{}.Append(leaves)
	t.edge = edge
	for _, f := range full {
		t.full[merkle.Tile{Level: f.Level, Index: f.Index}], _ = merkle.Expand(f.Hashes)
	}
	return t
}

func (t *tree) Consistency(_ context.Context, from int64) ([]merkle.Hash, error) {
	return t.compute(merkle.PlanConsistency(from, t.size))
}

func (t *tree) Subtree(_ context.Context, start, end int64) ([]merkle.Hash, error) {
	return t.compute(merkle.PlanSubtree(start, end, t.size))
}

func (t *tree) compute(p merkle.Plan, err error) ([]merkle.Hash, error) {
	if err != nil {
		return nil, err
	}
	return p.Compute(func(tile merkle.Tile) (*merkle.Nodes, error) {
		if n := t.full[merkle.Tile{Level: tile.Level, Index: tile.Index}]; n != nil {
			return n, nil
		}
		return merkle.Expand(t.edge.Partial(tile.Level))
	})
}

func (t *tree) note(tt *testing.T) []byte {
	tt.Helper()
	note, err := checkpoint.Sign(checkpoint.Checkpoint{Origin: t.origin, Size: t.size, Root: t.edge.Root()}, t.signer)
	if err != nil {
		tt.Fatal(err)
	}
	return note
}

// body is an add-entries request of the first n packages; n below 0: of all.
func (t *tree) body(tt *testing.T, start int64, ticket []byte, n int64) []byte {
	tt.Helper()
	h := Header{Origin: t.origin, Start: start, End: t.size, Ticket: ticket}
	data, err := h.Append(nil)
	if err != nil {
		tt.Fatal(err)
	}
	u := &sender{h: h, tree: t}
	if n < 0 {
		n = h.Packages()
	}
	for i := range n {
		p, err := u.make(tt.Context(), i)
		if err != nil {
			tt.Fatal(err)
		}
		data = append(data, p...)
	}
	return data
}

// memory is a Copy that forgets, when it is restarted, what was not durable.
type memory struct {
	mu            sync.Mutex
	entries, sure [][]byte
	head, pending source.Head
	fail          error // of Append
}

func (m *memory) Next() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int64(len(m.entries))
}

func (m *memory) Tail() (data []byte, leaves []merkle.Hash) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.entries[len(m.entries)/256*256:] {
		data, _ = merkle.AppendBundleEntry(data, e)
		leaves = append(leaves, merkle.LeafHash(e))
	}
	return data, leaves
}

func (m *memory) Tile(level int, index int64) (leaves []merkle.Hash, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if level != 0 {
		return nil, errors.New("only leaves are here")
	}
	for _, e := range m.entries[index*256 : min((index+1)*256, int64(len(m.entries)))] {
		leaves = append(leaves, merkle.LeafHash(e))
	}
	return leaves, nil
}

func (m *memory) Append(b source.Block) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	parsed, err := merkle.ParseBundle(b.Data, len(b.Leaves))
	if err != nil {
		return err
	}
	has := len(m.entries) - int(b.Start)
	if has < 0 || has > 255 || has >= len(parsed) {
		return fmt.Errorf("block %d with %d entries over %d", b.Start, len(parsed), len(m.entries))
	}
	for i, e := range parsed {
		if merkle.LeafHash(e) != b.Leaves[i] || i < has && !bytes.Equal(e, m.entries[int(b.Start)+i]) {
			return errors.New("another entry")
		}
	}
	m.entries = append(m.entries, parsed[has:]...)
	return nil
}

func (m *memory) Sync() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sure = m.entries[:len(m.entries):len(m.entries)]
	return nil
}

func (m *memory) Head() source.Head {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.head
}

func (m *memory) Commit(h source.Head) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if h.Size < m.head.Size || h.Size > int64(len(m.sure)) {
		return fmt.Errorf("commit %d with %d durable entries over %d", h.Size, len(m.sure), m.head.Size)
	}
	var leaves []merkle.Hash
	for _, e := range m.sure[:h.Size] {
		leaves = append(leaves, merkle.LeafHash(e))
	}
	if e, _ := (merkle.Edge{}).Append(leaves); e.Root() != h.Root {
		return errors.New("another root")
	}
	m.head = h
	return nil
}

func (m *memory) Pending() source.Head {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pending
}

func (m *memory) Accept(h source.Head) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pending = h
	return nil
}

// restarted is the copy after a power cut.
func (m *memory) restarted() *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &memory{entries: m.sure, sure: m.sure, head: m.head, pending: m.pending}
}

const mirrorName = "mirror.example/m1"

// world is a mirror of some logs.
type world struct {
	t      *testing.T
	server *Server
	copies map[string]*memory
	logs   []*testLog
	by     []*checkpoint.Cosigner
	now    time.Time
}

func newWorld(t *testing.T, logs ...*testLog) *world {
	t.Helper()
	w := &world{t: t, copies: make(map[string]*memory), logs: logs, now: time.Unix(1_800_000_000, 0)}
	seed := sha256.Sum256([]byte(mirrorName))
	pq, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), seed[:])
	if err != nil {
		t.Fatal(err)
	}
	ed, err := checkpoint.NewCosigner(mirrorName, ed25519.NewKeyFromSeed(seed[:]))
	if err != nil {
		t.Fatal(err)
	}
	ml, err := checkpoint.NewCosigner(mirrorName, pq)
	if err != nil {
		t.Fatal(err)
	}
	w.by = []*checkpoint.Cosigner{ml, ed}
	for _, l := range logs {
		w.copies[l.origin] = &memory{}
	}
	w.start()
	return w
}

// start makes a server over the copies.
func (w *world) start() {
	w.t.Helper()
	cfg := Config{Cosigners: w.by, TicketKey: TicketKey{7}, Now: func() time.Time { return w.now }, Fault: func(err error) { w.t.Errorf("a fault: %v", err) }}
	for _, l := range w.logs {
		cfg.Logs = append(cfg.Logs, Log{Origin: l.origin, Copy: w.copies[l.origin], Keys: []checkpoint.Verifier{l.signer.Verifier()}})
	}
	var err error
	if w.server, err = NewServer(w.t.Context(), cfg); err != nil {
		w.t.Fatal(err)
	}
}

// holds has the copy of a log begin with its first entries, and no more.
func (w *world) holds(tr *tree, n int64) {
	w.copies[tr.origin].entries, _ = tr.Entries(w.t.Context(), 0, n)
}

// restart is a power cut.
func (w *world) restart() {
	for o, c := range w.copies {
		w.copies[o] = c.restarted()
	}
	w.start()
}

func (w *world) post(path string, body []byte, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/"+path, bytes.NewReader(body))
	r.Header.Set("Content-Type", entriesType)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	w.server.ServeHTTP(rec, r)
	return rec
}

// pending makes a tree the pending checkpoint.
func (w *world) pending(old int64, tr *tree) {
	w.t.Helper()
	body, err := checkpointBody(w.t.Context(), tr.note(w.t), old, tr.size, tr)
	if err != nil {
		w.t.Fatal(err)
	}
	if rec := w.post("add-checkpoint", body); rec.Code != http.StatusOK || rec.Body.Len() > 0 {
		w.t.Fatalf("add-checkpoint: %d %s", rec.Code, rec.Body)
	}
}

// want posts to add-entries and wants a status; of 202 and 409 also what
// mirror-info says.
func (w *world) want(body []byte, status int, info ...int64) Info {
	w.t.Helper()
	rec := w.post("add-entries", body)
	if rec.Code != status {
		w.t.Fatalf("%d %s; want %d", rec.Code, rec.Body, status)
	}
	if status != http.StatusAccepted && status != http.StatusConflict {
		return Info{}
	}
	i, err := ParseInfo(rec.Body.Bytes())
	if err != nil || rec.Header().Get("Content-Type") != infoType {
		w.t.Fatalf("%v, %q", err, rec.Header())
	}
	if len(info) == 2 && (i.Pending != info[0] || i.Next != info[1]) {
		w.t.Errorf("pending %d, next %d; want %d, %d", i.Pending, i.Next, info[0], info[1])
	}
	return i
}

// has wants a mirror checkpoint of a tree, with the log's signature and the
// mirror's, and its entries.
func (w *world) has(tr *tree) {
	w.t.Helper()
	c := w.copies[tr.origin]
	head := c.Head()
	opened, err := checkpoint.Open(head.Note, []checkpoint.Verifier{tr.signer.Verifier()}, w.by[0].Verifier(), w.by[1].Verifier())
	if err != nil || opened.Size != tr.size || opened.Root != tr.edge.Root() || len(opened.Verified) != 3 {
		w.t.Fatalf("the mirror has size %d of %d: %v, signed by %v", head.Size, tr.size, err, opened.Verified)
	}
	for i := range tr.size {
		if !bytes.Equal(c.entries[i], tr.entry(i)) {
			w.t.Fatalf("entry %d is %q", i, c.entries[i])
		}
	}
}

// slow is a body that arrives in parts, when they are sent.
type slow struct {
	parts chan []byte
	rest  []byte
}

func (s *slow) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		part, ok := <-s.parts
		if !ok {
			return 0, io.EOF
		}
		s.rest = part
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// begin starts a request that goes on when parts are sent; the answer comes when
// they are closed, or before.
func (w *world) begin() (parts chan []byte, answered chan *httptest.ResponseRecorder) {
	parts, answered = make(chan []byte), make(chan *httptest.ResponseRecorder, 1)
	go func() {
		r := httptest.NewRequest(http.MethodPost, "/add-entries", &slow{parts: parts})
		r.Header.Set("Content-Type", entriesType)
		rec := httptest.NewRecorder()
		w.server.ServeHTTP(rec, r)
		answered <- rec
	}()
	return parts, answered
}
