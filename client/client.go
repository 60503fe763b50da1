// Package client reads and writes transparency logs, and believes nothing: what
// it returns was verified against the keys that it was given.
//
// Checkpoint, Tile and Entries work with every log that serves C2SP tlog-tiles,
// and make a Client a source for package fsck. Tiles and bundles are the one
// thing that is returned as it came: nothing vouches for them until they were
// held against a checkpoint, as package fsck does.
//
//	GET /checkpoint                      Checkpoint
//	GET /tile/…, /tile/entries/…         Tile, Entries; a full one stands in for a partial one that is gone
//	GET /log.vkey                        Keys, for the first use of a log
//
// The others use the native API of this product, as JSON over HTTP. Each leaf
// hash is computed here, from the canonical bytes, and proven to be in a
// checkpoint that the log signed (and, with a policy, its witnesses cosigned):
//
//	POST /v1/entries, /v1/entries:batch  Add, AddMany: what was logged is what was asked for
//	GET /v1/entries/7, :lookup, ?start=  Get, Lookup, List, ListAt
//	GET /v1/entries:search               Search; what it found is the log's word until Prove proved it
//	GET /v1/proofs/inclusion             Included
//	GET /v1/proofs/consistency           Consistent, RootAt
//
// Get, List, ListAt, Included, Consistent and RootAt work with every log: where this
// API is not, they use tiles.
//
// # Errors
//
// ErrUntrusted: the answer does not hold, which is the log's fault or that of
// somebody on the way. ErrNotFound and ErrRefused: what was asked for is not
// there, or not taken. Everything else: there was no answer. What may pass (no
// connection, 429, 500 without a gRPC code, 502, 503, 504; not a 503 with gRPC's code FAILED_PRECONDITION,
// of a poisoned log) is tried again, after growing pauses and no
// sooner than Retry-After says. Every request may be made twice: adding an
// entry again finds it in the log.
//
// A log that answers wrongly or too much costs an error and bounded memory, and one
// that says nothing costs an error after Config.Stall.
//
// # Redirects
//
// A log is asked where its URL says. A redirect is followed only to the same host,
// and never with an entry that is to be added, unless Config.FollowRedirects says
// otherwise; the error names the URL that it leads to.
//
// No error and no message holds a password that the log's URL has.
package client

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"indelible/checkpoint"
	"indelible/internal/redact"
	"indelible/internal/wait"
	"indelible/internal/web"
	"indelible/merkle"
)

// Bounds of answers, in bytes.
const (
	maxCheckpoint = checkpoint.MaxNoteSize
	maxTile       = merkle.TileWidth * merkle.HashSize
	maxBundle     = merkle.TileWidth * (2 + merkle.MaxBundleEntry)
	maxError      = 64 << 10
)

// Errors that callers act upon.
var (
	// ErrUntrusted: the log's answer does not hold.
	ErrUntrusted = errors.New("the log's answer does not verify")
	// ErrNotFound: the log has no such entry, tile or bundle.
	ErrNotFound = errors.New("not in the log")
	// ErrRefused: the log does not take what was sent.
	ErrRefused = errors.New("the log refused it")
	// ErrTooBig: the answer has more bytes than any right one can have.
	ErrTooBig = errors.New("the answer is too big")
)

