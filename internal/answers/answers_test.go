package answers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"indelible/internal/fair"
)

// free is what a gate has left.
func (g *Gate) free() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.left
}

// working is how many places of a kind are taken.
func working(t *testing.T, g *Gate, k Kind) int {
	t.Helper()
	places := map[Kind]int{Light: lightPlaces, Heavy: HeavyPlaces()}[k]
	for n := range places {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		leave, err := g.Work(ctx, k)
		if err != nil {
			return places - n
		}
		defer leave()
	}
	return 0
}

// Few work, some wait, and the others are told at once.
func TestPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(0)
		leave, err := g.Work(t.Context(), Heavy)
		if err != nil {
			t.Fatal(err)
		}
		for range HeavyPlaces() - 1 {
			if _, err := g.Work(t.Context(), Heavy); err != nil {
				t.Fatal(err)
			}
		}
		begin := time.Now()
		results := make(chan error, waitHeavy)
		for i := range waitHeavy {
			go func() {
				_, err := g.Work(fair.As(t.Context(), strconv.Itoa(i)), Heavy)
				results <- err
			}()
		}
		synctest.Wait()
		if _, err := g.Work(t.Context(), Heavy); !errors.Is(err, ErrBusy) || time.Since(begin) != 0 {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		if leave, err := g.Work(t.Context(), Light); err != nil {
			t.Error(err)
		} else {
			leave()
		}
		leave()
		leave() // it is given back once
		got := 0
		for range waitHeavy {
			if <-results == nil {
				got++
			}
		}
		if got != 1 || time.Since(begin) != patience {
			t.Errorf("%d of those that waited got a place, after %v", got, time.Since(begin))
		}
	})
}

func TestMemory(t *testing.T) {
	g := New(1000)
	ctx, a := g.Begin(t.Context(), nil)
	leave, err := g.Answer(ctx, Light, 600)
	if err != nil {
		t.Fatal(err)
	}
	leave() // the answer has it
	if _, err := g.Answer(t.Context(), Light, 600); !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	if n := working(t, g, Light); n != 1 {
		t.Errorf("%d work", n)
	}
	a.Made()
	if n := working(t, g, Light); n != 0 || g.free() != 400 {
		t.Errorf("%d work, and %d bytes are left", n, g.free())
	}
	a.Done()
	a.Done()
	if g.free() != 1000 || g.writing.Len() != 0 {
		t.Errorf("%d bytes are left", g.free())
	}
	leave, err = g.Answer(t.Context(), Heavy, 600) // of no answer
	if err != nil || g.free() != 400 {
		t.Fatal(err, g.free())
	}
	if leave(); g.free() != 1000 || working(t, g, Heavy) != 0 {
		t.Errorf("%d bytes are left", g.free())
	}
}

func TestSharedMemoryCountsOnce(t *testing.T) { synctest.Test(t, sharedMemoryCountsOnce) }

func sharedMemoryCountsOnce(t *testing.T) {
	g := New(10 * small)
	s := &Shared{Bytes: 6 * small}
	var all []*Answer
	for range 3 {
		ctx, a := g.Begin(t.Context(), nil)
		if err := g.Share(ctx, s); err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	ctx, other := g.Begin(t.Context(), nil)
	if err := g.Share(ctx, &Shared{Bytes: 6 * small}); !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	if err := g.Share(ctx, &Shared{Bytes: small}); err != nil {
		t.Error(err)
	}
	other.Done()
	for i, a := range all {
		if g.free() != 4*small {
			t.Errorf("%d bytes are left while %d of 3 are written", g.free(), 3-i)
		}
		a.Done()
	}
	if g.free() != 10*small {
		t.Errorf("%d bytes are left", g.free())
	}
}

// begin begins an answer of a client.
func begin(t *testing.T, g *Gate, client string) (context.Context, *Answer) {
	return g.Begin(fair.As(t.Context(), client), nil)
}

// A client that asks for much waits for its own answers, and another one does not.
func TestClientsShareMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(16 * small)
		var first *Answer
		for i := range 2 {
			ctx, a := begin(t, g, "reader")
			if err := g.Share(ctx, &Shared{Bytes: 4 * small}); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				first = a
			}
		}
		ctx, _ := begin(t, g, "reader")
		if _, err := g.Hold(ctx, small); !errors.Is(err, ErrBusy) {
			t.Error("the reader has more than it leaves free:", err)
		}
		ctx, other := begin(t, g, "other")
		if _, err := g.Hold(ctx, 4*small); err != nil {
			t.Error("another client found no memory:", err)
		}
		other.Done()
		waited := make(chan error, 1)
		ctx, _ = begin(t, g, "reader")
		go func() { waited <- g.Share(ctx, &Shared{Bytes: 4 * small}) }()
		synctest.Wait()
		first.Done()
		if err := <-waited; err != nil {
			t.Error("memory that was given back went to nobody:", err)
		}
	})
}

