package sourcetest

import (
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"indelible/checkpoint"
	"indelible/merkle"
)

// CT is a Certificate Transparency log of C2SP static-ct-api. Its Log has what its
// leaf hashes cover for entries.
type CT struct {
	*Log
	key    *ecdsa.PrivateKey
	leaves [][]byte // of the data tiles
	// Milliseconds is the time of the checkpoints.
	Milliseconds uint64
	issuers      map[string][]byte
}

// NewCT starts a log of certificates and precertificates by three issuers. Data
// tiles are always compressed, which the specification permits.
func NewCT(t testing.TB, origin string, size int64) *CT {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	l := &CT{Log: New(t, origin, 0), Milliseconds: 1_700_000_000_000, key: key, issuers: map[string][]byte{}}
	if l.Key, err = checkpoint.NewLogVerifier(origin, &key.PublicKey); err != nil {
		t.Fatal(err)
	}
	for i := range size {
		l.AddCertificate(i, fmt.Appendf(nil, "certificate %d", i))
	}
	server := httptest.NewServer(l)
	t.Cleanup(server.Close)
	l.URL = server.URL
	return l
}

// AddCertificate adds an entry that says that it is at an index. Every third is a
// precertificate.
func (l *CT) AddCertificate(index int64, der []byte) {
	e := binary.BigEndian.AppendUint64(nil, uint64(1_700_000_000_000+index))
	pre := index%3 == 2
	if pre {
		hash := sha256.Sum256([]byte("the issuer's key"))
		e = append(append(e, 0, 1), hash[:]...)
	} else {
		e = append(e, 0, 0)
	}
	e = append(vector(e, 3, der), 0, 8, 0, 0, 5)
	e = append(e, binary.BigEndian.AppendUint64(nil, uint64(index))[3:]...)
	leaf := slices.Clone(e)
	if pre {
		leaf = vector(leaf, 3, append([]byte("pre"), der...))
	}
	var chain []byte
	for i := range index % 3 {
		issuer := fmt.Appendf(nil, "issuer %d", i)
		hash := sha256.Sum256(issuer)
		l.issuers[fmt.Sprintf("issuer/%x", hash)] = issuer
		chain = append(chain, hash[:]...)
	}
	l.leaves = append(l.leaves, vector(leaf, 2, chain))
	l.Add(append([]byte{0, 0}, e...))
}

// vector appends bytes after their length, as TLS does.
func vector(dst []byte, width int, data []byte) []byte {
	dst = append(dst, binary.BigEndian.AppendUint64(nil, uint64(len(data)))[8-width:]...)
	return append(dst, data...)
}

// Issuers are the certificates that the log serves, by path.
func (l *CT) Issuers() map[string][]byte { return l.issuers }

// ServeHTTP answers as such a log does.
func (l *CT) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	l.mu.Lock()
	replaced := l.replace[path] != nil
	l.mu.Unlock()
	data := l.Resource(path)
	if replaced || data == nil || strings.HasPrefix(path, "tile/") && !strings.HasPrefix(path, "tile/data/") {
		l.Log.ServeHTTP(w, r)
		return
	}
	if strings.HasPrefix(path, "tile/data/") {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		z.Write(data)
		z.Close()
		return
	}
	w.Write(data)
}

// Resource is what the log serves at a path, truly; nil if there is nothing.
func (l *CT) Resource(path string) []byte {
	if path == "checkpoint" {
		return l.checkpoint()
	}
	if rest, ok := strings.CutPrefix(path, "tile/data/"); ok {
		b, err := merkle.ParseBundlePath("tile/entries/" + rest)
		begin := b.Index * merkle.TileWidth
		if err != nil || begin+int64(b.Width) > int64(len(l.leaves)) {
			return nil
		}
		return slices.Concat(l.leaves[begin : begin+int64(b.Width)]...)
	}
	if issuer := l.issuers[path]; issuer != nil {
		return issuer
	}
	return l.Log.Resource(path)
}

// checkpoint signs the tree head. SPEC: static-ct-api; RFC 6962 section 3.5.
func (l *CT) checkpoint() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := checkpoint.Checkpoint{Origin: l.Origin, Size: l.size, Root: l.root(l.size)}

	message := binary.BigEndian.AppendUint64([]byte{0, 1}, l.Milliseconds)
	message = append(binary.BigEndian.AppendUint64(message, uint64(c.Size)), c.Root[:]...)
	digest := sha256.Sum256(message)
	sig, err := ecdsa.SignASN1(rand.Reader, l.key, digest[:])
	if err != nil {
		panic(err)
	}
	blob := append(binary.BigEndian.AppendUint64(nil, l.Milliseconds), 4, 3)
	return checkpoint.Note{Text: c.Text(), Signatures: []checkpoint.Signature{{Name: l.Origin, KeyID: l.Key.KeyHash(), Blob: vector(blob, 2, sig)}}}.Marshal()
}
