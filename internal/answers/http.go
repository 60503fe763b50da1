package answers

import (
	"net/http"
	"time"
)

// HTTP begins an answer for each request, which is made when its first byte is
// written, and done when next returns: net/http has taken it then, or the client is
// gone.
func (g *Gate) HTTP(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, a := g.Begin(r.Context(), func() {
			http.NewResponseController(w).SetWriteDeadline(time.Now()) // one that cannot is not cut off
		})
		defer a.Done()
		next.ServeHTTP(&writer{w, a}, r.WithContext(ctx))
	})
}

// writer tells an answer that it is made.
type writer struct {
	http.ResponseWriter
	answer *Answer
}

func (w *writer) WriteHeader(status int) {
	w.answer.Made()
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) Write(b []byte) (int, error) {
	w.answer.Made()
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
