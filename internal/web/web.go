// Package web is what the programs' HTTP clients have in common: they ask whom
// they were told to ask, and do not wait for ever for somebody who says nothing.
package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// maxRedirects is how many redirects one request may take.
const maxRedirects = 5

// SameHost is a policy for redirects ([http.Client.CheckRedirect]): a GET or a HEAD
// may go to another path of the same host, and from http to https. A redirect to
// another host, and each of a request that sends something, is the answer itself.
func SameHost(req *http.Request, via []*http.Request) error {
	first := via[0]
	same := strings.EqualFold(req.URL.Host, first.URL.Host) && (req.URL.Scheme == "https" || req.URL.Scheme == first.URL.Scheme)
	if !same || first.Method != http.MethodGet && first.Method != http.MethodHead || len(via) > maxRedirects {
		return http.ErrUseLastResponse
	}
	return nil
}

// AnyHost is the policy of a user who wants redirects followed. One that would
// turn what is sent into a question, as 301, 302 and 303 do, is the answer itself.
func AnyHost(req *http.Request, via []*http.Request) error {
	if req.Method != via[0].Method || len(via) > maxRedirects {
		return http.ErrUseLastResponse
	}
	return nil
}

// StalledError is the error of a request that went on without a byte.
type StalledError struct{ After time.Duration }

func (e *StalledError) Error() string { return fmt.Sprintf("not a byte came for %s", e.After) }

// Timeout says that it may be otherwise later.
func (e *StalledError) Timeout() bool { return true }

// Stalling ends a request with a StalledError when nothing comes for so long: no
// connection, no answer, or no more of its body. How long an answer takes as a
// whole is not limited, nor how long its reader takes between two reads.
func Stalling(next http.RoundTripper, after time.Duration) http.RoundTripper {
	return &stalling{next, after}
}

type stalling struct {
	next  http.RoundTripper
	after time.Duration
}

func (s *stalling) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	w := &watch{ctx: ctx, cancel: cancel, after: s.after}
	w.timer = time.AfterFunc(s.after, func() { cancel(&StalledError{s.after}) })
	watched := req.WithContext(ctx)
	if req.Body != nil {
		watched.Body = &sent{req.Body, w}
	}
	res, err := s.next.RoundTrip(watched)
	w.answered.Store(true)
	w.timer.Stop()
	if err != nil {
		err = w.because(err)
		cancel(nil)
		return nil, err
	}
	res.Body = &received{res.Body, w}
	return res, nil
}

// watch ends a request in which there is no progress.
type watch struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	after  time.Duration

	answered atomic.Bool // and what is still sent is no progress
}

// because is the error of a request, which says that it stalled if it did.
func (w *watch) because(err error) error {
	if stalled, ok := context.Cause(w.ctx).(*StalledError); ok {
		return stalled
	}
	return err
}

// sent is the body of a request. Each read of it means that something was sent.
type sent struct {
	io.ReadCloser
	w *watch
}

func (s *sent) Read(b []byte) (int, error) {
	if !s.w.answered.Load() {
		s.w.timer.Reset(s.w.after)
	}
	return s.ReadCloser.Read(b)
}

// received is the body of an answer.
type received struct {
	io.ReadCloser
	w *watch
}

func (r *received) Read(b []byte) (int, error) {
	r.w.timer.Reset(r.w.after)
	n, err := r.ReadCloser.Read(b)
	r.w.timer.Stop()
	if err != nil && err != io.EOF {
		err = r.w.because(err)
	}
	return n, err
}

func (r *received) Close() error {
	err := r.ReadCloser.Close()
	r.w.timer.Stop()
	r.w.cancel(nil)
	return err
}