// A client has half of the places to wait, and those of two clients take turns.
func TestClientsSharePlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(0)
		var order []string
		work := func(client string) (err error) {
			leave, err := g.Work(fair.As(t.Context(), client), Heavy)
			if err == nil {
				order = append(order, client)
				leave()
			}
			return err
		}
		var leaves []func()
		for range HeavyPlaces() {
			leave, err := g.Work(t.Context(), Heavy)
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, leave)
		}
		results := make(chan error, waitHeavy)
		ask := func(client string) {
			go func() { results <- work(client) }()
			synctest.Wait()
		}
		for range waitHeavy / 2 {
			ask("reader")
		}
		if err := work("reader"); !errors.Is(err, ErrBusy) {
			t.Error("one client takes every place to wait:", err)
		}
		ask("other")
		leaves[0]()
		synctest.Wait()
		for range waitHeavy/2 + 1 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if at := slices.Index(order, "other"); at > 1 {
			t.Errorf("another client waited for %d of one that came first", at)
		}
	})
}

// Heavy work leaves as much time as it took, while entries are added.
func TestHeavyWorkRests(t *testing.T) {
	for _, adding := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			g := New(0)
			g.Adding = func() bool { return adding }
			for range HeavyPlaces() {
				leave, err := g.Work(t.Context(), Heavy)
				if err != nil {
					t.Fatal(err)
				}
				time.AfterFunc(300*time.Millisecond, leave)
			}
			begin, want := time.Now(), 300*time.Millisecond
			if adding {
				want = 600 * time.Millisecond
			}
			leave, err := g.Work(t.Context(), Heavy)
			if took := time.Since(begin); err != nil || took != want {
				t.Errorf("adding: %v: the next began after %v: %v", adding, took, err)
				return
			}
			leave()
		})
	}
}

// A client that does not read holds its answer's memory until another wants it.
func TestUnreadAnswersAreCutOff(t *testing.T) {
	const size = 32 << 20 // more than sockets buffer
	g := New(size)
	written := make(chan error, 2)
	h := g.HTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := g.Answer(r.Context(), Heavy, size); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, err := w.Write(make([]byte, size))
		written <- err
	}))
	server := httptest.NewServer(h)
	defer server.Close()
	unread, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer unread.Close()
	fmt.Fprintf(unread, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if line, err := bufio.NewReaderSize(unread, 16).ReadString('\n'); err != nil || line != "HTTP/1.1 200 OK\r\n" {
		t.Fatal(line, err)
	}
	if n := working(t, g, Heavy); n != 0 {
		t.Errorf("%d work while one is written", n)
	}
	for busy := 0; ; busy++ {
		res, err := http.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode == http.StatusOK {
			if n != size || err != nil || busy == 0 {
				t.Errorf("%d bytes after %d refusals: %v", n, busy, err)
			}
			break
		}
		pause(t.Context())
	}
	if err := <-written; err == nil {
		t.Error("the answer that nobody read was written")
	}
}

func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Millisecond):
	}
}
