package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A witness of 10,000 logs fits into 64 MiB, while it works for all of them, and
// while thousands of clients wear it down.
func TestMemory(t *testing.T) {
	logs := manyTrees(t, 10_000)
	s := newServer(t, logs)
	mustRun(t, "keygen", "--name", "w.example/1", "--mldsa", "--out", s.path("mldsa"))
	s.args = append(s.args, "--key", s.path("mldsa"))
	s.start()
	addToAll(t, s, logs)
	s.fits("working for all logs")
	t.Run("slow clients", func(t *testing.T) {
		slowClients(t, s, func() (net.Conn, error) { return net.Dial("tcp", s.listen) })
		s.want(logs[0].with("a"), 1, 200, "")
		s.fits("with slow clients")
	})
	s.stop()
	s.writeCertificate()
	s.start()
	t.Run("slow clients over TLS", func(t *testing.T) {
		slowClients(t, s, func() (net.Conn, error) {
			return tls.Dial("tcp", s.listen, &tls.Config{InsecureSkipVerify: true})
		})
		s.fits("with slow clients over TLS")
	})
	t.Run("no HTTP/2", func(t *testing.T) {
		tr := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		defer tr.CloseIdleConnections()
		res, err := (&http.Client{Transport: tr}).Post("https://"+s.listen+"/add-checkpoint", "text/plain", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.ProtoMajor != 1 || res.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s", res.Proto, res.Status)
		}
	})
	s.stop()
}

func addToAll(t *testing.T, s *server, logs []*tree) {
	var next atomic.Int64
	var all sync.WaitGroup
	begun := time.Now()
	for range 32 {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(logs)); i = next.Add(1) - 1 {
				if code, body, err := s.add(logs[i].with("a"), 0); err != nil || code != 200 {
					t.Errorf("%d %s %v", code, body, err)
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d logs in %s", len(logs), time.Since(begun).Round(time.Millisecond))
}

// fits checks how much memory the witness has had at most.
func (s *server) fits(when string) {
	s.t.Helper()
	const most = 64 << 10 // KiB
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var peak int
	if _, err := fmt.Sscan(rest, &peak); err != nil {
		s.t.Fatal(err)
	}
	s.t.Logf("%s: at most %d KiB of memory", when, peak)
	if peak > most {
		s.t.Errorf("%s: %d KiB of memory, over %d", when, peak, most)
	}
}

// slowClients opens many more connections than the witness keeps, each with a
// part of a request: of its headers, of a body that is small, of one that is not.
func slowClients(t *testing.T, s *server, dial func() (net.Conn, error)) {
	const clients = 2000
	begins := [][]byte{
		append([]byte("POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 16000\r\n\r\n"), make([]byte, 15_000)...),
		append([]byte("POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 190000\r\n\r\n"), make([]byte, 100_000)...),
		[]byte("POST /add-checkpoint HTTP/1.1\r\nHost: w\r\n" + strings.Repeat("A:\r\n", 1000)),
		[]byte("POST /add-checkpoint HTTP/1.1\r\nHost: w\r\n" + manyHeaders(1000)),
	}
	var next atomic.Int64
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for i := next.Add(1) - 1; i < clients; i = next.Add(1) - 1 {
				c, err := dial()
				if err != nil {
					continue // it was closed for another
				}
				t.Cleanup(func() { c.Close() })
				c.SetWriteDeadline(time.Now().Add(time.Minute))
				c.Write(begins[i%int64(len(begins))])
			}
		})
	}
	all.Wait()
}

func manyHeaders(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%x:\r\n", i)
	}
	return b.String()
}

// writeCertificate makes the witness one with TLS.
func (s *server) writeCertificate() {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "w"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		s.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := errors.Join(
		os.WriteFile(s.path("cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(s.path("key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600),
	); err != nil {
		s.t.Fatal(err)
	}
	s.args = append(s.args, "--tls-cert", s.path("cert.pem"), "--tls-key", s.path("key.pem"))
}