// Config is what a Client is made from.
type Config struct {
	URL string // http(s)://host[:port][/prefix]
	// Others serve the same log. Reads are spread over all, and what one does not
	// answer another one is asked for. Entries are added at URL.
	Others []string
	Keys   []checkpoint.Verifier // of the log; these or Policy are required for everything that is verified
	// Policy stands in for Keys where it is set, and asks for witnesses as well:
	// a checkpoint without its quorum is not believed.
	Policy *checkpoint.Policy
	// Origin is the log's name, where Keys are used that have another.
	Origin string
	// Extended takes checkpoints with extension lines, where Keys are used.
	Extended bool
	// HTTP does the requests; http.Client's zero value.
	HTTP *http.Client
	// Stall is how long a request may go on without a byte; 30 s. It bounds no
	// request as a whole: a context or HTTP.Timeout does.
	Stall time.Duration
	// FollowRedirects follows redirects to any host, with what is sent. It has no
	// effect where HTTP has a CheckRedirect.
	FollowRedirects bool
	// Tries is how often a request is made that fails for reasons that may
	// pass; 5.
	Tries int
	// Retrying, if set, is told why a request is going to be made again, and
	// after how long.
	Retrying func(err error, wait time.Duration)
	// Shown, if set, is asked about each verified checkpoint that the log answers
	// with. Its error is that of the request.
	Shown func(context.Context, checkpoint.Opened) error
	// UserAgent names the program.
	UserAgent string
	// Before, if set, is called before each request, repeated ones too: a limit of
	// requests waits there.
	Before func(context.Context) error
	// MaxWait is how long an answer's Retry-After can make the next try wait; 30 s.
	MaxWait time.Duration
}

// Client talks to one log.
type Client struct {
	cfg   Config
	urls  []string
	shown string // the first URL without what may be secret

	next       atomic.Uint64 // which URL the next read begins with
	tilesAlone atomic.Bool   // the log has no native API
}

// New makes a Client.
func New(cfg Config) (*Client, error) {
	var urls []string
	for _, u := range append([]string{cfg.URL}, cfg.Others...) {
		if err := checkURL(u); err != nil {
			return nil, fmt.Errorf("log URL %q: %w", redact.URL(u), err)
		}
		urls = append(urls, strings.TrimRight(u, "/"))
	}
	cfg.HTTP = cfg.ownHTTP()
	if cfg.Tries == 0 {
		cfg.Tries = 5
	}
	cfg.MaxWait = cmp.Or(cfg.MaxWait, 30*time.Second)
	if cfg.UserAgent == "" {
		cfg.UserAgent = "indelible-client"
	}
	return &Client{cfg: cfg, urls: urls, shown: redact.URL(urls[0])}, nil
}

// ownHTTP is the client of a Config with the limits that it asks for.
func (cfg Config) ownHTTP() *http.Client {
	var own http.Client
	if cfg.HTTP != nil {
		own = *cfg.HTTP
	}
	if own.Transport == nil {
		own.Transport = http.DefaultTransport
	}
	own.Transport = web.Stalling(own.Transport, cmp.Or(cfg.Stall, 30*time.Second))
	if own.CheckRedirect == nil {
		own.CheckRedirect = web.SameHost
		if cfg.FollowRedirects {
			own.CheckRedirect = web.AnyHost
		}
	}
	return &own
}

func checkURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil: // which quotes parts of it, perhaps of a password
		return errors.New("it is not a valid URL; it must be as http://127.0.0.1:8080")
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("it must begin with http:// or https://")
	case u.Host == "":
		return errors.New("it names no host; it must be as http://127.0.0.1:8080")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return errors.New("it must not have a query or a fragment")
	}
	return nil
}

// request is one question to the log.
type request struct {
	method, path string
	body         []byte
	limit        int64 // bytes of the answer
}

// StatusError is an answer that is not 200.
type StatusError struct {
	Status  int
	Message string
	// LeadsTo is where a redirect that was not followed says that the log is; empty
	// for other answers. It holds neither user nor query.
	LeadsTo string
	code    uint32 // gRPC's code, as the log's own API says it; codeOK if it does not
	retry   time.Duration
}

// Codes of gRPC that the native API answers with, as the member "code".
const (
	codeOK                 = 0
	codeFailedPrecondition = 9
)

func (e *StatusError) Error() string {
	text := fmt.Sprintf("%s (HTTP %d)", e.Message, e.Status)
	if e.LeadsTo != "" {
		text += fmt.Sprintf("; if that is the log, its URL is %s", e.LeadsTo)
	}
	return text
}

