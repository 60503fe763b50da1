// Package rest is what the REST APIs of a log have in common: bodies up to a
// limit, strict JSON in, plain JSON out without reflection, and errors in the
// one shape of server/failure.
//
//	h = rest.LimitBody(h, 8<<20)
//	…
//	data, err := rest.ReadBody(r.Body)
//	err = rest.Decode(data, request)
//	rest.WriteError(w, r, err)
package rest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"google.golang.org/grpc/codes"

	"indelible/internal/transport"
	"indelible/server/failure"
)

// cappedBody is a request's body up to the limit. It remembers what went wrong
// with reading it, which grpc-gateway turns into text.
type cappedBody struct {
	io.ReadCloser
	length int64 // as the client said; -1: it did not
	err    error
}

func (b *cappedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// LimitBody refuses requests whose bodies are over a limit in bytes, at once
// where they say so, and otherwise when next has read that much.
func LimitBody(next http.Handler, limit int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > limit {
			tooLarge(w, limit)
			return
		}
		// grpc-gateway would look for another marshaler by it, and write a line
		// for one that it cannot read.
		r.Header.Del("Content-Type")
		r.Body = &cappedBody{ReadCloser: http.MaxBytesReader(w, r.Body, limit), length: r.ContentLength}
		next.ServeHTTP(w, r)
	})
}

func tooLarge(w http.ResponseWriter, limit int64) {
	w.Header().Set("Connection", "close")
	failure.Write(w, http.StatusRequestEntityTooLarge, codes.InvalidArgument, fmt.Sprintf("the request's body is over the limit of %d bytes", limit))
}

// firstRead is how much memory a request's body gets before it arrives.
const firstRead = 16 << 10

// ReadBody reads a body that LimitBody gave a limit.
func ReadBody(r io.Reader) ([]byte, error) {
	var b bytes.Buffer
	if body, ok := r.(*cappedBody); ok && body.length > 0 {
		// Read wants room for the end of the file, too.
		b.Grow(int(min(body.length, firstRead)) + bytes.MinRead)
	}
	_, err := b.ReadFrom(r)
	return b.Bytes(), err
}

// WriteError writes the error of a call, or of reading the body of its request.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	body, _ := r.Body.(*cappedBody)
	if body == nil || body.err == nil {
		failure.WriteError(w, err)
		return
	}
	var big *http.MaxBytesError
	switch {
	case errors.As(body.err, &big):
		tooLarge(w, big.Limit)
	case errors.Is(body.err, transport.ErrFull):
		w.Header().Set("Connection", "close")
		failure.Write(w, http.StatusServiceUnavailable, codes.Unavailable, transport.ErrFull.Error())
	case errors.Is(body.err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		failure.Write(w, http.StatusRequestTimeout, codes.DeadlineExceeded, "the request's body did not arrive in time")
	default:
		failure.Write(w, http.StatusBadRequest, codes.InvalidArgument, "the request's body ended early")
	}
}
