// Package serve serves copies of logs as they are on disk: the monitoring prefix
// of a mirror (C2SP tlog-tiles, tlog-mirror).
//
//	GET /<hex SHA-256(origin)>/checkpoint          the newest head of a copy, with the mirror's cosignature
//	GET /<hex SHA-256(origin)>/tile/<L>/<N>[.p/<W>]
//	GET /<hex SHA-256(origin)>/tile/entries/<N>[.p/<W>]
//	GET /<hex SHA-256(origin)>/tile/data/…, issuer/…   of a Go checksum database and a static CT log
//	GET /mirror.v0.json                            what the mirror says of itself
//
// Each object has one URL, so that caches hold one copy. A partial tile that is
// no file (any more) is the beginning of a wider one. A copy may be written by
// another process meanwhile: a checkpoint is there only once all below it is.
package serve

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"indelible/checkpoint"
	"indelible/internal/bytecache"
	"indelible/merkle"
)

// Config is what a Handler is made from.
type Config struct {
	Dir string // with copies of logs, as package mirror writes them
	// Sign adds the mirror's cosignatures to the checkpoint of a folder. It gets what
	// is on disk, and what it returned last for this folder. nil: as it is on disk.
	Sign func(folder string, note, previous []byte) ([]byte, error)
	// Keys are the mirror's, and URL is how others reach it, for mirror.v0.json.
	Keys []checkpoint.Verifier
	URL  string
	// Plain compresses nothing.
	Plain bool
	// Fault is told of errors that clients are not shown; it may be nil.
	Fault func(error)
}

// refresh is how old a cosignature may be that is shown.
const refresh = 10 * time.Minute

// cacheBytes bounds what compressed bundles take in memory.
const cacheBytes = 32 << 20

// Handler serves the copies of a directory, and no file outside of it: a symbolic
// link that leads out is a fault.
type Handler struct {
	cfg   Config
	root  *os.Root
	about []byte
	zips  *bytecache.Cache[string, []byte]
	press chan struct{} // one in it for each bundle that is being compressed

	mu     sync.Mutex
	signed map[string]cosigned // by folder
}

// cosigned is a checkpoint that was signed.
type cosigned struct {
	from, note []byte
	at         time.Time
}

// New makes a Handler. It is an error if the directory cannot be opened.
func New(cfg Config) (*Handler, error) {
	root, err := os.OpenRoot(cfg.Dir)
	if err != nil {
		return nil, err
	}
	h := &Handler{
		cfg: cfg, root: root, signed: make(map[string]cosigned),
		zips:  bytecache.New(cacheBytes, func(k string, v []byte) int64 { return int64(len(k) + cap(v) + 100) }),
		press: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
	}
	if len(cfg.Keys) > 0 {
		h.about = about(cfg)
	}
	return h, nil
}

func about(cfg Config) []byte {
	keys := make([]string, len(cfg.Keys))
	for i, k := range cfg.Keys {
		keys[i] = k.String()
	}
	text, _ := json.MarshalIndent(map[string]any{ // strings alone: it cannot fail
		"name": cfg.Keys[0].Name(), "submission_url": cfg.URL + "/", "monitoring_url": cfg.URL + "/", "verifier_keys": keys,
	}, "", "  ")
	return append(text, '\n')
}

// ServeHTTP answers GET and HEAD.
func (h *Handler) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Access-Control-Allow-Origin", "*")
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if err := h.get(rw, r); err != nil {
			h.fail(rw, err)
		}
	case http.MethodOptions:
		rw.Header().Set("Access-Control-Allow-Methods", "GET, HEAD")
		rw.Header().Set("Access-Control-Allow-Headers", "If-None-Match")
		rw.Header().Set("Access-Control-Max-Age", "86400")
		rw.WriteHeader(http.StatusNoContent)
	default:
		rw.Header().Set("Allow", "GET, HEAD, OPTIONS")
		answer(rw, http.StatusMethodNotAllowed, "only GET and HEAD are answered here")
	}
}

// errNothing: there can be no such path.
var errNothing = fmt.Errorf("there is nothing at this path: %w", fs.ErrNotExist)

