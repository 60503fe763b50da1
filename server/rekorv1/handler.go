// Package rekorv1 is Rekor v1's REST API on the log: what cosign, rekor-cli,
// sigstore-go, sigstore-js and rekor-monitor ask of a Rekor v1 server.
//
//	POST /api/v1/log/entries             logs an entry: 201, ETag and Location
//	GET  /api/v1/log/entries?logIndex=N  an entry with a proof in the published tree
//	GET  /api/v1/log/entries/{id}        the same, by 64 or 80 hex digits
//	POST /api/v1/log/entries/retrieve    up to ten, by id, by index, by proposed entry
//	GET  /api/v1/log                     the published tree head
//	GET  /api/v1/log/proof               a consistency proof
//	GET  /api/v1/log/publicKey           the key, PEM
//	POST /api/v1/index/retrieve          ids by digest, key, e-mail and subject
//	GET  /ping                           "."
//
// # Identities
//
// The API is a second face of the log's tree, by a key of its own: ECDSA P-256,
// since its clients verify nothing else. An entry's UUID is its leaf hash in
// hex; its id is the tree's id, 16 hex digits, and the UUID. The log's id is
// the SHA-256 of the key's SubjectPublicKeyInfo.
//
// # What is signed
//
// The signed entry timestamp (SET) is over the RFC 8785 form of
//
//	{"body":"…","integratedTime":1795226095,"logID":"…","logIndex":7}
//
// where the body is the canonical entry in base64 and the time is the one that
// the entry was first logged at. The note of a tree head is
//
//	log.example.com - 1193050959916656506
//	8
//	7HqNbb7Y3b0c2fUDw4Q1JMkHW8UIBd5pQ2pfVbDCdYs=
//
//	— log.example.com 1jnM4jBFAiEA…
//
// in which the key's name is the host alone. Only published tree heads
// are ever shown or signed, each once; SETs are kept in a cache, and made again for
// whoever reads an entry that left it. What is signed is the same on every replica
// and in every answer, the signature is not: replicas, and a server that was
// restarted, sign for themselves.
//
// The key may be in a key management service. While that is away, what was signed
// before is answered, what was not is 503 or 504, and entries are logged. Adds come
// before reads: half of what is asked of the service at a time is theirs alone.
//
// # A retry is a success
//
// An entry that is in the log already is answered like a new one, 201 with the
// index and the time that it has and a fresh proof. Rekor's 409, which clients
// take for an error, is there for those who ask for it ([Config.Conflict]).
//
// # What there is not
//
// The kinds that package entry does not know, PGP and its like, attestations
// (their payloads are not stored), other trees, and whatever is to be fetched by
// URL.
//
// # Errors
//
// Their body is {"code":400,"message":"…"}. The code is HTTP's, except for a
// request that does not fit the schema: that is 422, with a code of its own
// from 601 on. An entry that is not there is 404 without a body.
package rekorv1

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"indelible/checkpoint"
	"indelible/entry"
	"indelible/internal/answers"
	"indelible/internal/bytecache"
	"indelible/server/admission"
)

const (
	// DefaultTimeout is how long a request may wait for the log.
	DefaultTimeout = 30 * time.Second
	// DefaultMaxBody is the most bytes of a request's body. A rekord's artifact
	// may be in it.
	DefaultMaxBody = 8 << 20
	// DefaultCacheBytes is what is kept of entries that were answered.
	DefaultCacheBytes = 32 << 20
)

// Config is what a Handler is made from. A field's zero value means the default
// that its comment names.
type Config struct {
	Log      Log           // required
	Key      Key           // required
	Host     string        // required: the key's name on notes, and what their first line begins with
	TreeID   int64         // required: above 0; see TreeID
	Kinds    []entry.Kind  // the kinds that may be added
	Search   Search        // nil: searches are answered 501
	Timeout  time.Duration // DefaultTimeout
	Conflict bool          // an entry that is logged already is answered 409 with its Location
	MaxBody  int64         // DefaultMaxBody
	// Admission is shared by all APIs of a server; nil: one of its own.
	Admission *admission.Admission
	// CacheBytes bounds what is kept of entries; DefaultCacheBytes.
	CacheBytes int64
	// Answers bounds what answers to reads cost; nil: one that this API has alone.
	Answers *answers.Gate
	// Fault is called with the errors that clients are not shown; it may be nil.
	Fault func(context.Context, error)
}

// Handler serves the API.
type Handler struct {
	cfg      Config
	ids      identity
	verifier checkpoint.Verifier // of notes
	entries  *bytecache.Cache[int64, *sealed]
	indexes  *bytecache.Cache[leafKey, int64]
	heads    *bytecache.Cache[headKey, *head]
	readers  chan struct{} // whose entries are being signed; see sealForReader
	kinds    string        // those served, for people
	v        values
}

