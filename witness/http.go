package witness

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"indelible/checkpoint"
	"indelible/internal/places"
)

// OriginHash is how a log is named in a path.
// SPEC: tlog-witness: the lower-case hex of SHA-256(origin).
func OriginHash(origin string) string {
	sum := sha256.Sum256([]byte(origin))
	return hex.EncodeToString(sum[:])
}

// Handler answers requests at the submission and the monitoring prefix, which
// are one: url, as others reach it. fault is told of errors that clients are not
// shown.
func (w *Witness) Handler(url string, fault func(context.Context, error)) http.Handler {
	return &handler{w: w, about: w.about(url), fault: fault, bodies: places.New(maxBodies), large: places.New(maxLarge), shown: places.New(maxShown)}
}

type handler struct {
	w             *Witness
	about         []byte // what the witness says of itself
	fault         func(context.Context, error)
	bodies, large *places.Places // of requests with a body, and those of them that are large
	shown         *places.Places // of checkpoints that are being sent
}

// Many clients together cannot use up the memory: this is what is held of their
// requests at one time, some 16 MiB.
const (
	// smallBody is what most requests fit into, in bytes: a proof, and a checkpoint
	// with a handful of signatures.
	smallBody = 16 << 10
	maxBodies = 256
	maxLarge  = 16 // of these, that have more than smallBody
	maxShown  = 32

	// bodyTimeout is how long a body may take to come, and sendTimeout a
	// checkpoint to be read, even while nobody else wants the place.
	bodyTimeout = 5 * time.Second
	sendTimeout = 10 * time.Second
)

// errSlow: the client let others wait.
var errSlow = errors.New("the body came too slowly while others waited; send it again, at once")

// ServeHTTP routes by the path as it was sent: nothing has two names.
func (h *handler) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	hash, isCheckpoint := strings.CutSuffix(strings.TrimPrefix(path, "/"), "/checkpoint")
	switch {
	case path == "/add-checkpoint":
		h.post(rw, r, h.add)
	case path == "/sign-subtree":
		h.post(rw, r, h.subtree)
	case isCheckpoint && len(hash) == 2*sha256.Size:
		h.show(rw, r, "text/plain; charset=utf-8", func(ctx context.Context) ([]byte, error) {
			head, err := h.w.Cosigned(ctx, hash)
			return head.Note, err
		})
	case path == "/witness.v0.json":
		h.show(rw, r, "application/json", func(context.Context) ([]byte, error) { return h.about, nil })
	case path == "/logs.v0":
		h.show(rw, r, "text/plain; charset=utf-8", func(context.Context) ([]byte, error) { return h.w.LogList(), nil })
	default:
		refuse(rw, http.StatusNotFound, fmt.Sprintf("there is nothing at %.100q; this witness answers add-checkpoint, sign-subtree, <SHA-256 of an origin>/checkpoint, witness.v0.json and logs.v0", path))
	}
}

// post answers a request that is a body.
func (h *handler) post(rw http.ResponseWriter, r *http.Request, answer func(context.Context, []byte) ([]checkpoint.Signature, error)) {
	if r.Method != http.MethodPost {
		rw.Header().Set("Allow", http.MethodPost)
		refuse(rw, http.StatusMethodNotAllowed, "this takes POST alone")
		return
	}
	client := http.NewResponseController(rw)
	client.SetReadDeadline(time.Now().Add(bodyTimeout))
	body, leave, err := h.read(rw, r, client)
	defer leave()
	if err != nil {
		h.unread(rw, r, err)
		return
	}
	// What follows may take longer, and the connection is watched meanwhile.
	client.SetReadDeadline(time.Time{})
	signatures, err := answer(r.Context(), body)
	if err != nil {
		h.failed(rw, r, err)
		return
	}
	rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
	rw.Write(checkpoint.MarshalSignatures(signatures))
}

