package tiles

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// object is a response ready to send.
type object struct {
	plain, gzip form // gzip has no body where it is not worth it
}

// form is an object in one encoding, with its header values. Each has a tag of
// its own: they are different bytes.
type form struct {
	body         []byte
	etag, length []string
}

// formBytes is about what a form takes beside its body.
const formBytes = 200

// size is what an object takes in memory.
func size(path string, o *object) int64 {
	return int64(len(path) + len(o.plain.body) + cap(o.gzip.body) + 2*formBytes)
}

// newObject makes an object of a body, compressed too with a press.
func newObject(body []byte, p *press) *object {
	sum := sha256.Sum256(body)
	tag := hex.EncodeToString(sum[:16])
	o := &object{plain: newForm(body, `"`+tag+`"`)}
	if p == nil {
		return o
	}
	if z := p.gzip(body); len(z) < len(body)*9/10 {
		o.gzip = newForm(z, `"`+tag+`-gzip"`)
	}
	return o
}

func newForm(body []byte, etag string) form {
	return form{body: body, etag: []string{etag}, length: []string{strconv.Itoa(len(body))}}
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
	f := &o.plain
	if o.gzip.body != nil {
		head["Vary"] = v.encodings
		if acceptsGzip(r) {
			f = &o.gzip
			head["Content-Encoding"] = v.gzip
		}
	}
	head["Etag"] = f.etag
	if notModified(r, f.etag[0]) {
		head.Del("Content-Encoding")
		head.Del("Content-Type")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	head["Content-Length"] = f.length
	if r.Method != http.MethodHead {
		w.Write(f.body)
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
