package transport

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var quiet = slog.New(slog.DiscardHandler)

// longest is how long an answer may take to make.
const longest = 10 * time.Minute

// pipes is a listener without a network, for the tests that stop the clock.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

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

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

// dripping sends a byte a second until the server has had enough, and returns
// how long that took and what it answered.
func dripping(t *testing.T, begin string, h http.Handler) (took time.Duration, answer string) {
	synctest.Test(t, func(t *testing.T) {
		on := newPipes()
		s := HTTPServer(h, longest, quiet)
		go s.Serve(on)
		conn := on.dial()
		start := time.Now()
		if _, err := io.WriteString(conn, begin); err != nil {
			t.Fatal(err)
		}
		read := make(chan string)
		go func() {
			all, _ := io.ReadAll(conn)
			read <- string(all)
		}()
		for took = 0; took < 10*time.Minute; took = time.Since(start) {
			time.Sleep(time.Second)
			conn.SetWriteDeadline(time.Now().Add(time.Second))
			if _, err := io.WriteString(conn, "x"); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
		}
		answer = <-read
		conn.Close()
		s.Close()
	})
	return took, answer
}

func TestSlowHeadersAreCut(t *testing.T) {
	took, _ := dripping(t, "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", http.NotFoundHandler())
	if took > readHeaderTimeout+5*time.Second {
		t.Fatalf("after %v", took)
	}
}

func TestSlowBodiesAreCut(t *testing.T) {
	var read error
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, read = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusRequestTimeout)
	})
	took, answer := dripping(t, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", h)
	if took > readTimeout+5*time.Second || !errors.Is(read, os.ErrDeadlineExceeded) || !strings.HasPrefix(answer, "HTTP/1.1 408") {
		t.Fatalf("after %v: %v, %q", took, read, answer)
	}
}

// TestSlowAnswersAreNotCut: neither the time to read a request nor the time to
// send an answer bounds the time to make it.
func TestSlowAnswersAreNotCut(t *testing.T) {
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			on := newPipes()
			s := HTTPServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				select {
				case <-r.Context().Done():
				case <-time.After(longest):
				}
				fmt.Fprint(w, string(body), err, r.Context().Err())
			}), longest, quiet)
			go s.Serve(on)
			conn := on.dial()
			if _, err := io.WriteString(conn, request); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(res.Body); err != nil || !strings.HasSuffix(string(body), "<nil> <nil>") {
				t.Errorf("%v: %q", err, body)
			}
			conn.Close()
			s.Close()
		})
	}
}

// TestAcceptEndsWithItsListener, also while a connection waits for a place.
func TestAcceptEndsWithItsListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		on := newPipes()
		l := limit(on, 1)
		go on.dial()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		connectionOf(c).answer()
		waiting := make(chan net.Conn, 1)
		go func() { waiting <- on.dial() }()
		time.AfterFunc(time.Hour, func() { l.Close() })
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v", err)
		}
		if _, err := (<-waiting).Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the connection is open: %v", err)
		}
	})
}

// certificate writes a new certificate's files.
func certificate(t *testing.T, certFile, keyFile string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "x"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	write(t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	stamp := time.Unix(1_700_000_000+serial, 0)
	if err := os.Chtimes(certFile, stamp, stamp); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTheCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	synctest.Test(t, func(t *testing.T) {
		c := &Certificates{certFile: certFile, keyFile: keyFile, log: quiet}
		if _, err := c.get(nil); err == nil {
			t.Fatal("no error without a file")
		}
		serial := func() int64 {
			cert, err := c.get(nil)
			if err != nil {
				t.Fatal(err)
			}
			return cert.Leaf.SerialNumber.Int64()
		}
		certificate(t, certFile, keyFile, 1)
		if n := serial(); n != 1 {
			t.Fatal(n)
		}
		certificate(t, certFile, keyFile, 2)
		if n := serial(); n != 1 {
			t.Fatalf("the files are looked at for every connection: %d", n)
		}
		time.Sleep(certificateAge)
		if n := serial(); n != 2 {
			t.Fatal(n)
		}
		write(t, certFile, []byte("half"))
		time.Sleep(certificateAge)
		if n := serial(); n != 2 {
			t.Fatal(n)
		}
	})
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	certificate(t, certFile, keyFile, 1)
	certs, err := LoadCertificates(certFile, keyFile, quiet)
	if err != nil {
		t.Fatal(err)
	}
	on, err := Listen("127.0.0.1:0", DefaultConnections, certs)
	if err != nil {
		t.Fatal(err)
	}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto, r.TLS != nil) })
	stop := running(t, Servers{HTTP: HTTPServer(h, longest, quiet), HTTPOn: on, Grace: time.Second})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	res, err := client.Get("https://" + on.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(res.Body); string(body) != "HTTP/2.0true" {
		t.Errorf("%s", body)
	}
	client.CloseIdleConnections()
	old := &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}
	if _, err := tls.Dial("tcp", on.Addr().String(), old); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if _, err := LoadCertificates(filepath.Join(dir, "none"), keyFile, quiet); err == nil {
		t.Error("no error for a certificate that is not there")
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	on, err := Listen("127.0.0.1:0", DefaultConnections, nil)
	if err != nil {
		t.Fatal(err)
	}
	return on
}

