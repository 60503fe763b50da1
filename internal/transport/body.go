package transport

import (
	"io"
	"net/http"
	"time"
)

// Body is a request's body as it arrives.
type Body struct {
	io.ReadCloser
	conn     *connection // nil: it is not known
	complete bool
	refused  error // what reading it ends with
	client   string
	named    bool   // it has a client
	free     func() // gives back what it has of the room for large bodies; nil: it has none

	// With a budget, whose lock guards these:
	holding
	w          http.ResponseWriter // which can end a Read
	since      time.Time           // when it began to arrive
	received   int64               // bytes
	wasCut     bool
	arrives    bool // it is in the budget's list
	prev, next *Body
}

// join puts a body into the list of those that arrive.
func (b *Body) join(of *Budget, w http.ResponseWriter) {
	b.of, b.w, b.since = of, w, time.Now()
	of.mu.Lock()
	defer of.mu.Unlock()
	b.arrives, b.prev = true, of.newest
	if b.prev == nil {
		of.oldest = b
	} else {
		b.prev.next = b
	}
	of.newest = b
}

// settle takes a body out of the list, with the lock.
func (b *Body) settle() {
	if !b.arrives {
		return
	}
	b.arrives = false
	if b.prev == nil {
		b.of.oldest = b.next
	} else {
		b.prev.next = b.next
	}
	if b.next == nil {
		b.of.newest = b.prev
	} else {
		b.next.prev = b.prev
	}
	b.prev, b.next = nil, nil
}

func (b *Body) leave() {
	if b.free != nil {
		b.free()
	}
	b.of.mu.Lock()
	b.settle()
	b.take(-b.held)
	b.of.mu.Unlock()
}

func (b *Body) late() time.Time { return late(b.since, b.received) }

// cut ends a body that arrives, and gives away what it holds, with the lock.
func (b *Body) cut() {
	b.wasCut = true
	b.settle()
	b.take(-b.held)
	http.NewResponseController(b.w).SetReadDeadline(time.Unix(1, 0)) // long past
}

// reserve has the budget make room for a buffer.
func (b *Body) reserve(n int64) error {
	if b.refused != nil || b.of == nil {
		return b.refused
	}
	b.of.mu.Lock()
	defer b.of.mu.Unlock()
	b.need(n)
	return b.refused
}

// need is reserve, with the lock.
func (b *Body) need(n int64) {
	switch {
	case b.wasCut:
		b.refused = ErrSlow
	case n > 0 && !b.shares(n):
		b.refused = ErrFull
	case n > 0:
		b.refused = b.grow(n)
	}
}

// shares reports whether the client may have n bytes more, where the request did not
// say how long it is.
func (b *Body) shares(n int64) bool {
	if b.free == nil && b.named && large(b.held+n) > 0 {
		b.free = b.of.large.Try(b.client, min(unknownBody, b.of.most))
		return b.free != nil
	}
	return true
}

// Read implements io.Reader. What it reads into is counted, unless it was
// reserved.
func (b *Body) Read(p []byte) (int, error) {
	if b.refused != nil {
		return 0, b.refused
	}
	n, err := b.ReadCloser.Read(p)
	if b.of != nil {
		b.count(n, err)
	}
	if b.refused != nil {
		return 0, b.refused
	}
	if err == io.EOF && !b.complete {
		b.complete = true
		if b.conn != nil {
			b.conn.answer()
		}
	}
	return n, err
}

func (b *Body) count(n int, err error) {
	b.of.mu.Lock()
	defer b.of.mu.Unlock()
	b.received += int64(n)
	b.need(b.received - b.held)
	if err == io.EOF {
		b.settle()
	}
}

// answered is called when the request was.
func (b *Body) answered() {
	if b.complete {
		b.conn.finished()
	}
}

// firstRead is how much memory a body gets before it arrives.
const firstRead = 16 << 10

// ReadBody reads all of a request's body from r, through which it comes from
// body; body may be nil. most is how many bytes the client said it has, or else
// those that it may have. The memory is reserved before it is taken, and is never
// more than firstRead and twice what has arrived.
func ReadBody(r io.Reader, body *Body, most int64) (data []byte, err error) {
	for {
		if len(data) == cap(data) {
			if data, err = grown(data, body, most); err != nil {
				return data, err
			}
		}
		n, err := r.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if err == io.EOF {
			return data, nil
		}
		if err != nil {
			return data, err
		}
	}
}

// grown moves data to a buffer of twice the size, or of what the body needs and a
// byte for the end of the file.
func grown(data []byte, body *Body, most int64) ([]byte, error) {
	size := max(int64(2*cap(data)), firstRead)
	if most >= int64(len(data)) {
		size = min(size, most+1)
	}
	if body != nil {
		if err := body.reserve(size - int64(cap(data))); err != nil {
			return data, err
		}
	}
	return append(make([]byte, 0, size), data...), nil
}
