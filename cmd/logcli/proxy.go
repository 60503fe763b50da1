package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"indelible/internal/redact"
	"indelible/internal/transport"
)

func (p *program) proxyCommand() *cobra.Command {
	listen := ""
	cmd := &cobra.Command{
		Use: "proxy", Short: "Give a log's other clients your token or certificate", Args: args(cobra.NoArgs),
		Long: "Pass requests to the log with your token, certificate and headers, for clients\n" +
			"that can send none: cosign, rekor-cli and the Sigstore libraries. They use the\n" +
			"proxy's address as the log's URL. It listens on this machine alone; all of the\n" +
			"machine's users can write through it, with your credentials.\n\n" +
			"It ends when it is interrupted.",
		Example: "  logcli proxy --url https://log.example.com --token-file ci.token\n" +
			"  rekor-cli upload --rekor_server http://127.0.0.1:PORT …",
		RunE: func(cmd *cobra.Command, _ []string) error { return p.proxy(cmd.Context(), listen) },
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "`ADDRESS` to serve on, of this machine; port 0 is one that is free")
	return cmd
}

func (p *program) proxy(ctx context.Context, listen string) error {
	to, err := url.Parse(p.url)
	if err != nil || to.Host == "" {
		return usagef("--url %q is not the URL of a log", redact.URL(p.url))
	}
	if !isLoopback(listen) {
		return usagef("--listen %q is not an address of this machine alone, such as 127.0.0.1:3000: others could write as you", listen)
	}
	on, err := transport.Listen(listen, transport.Connections(transport.DefaultConnections, 1), nil)
	if err != nil {
		return err
	}
	at := "http://" + on.Addr().(*net.TCPAddr).String()
	if err := p.print(map[string]string{"url": at}, "%s is %s with your credentials; Ctrl-C ends it.\n", at, redact.URL(p.url)); err != nil {
		return errors.Join(err, on.Close())
	}
	p.ending.Store(true) // what runs is waited for
	logger := slog.New(slog.NewTextHandler(p.stderr, nil))
	return transport.Servers{HTTP: transport.HTTPServer(p.passing(to, logger), p.timeout, logger), HTTPOn: on, Grace: time.Second}.Run(ctx)
}

// passing passes requests of programs on this machine to the log.
func (p *program) passing(to *url.URL, logger *slog.Logger) http.Handler {
	pass := &httputil.ReverseProxy{
		Transport: p.toLog, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Header.Del("Authorization")
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			logger.Warn("the log did not answer", "error", err)
			refusePassing(w, http.StatusBadGateway, fmt.Sprintf("logcli proxy: no answer from the log: %v", err))
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A page in a browser could otherwise write as the user.
		if r.Header.Get("Origin") != "" || !isLoopback(r.Host) {
			refusePassing(w, http.StatusForbidden, "logcli proxy answers programs on this machine alone, and no pages in browsers")
			return
		}
		pass.ServeHTTP(w, r)
	})
}

func refusePassing(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"code": status, "message": message})
}