// running runs servers until stop is called, which returns what Run did.
func running(t *testing.T, s Servers) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		// As signal.NotifyContext does.
		cancel(errors.New("terminated signal received"))
		return <-done
	})
	t.Cleanup(func() { stop() })
	return stop
}

// TestLeaving: a client keeps its connection until the server is told to stop. Then the
// next answer ends it, over HTTP/1.1 and HTTP/2, and nothing is lost.
func TestLeaving(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	certificate(t, certFile, keyFile, 1)
	certs, err := LoadCertificates(certFile, keyFile, quiet)
	if err != nil {
		t.Fatal(err)
	}
	for _, http2 := range []bool{false, true} {
		on, err := Listen("127.0.0.1:0", DefaultConnections, certs)
		if err != nil {
			t.Fatal(err)
		}
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		var from []string
		s := HTTPServer(Leaving(ctx, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { from = append(from, r.RemoteAddr) })), longest, quiet)
		stop := running(t, Servers{HTTP: s, HTTPOn: on, Grace: time.Second})
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: http2}}
		for i := range 4 {
			if i == 2 {
				leave()
			}
			res, err := client.Post("https://"+on.Addr().String(), "", strings.NewReader("an entry"))
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
		}
		if from[1] != from[0] || from[2] != from[0] || from[3] == from[2] {
			t.Errorf("HTTP/2 %v: the requests came from %v", http2, from)
		}
		client.CloseIdleConnections()
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}

func TestRunWaitsForRunningRequests(t *testing.T) {
	began, finish := make(chan struct{}), make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(began)
		<-finish
		io.WriteString(w, "done")
	})
	on, admin := listen(t), listen(t)
	stop := running(t, Servers{
		HTTP: HTTPServer(h, longest, quiet), HTTPOn: on, Grace: time.Minute,
		Admin: HTTPServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), longest, quiet), AdminOn: admin,
	})
	answer := make(chan string)
	go func() {
		res, err := http.Get("http://" + on.Addr().String())
		if err != nil {
			answer <- err.Error()
			return
		}
		body, _ := io.ReadAll(res.Body)
		answer <- string(body)
	}()
	<-began
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	refused(t, on.Addr().String())
	select {
	case err := <-stopped:
		t.Fatalf("stopped under a running request: %v", err)
	default:
	}
	if res, err := http.Get("http://" + admin.Addr().String() + "/healthz"); err != nil || res.StatusCode != 200 {
		t.Errorf("the admin port went first: %v", err)
	}
	close(finish)
	if got := <-answer; got != "done" {
		t.Errorf("the running request got %q", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	refused(t, admin.Addr().String())
}

// refused waits until nobody listens at addr.
func refused(t *testing.T, addr string) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		c.Close()
	}
	t.Fatalf("%s still takes connections", addr)
}

func TestRunEndsWhatDoesNotEnd(t *testing.T) {
	began := make(chan struct{})
	h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
	})
	on := listen(t)
	stop := running(t, Servers{HTTP: HTTPServer(h, longest, quiet), HTTPOn: on, Grace: 50 * time.Millisecond})
	go http.Get("http://" + on.Addr().String())
	<-began
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// accepting stands in for a gRPC server: it accepts one connection.
type accepting struct{}

func (accepting) Serve(on net.Listener) error {
	_, err := on.Accept()
	return err
}
func (accepting) GracefulStop() {}
func (accepting) Stop()         {}

func TestRunReturnsTheFirstFailure(t *testing.T) {
	broken := newPipes()
	broken.Close()
	on := listen(t)
	err := Servers{
		HTTP: HTTPServer(http.NotFoundHandler(), longest, quiet), HTTPOn: on,
		GRPC: accepting{}, GRPCOn: broken, Grace: time.Second,
	}.Run(t.Context())
	if !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), "serve gRPC") {
		t.Errorf("%v", err)
	}
	refused(t, on.Addr().String())
}

func TestAPanicIsNotShown(t *testing.T) {
	var said bytes.Buffer
	h := HTTPServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a fault") }), longest, slog.New(slog.NewTextHandler(&said, nil))).Handler
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 500 || strings.Contains(w.Body.String(), "fault") || !strings.Contains(said.String(), "a fault") {
		t.Errorf("%d %s; the log says %q", w.Code, w.Body, said.String())
	}
}

func TestObserveHTTP(t *testing.T) {
	for _, want := range []int{200, 201, 404, 0} {
		got := -1
		h := ObserveHTTP(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			if want != 0 {
				w.WriteHeader(want)
			}
		}), func(_ *http.Request, a Answered) { got = a.Status })
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		if got != max(want, 200) {
			t.Errorf("%d was seen as %d", want, got)
		}
	}
}

func TestDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var said strings.Builder
		log := slog.New(slog.NewTextHandler(&said, nil))
		later, end := Delayed(ctx, time.Minute, log)
		defer end()
		cancel()
		begin := time.Now()
		<-later.Done()
		if took := time.Since(begin); took != time.Minute {
			t.Errorf("it ended after %s", took)
		}
		if !strings.Contains(said.String(), "delay=1m0s") {
			t.Errorf("the log has %q", said.String())
		}
		soon, end := Delayed(t.Context(), time.Hour, log)
		end()
		<-soon.Done()
	})
}
