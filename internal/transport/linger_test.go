package transport

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// earlyAnswers are those of a server that does not read its requests, or not to
// their end.
func earlyAnswers(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/closes":
		w.Header().Set("Connection", "close")
	case "/some":
		io.CopyN(io.Discard, r.Body, 300<<10)
	case "/limit":
		io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	}
	w.WriteHeader(http.StatusRequestEntityTooLarge)
	io.WriteString(w, "too large")
}

// heard sends all of a request, as Python's clients do, and reads the answer then.
func heard(conn net.Conn, head string, size int) error {
	defer conn.Close()
	if _, err := io.WriteString(conn, head); err != nil {
		return err
	}
	piece := []byte(strings.Repeat("x", 64<<10))
	if strings.Contains(head, "chunked") {
		piece = fmt.Appendf(nil, "%x\r\n%s\r\n", len(piece), piece)
	}
	for sent := 0; sent < size; sent += 64 << 10 {
		if _, err := conn.Write(piece); err != nil {
			return fmt.Errorf("after %d bytes: %w", sent, err)
		}
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode < 400 || len(body) == 0 {
		return fmt.Errorf("%s, %q, %w", res.Status, body, err)
	}
	return nil
}

// TestEarlyAnswersAreHeard also by a client that sends all of its request before
// it reads.
func TestEarlyAnswersAreHeard(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	certificate(t, certFile, keyFile, 1)
	plain := listen(t)
	certs, err := LoadCertificates(certFile, keyFile, quiet)
	if err != nil {
		t.Fatal(err)
	}
	secure, err := Listen("127.0.0.1:0", DefaultConnections, certs)
	if err != nil {
		t.Fatal(err)
	}
	running(t, Servers{HTTP: HTTPServer(http.HandlerFunc(earlyAnswers), longest, quiet), HTTPOn: plain, Grace: time.Second})
	running(t, Servers{HTTP: HTTPServer(http.HandlerFunc(earlyAnswers), longest, quiet), HTTPOn: secure, Grace: time.Second})
	dials := map[string]func() (net.Conn, error){
		"TCP": func() (net.Conn, error) { return net.Dial("tcp", plain.Addr().String()) },
		"TLS": func() (net.Conn, error) {
			return tls.Dial("tcp", secure.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		},
	}
	const size = 16 << 20
	t.Run("all", func(t *testing.T) {
		for name, dial := range dials {
			for _, path := range []string{"/", "/closes", "/some", "/limit", "/ bad"} {
				for _, length := range []string{fmt.Sprint("Content-Length: ", size), "Transfer-Encoding: chunked", "Transfer-Encoding: unknown"} {
					t.Run(name+path+" "+length, func(t *testing.T) {
						t.Parallel()
						conn, err := dial()
						if err == nil {
							err = heard(conn, "POST "+path+" HTTP/1.1\r\nHost: x\r\n"+length+"\r\n\r\n", size)
						}
						if err != nil {
							t.Error(err)
						}
					})
				}
			}
		}
	})
}

// halves are pipes whose sending side can be closed alone; the client does not see
// it.
type halves struct{ *pipes }

type half struct{ net.Conn }

func (half) CloseWrite() error { return nil }

func (h halves) Accept() (net.Conn, error) {
	c, err := h.pipes.Accept()
	if err != nil {
		return nil, err
	}
	return half{c}, nil
}

// lingering has a connection linger, on a clock of its own. It began at once.
func lingering(t *testing.T, do func(t *testing.T, on *pipes, conn net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		on := newPipes()
		s := HTTPServer(http.HandlerFunc(earlyAnswers), longest, quiet)
		go s.Serve(limit(halves{on}, 1))
		do(t, on, refusedOne(t, on))
		s.Close()
		time.Sleep(LingerTime + closing)
	})
}

// refusedOne is a client with an early answer, that is still sending.
func refusedOne(t *testing.T, on *pipes) net.Conn {
	t.Helper()
	conn := on.dial()
	if _, err := fmt.Fprintf(conn, "POST /closes HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", int64(1)<<40); err != nil {
		t.Fatal(err)
	}
	if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Fatal(res, err)
	}
	time.Sleep(closing) // net/http has left it
	return conn
}

// TestLingeringEnds, whatever a client does.
func TestLingeringEnds(t *testing.T) {
	for _, c := range []struct {
		name      string
		size      int64         // of each piece
		every     time.Duration // between pieces
		least     int64
		from, til time.Duration
	}{
		{"silent", 0, time.Second, 0, lingerSlack, lingerSlack},
		{"slow", 1000, time.Second, 4000, lingerSlack, lingerSlack},
		{"steady", leastRate, time.Second, 28 * leastRate, LingerTime, LingerTime},
		{"fast", 1 << 20, time.Millisecond, LingerBytes - 1<<20, 0, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			lingering(t, func(t *testing.T, _ *pipes, conn net.Conn) {
				begin, sent, piece := time.Now(), int64(0), make([]byte, c.size)
				for time.Since(begin) < time.Hour {
					n, err := conn.Write(piece)
					sent += int64(n)
					if err == nil && c.size == 0 {
						_, err = conn.Read(make([]byte, 1))
					}
					if err != nil {
						break
					}
					time.Sleep(c.every)
				}
				took := time.Since(begin) + closing - closing/2 // as long as net/http waited
				if sent < c.least || sent > LingerBytes+leastRate || took < c.from-time.Second || took > c.til+2*time.Second {
					t.Errorf("it ended after %d bytes and %s", sent, took)
				}
			})
		})
	}
}

// TestLingeringGivesWay: it keeps nobody out.
func TestLingeringGivesWay(t *testing.T) {
	lingering(t, func(t *testing.T, on *pipes, conn net.Conn) {
		begin := time.Now()
		refusedOne(t, on).Close()
		if took := time.Since(begin); took > patience+2*closing {
			t.Errorf("the next connection waited for %s", took)
		}
		if _, err := conn.Write([]byte("x")); err == nil {
			t.Error("it still has its place")
		}
	})
}

// TestTheEndWaitsForLingering connections, but for no longer than for requests; a
// request that runs then is not waited for any more.
func TestTheEndWaitsForLingering(t *testing.T) {
	const grace = 3 * time.Second
	for name, c := range map[string]struct {
		after time.Duration // when the client closes
		takes time.Duration
	}{"heard": {time.Second, time.Second}, "cut": {time.Hour, grace}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				on, read := newPipes(), make(chan error, 1)
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() {
					done <- Servers{HTTP: HTTPServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if r.URL.Path != "/reads" {
							earlyAnswers(w, r)
							return
						}
						_, err := io.ReadAll(r.Body)
						read <- err
					}), longest, quiet), HTTPOn: limit(halves{on}, 9), Grace: grace}.Run(ctx)
				}()
				if name == "cut" {
					fmt.Fprint(on.dial(), "POST /reads HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
				}
				conn := refusedOne(t, on)
				begin := time.Now()
				cancel()
				time.AfterFunc(c.after, func() { conn.Close() })
				err := <-done
				if took := time.Since(begin); err != nil || took < c.takes-time.Millisecond || took > c.takes+time.Second {
					t.Errorf("it ended after %s: %v", took, err)
				}
				if name == "cut" {
					if err := <-read; errors.Is(err, io.EOF) || err == nil {
						t.Errorf("the request that ran read %v", err)
					}
				}
				time.Sleep(closing)
			})
		})
	}
}