// Is makes a StatusError match ErrNotFound and ErrRefused.
func (e *StatusError) Is(target error) bool {
	switch target {
	case ErrNotFound:
		return e.Status == http.StatusNotFound
	case ErrRefused:
		return e.Status == http.StatusBadRequest || e.Status == http.StatusRequestEntityTooLarge
	}
	return false
}

// passing reports whether the same request may succeed later. Every request of
// this package may be made again: adding an entry twice adds it once.
func passing(err error) (wait time.Duration, ok bool) {
	var s *StatusError
	if !errors.As(err, &s) {
		return 0, !errors.Is(err, context.Canceled) && !errors.Is(err, ErrTooBig) && !misconfigured(err)
	}
	if s.code == codeFailedPrecondition { // the log is poisoned: only its operator helps
		return 0, false
	}
	switch s.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return s.retry, true
	case http.StatusInternalServerError: // a log of ours says more
		return s.retry, s.code == codeOK
	}
	return 0, false
}

// misconfigured reports whether TLS failed for a reason that stays: a certificate
// that does not verify by this machine's authorities, clock or the host's name, or
// a server that does not speak TLS.
func misconfigured(err error) bool {
	return errors.As(err, new(*tls.CertificateVerificationError)) || errors.As(err, new(tls.RecordHeaderError)) || errors.Is(err, http.ErrSchemeMismatch)
}

// do asks until there is an answer, or no hope of one.
func (c *Client) do(ctx context.Context, r request) ([]byte, error) {
	data, err := c.patiently(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("%s %s%s: %w", r.method, c.shown, r.path, err)
	}
	return data, nil
}

func (c *Client) patiently(ctx context.Context, r request) ([]byte, error) {
	backoff := 200 * time.Millisecond
	var before error // why it was asked again
	for try := 1; ; try++ {
		data, err := c.anywhere(ctx, r)
		if err == nil {
			return data, nil
		}
		if ctx.Err() != nil {
			return nil, ended(err, before)
		}
		asked, again := passing(err)
		if !again || try == c.cfg.Tries {
			return nil, err
		}
		before = err
		delay := min(max(asked, backoff+rand.N(backoff)), c.cfg.MaxWait)
		backoff *= 2
		if c.cfg.Retrying != nil {
			c.cfg.Retrying(err, delay)
		}
		if err := wait.For(ctx, delay); err != nil {
			return nil, ended(err, before)
		}
	}
}

// ended is the error of a request whose time is over, or which nobody wants any
// more: what kept it until then says more than that.
func ended(err, before error) error {
	if before == nil {
		return err
	}
	return fmt.Errorf("%w; it was asked again, since before that there was: %w", err, before)
}

// anywhere asks one URL after the other, until one answers. Its error is that of the
// URL that says most: that it will answer later, or that it has not what was asked for.
func (c *Client) anywhere(ctx context.Context, r request) (data []byte, err error) {
	urls, first := c.urls, uint64(0)
	if r.method != http.MethodGet {
		urls = urls[:1]
	} else if len(urls) > 1 {
		first = c.next.Add(1)
	}
	for i := range uint64(len(urls)) {
		data, failed := c.once(ctx, urls[(first+i)%uint64(len(urls))], r)
		if failed == nil || ctx.Err() != nil {
			return data, failed
		}
		if err == nil || tells(failed) > tells(err) {
			err = failed
		}
	}
	return nil, err
}

// tells is how much an error tells of what the log has.
func tells(err error) int {
	if !errors.As(err, new(*StatusError)) {
		return 0
	}
	if _, may := passing(err); may {
		return 2
	}
	return 1
}