// unread answers a request whose body was not read to its end.
func (h *handler) unread(rw http.ResponseWriter, r *http.Request, err error) {
	tooLarge := (*http.MaxBytesError)(nil)
	switch {
	case errors.As(err, &tooLarge):
		refuse(rw, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes", maxBody))
	case errors.Is(err, places.ErrBusy), errors.Is(err, errSlow):
		h.failed(rw, r, err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		refuse(rw, http.StatusRequestTimeout, fmt.Sprintf("the body did not come within %s", bodyTimeout))
	default:
		refuse(rw, http.StatusBadRequest, "the body could not be read")
	}
}

// read reads a body. leave ends its use.
func (h *handler) read(rw http.ResponseWriter, r *http.Request, client *http.ResponseController) (body []byte, leave func(), err error) {
	small, err := h.bodies.Take(r.Context())
	if err != nil {
		return nil, func() {}, err
	}
	all := http.MaxBytesReader(rw, r.Body, maxBody)
	b := bytes.NewBuffer(make([]byte, 0, bytes.MinRead+min(max(r.ContentLength, 0), smallBody)))
	if err := readFrom(b, io.LimitReader(all, smallBody), client, small); err != nil || b.Len() < smallBody {
		return b.Bytes(), small.Leave, err
	}
	large, err := h.large.Take(r.Context())
	if err != nil {
		return nil, small.Leave, err
	}
	b.Grow(int(min(max(r.ContentLength-smallBody, 0), maxBody)) + bytes.MinRead)
	err = readFrom(b, all, client, large)
	return b.Bytes(), func() { large.Leave(); small.Leave() }, err
}

// readFrom reads what a client sends, until it is there or the place is wanted
// by somebody else.
func readFrom(b *bytes.Buffer, from io.Reader, client *http.ResponseController, l *places.Place) error {
	l.Waits(func() { client.SetReadDeadline(time.Now()) })
	_, err := b.ReadFrom(from)
	if l.Settled() && errors.Is(err, os.ErrDeadlineExceeded) {
		return errSlow
	}
	return err
}

func (h *handler) add(ctx context.Context, body []byte) ([]checkpoint.Signature, error) {
	r, err := ParseRequest(body)
	if err != nil {
		return nil, err
	}
	return h.w.AddCheckpoint(ctx, r)
}

func (h *handler) subtree(ctx context.Context, body []byte) ([]checkpoint.Signature, error) {
	r, err := ParseSubtreeRequest(body)
	if err != nil {
		return nil, err
	}
	return h.w.SignSubtree(ctx, r)
}

// failed answers an error. What is none of the request's is not shown.
func (h *handler) failed(rw http.ResponseWriter, r *http.Request, err error) {
	if conflict := (*ConflictError)(nil); errors.As(err, &conflict) {
		// SPEC: tlog-witness: the size and a newline, in a type of their own.
		rw.Header().Set("Content-Type", "text/x.tlog.size")
		rw.WriteHeader(http.StatusConflict)
		fmt.Fprintf(rw, "%d\n", conflict.Size)
		return
	}
	if tooMany := (*TooManyError)(nil); errors.As(err, &tooMany) {
		rw.Header().Set("Retry-After", strconv.Itoa(int(tooMany.RetryAfter().Seconds())))
		refuse(rw, http.StatusTooManyRequests, err.Error())
		return
	}
	if errors.Is(err, places.ErrBusy) || errors.Is(err, errSlow) {
		rw.Header().Set("Retry-After", "1")
		refuse(rw, http.StatusServiceUnavailable, err.Error())
		return
	}
	for _, is := range []struct {
		err    error
		status int
	}{
		{ErrMalformed, http.StatusBadRequest},
		{ErrUnknownLog, http.StatusNotFound},
		{ErrNotSigned, http.StatusForbidden},
		{ErrInconsistent, http.StatusUnprocessableEntity},
		{ErrRestored, http.StatusServiceUnavailable},
	} {
		if errors.Is(err, is.err) {
			refuse(rw, is.status, err.Error())
			return
		}
	}
	if h.fault != nil && !errors.Is(err, context.Canceled) { // nobody waits for that answer
		h.fault(r.Context(), err)
	}
	refuse(rw, http.StatusInternalServerError, "a fault of the witness, whose log says more; ask again")
}

// show serves what anybody may read and what may change.
func (h *handler) show(rw http.ResponseWriter, r *http.Request, kind string, read func(context.Context) ([]byte, error)) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		rw.Header().Set("Allow", "GET, HEAD")
		refuse(rw, http.StatusMethodNotAllowed, "this takes GET and HEAD")
		return
	}
	l, err := h.shown.Take(r.Context())
	if err != nil {
		h.failed(rw, r, err)
		return
	}
	defer l.Leave()
	answer, err := read(r.Context())
	if err != nil {
		h.failed(rw, r, err)
		return
	}
	rw.Header().Set("Content-Type", kind)
	rw.Header().Set("Cache-Control", "no-cache")
	rw.Header().Set("Access-Control-Allow-Origin", "*")
	rw.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	send(rw, answer, l)
}

