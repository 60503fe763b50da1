// Package rest is what the REST APIs of a log have in common: bodies up to a
// limit, strict JSON in, plain JSON out without reflection, and errors in the
// one shape of server/failure.
//
//	h = rest.LimitBody(h, 8<<20, turns)
//	…
//	err := rest.ReadMessage(r.Body, request)
//	rest.WriteError(w, r, err)
package rest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"indelible/internal/transport"
	"indelible/server/failure"
)

// cappedBody is a request's body up to the limit. It remembers what went wrong
// with reading it, which grpc-gateway turns into text.
type cappedBody struct {
	io.ReadCloser
	counted *transport.Body // below it; nil: there is none
	most    int64           // bytes: as the client said, or else as the limit is
	err     error
	inTurn  func(size int, decode func() error) error
	noTurn  error // why it was not decoded
}

func (b *cappedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// Turns has decode, of a body of size bytes, wait for the turn of a request's client.
// It returns decode's error, or that of waiting.
type Turns func(ctx context.Context, size int, decode func() error) error

// LimitBody refuses requests whose bodies are over a limit in bytes, at once
// where they say so, and otherwise when next has read that much. They are decoded
// in turns.
func LimitBody(next http.Handler, limit int64, turns Turns) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > limit {
			tooLarge(w, limit)
			return
		}
		// grpc-gateway would look for another marshaler by it, and write a line
		// for one that it cannot read.
		r.Header.Del("Content-Type")
		body := &cappedBody{ReadCloser: http.MaxBytesReader(w, r.Body, limit), most: limit}
		body.inTurn = func(size int, decode func() error) error { return turns(r.Context(), size, decode) }
		body.counted, _ = r.Body.(*transport.Body)
		if r.ContentLength >= 0 {
			body.most = r.ContentLength
		}
		r.Body = body
		next.ServeHTTP(w, r)
	})
}

func tooLarge(w http.ResponseWriter, limit int64) {
	w.Header().Set("Connection", "close")
	failure.Write(w, http.StatusRequestEntityTooLarge, codes.InvalidArgument, fmt.Sprintf("the request's body is over the limit of %d bytes", limit))
}

// ReadMessage reads a body that LimitBody gave a limit, and decodes it when it is its
// client's turn. Of an empty body the error is io.EOF.
func ReadMessage(r io.Reader, msg proto.Message) error {
	body, ok := r.(*cappedBody)
	if !ok {
		return errors.New("the body has no limit")
	}
	data, err := transport.ReadBody(body, body.counted, body.most)
	switch {
	case err != nil:
		body.err = err
		return err
	case len(data) == 0:
		return io.EOF
	}
	var wrong error
	body.noTurn = body.inTurn(len(data), func() error {
		wrong = Decode(data, msg)
		return nil
	})
	return cmp.Or(body.noTurn, wrong)
}

// WriteError writes the error of a call, or of reading the body of its request.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	body, _ := r.Body.(*cappedBody)
	switch {
	case body != nil && body.noTurn != nil:
		failure.WriteError(w, failure.Admit(body.noTurn))
		return
	case body == nil || body.err == nil:
		failure.WriteError(w, err)
		return
	}
	var big *http.MaxBytesError
	switch {
	case errors.As(body.err, &big):
		tooLarge(w, big.Limit)
	case errors.Is(body.err, transport.ErrFull), errors.Is(body.err, transport.ErrSlow):
		w.Header().Set("Connection", "close")
		failure.Write(w, http.StatusServiceUnavailable, codes.Unavailable, body.err.Error())
	case errors.Is(body.err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		failure.Write(w, http.StatusRequestTimeout, codes.DeadlineExceeded, "the request's body did not arrive in time")
	default:
		failure.Write(w, http.StatusBadRequest, codes.InvalidArgument, "the request's body ended early")
	}
}
