package push

import (
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"indelible/checkpoint"
	"indelible/merkle"
)

func TestEndToEnd(t *testing.T) {
	l := newLog(t, "log.example")
	w := newWorld(t, l)
	w.want(l.at(0).body(t, 0, nil, 0), http.StatusUnprocessableEntity)
	one := l.at(600)
	w.pending(0, one)
	// Nothing is signed for a checkpoint that nobody made.
	w.want(l.at(0).body(t, 0, nil, 0), http.StatusConflict, 600, 0)
	if w.copies[l.origin].Head().Note != nil {
		t.Error("add-checkpoint made a mirror checkpoint")
	}
	w.want(one.body(t, 256, nil, -1), http.StatusConflict, 600, 0)
	rec := w.post("add-entries", one.body(t, 0, nil, -1))
	lines, err := checkpoint.ParseSignatures(rec.Body.Bytes())
	if rec.Code != http.StatusOK || err != nil || len(lines) != 2 || rec.Header().Get("Accept-Encoding") != "gzip" {
		t.Fatalf("%d %v %s", rec.Code, err, rec.Body)
	}
	for i, by := range w.by {
		if !by.Verifier().Verify(one.edgeText(), lines[i].Blob) {
			t.Errorf("line %d does not verify", i)
		}
	}
	w.has(one)
	two := l.at(1000) // goes on inside a tile, and inside a package
	w.pending(600, two)
	w.want(one.body(t, 0, nil, 0), http.StatusBadRequest)
	w.want(two.body(t, 600, nil, -1), http.StatusOK)
	w.has(two)
	w.want(one.body(t, 600, nil, 0), http.StatusConflict, 1000, 1000) // never rewinds
	w.has(two)
}

func (t *tree) edgeText() []byte {
	return checkpoint.Checkpoint{Origin: t.origin, Size: t.size, Root: t.edge.Root()}.Text()
}

func TestEmptyLog(t *testing.T) {
	l := newLog(t, "log.example")
	w := newWorld(t, l)
	w.pending(0, l.at(0))
	w.want(l.at(0).body(t, 0, nil, 0), http.StatusOK)
	w.has(l.at(0))
	w.pending(0, l.at(3))
	w.want(l.at(3).body(t, 0, nil, -1), http.StatusOK)
	w.has(l.at(3))
}

func TestUnknownLog(t *testing.T) {
	w := newWorld(t, newLog(t, "log.example"))
	w.want(newLog(t, "other.example").at(3).body(t, 0, nil, -1), http.StatusNotFound)
}