// New makes a Handler.
func New(cfg Config) (*Handler, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	ids, err := newIdentity(cfg)
	if err != nil {
		return nil, err
	}
	verifier, err := checkpoint.NewVerifier(cfg.Host, cfg.Key.Public())
	if err != nil {
		return nil, err
	}
	return &Handler{
		cfg: cfg, ids: ids, verifier: verifier, kinds: served(cfg.Kinds), v: headerValues(),
		entries: bytecache.New(cfg.CacheBytes-cfg.CacheBytes/8, sealedSize),
		indexes: bytecache.New(cfg.CacheBytes/8, func(leafKey, int64) int64 { return 40 }),
		heads:   bytecache.New(headsBytes, headSize), readers: make(chan struct{}, readersSigning),
	}, nil
}

func (c *Config) complete() error {
	switch {
	case c.Log == nil || c.Key == nil:
		return errors.New("the API of Rekor v1 needs a log and a key")
	case c.TreeID <= 0:
		return fmt.Errorf("the tree id is %d; it must be above 0", c.TreeID)
	case c.MaxBody < 0 || c.CacheBytes < 0 || c.Timeout < 0:
		return errors.New("limits of the API of Rekor v1 must not be negative")
	}
	if err := checkpoint.ValidateOrigin(c.Host); err != nil {
		return fmt.Errorf("the host name of Rekor v1's notes: %w", err)
	}
	c.Timeout = orDefault(c.Timeout, DefaultTimeout)
	c.MaxBody = orDefault(c.MaxBody, DefaultMaxBody)
	c.CacheBytes = orDefault(c.CacheBytes, DefaultCacheBytes)
	if c.Admission == nil {
		c.Admission = admission.New(admission.Config{})
	}
	if c.Fault == nil {
		c.Fault = func(context.Context, error) {}
	}
	if c.Answers == nil {
		c.Answers = answers.New(0)
	}
	return nil
}

func orDefault[T ~int64](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

// call answers one request, or says why not.
type call func(w http.ResponseWriter, r *http.Request) error

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header()["Access-Control-Allow-Origin"] = h.v.anyOrigin
	get, post := h.route(r.URL.Path)
	do, allow := get, methods(get, post)
	if r.Method == http.MethodPost {
		do = post
	}
	var err error
	switch {
	case allow == "" || r.URL.RawPath != "":
		err = refuse(http.StatusNotFound, "path %.200s was not found", r.URL.EscapedPath())
	case r.Method == http.MethodOptions:
		preflight(w, allow)
	case do == nil || r.Method != http.MethodPost && r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", allow)
		err = refuse(http.StatusMethodNotAllowed, "method %.20s is not allowed, but [%s] are", r.Method, strings.ReplaceAll(allow, " ", ""))
	default:
		err = do(w, r)
	}
	if err != nil {
		h.fail(w, r, err)
	}
}

const entriesPath = "/api/v1/log/entries/"

// route returns what answers GET and POST on a path.
func (h *Handler) route(path string) (get, post call) {
	switch path {
	case "/api/v1/log/entries":
		return h.getByIndex, h.create
	case "/api/v1/log/entries/retrieve":
		return nil, h.retrieve
	case "/api/v1/log":
		return h.logInfo, nil
	case "/api/v1/log/proof":
		return h.proof, nil
	case "/api/v1/log/publicKey":
		return h.publicKey, nil
	case "/api/v1/index/retrieve":
		return nil, h.search
	case "/ping":
		return h.ping, nil
	}
	if id, ok := strings.CutPrefix(path, entriesPath); ok && id != "" && !strings.Contains(id, "/") {
		return h.getByID, nil
	}
	return nil, nil
}

func methods(get, post call) string {
	switch {
	case get != nil && post != nil:
		return "GET, HEAD, POST"
	case get != nil:
		return "GET, HEAD"
	case post != nil:
		return "POST"
	}
	return ""
}

func (h *Handler) ping(w http.ResponseWriter, _ *http.Request) error {
	w.Header()["Content-Type"] = h.v.text
	w.Write([]byte("."))
	return nil
}

// preflight answers a browser that asks what a page may do.
func preflight(w http.ResponseWriter, allow string) {
	head := w.Header()
	head.Set("Access-Control-Allow-Methods", allow)
	head.Set("Access-Control-Allow-Headers", "Accept, Authorization, Content-Type, X-Requested-With")
	head.Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
}