func (h *Handler) get(rw http.ResponseWriter, r *http.Request) error {
	if r.URL.RawPath != "" || r.URL.RawQuery != "" || r.URL.ForceQuery {
		return errNothing
	}
	if r.URL.Path == "/mirror.v0.json" && h.about != nil {
		return text(rw, r, "application/json", h.about)
	}
	folder, name, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if !ok || !isHash(folder) {
		return errNothing
	}
	if name == "checkpoint" {
		note, err := h.checkpoint(folder)
		if err != nil {
			return err
		}
		return text(rw, r, "text/plain; charset=utf-8", note)
	}
	o, err := parse(name)
	if err != nil {
		return err
	}
	return h.object(rw, r, folder, o)
}

// isHash reports whether a name is SHA-256 in lower-case hex.
func isHash(name string) bool {
	sum, err := hex.DecodeString(name)
	return err == nil && len(sum) == sha256.Size && hex.EncodeToString(sum) == name
}

// object is a file of a copy that never changes.
type object struct {
	path   string
	bundle string           // the folder of its bundles, if it is one
	level  int              // of a tile; 0 for a bundle
	index  int64            // of a tile or bundle
	width  int              // of it; 0: it is neither
	tile   func(int) string // its path with another width
}

// parse takes a path apart. It takes no other spelling.
func parse(name string) (object, error) {
	if t, err := merkle.ParseTilePath(name); err == nil {
		return object{path: name, level: t.Level, index: t.Index, width: t.Width, tile: func(w int) string {
			return merkle.Tile{Level: t.Level, Index: t.Index, Width: w}.Path()
		}}, nil
	}
	if sum, ok := strings.CutPrefix(name, "issuer/"); ok && isHash(sum) {
		return object{path: name}, nil
	}
	for _, bundle := range []string{"tile/entries/", "tile/data/", "tile/entries32/"} {
		rest, ok := strings.CutPrefix(name, bundle)
		if !ok {
			continue
		}
		if b, err := merkle.ParseBundlePath("tile/entries/" + rest); err == nil {
			return object{path: name, bundle: bundle, index: b.Index, width: b.Width, tile: func(w int) string {
				return bundle + strings.TrimPrefix(merkle.Bundle{Index: b.Index, Width: w}.Path(), "tile/entries/")
			}}, nil
		}
	}
	return object{}, errNothing
}

// object sends a file, or the beginning of a wider one.
func (h *Handler) object(rw http.ResponseWriter, r *http.Request, folder string, o object) error {
	path := filepath.Join(folder, filepath.FromSlash(o.path))
	f, err := h.root.Open(path)
	if errors.Is(err, fs.ErrNotExist) && o.width > 0 && o.width < merkle.TileWidth {
		data, err := h.beginning(folder, o)
		if err != nil {
			return err
		}
		return h.immutable(rw, r, o, data)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errNothing
	}
	tag := fmt.Sprintf("%x-%x", info.ModTime().UnixNano(), info.Size())
	if o.bundle != "" {
		rw.Header().Set("Vary", "Accept-Encoding")
		if !h.cfg.Plain && acceptsGzip(r) {
			if z := h.zip(path+tag, f, info.Size()); z != nil {
				rw.Header().Set("Content-Encoding", "gzip")
				headers(rw, tag+"-gzip")
				http.ServeContent(rw, r, "", time.Time{}, bytes.NewReader(z))
				return nil
			}
		}
	}
	headers(rw, tag)
	http.ServeContent(rw, r, "", time.Time{}, f)
	return nil
}

func (h *Handler) immutable(rw http.ResponseWriter, r *http.Request, o object, data []byte) error {
	if o.bundle != "" {
		rw.Header().Set("Vary", "Accept-Encoding")
	}
	headers(rw, tagOf(data))
	http.ServeContent(rw, r, "", time.Time{}, bytes.NewReader(data))
	return nil
}

func headers(rw http.ResponseWriter, tag string) {
	head := rw.Header()
	head.Set("Content-Type", "application/octet-stream")
	head.Set("Cache-Control", "public, max-age=604800, immutable")
	head.Set("Etag", `"`+tag+`"`)
}

func tagOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// text sends what changes.
func text(rw http.ResponseWriter, r *http.Request, kind string, data []byte) error {
	rw.Header().Set("Content-Type", kind)
	rw.Header().Set("Cache-Control", "public, max-age=1")
	rw.Header().Set("Etag", `"`+tagOf(data)+`"`)
	http.ServeContent(rw, r, "", time.Time{}, bytes.NewReader(data))
	return nil
}

