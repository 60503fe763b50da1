package push

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"indelible/checkpoint"
	"indelible/internal/redact"
	"indelible/internal/wait"
	"indelible/internal/web"
	"indelible/merkle"
)

// Tree is the tree of a checkpoint that is pushed. Its methods may be called at
// the same time.
type Tree = interface {
	// Consistency proves that the tree of size from is a prefix of this one.
	Consistency(ctx context.Context, from int64) ([]merkle.Hash, error)
	// Subtree proves that the entries [start, end) are a subtree of this one.
	Subtree(ctx context.Context, start, end int64) ([]merkle.Hash, error)
	// Entries returns the entries [start, end), which are in one block of 256 and
	// begin with it.
	Entries(ctx context.Context, start, end int64) ([][]byte, error)
}

// ClientConfig is what a Client is made from.
type ClientConfig struct {
	URL string // the mirror's submission prefix
	// HTTP does the requests; one that follows no redirects.
	HTTP      *http.Client
	UserAgent string // indelible-mirror
	// Plain sends entries without compression.
	Plain bool
	// Tries is how often a request is made that fails for reasons that may pass; 5.
	Tries int
	// Retrying is told why a request is going to be made again, and after how
	// long; it may be nil.
	Retrying func(err error, wait time.Duration)
	// Progress is told how much of an upload the mirror has; it may be nil.
	Progress func(have, total int64)
}

// Client pushes logs to one mirror.
type Client struct {
	cfg ClientConfig
	url string
}