func (c *Client) once(ctx context.Context, base string, r request) ([]byte, error) {
	if c.cfg.Before != nil {
		if err := c.cfg.Before(ctx); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, r.method, base+r.path, bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	req.Header.Set("Accept-Encoding", "gzip, identity")
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.cfg.HTTP.Do(req)
	if err != nil {
		var e *url.Error // it says the method and URL, which do says
		if errors.As(err, &e) {
			err = e.Err
		}
		return nil, fmt.Errorf("no answer: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, statusError(res, r.path)
	}
	return body(res, min(r.limit, limitOf(ctx)))
}

type limitKey struct{}

// WithLimit returns a context whose answers have a maximum size in bytes: one that has
// more is ErrTooBig. It bounds the memory of a caller with many requests.
func WithLimit(ctx context.Context, limit int64) context.Context {
	return context.WithValue(ctx, limitKey{}, limit)
}

func limitOf(ctx context.Context) int64 {
	if limit, ok := ctx.Value(limitKey{}).(int64); ok {
		return limit
	}
	return math.MaxInt64 - 1
}

// body reads an answer. SPEC: tlog-tiles: entry bundles may come compressed
// without having been asked for so; the limit is on what comes out.
func body(res *http.Response, limit int64) ([]byte, error) {
	var r io.Reader = res.Body
	switch enc := res.Header.Get("Content-Encoding"); enc {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, fmt.Errorf("the answer's compression is damaged: %w", err)
		}
		r = z
	default:
		return nil, fmt.Errorf("the answer has Content-Encoding %q, which was not asked for", enc)
	}
	var data bytes.Buffer
	if said := min(res.ContentLength, limit, maxGrown); said > 0 {
		data.Grow(int(said) + bytes.MinRead)
	}
	_, err := data.ReadFrom(io.LimitReader(r, limit+1))
	if err == nil && int64(data.Len()) > limit {
		err = fmt.Errorf("%w: over %d bytes", ErrTooBig, limit)
	}
	return data.Bytes(), err
}

// maxGrown bounds the memory that an answer takes before it came.
const maxGrown = 1 << 20

func statusError(res *http.Response, path string) error {
	e := &StatusError{Status: res.StatusCode, Message: http.StatusText(res.StatusCode), retry: retryAfter(res.Header.Get("Retry-After"))}
	if to, err := res.Location(); err == nil && res.StatusCode/100 == 3 {
		e.Message, e.LeadsTo = redirected(to, path)
		return e
	}
	data, _ := body(res, maxError)
	var said struct {
		Code    uint32 `json:"code"` // Rekor's APIs say HTTP's there, from 100 up
		Message string `json:"message"`
	}
	if json.Unmarshal(data, &said) == nil && said.Message != "" {
		e.Message, e.code = shortened(said.Message), said.Code
	} else if text := strings.TrimSpace(string(data)); text != "" && len(text) < 300 {
		e.Message = text
	}
	return e
}

// redirected says where a redirect of a request for a path leads to, and what the
// log's URL is if the log is there.
func redirected(to *url.URL, path string) (message, leadsTo string) {
	message = shortened(fmt.Sprintf("a redirect to %q, which is not followed", redact.URL(to.String())))
	path, _, _ = strings.Cut(path, "?")
	base := url.URL{Scheme: to.Scheme, Host: to.Host}
	if prefix, ok := strings.CutSuffix(to.EscapedPath(), path); ok {
		base.Path = strings.TrimRight(prefix, "/")
	}
	return message, shortened(base.String())
}

// maxMessage bounds what a log's words take of an error, in bytes.
const maxMessage = 2000

func shortened(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	return strings.ToValidUTF8(s[:maxMessage], "") + "…"
}

// retryAfter is how long a server asks us to wait; up to an hour. SPEC: RFC 9110
// section 10.2.3: seconds, or a date.
func retryAfter(header string) time.Duration {
	var wait time.Duration
	if s, err := strconv.Atoi(header); err == nil {
		wait = time.Duration(min(s, 3600)) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		wait = min(time.Until(at), time.Hour)
	}
	return max(wait, 0)
}
