package rekorv1_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"strconv"
	"testing"

	"indelible/merkle"
)

// logInfo is the answer to /api/v1/log, strictly.
type logInfo struct {
	InactiveShards *[]struct{} `json:"inactiveShards"`
	RootHash       *string     `json:"rootHash"`
	SignedTreeHead *string     `json:"signedTreeHead"`
	TreeID         *string     `json:"treeID"`
	TreeSize       *int64      `json:"treeSize"`
}

// info expects the log's tree head and checks it against its note.
func (w *world) info(t *testing.T) (int64, merkle.Hash) {
	t.Helper()
	rec := w.ask(t, "GET", "/api/v1/log", "")
	if rec.Code != http.StatusOK || rec.Header().Get("Cache-Control") != noCache {
		t.Fatalf("%d %v: %s", rec.Code, rec.Header(), rec.Body)
	}
	var i logInfo
	strict(t, rec.Body.Bytes(), &i)
	if i.InactiveShards == nil || i.RootHash == nil || i.SignedTreeHead == nil || i.TreeID == nil || i.TreeSize == nil {
		t.Fatalf("something is not there: %s", rec.Body)
	}
	size, root := w.checkNote(t, *i.SignedTreeHead)
	if *i.TreeSize != size || *i.RootHash != hex.EncodeToString(root[:]) || *i.TreeID != strconv.FormatInt(treeID, 10) {
		t.Errorf("not what the note says: %s", rec.Body)
	}
	return size, root
}

func strict(t *testing.T, data []byte, into any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil || d.More() {
		t.Fatalf("%v: %s", err, data)
	}
}

func TestLogInfo(t *testing.T) {
	w, s := newWorld(t), newSigner(t)
	if size, root := w.info(t); size != 0 || root != sha256.Sum256(nil) {
		t.Errorf("the empty log: %d, %x", size, root)
	}
	for i := range int64(3) {
		_, e := w.add(t, s, fmt.Sprint(i))
		size, root := w.info(t)
		if size != i+1 || *e.Verification.InclusionProof.RootHash != hex.EncodeToString(root[:]) {
			t.Errorf("after %d entries: %d, %x", i+1, size, root)
		}
	}
}

func TestPublicKey(t *testing.T) {
	w := newWorld(t)
	for _, target := range []string{"", "?treeID=", "?treeID=" + strconv.FormatInt(treeID, 10)} {
		rec := w.ask(t, "GET", "/api/v1/log/publicKey"+target, "")
		block, rest := pem.Decode(rec.Body.Bytes())
		if rec.Code != http.StatusOK || rec.Header().Get("Content-Type") != "application/x-pem-file" || block == nil || len(rest) != 0 {
			t.Fatalf("%s: %d %v %s", target, rec.Code, rec.Header(), rec.Body)
		}
		if key, err := x509.ParsePKIXPublicKey(block.Bytes); err != nil || !w.key.PublicKey.Equal(key) {
			t.Errorf("%s: %v, another key", target, err)
		}
	}
}

func TestProof(t *testing.T) {
	w, s := newWorld(t), newSigner(t)
	roots := map[int64]merkle.Hash{}
	const size = 7
	for i := range int64(size) {
		w.add(t, s, fmt.Sprint(i))
		_, roots[i+1] = w.info(t)
	}
	for last := int64(1); last <= size; last++ {
		for first := int64(1); first <= last; first++ {
			for _, tree := range []string{"", "&treeID=", fmt.Sprint("&treeID=", int64(treeID))} {
				hashes := w.consistency(t, fmt.Sprintf("firstSize=%d&lastSize=%d%s", first, last, tree), roots[size])
				if err := merkle.VerifyConsistency(first, last, roots[first], roots[last], hashes); err != nil {
					t.Errorf("%d to %d: %v", first, last, err)
				}
			}
		}
	}
	// The first size is 1 unless it is said.
	for _, query := range []string{"lastSize=5", "firstSize=&lastSize=5"} {
		if err := merkle.VerifyConsistency(1, 5, roots[1], roots[5], w.consistency(t, query, roots[size])); err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
}

// consistency expects a proof, whose root is that of the present tree.
func (w *world) consistency(t *testing.T, query string, root merkle.Hash) []merkle.Hash {
	t.Helper()
	rec := w.ask(t, "GET", "/api/v1/log/proof?"+query, "")
	if rec.Code != http.StatusOK || rec.Header().Get("Cache-Control") != noCache {
		t.Fatalf("%s: %d %v: %s", query, rec.Code, rec.Header(), rec.Body)
	}
	var p struct {
		RootHash string    `json:"rootHash"`
		Hashes   *[]string `json:"hashes"`
	}
	strict(t, rec.Body.Bytes(), &p)
	if p.Hashes == nil || p.RootHash != hex.EncodeToString(root[:]) {
		t.Fatalf("%s: %s; the present root is %x", query, rec.Body, root)
	}
	return unhex(t, *p.Hashes)
}

func TestPing(t *testing.T) {
	rec := newWorld(t).ask(t, "GET", "/ping", "")
	if rec.Code != http.StatusOK || rec.Body.String() != "." {
		t.Errorf("%d %q", rec.Code, rec.Body)
	}
}

// TestPreflight: any web page may ask.
func TestPreflight(t *testing.T) {
	w := newWorld(t)
	for target, allow := range map[string]string{entriesPath: "GET, HEAD, POST", retrievePath: "POST", "/api/v1/log": "GET, HEAD"} {
		rec := w.ask(t, "OPTIONS", target, "")
		if rec.Code != http.StatusNoContent || rec.Header().Get("Access-Control-Allow-Methods") != allow {
			t.Errorf("%s: %d %v", target, rec.Code, rec.Header())
		}
	}
	for _, target := range []string{"/ping", "/api/v1/log", entriesPath + "?logIndex=0", "/api/v1/nothing"} {
		if got := w.ask(t, "GET", target, "").Header().Get("Access-Control-Allow-Origin"); got != "*" {
			t.Errorf("%s: %q", target, got)
		}
	}
}
