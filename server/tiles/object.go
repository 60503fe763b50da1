package tiles

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/cespare/xxhash/v2"

	"indelible/internal/answers"
	"indelible/merkle"
)

// object is a response ready to send, in one encoding.
type object struct {
	body         []byte // nil: it is not worth to be compressed
	etag, length []string
	bundle       int // how many entries it has; 0: it is no bundle
	gzip         bool
	held         *answers.Shared // the memory of body, which others may share
}

// objectBytes is about what an object takes beside its body.
const objectBytes = 300

// size is what an object takes in memory.
func size(path string, o *object) int64 {
	return int64(len(path) + cap(o.body) + objectBytes)
}

// newObject makes an object of a body. Its tag need not withstand an attacker, who could
// send whatever tag: a quick checksum is enough.
func newObject(body []byte) *object {
	var sum [sha256.Size]byte
	binary.BigEndian.PutUint64(sum[:], xxhash.Sum64(body))
	binary.BigEndian.PutUint32(sum[8:], crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	binary.BigEndian.PutUint32(sum[12:], uint32(len(body)))
	return tagged(body, sum)
}

// tagged makes an object with a tag from a hash.
func tagged(body []byte, sum [sha256.Size]byte) *object {
	return &object{
		body: body, etag: []string{`"` + hex.EncodeToString(sum[:16]) + `"`}, length: []string{strconv.Itoa(len(body))},
		held: &answers.Shared{Bytes: int64(len(body))},
	}
}

// narrow is the beginning of a bundle: its first width entries. Its tag follows
// from the whole one's.
func (o *object) narrow(width int) (*object, error) {
	end := 0
	for range width {
		n, err := merkle.BundleEntrySize(o.body[end:])
		if err != nil {
			return nil, err
		}
		end += n
	}
	n := tagged(o.body[:end:end], sha256.Sum256(strconv.AppendInt([]byte(o.etag[0]), int64(width), 10)))
	n.bundle, n.held = width, o.held
	return n, nil
}

// zip is an object compressed, without a body where that is not worth it. Its tag
// is another one: they are different bytes.
func (o *object) zip(p *press) *object {
	body := p.gzip(o.body)
	if len(body) >= len(o.body)*9/10 {
		return &object{}
	}
	z := tagged(body, [sha256.Size]byte{})
	z.etag = []string{strings.TrimSuffix(o.etag[0], `"`) + `-gzip"`}
	z.bundle, z.gzip = o.bundle, true
	return z
}

// press compresses. A gzip.Writer takes most of a megabyte, so it is kept.
type press struct{ writers sync.Pool }

func (p *press) gzip(body []byte) []byte {
	var b bytes.Buffer
	z, ok := p.writers.Get().(*gzip.Writer)
	if ok {
		z.Reset(&b)
	} else {
		// BestSpeed: a mirror makes every bundle be compressed once.
		z, _ = gzip.NewWriterLevel(&b, gzip.BestSpeed)
	}
	z.Write(body) // a Buffer takes everything
	z.Close()
	p.writers.Put(z)
	return bytes.Clone(b.Bytes())
}

// values are the header values that all responses share; they are never
// modified.
type values struct{ octets, text, immutable, fresh, any, encodings, gzip []string }

func headerValues() values {
	return values{
		octets:    []string{"application/octet-stream"},
		text:      []string{"text/plain; charset=utf-8"},
		immutable: []string{"public, max-age=604800, immutable"},
		fresh:     []string{"public, max-age=1"},
		any:       []string{"*"},
		encodings: []string{"Accept-Encoding"},
		gzip:      []string{"gzip"},
	}
}

// send writes an object as the request wants it.
func (v values) send(w http.ResponseWriter, r *http.Request, o *object) {
	head := w.Header()
	if o.bundle > 0 {
		head["Vary"] = v.encodings
	}
	if o.gzip {
		head["Content-Encoding"] = v.gzip
	}
	head["Etag"] = o.etag
	if notModified(r, o.etag[0]) {
		head.Del("Content-Encoding")
		head.Del("Content-Type")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	head["Content-Length"] = o.length
	if r.Method != http.MethodHead {
		w.Write(o.body)
	}
}

func notModified(r *http.Request, etag string) bool {
	for _, line := range r.Header["If-None-Match"] {
		for tag := range strings.SplitSeq(line, ",") {
			tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
			if tag == etag || tag == "*" {
				return true
			}
		}
	}
	return false
}

// acceptsGzip reads Accept-Encoding as far as it matters: gzip, not refused by
// a quality of zero.
func acceptsGzip(r *http.Request) bool {
	for _, line := range r.Header["Accept-Encoding"] {
		for part := range strings.SplitSeq(line, ",") {
			name, q, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(name), "gzip") {
				return !zeroQuality(q)
			}
		}
	}
	return false
}

func zeroQuality(parameter string) bool {
	name, value, ok := strings.Cut(parameter, "=")
	if !ok || !strings.EqualFold(strings.TrimSpace(name), "q") {
		return false
	}
	q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	return err != nil || q == 0
}
