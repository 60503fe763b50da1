package quorum

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"indelible/checkpoint"
	"indelible/internal/redact"
)

const (
	// maxTries is how often a witness is told another size in one round.
	maxTries = 4
	// maxRetryAfter bounds what a witness may ask for.
	maxRetryAfter = time.Hour
	// sizeType is what an answer that tells a size is.
	sizeType = "text/x.tlog.size"
	// userAgent names the program.
	userAgent = "indelible"
)

var (
	// errProof: the log could not make a proof, which is not the witness's fault.
	errProof = errors.New("make the consistency proof")
	// errAhead: the witness cosigned more than it is asked for.
	errAhead = errors.New("it says that it cosigned")
)

// Claim is what a witness says of a log against the checkpoint that it is asked
// to cosign. It is the witness's word: only a Note that the log's key signed
// proves something.
type Claim struct {
	Witness string // its name in the policy
	Size    int64  // it says that it cosigned a checkpoint of this size; 0 if it tells none
	Other   bool   // it says that the tree it cosigned is another one
	Note    []byte // the checkpoint that it shows; nil for none. Nothing in it is verified
}

// contradicts reports whether the claim stands without its note.
func (c Claim) contradicts() bool { return c.Size > 0 || c.Other }

// cosign asks the witness for one round, unless it rests, and verifies its
// answer.
func (l *lane) cosign(ctx context.Context, r *round) answer {
	if err := l.resting(); err != nil {
		return answer{lane: l, err: err}
	}
	timeout := l.w.cfg.Timeout
	if l.mirror != nil {
		timeout *= mirrorPatience
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := time.Now()
	signatures, err := l.converse(ctx, r)
	if err != nil && r.confirm && l.claimed() == nil {
		l.show(ctx, r, Claim{}) // it may show what it does not say
	}
	if l.w.cfg.Answered != nil {
		l.w.cfg.Answered(l.witness.Name, time.Since(start), err)
	}
	l.settle(r, signatures, err)
	return answer{l, signatures, err}
}

// converse asks until the witness cosigns or refuses.
func (l *lane) converse(ctx context.Context, r *round) ([]checkpoint.Signature, error) {
	if r.confirm {
		l.size = r.opened.Size // it cosigned that before
	}
	for range maxTries {
		body, err := l.body(ctx, r)
		if err != nil {
			return nil, err
		}
		code, head, data, err := l.post(ctx, body)
		switch {
		case err != nil:
			return nil, err
		case code == http.StatusOK && l.mirror != nil:
			return l.upload(ctx, r)
		case code == http.StatusOK:
			return l.accept(r, data)
		case code == http.StatusUnprocessableEntity:
			// One that cosigns no empty tree says nothing of another.
			l.show(ctx, r, Claim{Other: r.opened.Size > 0})
			return nil, l.refused(code, head, data)
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
			l.show(ctx, r, Claim{Other: size == r.opened.Size && size > 0})
			return nil, fmt.Errorf("it answered 409 and told the size %d, from which it was asked: it is broken, or holds another tree", size)
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
		proof, err := r.tree.Consistency(ctx, l.size)
		if err != nil {
			return nil, fmt.Errorf("%w from size %d: %w", errProof, l.size, err)
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
	req.Header.Set("User-Agent", userAgent)
	resp, err := l.w.cfg.Client.Do(req)
	if err != nil {
		return 0, nil, nil, redact.Error(err)
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
	if len(data) == 0 {
		return nil, errors.New("its answer is empty, as a mirror's is; if it is one, name it in --mirrors")
	}
	all, err := checkpoint.ParseSignatures(data)
	if err != nil {
		return nil, fmt.Errorf("its answer: %w", err)
	}
	return l.own(r, all)
}

// own returns the witness's own signature, verified.
func (l *lane) own(r *round, all []checkpoint.Signature) ([]checkpoint.Signature, error) {
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
		l.leaveAlone(retryAfter(head, time.Now()))
	}
	if to := head.Get("Location"); to != "" && code/100 == 3 {
		return fmt.Errorf("it answered %d, a redirect to %.200q, which is not followed: put the witness's own URL into the policy", code, redact.URL(to))
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

// retryAfter is for how long a witness asks to be left alone.
func retryAfter(head http.Header, now time.Time) time.Duration {
	text := head.Get("Retry-After")
	if s, err := strconv.ParseInt(text, 10, 32); err == nil {
		return min(max(0, time.Duration(s)*time.Second), maxRetryAfter)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(0, at.Sub(now)), maxRetryAfter)
	}
	return 0
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

// ahead says that a witness knows more.
func (l *lane) ahead(ctx context.Context, r *round, size int64) error {
	if l.show(ctx, r, Claim{Size: size}) {
		return fmt.Errorf("%w size %d already; most likely another replica published", errAhead, size)
	}
	return fmt.Errorf("%w size %d already, and shows no checkpoint for it", errAhead, size)
}

// show asks a witness that claims something for the checkpoint that bears it
// out, if anyone is to be told, and passes both on. It reports whether there is
// one.
func (l *lane) show(ctx context.Context, r *round, c Claim) bool {
	c.Witness = l.witness.Name
	if l.w.cfg.Ahead != nil {
		if note, err := l.remembered(ctx, r.opened.Origin); err == nil {
			c.Note = note
		}
	}
	if c.contradicts() {
		l.mu.Lock()
		l.claim = &c
		l.mu.Unlock()
	}
	if l.w.cfg.Ahead != nil && (c.contradicts() || c.Note != nil) {
		l.w.cfg.Ahead(c)
	}
	return c.Note != nil
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
