package quorum

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"indelible/checkpoint"
)

const (
	// maxTries is how often a witness is told another size in one round.
	maxTries = 4
	// maxRetryAfter bounds what a witness may ask for.
	maxRetryAfter = time.Minute
	// sizeType is what an answer that tells a size is.
	sizeType = "text/x.tlog.size"
)

// cosign asks the witness for one round, and verifies its answer.
func (l *lane) cosign(ctx context.Context, r *round) ([]checkpoint.Signature, error) {
	if wait := time.Until(l.notBefore); wait > 0 {
		return nil, fmt.Errorf("it asked to be left alone for another %s", wait.Round(time.Millisecond))
	}
	ctx, cancel := context.WithTimeout(ctx, l.w.cfg.Timeout)
	defer cancel()
	for range maxTries {
		body, err := l.body(ctx, r)
		if err != nil {
			return nil, err
		}
		code, head, data, err := l.post(ctx, body)
		switch {
		case err != nil:
			return nil, err
		case code == http.StatusOK:
			return l.accept(r, data)
		case code == http.StatusUnprocessableEntity:
			return nil, l.disagrees(ctx, r, l.refused(code, head, data))
		case code != http.StatusConflict:
			return nil, l.refused(code, head, data)
		}
		// SPEC: tlog-witness: 409 tells the size that it cosigned last.
		size, err := conflictSize(head, data)
		if err != nil {
			return nil, err
		}
		switch {
		case size > r.opened.Size:
			return nil, l.ahead(ctx, r, size)
		case size == l.size:
			return nil, l.disagrees(ctx, r, fmt.Errorf("it answered 409 and told the size %d, from which it was asked: it is broken, or holds another tree", size))
		}
		l.size = size
	}
	return nil, fmt.Errorf("its state changed %d times while it was asked", maxTries)
}

// body is an add-checkpoint request.
func (l *lane) body(ctx context.Context, r *round) ([]byte, error) {
	l.size = min(l.size, r.opened.Size)
	var b bytes.Buffer
	fmt.Fprintf(&b, "old %d\n", l.size)
	// SPEC: tlog-witness: no proof from the empty tree, nor to the same one.
	if l.size > 0 && l.size < r.opened.Size {
		proof, err := r.prove(ctx, l.size)
		if err != nil {
			return nil, fmt.Errorf("make the consistency proof from size %d: %w", l.size, err)
		}
		for _, h := range proof {
			b.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
		}
	}
	b.WriteByte('\n')
	b.Write(r.note)
	return b.Bytes(), nil
}

func (l *lane) post(ctx context.Context, body []byte) (int, http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url("add-checkpoint"), bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	return l.do(req)
}

func (l *lane) do(req *http.Request) (int, http.Header, []byte, error) {
	req.Header.Set("User-Agent", "indelible")
	resp, err := l.w.cfg.Client.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, checkpoint.MaxNoteSize+1))
	if err == nil && len(data) > checkpoint.MaxNoteSize {
		err = fmt.Errorf("it answered with more than %d bytes", checkpoint.MaxNoteSize)
	}
	return resp.StatusCode, resp.Header, data, err
}

func (l *lane) url(path string) string { return strings.TrimRight(l.witness.URL, "/") + "/" + path }

// accept returns the witness's own signatures out of an answer.
func (l *lane) accept(r *round, data []byte) ([]checkpoint.Signature, error) {
	all, err := checkpoint.ParseSignatures(data)
	if err != nil {
		return nil, fmt.Errorf("its answer: %w", err)
	}
	// SPEC: tlog-witness: ignore signatures by unknown keys.
	key := l.witness.Key
	for _, s := range all {
		if s.Name != key.Name() || s.KeyID != key.KeyHash() {
			continue
		}
		if !key.Verify(r.opened.Text(), s.Blob) {
			return nil, fmt.Errorf("its signature by %s does not verify", key.Name())
		}
		// SPEC: tlog-witness: the timestamp, the first eight bytes, is not zero: such a
		// cosignature does not say that the checkpoint is the newest it saw.
		if binary.BigEndian.Uint64(s.Blob) == 0 {
			return nil, fmt.Errorf("its signature by %s has no time, and so does not say that it saw nothing newer", key.Name())
		}
		l.size = r.opened.Size
		return []checkpoint.Signature{s}, nil
	}
	return nil, fmt.Errorf("its answer has no signature by the policy's key %s+%08x", key.Name(), key.KeyHash())
}

