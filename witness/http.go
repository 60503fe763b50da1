package witness

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"indelible/checkpoint"
)

// OriginHash is how a log is named in a path.
// SPEC: tlog-witness: the lower-case hex of SHA-256(origin).
func OriginHash(origin string) string {
	sum := sha256.Sum256([]byte(origin))
	return hex.EncodeToString(sum[:])
}

// Handler answers requests at the submission and the monitoring prefix, which
// are one.
func (w *Witness) Handler(fault func(error)) http.Handler {
	return &handler{w: w, fault: fault, large: make(chan struct{}, maxLarge)}
}

type handler struct {
	w     *Witness
	fault func(error)   // told of what clients are not shown
	large chan struct{} // holds a value for each large body
}

const (
	// smallBody is what most requests fit into: a proof, and a checkpoint with a
	// handful of signatures.
	smallBody = 16 << 10
	// maxLarge is how many bodies may be larger at one time, so that many clients
	// together cannot use up the memory.
	maxLarge = 32
)

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
		h.checkpoint(rw, r, hash)
	default:
		refuse(rw, http.StatusNotFound, fmt.Sprintf("there is nothing at %.100q; this witness answers add-checkpoint, sign-subtree and <SHA-256 of an origin>/checkpoint", path))
	}
}

// post answers a request that is a body.
func (h *handler) post(rw http.ResponseWriter, r *http.Request, answer func(context.Context, []byte) ([]checkpoint.Signature, error)) {
	if r.Method != http.MethodPost {
		rw.Header().Set("Allow", http.MethodPost)
		refuse(rw, http.StatusMethodNotAllowed, "this takes POST alone")
		return
	}
	body, done, err := h.read(rw, r)
	defer done()
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		refuse(rw, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes", maxBody))
		return
	}
	if err != nil {
		refuse(rw, http.StatusBadRequest, "the body could not be read")
		return
	}
	signatures, err := answer(r.Context(), body)
	if err != nil {
		h.failed(rw, err)
		return
	}
	rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
	rw.Write(checkpoint.MarshalSignatures(signatures))
}

// read reads a body. done ends its use.
func (h *handler) read(rw http.ResponseWriter, r *http.Request) (body []byte, done func(), err error) {
	all := http.MaxBytesReader(rw, r.Body, maxBody)
	body, err = io.ReadAll(io.LimitReader(all, smallBody))
	if err != nil || len(body) < smallBody {
		return body, func() {}, err
	}
	select {
	case h.large <- struct{}{}:
	case <-r.Context().Done():
		return nil, func() {}, r.Context().Err()
	}
	rest, err := io.ReadAll(all)
	return append(body, rest...), func() { <-h.large }, err
}

func (h *handler) add(ctx context.Context, body []byte) ([]checkpoint.Signature, error) {
	r, err := ParseRequest(body)
	if err != nil {
		return nil, err
	}
	return h.w.AddCheckpoint(ctx, r)
}

func (h *handler) subtree(_ context.Context, body []byte) ([]checkpoint.Signature, error) {
	r, err := ParseSubtreeRequest(body)
	if err != nil {
		return nil, err
	}
	return h.w.SignSubtree(r)
}

// failed answers an error. What is none of the request's is not shown.
func (h *handler) failed(rw http.ResponseWriter, err error) {
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
	for _, is := range []struct {
		err    error
		status int
	}{
		{ErrMalformed, http.StatusBadRequest},
		{ErrUnknownLog, http.StatusNotFound},
		{ErrNotSigned, http.StatusForbidden},
		{ErrInconsistent, http.StatusUnprocessableEntity},
	} {
		if errors.Is(err, is.err) {
			refuse(rw, is.status, err.Error())
			return
		}
	}
	if h.fault != nil && !errors.Is(err, context.Canceled) { // nobody waits for that answer
		h.fault(err)
	}
	refuse(rw, http.StatusInternalServerError, "a fault of the witness, whose log says more; ask again")
}

// checkpoint serves what was cosigned last.
func (h *handler) checkpoint(rw http.ResponseWriter, r *http.Request, hash string) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		rw.Header().Set("Allow", "GET, HEAD")
		refuse(rw, http.StatusMethodNotAllowed, "this takes GET and HEAD")
		return
	}
	head, err := h.w.Cosigned(r.Context(), hash)
	switch {
	case errors.Is(err, ErrUnknownLog):
		refuse(rw, http.StatusNotFound, err.Error())
	case err != nil:
		h.failed(rw, err)
	default:
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		rw.Header().Set("Cache-Control", "no-cache")
		rw.Header().Set("Access-Control-Allow-Origin", "*")
		rw.Write(head.Note)
	}
}

// Cosigned returns what was cosigned last of the log whose origin has this hash;
// ErrUnknownLog if nothing was.
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
	if err == nil && contradict(have, registered) {
		err = fmt.Errorf("%w: of %s at size %d", ErrTwoMemories, k.Origin, have.Size)
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