// NewClient makes a Client.
func NewClient(cfg ClientConfig) (*Client, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return nil, fmt.Errorf("the mirror's URL is %q; it must be like https://mirror.example.com", redact.URL(cfg.URL))
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{
			Transport:     web.Stalling(http.DefaultTransport, packageTimeout+answerTimeout),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	if cfg.Tries == 0 {
		cfg.Tries = 5
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "indelible-mirror"
	}
	return &Client{cfg: cfg, url: strings.TrimRight(cfg.URL, "/")}, nil
}

// AheadError says that the mirror's pending checkpoint is larger than the one that
// is pushed.
type AheadError struct{ Size int64 }

// Error implements error.
func (e *AheadError) Error() string {
	return fmt.Sprintf("the mirror knows a checkpoint of size %d already: push a newer one", e.Size)
}

// StatusError is an answer that ends a push.
type StatusError struct {
	Status  int
	Message string
	retry   time.Duration
}

// RetryAfter is how long the mirror asks to be left alone.
func (e *StatusError) RetryAfter() time.Duration { return e.retry }

// Error implements error.
func (e *StatusError) Error() string {
	return fmt.Sprintf("the mirror answered %d: %s", e.Status, e.Message)
}

// AddCheckpoint makes a checkpoint the mirror's pending one, if it is not
// already.
func (c *Client) AddCheckpoint(ctx context.Context, note []byte, size int64, tree Tree) error {
	old := int64(0)
	for range 4 { // others may push too
		body, err := checkpointBody(ctx, note, old, size, tree)
		if err != nil {
			return err
		}
		a, err := c.patiently(ctx, func() (reply, error) {
			return c.post(ctx, "add-checkpoint", "text/plain; charset=utf-8", "", bytes.NewReader(body))
		})
		if err != nil {
			return err
		}
		if a.status == http.StatusOK {
			return nil
		}
		if a.status != http.StatusConflict {
			return a.refused()
		}
		has, ok := parseSize(strings.TrimSuffix(string(a.body), "\n"))
		switch {
		case !ok:
			return fmt.Errorf("the mirror answered 409 with %.60q, which is no size", a.body)
		case has > size:
			return &AheadError{has}
		}
		old = has
	}
	return errors.New("the mirror's pending checkpoint changes faster than it can be extended; try again")
}

// checkpointBody is an add-checkpoint request.
func checkpointBody(ctx context.Context, note []byte, old, size int64, tree Tree) ([]byte, error) {
	proof, err := tree.Consistency(ctx, old)
	if err != nil {
		return nil, fmt.Errorf("prove that size %d extends size %d: %w", size, old, err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "old %d\n", old)
	for _, h := range proof {
		b.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
	}
	b.WriteByte('\n')
	b.Write(note)
	return b.Bytes(), nil
}

// AddEntries brings the mirror everything below a pending checkpoint of a size,
// and returns its cosignatures, none of which is verified. next is the first entry
// that the mirror does not have, if that is known; else size, and the mirror says.
func (c *Client) AddEntries(ctx context.Context, origin string, next, size int64, tree Tree) ([]checkpoint.Signature, error) {
	h := Header{Origin: origin, Start: min(next, size), End: size}
	conflicts := 0
	for {
		u := &sender{c: c, h: h, tree: tree}
		a, err := c.patiently(ctx, func() (reply, error) { return u.send(ctx) })
		if err != nil {
			return nil, err
		}
		if a.status == http.StatusOK {
			c.progress(size, size)
			return checkpoint.ParseSignatures(a.body)
		}
		if a.status != http.StatusAccepted && a.status != http.StatusConflict {
			return nil, a.refused()
		}
		info, err := a.info()
		if err != nil {
			return nil, err
		}
		next := min(info.Next, size)
		if conflicts++; next > h.Start && a.status == http.StatusAccepted {
			conflicts = 0
		}
		switch {
		case info.Pending != size:
			return nil, &AheadError{info.Pending}
		case conflicts > 5:
			return nil, fmt.Errorf("the mirror answers %d again and again, and wants entries from %d on, while those from %d on were sent", a.status, info.Next, h.Start)
		}
		c.progress(next, size)
		h.Start, h.Ticket = next, info.Ticket
	}
}

func (c *Client) progress(have, total int64) {
	if c.cfg.Progress != nil {
		c.cfg.Progress(have, total)
	}
}

// reply is an answer of a mirror.
type reply struct {
	status int
	head   http.Header
	body   []byte
}

func (a reply) info() (Info, error) {
	if t, _, _ := strings.Cut(a.head.Get("Content-Type"), ";"); strings.TrimSpace(t) != infoType {
		return Info{}, fmt.Errorf("the mirror answered %d in %.60q; it must be %s", a.status, t, infoType)
	}
	return ParseInfo(a.body)
}

// refused is the error of an answer that ends a push.
func (a reply) refused() error {
	said := strings.TrimSpace(strings.ToValidUTF8(string(a.body[:min(len(a.body), 300)]), "?"))
	if to := a.head.Get("Location"); to != "" && a.status/100 == 3 {
		said = fmt.Sprintf("a redirect to %.200q, which is not followed: give the mirror's own URL", redact.URL(to))
	}
	return &StatusError{Status: a.status, Message: said, retry: retryAfter(a.head.Get("Retry-After"), time.Now())}
}

// maxAnswer bounds an answer, in bytes.
const maxAnswer = checkpoint.MaxNoteSize

func (c *Client) post(ctx context.Context, path, contentType, encoding string, body io.Reader) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"/"+path, body)
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	req.Header.Set("Content-Type", contentType)
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	res, err := c.cfg.HTTP.Do(req)
	if err != nil {
		return reply{}, redact.Error(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err == nil && len(data) > maxAnswer {
		err = fmt.Errorf("the mirror answered with more than %d bytes", maxAnswer)
	}
	return reply{status: res.StatusCode, head: res.Header, body: data}, err
}

// patiently asks again while what is wrong may pass.
func (c *Client) patiently(ctx context.Context, ask func() (reply, error)) (reply, error) {
	const most = 30 * time.Second
	backoff := 500 * time.Millisecond
	for try := 1; ; try++ {
		a, err := ask()
		delay := time.Duration(0)
		if err == nil {
			switch a.status {
			default:
				return a, nil
			case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			}
			delay, err = retryAfter(a.head.Get("Retry-After"), time.Now()), a.refused()
		}
		if own := (*treeError)(nil); ctx.Err() != nil || errors.As(err, &own) || try == c.cfg.Tries {
			return a, err
		}
		delay = min(max(delay, rand.N(backoff)), most)
		backoff = min(2*backoff, most)
		if c.cfg.Retrying != nil {
			c.cfg.Retrying(err, delay)
		}
		if ended := wait.For(ctx, delay); ended != nil {
			return a, fmt.Errorf("%w; it was asked again, since before that there was: %w", ended, err)
		}
	}
}

// retryAfter reads a Retry-After header in both of its forms.
func retryAfter(text string, now time.Time) time.Duration {
	if s, err := strconv.ParseInt(text, 10, 32); err == nil {
		return max(0, time.Duration(s)*time.Second)
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