// about is what the witness says of itself, as other witnesses do.
func (w *Witness) about(url string) []byte {
	if len(w.cfg.Cosigners) == 0 { // it is no witness
		return nil
	}
	keys := make([]string, len(w.cfg.Cosigners))
	for i, k := range w.Verifiers() {
		keys[i] = k.String()
	}
	text, _ := json.MarshalIndent(map[string]any{ // strings alone: it cannot fail
		"name": w.Verifiers()[0].Name(), "submission_url": url + "/", "monitoring_url": url + "/", "verifier_keys": keys, "log_list_url": url + "/logs.v0",
	}, "", "  ")
	return append(text, '\n')
}

// send sends an answer to a client until it has it, or the place is wanted by
// somebody else.
func send(rw http.ResponseWriter, answer []byte, l *places.Place) {
	client := http.NewResponseController(rw)
	client.SetWriteDeadline(time.Now().Add(sendTimeout))
	l.Waits(func() { client.SetWriteDeadline(time.Now()) })
	_, err := rw.Write(answer)
	if err == nil {
		err = client.Flush()
	}
	if !l.Settled() && err == nil {
		client.SetWriteDeadline(time.Time{})
	}
}

// Cosigned returns what was cosigned last of the log whose origin has this hash;
// ErrUnknownLog if nothing was; ErrRestored, and the older one, if the database
// does not have it.
func (w *Witness) Cosigned(ctx context.Context, originHash string) (Head, error) {
	w.mu.RLock()
	origin, ok := w.hashes[originHash]
	w.mu.RUnlock()
	if !ok {
		return Head{}, fmt.Errorf("%w: none has an origin with SHA-256 %.64s", ErrUnknownLog, originHash)
	}
	head, err := w.shown(ctx, w.log(origin))
	if err == nil && head.Note == nil {
		err = fmt.Errorf("%w: nothing of %s was cosigned yet", ErrUnknownLog, origin)
	}
	return head, err
}

// shown returns what the database has, once the register knows it too: to be
// shown is one of the ways in which a signature leaves. The register lacks it
// while a request stores it, and after a crash between the two.
func (w *Witness) shown(ctx context.Context, k *known) (Head, error) {
	have, registered, err := w.memories(ctx, k.Origin)
	if err == nil && registered.Size < have.Size {
		unlock, err := k.lock(ctx)
		if err != nil {
			return Head{}, err
		}
		defer unlock()
		if have, registered, err = w.memories(ctx, k.Origin); err != nil {
			return Head{}, err
		}
		return have, w.cfg.Register.Advance(ctx, k.Origin, have)
	}
	switch {
	case err == nil && contradict(have, registered):
		err = fmt.Errorf("%w: of %s at size %d", ErrTwoMemories, k.Origin, have.Size)
	case err == nil && registered.Size > have.Size:
		err = fmt.Errorf("%w: of %s it cosigned size %d, and shows the next one that the log has cosigned", ErrRestored, k.Origin, registered.Size)
	}
	return have, err
}

func refuse(rw http.ResponseWriter, status int, why string) {
	rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
	rw.Header().Set("X-Content-Type-Options", "nosniff")
	rw.Header().Set("Cache-Control", "no-store")
	rw.WriteHeader(status)
	io.WriteString(rw, why+"\n")
}