// refused says why there is no cosignature.
func (l *lane) refused(code int, head http.Header, data []byte) error {
	if code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable {
		if s, err := strconv.Atoi(head.Get("Retry-After")); err == nil && s > 0 {
			l.notBefore = time.Now().Add(min(time.Duration(s)*time.Second, maxRetryAfter))
		}
	}
	said := strings.ToValidUTF8(string(data[:min(len(data), 200)]), "?")
	switch code {
	case http.StatusNotFound:
		return fmt.Errorf("it does not know this log (404): have its operator add the log's vkey; it said %q", said)
	case http.StatusForbidden:
		return fmt.Errorf("it knows this log by another key (403); it said %q", said)
	case http.StatusUnprocessableEntity:
		return fmt.Errorf("it did not accept the consistency proof from size %d (422); it said %q", l.size, said)
	}
	return fmt.Errorf("it answered %d; it said %q", code, said)
}

func conflictSize(head http.Header, data []byte) (int64, error) {
	if t, _, _ := strings.Cut(head.Get("Content-Type"), ";"); strings.TrimSpace(t) != sizeType {
		return 0, fmt.Errorf("it answered 409 in %q, which does not tell its size; %s does", t, sizeType)
	}
	text := strings.TrimSuffix(string(data), "\n")
	size, err := strconv.ParseInt(text, 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != text {
		return 0, fmt.Errorf("it answered 409 with the size %.30q, which is no number", text)
	}
	return size, nil
}

// ahead asks a witness that knows more for what it knows, and passes it on.
func (l *lane) ahead(ctx context.Context, r *round, size int64) error {
	note, err := l.remembered(ctx, r.opened.Origin)
	if err != nil {
		return fmt.Errorf("it says that it cosigned size %d already, and shows no checkpoint for it", size)
	}
	if l.w.cfg.Ahead != nil {
		l.w.cfg.Ahead(note)
	}
	return fmt.Errorf("it cosigned size %d already; most likely another replica published", size)
}

// disagrees asks a witness that does not find a checkpoint consistent for what it
// knows, and passes it on: the log may have forked.
func (l *lane) disagrees(ctx context.Context, r *round, why error) error {
	if note, err := l.remembered(ctx, r.opened.Origin); err == nil && l.w.cfg.Ahead != nil {
		l.w.cfg.Ahead(note)
	}
	return why
}

// remembered fetches the checkpoint that the witness cosigned last.
// SPEC: tlog-witness: at the monitoring prefix, which a policy does not name;
// most witnesses have one prefix for both.
func (l *lane) remembered(ctx context.Context, origin string) ([]byte, error) {
	sum := sha256.Sum256([]byte(origin))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.url(hex.EncodeToString(sum[:])+"/checkpoint"), nil)
	if err != nil {
		return nil, err
	}
	code, _, data, err := l.do(req)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("it shows no checkpoint (%d)", code)
	}
	return data, err
}

// Memory is what a witness shows of a log.
type Memory struct {
	Witness checkpoint.PolicyWitness
	Note    []byte // the checkpoint that it cosigned last; nothing in it is verified
	Err     error  // why there is none
}

// recallFor is how long witnesses are waited for that are asked what they
// remember. It holds up a log that starts, and what comes later is not lost: a
// witness that is ahead says so as soon as it is asked to cosign.
const recallFor = 3 * time.Second

// Recall asks all witnesses at once for the checkpoint that they cosigned last.
func (w *Witnesses) Recall(ctx context.Context, origin string) []Memory {
	ctx, cancel := context.WithTimeout(ctx, recallFor)
	defer cancel()
	found := make([]Memory, len(w.lanes))
	var all sync.WaitGroup
	for i, l := range w.lanes {
		all.Go(func() {
			note, err := l.remembered(ctx, origin)
			found[i] = Memory{Witness: l.witness, Note: note, Err: err}
		})
	}
	all.Wait()
	return found
}

// Remembered returns the notes of what Recall finds.
func (w *Witnesses) Remembered(ctx context.Context, origin string) [][]byte {
	var notes [][]byte
	for _, m := range w.Recall(ctx, origin) {
		if m.Err == nil {
			notes = append(notes, m.Note)
		}
	}
	return notes
}
