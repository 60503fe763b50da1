package transport

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"indelible/internal/fair"
)

const kib = 1 << 10

// bodies is a server of bodies with a budget, on a clock of its own.
type bodies struct {
	t      *testing.T
	on     *pipes
	budget *Budget
	goOn   chan struct{} // for the requests of /work
}

func serveBodies(t *testing.T, budget int64, do func(t *testing.T, b *bodies)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bodies{t, newPipes(), NewBudget(budget), make(chan struct{})}
		s := HTTPServer(b.budget.Bodies(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			counted, _ := r.Body.(*Body)
			data, err := ReadBody(r.Body, counted, r.ContentLength)
			if err != nil {
				w.Header().Set("Connection", "close")
				w.WriteHeader(http.StatusServiceUnavailable)
				fmt.Fprint(w, err)
				return
			}
			if r.URL.Path == "/work" {
				<-b.goOn
			}
			fmt.Fprint(w, len(data))
		})), longest, quiet)
		go s.Serve(b.on)
		do(t, b)
		s.Close()
		time.Sleep(closing)
		synctest.Wait()
		if b.budget.all != 0 || b.budget.allLarge != 0 || b.budget.oldest != nil || b.budget.newest != nil {
			t.Errorf("at the end %d bytes are held, %d of them by large bodies", b.budget.all, b.budget.allLarge)
		}
	})
}

// closing is more than the time that net/http waits before it closes a connection
// whose request it has not read.
const closing = time.Second

// post sends so many bytes of a body; its answer comes later.
func (b *bodies) post(path string, length, sent int) (net.Conn, chan string) {
	conn, answer := b.on.dial(), make(chan string, 1)
	go func() {
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			answer <- err.Error()
			return
		}
		body, _ := io.ReadAll(res.Body)
		answer <- fmt.Sprint(res.StatusCode, " ", string(body))
		io.Copy(io.Discard, conn)
	}()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", path, length)
	go conn.Write(make([]byte, sent)) // which the server may refuse to read
	synctest.Wait()
	return conn, answer
}

// The body that came first and does not end gives way to one that comes at once,
// however many there are, and whether it is small or large.
func TestSlowestBodyGivesWay(t *testing.T) {
	for _, length := range []int{60 * kib, 7_000_000} {
		serveBodies(t, 1<<20, func(t *testing.T, b *bodies) {
			var slow []chan string
			for range 100 {
				_, answer := b.post("/", length, 50*kib)
				slow = append(slow, answer)
				time.Sleep(time.Millisecond)
			}
			for i := range 100 {
				if _, answer := b.post("/", 4*kib, 4*kib); <-answer != "200 4096" {
					t.Errorf("small request %d did not get in", i)
				}
			}
			if got := <-slow[0]; got != "503 "+ErrSlow.Error() {
				t.Errorf("the slowest got %q", got)
			}
			select {
			case got := <-slow[99]:
				t.Errorf("the last got %q", got)
			default:
			}
		})
	}
}

// Large requests wait for who is slow, and not for who is at work.
func TestLargeBodies(t *testing.T) {
	serveBodies(t, 1<<20, func(t *testing.T, b *bodies) {
		_, work := b.post("/work", 500*kib, 500*kib)
		half, slow := b.post("/", 500*kib, 300*kib)
		if _, answer := b.post("/", 500*kib, 300*kib); <-answer != "503 "+ErrFull.Error() {
			t.Error("there was room for a third")
		}
		if _, answer := b.post("/", 60*kib, 60*kib); <-answer != "200 61440" {
			t.Error("there was no room for a small one")
		}
		// What came at once buys it time: 236 KiB beyond the first 64.
		time.Sleep(236*time.Second/64 + patience - 1)
		if _, answer := b.post("/", 500*kib, 300*kib); <-answer != "503 "+ErrFull.Error() {
			t.Error("one that is fast enough gave way")
		}
		time.Sleep(time.Nanosecond)
		if _, answer := b.post("/", 500*kib, 500*kib); <-answer != "200 512000" {
			t.Error("the slow one did not give way")
		}
		if got := <-slow; got != "503 "+ErrSlow.Error() {
			t.Errorf("the slow one got %q", got)
		}
		half.Close()
		time.Sleep(5 * time.Minute)
		if _, answer := b.post("/", 900*kib, 900*kib); <-answer != "503 "+ErrFull.Error() {
			t.Error("there was room beside what is at work")
		}
		close(b.goOn)
		if got := <-work; got != "200 512000" {
			t.Errorf("what was at work got %q", got)
		}
		if _, answer := b.post("/", 1<<20, 1<<20); <-answer != "200 1048576" {
			t.Error("the largest one found no room")
		}
	})
}