// add-checkpoint is a witness's, without signatures.
func TestAddCheckpoint(t *testing.T) {
	l := newLog(t, "log.example")
	w := newWorld(t, l)
	w.pending(0, l.at(5))
	body := func(l *testLog, old, size int64) []byte {
		data, err := checkpointBody(t.Context(), l.at(size).note(t), old, size, l.at(size))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	forked := newLog(t, "log.example")
	forked.fork = 2
	stranger := newLog(t, "log.example")
	other, err := checkpoint.NewSigner(l.origin, ed25519.NewKeyFromSeed(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	stranger.signer = other
	for name, c := range map[string]struct {
		body   []byte
		status int
		text   string
	}{
		"again":         {body(l, 5, 5), 200, ""},
		"another old":   {body(l, 3, 9), 409, "5\n"},
		"forked":        {body(forked, 5, 9), 422, "does not extend"},
		"not signed":    {body(stranger, 5, 9), 403, "by a key that is known for it"},
		"no checkpoint": {[]byte("old 5\n"), 400, "malformed"},
	} {
		if rec := w.post("add-checkpoint", c.body); rec.Code != c.status || !strings.Contains(rec.Body.String(), c.text) {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
	}
	if p := w.copies[l.origin].Pending(); p.Size != 5 || p.Root != l.at(5).edge.Root() || !bytes.Equal(p.Note, l.at(5).note(t)) {
		t.Errorf("pending: %+v", p)
	}
}

func TestBadProof(t *testing.T) {
	l := newLog(t, "log.example")
	w := newWorld(t, l)
	tr := l.at(900)
	w.pending(0, tr)
	forked := newLog(t, "log.example")
	forked.fork = 700
	// What was proven before the wrong package stays.
	w.want(forked.at(900).body(t, 0, nil, -1), http.StatusUnprocessableEntity) // every proof leads to another root
	if n := w.copies[l.origin].Next(); n != 0 {
		t.Errorf("%d entries of a fork are stored", n)
	}
	body := tr.body(t, 0, nil, -1)
	body[len(tr.body(t, 0, nil, 2))+40] ^= 1 // in the third package
	w.want(body, http.StatusUnprocessableEntity)
	w.want(tr.body(t, 900, nil, 0), http.StatusConflict, 900, 512)
	w.want(tr.body(t, 512, nil, -1), http.StatusOK)
	w.has(tr)
}

// One flipped bit anywhere in an upload, and the mirror does not cosign, nor does
// it store what was not logged.
func TestEveryByteMatters(t *testing.T) {
	l := newLog(t, "log.example")
	tr := l.at(260)
	body := tr.body(t, 250, nil, -1)
	w := newWorld(t, l)
	w.pending(0, tr)
	for at := range body {
		w.holds(tr, 250)
		flipped := bytes.Clone(body)
		flipped[at] ^= 1 << (at % 8)
		if rec := w.post("add-entries", flipped); rec.Code == http.StatusOK {
			t.Fatalf("byte %d of %d was changed: %d %s", at, len(body), rec.Code, rec.Body)
		}
		for i, e := range w.copies[l.origin].entries {
			if !bytes.Equal(e, tr.entry(int64(i))) {
				t.Fatalf("byte %d was changed, and entry %d is stored as %q", at, i, e)
			}
		}
		if w.copies[l.origin].Head().Note != nil {
			t.Fatalf("byte %d was changed, and there is a mirror checkpoint", at)
		}
	}
}

func TestPrefix(t *testing.T) {
	l := newLog(t, "log.example")
	w := newWorld(t, l)
	tr := l.at(1000)
	w.pending(0, tr)
	w.want(tr.body(t, 0, nil, 0), http.StatusBadRequest)
	w.want(tr.body(t, 0, nil, 1), http.StatusAccepted, 1000, 256)
	w.want(tr.body(t, 256, nil, 2), http.StatusAccepted, 1000, 768)
	// What is cut inside a package is discarded, and what was there before it is not.
	whole, two := tr.body(t, 300, nil, 2), tr.body(t, 300, nil, 1)
	w.want(whole[:len(two)+7], http.StatusAccepted, 1000, 768)
	w.want(tr.body(t, 768, nil, 1)[:60], http.StatusBadRequest)
	w.want(append(tr.body(t, 768, nil, 1), "rest"...), http.StatusOK)
	w.has(tr)
}

// Every cut of an upload: 400 while there is no whole package, then 202.
func TestTruncated(t *testing.T) {
	l := newLog(t, "log.example")
	tr := l.at(260)
	body, first := tr.body(t, 250, nil, -1), len(tr.body(t, 250, nil, 1))
	w := newWorld(t, l)
	w.pending(0, tr)
	for n := range body {
		w.holds(tr, 250)
		status := http.StatusBadRequest
		if n >= first {
			status = http.StatusAccepted
		}
		w.want(body[:n], status)
	}
}

// A ticket lets an upload end for a checkpoint that is pending no more; also
// after a restart, and at another instance.
func TestTicket(t *testing.T) {
	l := newLog(t, "log.example")
	w := newWorld(t, l)
	one, two := l.at(700), l.at(900)
	w.pending(0, one)
	ticket := w.want(one.body(t, 0, nil, 1), http.StatusAccepted, 700, 256).Ticket
	w.pending(700, two)
	w.want(one.body(t, 256, nil, 1), http.StatusConflict, 900, 256)
	w.restart()
	ticket2 := w.want(one.body(t, 256, ticket, 1), http.StatusAccepted, 700, 512).Ticket
	if !bytes.Equal(ticket, ticket2) {
		t.Error("another ticket for the same checkpoint")
	}
	w.want(one.body(t, 600, ticket, -1), http.StatusConflict, 700, 512) // start beyond next
	w.want(one.body(t, 512, ticket, -1), http.StatusOK)
	w.has(one)
	w.want(two.body(t, 700, nil, -1), http.StatusOK)
	w.has(two)
	w.want(one.body(t, 700, ticket, 0), http.StatusConflict, 900, 900) // it does not rewind
	w.has(two)
}

func TestTicketAuthentication(t *testing.T) {
	l, other := newLog(t, "log.example"), newLog(t, "other.example")
	w := newWorld(t, l, other)
	small := l.at(300)
	w.pending(0, small)
	ticket := w.want(small.body(t, 0, nil, 1), http.StatusAccepted).Ticket
	w.pending(300, l.at(400))
	w.pending(0, other.at(400))
	for i := range ticket {
		forged := bytes.Clone(ticket)
		forged[i] ^= 1
		w.want(small.body(t, 256, forged, -1), http.StatusConflict, 400, 256)
	}
	// Another log's ticket is none.
	w.want(other.at(300).body(t, 0, ticket, -1), http.StatusConflict, 400, 0)
	// Nor is that of a mirror with another key, or one that only the log signed.
	w.want(small.body(t, 256, TicketKey{8}.seal(mirrorName, l.origin, small.note(t)), -1), http.StatusConflict, 400, 256)
	w.want(small.body(t, 256, small.note(t), -1), http.StatusConflict, 400, 256)
	// A ticket of a checkpoint beyond the pending one is of a state that was lost.
	w.want(l.at(500).body(t, 256, TicketKey{7}.seal(mirrorName, l.origin, l.at(500).note(t)), -1), http.StatusConflict, 400, 256)
	w.want(small.body(t, 256, ticket, -1), http.StatusOK)
}

// start = end asks for a fresh time, which never goes back.
func TestFreshSignature(t *testing.T) {
	l := newLog(t, "log.example")
	w := newWorld(t, l)
	tr := l.at(300)
	w.pending(0, tr)
	w.want(tr.body(t, 0, nil, -1), http.StatusOK)
	at := func() int64 {
		w.want(tr.body(t, 300, nil, 0), http.StatusOK)
		w.has(tr)
		return cosignedAt(w.copies[l.origin].Head().Note, l.origin, []checkpoint.Verifier{l.signer.Verifier()}, w.by)
	}
	begin := w.now
	w.now = begin.Add(time.Hour)
	if got := at(); got != w.now.Unix() {
		t.Errorf("time %d; want %d", got, w.now.Unix())
	}
	w.now = begin
	w.restart()
	if got := at(); got != begin.Add(time.Hour).Unix() {
		t.Errorf("the clock went back, and so did the cosignature's time: %d", got)
	}
}

// Two uploads at the same time help each other, and a stalled one holds up
// nothing.
func TestInterleavedUploads(t *testing.T) {
	l := newLog(t, "log.example")
	w := newWorld(t, l)
	tr := l.at(1000)
	w.pending(0, tr)
	var parts []chan []byte
	var answers []chan *httptest.ResponseRecorder
	for range 2 {
		p, a := w.begin()
		parts, answers = append(parts, p), append(answers, a)
	}
	body := tr.body(t, 0, nil, -1)
	cut := []int{0, len(tr.body(t, 0, nil, 1)) - 5, len(tr.body(t, 0, nil, 2)) - 3, len(tr.body(t, 0, nil, 3)), len(body)}
	for i := range 4 {
		for _, p := range parts {
			p <- body[cut[i]:cut[i+1]]
		}
		if i == 1 { // both are inside the second package; a third one comes and goes
			w.want(tr.body(t, 0, nil, 2), http.StatusAccepted, 1000, 512)
		}
	}
	for _, a := range answers {
		if rec := <-a; rec.Code != http.StatusOK {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	}
	w.has(tr)
}

// An upload for a smaller checkpoint, overtaken by one for a larger: the entries
// beyond it are there before it is committed.
func TestCommitBehindNextEntry(t *testing.T) {
	l := newLog(t, "log.example")
	w := newWorld(t, l)
	one, two := l.at(600), l.at(1000)
	w.pending(0, one)
	ticket := w.want(one.body(t, 0, nil, 1), http.StatusAccepted).Ticket
	w.pending(600, two)
	w.want(two.body(t, 256, nil, 2), http.StatusAccepted, 1000, 768)
	w.want(one.body(t, 600, ticket, 0), http.StatusOK)
	w.has(one)
	w.want(two.body(t, 768, nil, -1), http.StatusOK)
	w.has(two)
}

// The mirror checkpoint moves on while an upload runs: it is not taken back.
func TestCommitRace(t *testing.T) {
	l := newLog(t, "log.example")
	w := newWorld(t, l)
	one, two := l.at(600), l.at(1000)
	w.pending(0, one)
	parts, answered := w.begin()
	body := one.body(t, 0, nil, -1)
	parts <- body[:len(body)-1]
	w.pending(600, two)
	w.want(two.body(t, 0, nil, -1), http.StatusOK)
	parts <- body[len(body)-1:]
	rec := <-answered
	if info, err := ParseInfo(rec.Body.Bytes()); rec.Code != http.StatusConflict || err != nil || info.Pending != 1000 || info.Next != 1000 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	w.has(two)
}

func TestUploadStartWindow(t *testing.T) {
	l := newLog(t, "log.example")
	w := newWorld(t, l)
	tr := l.at(10 * PackageSize)
	w.pending(0, tr)
	w.want(tr.body(t, 0, nil, 9), http.StatusAccepted)
	w.want(tr.body(t, PackageSize-1, nil, -1), http.StatusConflict, 2560, 2304)
	w.want(tr.body(t, PackageSize, nil, -1), http.StatusOK)
	w.has(tr)
}

// After a power cut the mirror goes on at what it said was stored, also inside a
// tile.
func TestRestartMidTile(t *testing.T) {
	l := newLog(t, "log.example")
	w := newWorld(t, l)
	one, two := l.at(300), l.at(600)
	w.pending(0, one)
	w.want(one.body(t, 0, nil, -1), http.StatusOK)
	w.restart()
	w.has(one)
	w.pending(300, two)
	w.want(two.body(t, 300, nil, 1), http.StatusAccepted, 600, 512)
	w.restart()
	w.want(two.body(t, 600, nil, 0), http.StatusConflict, 600, 512)
	w.want(two.body(t, 512, nil, -1), http.StatusOK)
	w.has(two)
}

func TestRequestErrors(t *testing.T) {
	l := newLog(t, "log.example")
	w := newWorld(t, l)
	tr := l.at(300)
	w.pending(0, tr)
	valid := tr.body(t, 0, nil, -1)
	zip := func(data []byte) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write(data)
		z.Close()
		return b.Bytes()
	}
	hashes := slices.Concat(tr.body(t, 0, nil, 0), bytes.Repeat([]byte{0, 0}, PackageSize), []byte{64}, make([]byte, 64*merkle.HashSize))
	for name, c := range map[string]struct {
		body   []byte
		header []string
		status int
		text   string
	}{
		"content type":        {valid, []string{"Content-Type", "text/plain"}, 415, "application/octet-stream"},
		"no content type":     {valid, []string{"Content-Type", ""}, 415, ""},
		"encoding":            {valid, []string{"Content-Encoding", "br"}, 415, "gzip"},
		"not gzip":            {valid, []string{"Content-Encoding", "gzip"}, 400, "gzip"},
		"half a gzip":         {zip(valid)[:200], []string{"Content-Encoding", "gzip"}, 400, ""},
		"too many hashes":     {hashes, nil, 400, "64 hashes"},
		"a bomb of zeros":     {zip(append(tr.body(t, 0, nil, 0), make([]byte, 64<<20)...)), []string{"Content-Encoding", "gzip"}, 422, "proof"},
		"a bomb of 0xff":      {zip(append(tr.body(t, 0, nil, 0), bytes.Repeat([]byte{0xff}, 64<<20)...)), []string{"Content-Encoding", "gzip"}, 400, "255 hashes"},
		"a header of 128 KiB": {zip(bytes.Repeat([]byte{0xff}, 64<<20)), []string{"Content-Encoding", "gzip"}, 400, "upload_end"},
	} {
		rec := w.post("add-entries", c.body, c.header...)
		if rec.Code != c.status || !strings.Contains(rec.Body.String(), c.text) || rec.Header().Get("Accept-Encoding") != "gzip" {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/add-entries", bytes.NewReader(valid))
	r.Header.Set("Content-Type", entriesType)
	r.ContentLength = maxRequest + 1
	rec := httptest.NewRecorder()
	if w.server.ServeHTTP(rec, r); rec.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("too large: %d", rec.Code)
	}
	for _, c := range []struct{ method, path, status string }{{"GET", "/add-entries", "405"}, {"POST", "/add-entries/", "404"}, {"POST", "/sign-subtree", "404"}, {"GET", "/", "404"}} {
		rec := httptest.NewRecorder()
		w.server.ServeHTTP(rec, httptest.NewRequest(c.method, c.path, nil))
		if got := rec.Result().Status; !strings.HasPrefix(got, c.status) {
			t.Errorf("%s %s: %s", c.method, c.path, got)
		}
	}
	if rec := w.post("add-entries", zip(valid), "Content-Encoding", "GZIP", "Content-Type", "application/octet-stream; charset=x"); rec.Code != http.StatusOK {
		t.Errorf("after all that: %d %s", rec.Code, rec.Body)
	}
	w.has(tr)
}

// A fault of the disk is not shown, and nothing is signed.
func TestFault(t *testing.T) {
	l := newLog(t, "log.example")
	w := newWorld(t, l)
	tr := l.at(300)
	w.pending(0, tr)
	var told error
	w.server.cfg.Fault = func(err error) { told = err }
	w.copies[l.origin].fail = errors.New("secret: no space left")
	rec := w.post("add-entries", tr.body(t, 0, nil, -1))
	if rec.Code != http.StatusInternalServerError || strings.Contains(rec.Body.String(), "secret") || told == nil || w.copies[l.origin].Head().Note != nil {
		t.Errorf("%d %s, %v", rec.Code, rec.Body, told)
	}
}

func TestNames(t *testing.T) {
	for _, l := range []*testLog{newLog(t, mirrorName)} {
		_, err := NewServer(t.Context(), Config{
			Logs: []Log{{Origin: l.origin, Copy: &memory{}, Keys: []checkpoint.Verifier{l.signer.Verifier()}}}, Cosigners: newWorld(t).by, TicketKey: TicketKey{1},
		})
		if err == nil || !strings.Contains(err.Error(), "the mirror's own name") {
			t.Error(err)
		}
	}
	if _, err := NewServer(t.Context(), Config{}); err == nil {
		t.Error("a mirror without keys")
	}
}

// A copy that was replaced by an older one, or another, is not cosigned.
func TestCosignsNoSmallerTree(t *testing.T) {
	l, other := newLog(t, "log.example"), newLog(t, "log.example")
	other.fork = 100
	w := newWorld(t, l)
	keys := []checkpoint.Verifier{l.signer.Verifier()}
	cosign := func(tr *tree, previous []byte) ([]byte, error) {
		note, _, err := Cosign(tr.note(t), previous, l.origin, keys, w.by, w.now)
		return note, err
	}
	previous, err := cosign(l.at(300), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{300, 301} {
		if _, err := cosign(l.at(size), previous); err != nil {
			t.Errorf("size %d: %v", size, err)
		}
	}
	for name, tr := range map[string]*tree{"a smaller tree": l.at(299), "another tree": other.at(300)} {
		if note, err := cosign(tr, previous); err == nil || note != nil || !strings.Contains(err.Error(), "not cosigned") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Uploads that stall after a large package keep out no other large one.
func TestStalledLargeUploads(t *testing.T) {
	l := newLog(t, "log.example")
	l.pad = 4096
	w := newWorld(t, l)
	tr := l.at(600)
	w.pending(0, tr)
	server := httptest.NewServer(w.server)
	defer server.Close()
	var stalled sync.WaitGroup
	defer stalled.Wait()
	for i := range int64(maxLarge) {
		r, send := io.Pipe()
		defer send.Close()
		stalled.Go(func() {
			if res, err := http.Post(server.URL+"/add-entries", entriesType, r); err == nil {
				res.Body.Close()
			}
			r.Close()
		})
		stalled.Go(func() { send.Write(tr.body(t, i*PackageSize, nil, 1)) })
		for end := time.Now().Add(20 * time.Second); w.copies[l.origin].Next() < (i+1)*PackageSize; runtime.Gosched() {
			if time.Now().After(end) {
				t.Fatal("the package is not stored")
			}
		}
	}
	res, err := http.Post(server.URL+"/add-entries", entriesType, bytes.NewReader(tr.body(t, PackageSize, nil, -1)))
	if err != nil {
		t.Fatal(err)
	}
	if res.Body.Close(); res.StatusCode != http.StatusOK {
		t.Errorf("an upload beside those that stall: %s", res.Status)
	}
}
