package transport_test

import (
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"indelible/internal/testkit"
	"indelible/internal/transport"
	"indelible/internal/transport/adminport"
)

// A certificate that was renewed wrongly is told of at once, though no client
// comes: in the log once, at /readyz and in the metrics for as long as it lasts.
func TestABrokenRenewalIsToldOf(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, certFile, keyFile string){
		"half a file": func(t *testing.T, certFile, _ string) { transport.Write(t, certFile, []byte("half")) },
		"gone":        func(_ *testing.T, certFile, _ string) { os.Remove(certFile) },
		"another key": func(t *testing.T, certFile, keyFile string) {
			transport.MakeCertificate(t, filepath.Join(t.TempDir(), "c"), keyFile, 9)
		},
		"key is empty": func(t *testing.T, _, keyFile string) { transport.Write(t, keyFile, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			certFile, keyFile := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
			transport.MakeCertificate(t, certFile, keyFile, 1)
			said := new(testkit.Buffer)
			synctest.Test(t, func(t *testing.T) {
				c, err := transport.LoadCertificates(certFile, keyFile, slog.New(slog.NewTextHandler(said, nil)))
				if err != nil {
					t.Fatal(err)
				}
				reg := prometheus.NewRegistry()
				adminport.RegisterCertificates(reg, c)
				handler := adminport.Handler(func() error { return nil }, reg, c.Warnings)
				shows := func(path, text string, want bool) {
					t.Helper()
					w := httptest.NewRecorder()
					handler.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
					if strings.Contains(w.Body.String(), text) != want || w.Code != 200 {
						t.Errorf("%s says %q: %v is wrong\n%d %s", path, text, !want, w.Code, w.Body)
					}
				}
				go c.Follow(t.Context())
				synctest.Wait()
				spoil(t, certFile, keyFile)
				time.Sleep(5*transport.CertificateAge + time.Second)
				synctest.Wait()
				if n := strings.Count(said.String(), "level=ERROR"); n != 1 {
					t.Errorf("%d errors in the log:\n%s", n, said)
				}
				shows("/readyz", "ok\nwarning: load the TLS certificate", true)
				shows("/metrics", "indelible_tls_reload_failed 1", true)
				transport.MakeCertificate(t, certFile, keyFile, 2)
				time.Sleep(transport.CertificateAge)
				synctest.Wait()
				shows("/readyz", "warning", false)
				shows("/metrics", "indelible_tls_reload_failed 0", true)
				if cert, _ := c.Get(); cert.Leaf.SerialNumber.Int64() != 2 || strings.Count(said.String(), "read again") != 1 {
					t.Errorf("serial %d\n%s", cert.Leaf.SerialNumber, said)
				}
			})
		})
	}
}

// Who has the files read again is told of broken ones, and the log is not, too.
func TestABrokenRenewalIsToldOfOnce(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	transport.MakeCertificate(t, certFile, keyFile, 1)
	said := new(testkit.Buffer)
	c, err := transport.LoadCertificates(certFile, keyFile, slog.New(slog.NewTextHandler(said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	transport.Write(t, certFile, []byte("half"))
	for range 2 {
		if err := c.Reload(); err == nil || !strings.Contains(err.Error(), certFile) {
			t.Error(err)
		}
	}
	if said.String() != "" || len(c.Warnings()) != 1 {
		t.Errorf("the log says too: %s; and the warnings are %q", said, c.Warnings())
	}
}

// An operator is warned before the certificate ends, and told when it has.
func TestTheEndOfACertificateIsToldOf(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	said := new(testkit.Buffer)
	synctest.Test(t, func(t *testing.T) {
		transport.MakeCertificate(t, certFile, keyFile, 1) // good for an hour before and after now
		c, err := transport.LoadCertificates(certFile, keyFile, slog.New(slog.NewTextHandler(said, nil)))
		if err != nil {
			t.Fatal(err)
		}
		reg := prometheus.NewRegistry()
		adminport.RegisterCertificates(reg, c)
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		want := float64(time.Now().Add(time.Hour).Unix())
		for _, f := range families {
			if f.GetName() == "indelible_tls_expiry_timestamp_seconds" && f.GetMetric()[0].GetGauge().GetValue() != want {
				t.Errorf("%v, not %v", f, want)
			}
		}
		go c.Follow(t.Context())
		for _, step := range []struct {
			after time.Duration
			says  string
		}{{time.Second, ""}, {35 * time.Minute, "expires at"}, {30 * time.Minute, "expired at"}} {
			time.Sleep(step.after)
			synctest.Wait()
			if got := strings.Join(c.Warnings(), "\n"); (got == "") != (step.says == "") || !strings.Contains(got, step.says) || !strings.Contains(said.String(), step.says) {
				t.Errorf("%q, not %q\n%s", got, step.says, said)
			}
		}
		if n := strings.Count(said.String(), "level=WARN"); n != 2 {
			t.Errorf("%d warnings:\n%s", n, said)
		}
	})
}
