package transport

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
)

const (
	// DefaultBudget is the most bytes of a Budget: eight bodies of 8 MiB.
	DefaultBudget = 64 << 20
	// smallBody is how much of each request's body counts as a small one's: an
	// entry with its certificate has some 3 KiB.
	smallBody = 64 << 10
	// smallShare is how much more small bodies may have together than large ones.
	smallShare = 4
)

// ErrFull is what reading a request ends with when its server has no room for it.
var ErrFull = errors.New("the server works on as many large requests as it has memory for; try again in a moment")

// Budget bounds the memory that the bodies of requests hold at once, by all
// connections and over all protocols: many clients that each stay below the limit
// of one request, and send slowly, would fill a machine otherwise. Small requests
// have an account of their own, which large ones cannot empty.
type Budget struct {
	large, small account
}

// NewBudget makes a budget of bytes for large requests; 0 means DefaultBudget.
func NewBudget(bytes int64) *Budget {
	if bytes == 0 {
		bytes = DefaultBudget
	}
	b := &Budget{}
	b.large.most, b.small.most = bytes, smallShare*bytes
	return b
}

// account is bytes that are held, and how many may be.
type account struct {
	most int64
	held atomic.Int64
}

func (a *account) take(n int64) bool {
	if a.held.Add(n) > a.most {
		a.held.Add(-n)
		return false
	}
	return true
}

// holding is what one request holds. It is used by one goroutine at a time.
type holding struct {
	of           *Budget
	small, large int64
}

// grow takes n bytes more, or none.
func (h *holding) grow(n int64) bool {
	small := min(n, smallBody-h.small)
	if !h.of.small.take(small) {
		return false
	}
	if n > small && !h.of.large.take(n-small) {
		h.of.small.held.Add(-small)
		return false
	}
	h.small += small
	h.large += n - small
	return true
}

func (h *holding) release() {
	h.of.small.held.Add(-h.small)
	if h.large > 0 {
		h.of.large.held.Add(-h.large)
	}
	h.small, h.large = 0, 0
}

// Bodies counts the bodies of requests as they arrive, until next has answered.
// Where there is no room for more, reading ends with ErrFull.
func (b *Budget) Bodies(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == nil || r.Body == http.NoBody {
			next.ServeHTTP(w, r)
			return
		}
		body := &countedBody{ReadCloser: r.Body, holding: holding{of: b}}
		defer body.release()
		r.Body = body
		next.ServeHTTP(w, r)
	})
}

type countedBody struct {
	io.ReadCloser
	holding
	full bool
}

func (c *countedBody) Read(p []byte) (int, error) {
	if c.full {
		return 0, ErrFull
	}
	n, err := c.ReadCloser.Read(p)
	if !c.grow(int64(n)) {
		c.full = true
		return 0, ErrFull
	}
	return n, err
}