// Clients share the room for large bodies: one that asks for much is not read before
// it may have it, for some seconds, and another one finds room.
func TestClientsShareLargeBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget, goOn := NewBudget(512*kib), make(chan struct{})
		h := budget.Bodies(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			counted, _ := r.Body.(*Body)
			if _, err := ReadBody(r.Body, counted, 100*kib); err != nil {
				*r.Context().Value(resultKey{}).(*error) = err
				return
			}
			<-goOn
		}))
		post := func(client string, length int64) (err *error, read *bytes.Reader, done chan struct{}) {
			err, read, done = new(error), bytes.NewReader(make([]byte, 100*kib)), make(chan struct{})
			ctx := context.WithValue(fair.As(t.Context(), client), resultKey{}, err)
			r := (&http.Request{ContentLength: length, Body: io.NopCloser(read)}).WithContext(ctx)
			go func() { defer close(done); h.ServeHTTP(httptest.NewRecorder(), r) }()
			synctest.Wait()
			return err, read, done
		}
		for range 3 {
			if _, read, _ := post("large", 100*kib); read.Len() != 0 {
				t.Fatal("it was not read")
			}
		}
		begin := time.Now()
		err, read, done := post("large", 100*kib)
		if _, read, _ := post("other", 100*kib); read.Len() != 0 {
			t.Error("another client found no room")
		}
		if <-done; !errors.Is(*err, ErrFull) || read.Len() != 100*kib || time.Since(begin) < roomPatience {
			t.Errorf("after %v, with %d of its bytes unread: %v", time.Since(begin), read.Len(), *err)
		}
		if err, _, done := post("large", -1); !errors.Is(*err, ErrFull) {
			t.Errorf("one that does not say how long it is: %v", *err)
		} else {
			<-done
		}
		err, read, done = post("large", 100*kib)
		close(goOn)
		if <-done; read.Len() != 0 || *err != nil {
			t.Error("it was not read when there was room:", *err)
		}
	})
}

type resultKey struct{}

// What is not read by ReadBody is counted as it arrives.
func TestBodiesAreCounted(t *testing.T) {
	synctest.Test(t, bodiesAreCounted)
}

func bodiesAreCounted(t *testing.T) {
	b := NewBudget(100 * kib)
	b.Bodies(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(r.Body)
		if !errors.Is(err, ErrFull) || len(data) > 125*kib || b.all != int64(len(data)) {
			t.Errorf("%d bytes, of which %d are counted: %v", len(data), b.all, err)
		}
	})).ServeHTTP(nil, &http.Request{Body: io.NopCloser(bytes.NewReader(make([]byte, 200*kib)))})
	if b.all != 0 || b.oldest != nil {
		t.Errorf("%d bytes are held", b.all)
	}
}

// watched sees what is reserved, and what has arrived.
type watched struct {
	t       *testing.T
	r       io.Reader
	body    *Body
	arrived int64
}

func (w *watched) Read(p []byte) (int, error) {
	if held := w.body.held; held < w.arrived+int64(len(p)) || held > 2*max(w.arrived, firstRead)+1 {
		w.t.Errorf("%d bytes are reserved when %d have arrived, for %d more", held, w.arrived, len(p))
	}
	n, err := w.r.Read(p)
	w.arrived += int64(n)
	return n, err
}

// TestReadBodyReserves the memory before it is taken, and not much before it is
// needed.
func TestReadBodyReserves(t *testing.T) {
	for _, size := range []int{0, 1, 4 * kib, 16 * kib, 16*kib + 1, 100 * kib, 1 << 20, 3<<20 + 7} {
		for _, most := range []int{size, 8 << 20} {
			of := &Body{holding: holding{of: NewBudget(0)}}
			data, err := ReadBody(&watched{t, strings.NewReader(strings.Repeat("x", size)), of, 0}, of, int64(most))
			if err != nil || string(data) != strings.Repeat("x", size) || int64(cap(data)) != of.held || cap(data) > max(2*size, firstRead)+1 {
				t.Errorf("of %d bytes, at most %d: %d, in a buffer of %d, with %d reserved: %v", size, most, len(data), cap(data), of.held, err)
			}
		}
	}
}
