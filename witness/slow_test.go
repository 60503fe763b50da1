package witness

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"indelible/checkpoint"
	"indelible/internal/places"
)

// pipes is a listener without a network, for the tests that stop the clock.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// slowClients runs f with a witness that can be dialled, on a clock of its own.
func slowClients(t *testing.T, f func(t *testing.T, w *world, dial func() net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		on := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		s := &http.Server{Handler: w.Handler("https://witness.example", func(_ context.Context, err error) { t.Errorf("a fault: %v", err) })}
		go s.Serve(on)
		// From Go 1.27 on, the server waits half a second in the goroutine of a
		// connection before it closes one that it has answered early.
		defer time.Sleep(time.Second)
		defer s.Close()
		f(t, w, func() net.Conn {
			client, server := net.Pipe()
			on.conns <- server
			return client
		})
	})
}

// begin sends the first bytes of a request, and returns where its answer comes.
func begin(t *testing.T, c net.Conn, body []byte, sent int) (status chan string) {
	t.Helper()
	if _, err := fmt.Fprintf(c, "POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: %d\r\n\r\n", len(body)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(body[:sent]); err != nil {
		t.Fatal(err)
	}
	status = make(chan string, 1)
	go func() {
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			status <- err.Error()
			return
		}
		said, _ := io.ReadAll(res.Body)
		status <- fmt.Sprintf("%d %s%s", res.StatusCode, res.Header.Get("Retry-After"), said)
	}()
	return status
}

// large is a request that does not fit into smallBody.
func large(t *testing.T, w *world) []byte {
	t.Helper()
	line := checkpoint.MarshalSignatures([]checkpoint.Signature{{Name: "other.example", KeyID: 1, Blob: make([]byte, 20<<10)}})
	return append(body(w.tree.request(t, 0, 0)), line...)
}

// However many bodies come slowly, one that does not is answered at once; what
// came too slowly while others waited is told so.
func TestSlowBodies(t *testing.T) {
	slowClients(t, func(t *testing.T, w *world, dial func() net.Conn) {
		for _, kind := range []struct {
			n    int
			body []byte
			sent int
		}{{maxBodies, body(w.tree.request(t, 0, 0)), 10}, {maxLarge, large(t, w), smallBody + 1}} {
			var slow []chan string
			for range kind.n {
				slow = append(slow, begin(t, dial(), kind.body, kind.sent))
			}
			synctest.Wait()
			start := time.Now()
			if got := <-begin(t, dial(), kind.body, len(kind.body)); !strings.HasPrefix(got, "200") || time.Since(start) > 2*places.Patience {
				t.Errorf("%d slow bodies: one that is not slow: %s after %s", kind.n, got, time.Since(start))
			}
			if got := <-slow[0]; !strings.HasPrefix(got, "503 1the body came too slowly") {
				t.Errorf("%d slow bodies: the first: %s", kind.n, got)
			}
			// The others are waited for a while longer.
			if got := <-slow[1]; !strings.HasPrefix(got, "408 ") || time.Since(start) < bodyTimeout-time.Second {
				t.Errorf("%d slow bodies: the second: %s after %s", kind.n, got, time.Since(start))
			}
			for _, s := range slow[2:] {
				<-s
			}
		}
	})
}

// While all large bodies are worked on, another is sent away before long.
func TestTooManyLargeBodies(t *testing.T) {
	slowClients(t, func(t *testing.T, w *world, dial func() net.Conn) {
		unlock, err := w.logs[testOrigin].lock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all := large(t, w)
		var busy []chan string
		for range maxLarge {
			busy = append(busy, begin(t, dial(), all, len(all)))
		}
		synctest.Wait()
		start := time.Now()
		if got := <-begin(t, dial(), all, len(all)); !strings.HasPrefix(got, "503 1") || time.Since(start) != places.MaxWait {
			t.Errorf("%s after %s", got, time.Since(start))
		}
		time.Sleep(2 * bodyTimeout) // which is for bodies alone
		unlock()
		for _, s := range busy {
			if got := <-s; !strings.HasPrefix(got, "200") {
				t.Error(got)
			}
		}
	})
}

// Clients that do not read what they asked for keep no checkpoint from others.
func TestSlowReaders(t *testing.T) {
	slowClients(t, func(t *testing.T, w *world, dial func() net.Conn) {
		w.add(t, 0, 7)
		ask := func() net.Conn {
			c := dial()
			if _, err := fmt.Fprintf(c, "GET /%s/checkpoint HTTP/1.1\r\nHost: w\r\n\r\n", OriginHash(testOrigin)); err != nil {
				t.Fatal(err)
			}
			return c
		}
		for range maxShown {
			ask()
		}
		synctest.Wait()
		start := time.Now()
		res, err := http.ReadResponse(bufio.NewReader(ask()), nil)
		if err != nil || time.Since(start) > 2*places.Patience {
			t.Fatalf("after %s: %v", time.Since(start), err)
		}
		if got, err := io.ReadAll(res.Body); err != nil || !bytes.Equal(got, w.mem.snapshot(testOrigin).Note) {
			t.Errorf("%q %v", got, err)
		}
	})
}

// Subtrees are signed in turn, and who waits too long is sent away.
func TestSubtreesInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(t, 0, 14)
		r := SubtreeRequest{Subtree: checkpoint.Subtree{End: 14, Root: w.tree.root(14)}, Note: w.mem.snapshot(testOrigin).Note}
		for range cap(w.subtrees) {
			w.subtrees <- struct{}{}
		}
		start := time.Now()
		if _, err := w.SignSubtree(t.Context(), r); !errors.Is(err, places.ErrBusy) || time.Since(start) != subtreeWait {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		time.AfterFunc(subtreeWait/2, func() { <-w.subtrees })
		if _, err := w.SignSubtree(t.Context(), r); err != nil {
			t.Error(err)
		}
		if len(w.subtrees) != cap(w.subtrees)-1 {
			t.Error("the turn was not given back")
		}
	})
}