// beginning reads a partial tile or bundle out of a wider one.
// SPEC: tlog-tiles: partial tiles of every checkpoint are served.
func (h *Handler) beginning(folder string, o object) ([]byte, error) {
	size, err := h.size(folder)
	if err != nil {
		return nil, err
	}
	wide := min(merkle.TileWidth, merkle.HashesAt(o.level, size)-o.index*merkle.TileWidth)
	if wide <= int64(o.width) {
		return nil, errNothing
	}
	data, err := h.read(filepath.Join(folder, filepath.FromSlash(o.tile(int(wide)))), maxFile)
	if err != nil {
		return nil, err
	}
	switch o.bundle {
	case "":
		return data[:min(len(data), o.width*merkle.HashSize)], nil
	case "tile/entries/":
		return firstEntries(data, o.width)
	}
	return nil, errNothing // its frame is not known here, and its file is kept by the copy
}

func firstEntries(data []byte, width int) ([]byte, error) {
	end := 0
	for range width {
		n, err := merkle.BundleEntrySize(data[end:])
		if err != nil {
			return nil, err
		}
		end += n
	}
	return data[:end], nil
}

// size is that of a copy's head.
func (h *Handler) size(folder string) (int64, error) {
	note, err := h.read(filepath.Join(folder, "checkpoint"), checkpoint.MaxNoteSize)
	if err != nil {
		return 0, err
	}
	n, err := checkpoint.ParseNote(note)
	if err != nil {
		return 0, err
	}
	c, _, err := checkpoint.ParseExtended(n.Text)
	return c.Size, err
}

// checkpoint returns a copy's checkpoint with the mirror's cosignatures, which are
// made when there is a newer one on disk, and now and then.
func (h *Handler) checkpoint(folder string) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	note, err := h.read(filepath.Join(folder, "checkpoint"), checkpoint.MaxNoteSize)
	if err != nil || h.cfg.Sign == nil {
		return note, err
	}
	was := h.signed[folder]
	if bytes.Equal(was.from, note) && time.Since(was.at) < refresh {
		return was.note, nil
	}
	signed, err := h.cfg.Sign(folder, note, was.note)
	if err != nil {
		return nil, err
	}
	h.signed[folder] = cosigned{from: note, note: signed, at: time.Now()}
	return signed, nil
}

// maxFile bounds a file that is cut or compressed, in bytes.
const maxFile = merkle.TileWidth * (2 + merkle.MaxBundleEntry)

func (h *Handler) read(path string, limit int64) ([]byte, error) {
	f, err := h.root.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return data, err
}

// zip returns a bundle compressed; nil if that is not worth it, or others are being
// compressed.
func (h *Handler) zip(key string, f *os.File, size int64) []byte {
	if z, ok := h.zips.Peek(key); ok {
		return z
	}
	if size > maxFile {
		return nil
	}
	select {
	case h.press <- struct{}{}:
		defer func() { <-h.press }()
	default:
		return nil
	}
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed) // the level is valid
	n, err := io.Copy(z, io.NewSectionReader(f, 0, size))
	if err = cmp.Or(err, z.Close()); err != nil || n != size {
		return nil
	}
	out := bytes.Clone(b.Bytes())
	if int64(len(out)) >= size*9/10 {
		out = nil
	}
	h.zips.Add(key, out)
	return out
}

// acceptsGzip reads Accept-Encoding as far as it matters.
func acceptsGzip(r *http.Request) bool {
	for _, line := range r.Header["Accept-Encoding"] {
		for part := range strings.SplitSeq(line, ",") {
			name, q, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(name), "gzip") {
				_, value, _ := strings.Cut(q, "=")
				return strings.Trim(value, " 0.") != "" || !strings.Contains(q, "=")
			}
		}
	}
	return false
}

func (h *Handler) fail(rw http.ResponseWriter, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		answer(rw, http.StatusNotFound, "there is nothing at this path")
		return
	}
	if h.cfg.Fault != nil {
		h.cfg.Fault(err)
	}
	answer(rw, http.StatusInternalServerError, "a fault of the mirror, whose log says more")
}

func answer(rw http.ResponseWriter, status int, why string) {
	rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
	rw.Header().Set("X-Content-Type-Options", "nosniff")
	rw.Header().Set("Cache-Control", "no-store")
	rw.WriteHeader(status)
	io.WriteString(rw, why+"\n")
}
