package transport

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"indelible/internal/fair"
)

const (
	// DefaultBudget is the most bytes of a Budget: eight bodies of 8 MiB.
	DefaultBudget = 64 << 20
	// SmallBody is the maximum size of a small body, in bytes: an entry with its
	// certificate has some 3 KiB.
	SmallBody = 64 << 10
	// unknownBody is what a large body counts as that did not say how long it is. It
	// does not wait.
	unknownBody = 1 << 20
	// roomPatience is how long a large body waits for others of its client.
	roomPatience = 5 * time.Second
	// smallShare is which part of a budget is added to it for small bodies alone.
	smallShare = 4
)

// What reading a request ends with when its server has no room for it.
var (
	// ErrFull: what has the memory is at work, or comes fast enough.
	ErrFull = errors.New("the server works on as many requests as it has memory for; try again in a moment")
	// ErrSlow: there was room, until others wanted it.
	ErrSlow = errors.New("the request's body came too slowly while others waited for the memory that it held; send it again, at once")
)

// Budget bounds the memory that the bodies of requests hold at once, by all
// connections and over all protocols: many clients that each stay below the limit
// of one request, and send slowly, would fill a machine otherwise. It counts the
// buffers, which are reserved before they are made. Small requests have a part that
// large ones cannot take.
//
// When it is full, the body that comes the slowest is ended, and what it held goes
// to who asks: to a small body always, to a large one if that body is slow indeed.
// So however many bodies come slowly, one that comes at once gets in.
//
// Large bodies over HTTP/1 and 2 of clients that have a name (fair.As) share the
// budget by client. One that finds no room is not read, which costs nothing, until
// its client may have it; after a while it ends with ErrFull.
type Budget struct {
	most  int64 // of large bodies
	large *fair.Room

	mu             sync.Mutex
	all, allLarge  int64 // bytes that are held, and those of them by large bodies
	oldest, newest *Body // of those that arrive, by when they began
}

// NewBudget makes a budget of bytes for large requests; 0 means DefaultBudget.
func NewBudget(bytes int64) *Budget {
	if bytes == 0 {
		bytes = DefaultBudget
	}
	return &Budget{most: bytes, large: fair.NewRoom(bytes)}
}

// Most is how many bytes large requests may hold.
func (b *Budget) Most() int64 { return b.most }

// Hold returns what a request holds that does not come as an HTTP body: nothing yet.
func (b *Budget) Hold() *Hold { return &Hold{holding{of: b}} }

// Hold is what a request holds of a budget.
type Hold struct{ holding }

// Reserve takes n bytes more, or none: then it returns ErrFull.
func (h *Hold) Reserve(n int64) error { return h.reserve(n) }

// Release gives back what was reserved.
func (h *Hold) Release() { h.release() }

// Share takes room for a large request of a client that has a name (fair.As). free gives it back; it is nil where no room
// is needed.
func (h *Hold) Share(ctx context.Context) (free func(), err error) {
	client, named := fair.Client(ctx)
	if !named || large(h.held) == 0 {
		return nil, nil
	}
	if free = h.of.large.Try(client, min(h.held, h.of.most)); free == nil {
		return nil, ErrFull
	}
	return free, nil
}

// holding is what one request holds.
type holding struct {
	of   *Budget
	held int64
}

// large is what of n bytes counts as a large body's: all, or nothing.
func large(n int64) int64 {
	if n <= SmallBody {
		return 0
	}
	return n
}

// fits says whether there is room for n bytes more, and whether it is room for
// large bodies that lacks. It is called with the lock, as is what follows. Each
// buffer has a byte for the end of the file, which the budget allows for once.
func (h *holding) fits(n int64) (ok, forLarge bool) {
	b, more := h.of, large(h.held+n)-large(h.held)
	forLarge = more > 0 && b.allLarge+more > b.most+1
	return !forLarge && b.all+n <= b.most+b.most/smallShare, forLarge
}

func (h *holding) take(n int64) {
	h.of.all += n
	h.of.allLarge += large(h.held+n) - large(h.held)
	h.held += n
}

// grow takes n bytes more, or none, and says why.
func (h *holding) grow(n int64) error {
	for {
		ok, forLarge := h.fits(n)
		if ok {
			h.take(n)
			return nil
		}
		slowest := h.of.slowest(forLarge)
		switch {
		case slowest == nil:
			return ErrFull
		case (&slowest.holding == h || large(h.held+n) > 0) && time.Since(slowest.late()) < patience:
			return ErrFull
		case &slowest.holding == h:
			return ErrSlow
		}
		slowest.cut()
	}
}

// slowest is the body that arrives the slowest, of all or of the large ones.
func (b *Budget) slowest(ofLarge bool) (slowest *Body) {
	for body := b.oldest; body != nil; body = body.next {
		if slowest != nil && !body.since.Before(slowest.late()) {
			break // those that follow began later yet
		}
		if body.held == 0 || ofLarge && large(body.held) == 0 {
			continue
		}
		if slowest == nil || body.late().Before(slowest.late()) {
			slowest = body
		}
	}
	return slowest
}

// reserve locks, and calls grow.
func (h *holding) reserve(n int64) error {
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	return h.grow(n)
}

func (h *holding) release() {
	h.of.mu.Lock()
	h.take(-h.held)
	h.of.mu.Unlock()
}

// Bodies counts the bodies of requests as they arrive, until next has answered.
// Where there is no room for more, reading ends with ErrFull or ErrSlow.
func (b *Budget) Bodies(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == nil || r.Body == http.NoBody {
			next.ServeHTTP(w, r)
			return
		}
		body, ok := r.Body.(*Body)
		if !ok {
			body = &Body{ReadCloser: r.Body}
			r.Body = body
		}
		free, err := b.await(r)
		if err != nil {
			body.refused = err // which next finds, and says in its words
		}
		body.join(b, w)
		body.free = free
		body.client, body.named = fair.Client(r.Context())
		defer body.leave()
		next.ServeHTTP(w, r)
	})
}

// await waits until the client of a large request may have it read. free gives back
// what it holds then.
func (b *Budget) await(r *http.Request) (free func(), err error) {
	client, named := fair.Client(r.Context())
	if !named || large(r.ContentLength) == 0 {
		return nil, nil
	}
	n := min(r.ContentLength, b.most)
	for end := time.Now().Add(roomPatience); ; b.cutLate() {
		ctx, cancel := context.WithTimeout(r.Context(), patience/10)
		free, err := b.large.Take(ctx, client, n)
		cancel()
		if err == nil {
			return free, nil
		}
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
		if !time.Now().Before(end) {
			return nil, ErrFull
		}
	}
}

// cutLate ends the large body that arrives the slowest, if it is too slow.
func (b *Budget) cutLate() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if slowest := b.slowest(true); slowest != nil && time.Since(slowest.late()) >= patience {
		slowest.cut()
	}
}
