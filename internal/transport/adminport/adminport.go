// Package adminport is the admin port of a server: liveness, readiness, metrics and profiles.
package adminport

import (
	"fmt"
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"indelible/internal/transport"
)

// Handler answers what an operator's tools ask: /healthz (the process
// lives), /readyz (it can do its work; else why not), /metrics, /debug/pprof/.
// What warnings return, if there are any, follows the answer of /readyz, a line
// each: they do not make it fail.
func Handler(ready func() error, metrics *prometheus.Registry, warnings ...func() []string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if err := ready(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, err)
		} else {
			fmt.Fprintln(w, "ok")
		}
		for _, list := range warnings {
			for _, text := range list() {
				fmt.Fprintln(w, "warning:", text)
			}
		}
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// RegisterCertificates registers the metrics of a TLS certificate; nil has none.
func RegisterCertificates(reg *prometheus.Registry, certs *transport.Certificates) {
	if certs == nil {
		return
	}
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "indelible_tls_expiry_timestamp_seconds", Help: "When the TLS certificate in use expires, in POSIX seconds.",
	}, func() float64 {
		expires, _ := certs.State()
		return float64(expires.Unix())
	}), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "indelible_tls_reload_failed", Help: "1 while the newest files of the TLS certificate cannot be used, and an older certificate is.",
	}, func() float64 {
		if _, broken := certs.State(); broken {
			return 1
		}
		return 0
	}))
}
