package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/internal/redact"
	"indelible/internal/transport"
	"indelible/page"
)

func (p *program) exploreCommand() *cobra.Command {
	listen := ""
	cmd := &cobra.Command{
		Use: "explore", Short: "Look entries up in a browser, on a page from this machine", Args: args(cobra.NoArgs),
		Long: "Serve the page on which entries are looked up and proven, from this machine. The\n" +
			"page of the log's own server proves nothing against that server; this one comes\n" +
			"with logcli, trusts the keys that logcli trusts, and reads the log through it.\n\n" +
			"It ends when it is interrupted.",
		Example: "  logcli explore --url https://log.example.com --log-key log.vkey\n" +
			"  logcli explore --policy policy.txt --listen 127.0.0.1:8093",
		RunE: func(cmd *cobra.Command, _ []string) error { return p.explore(cmd.Context(), listen) },
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "`ADDRESS` to serve on; port 0 is one that is free")
	return cmd
}

func (p *program) explore(ctx context.Context, listen string) error {
	e, err := p.explorer(ctx)
	if err != nil {
		return err
	}
	on, err := transport.Listen(listen, transport.Connections(transport.DefaultConnections, 1), nil)
	if err != nil {
		return err
	}
	e.local = on.Addr().(*net.TCPAddr).IP.IsLoopback()
	e.name = hostOf(listen)
	at := "http://" + on.Addr().String() + "/"
	if err := p.print(map[string]string{"url": at}, "Open %s in a browser. It shows log %s; Ctrl-C ends it.\n", at, oneLine(e.facts.Origin)); err != nil {
		return errors.Join(err, on.Close())
	}
	p.ending.Store(true) // what runs is waited for
	logger := slog.New(slog.NewTextHandler(p.stderr, nil))
	return transport.Servers{HTTP: transport.HTTPServer(e, p.timeout, logger), HTTPOn: on, Grace: time.Second}.Run(ctx)
}

// explorer serves the page, and what it reads of the log below /log/.
type explorer struct {
	client  *client.Client
	page    *page.Page
	facts   page.Facts
	timeout time.Duration
	local   bool   // it listens on a loopback address
	name    string // of this machine, if the user gave one to listen on
}

// explorer knows the log's keys, and opens its newest checkpoint.
func (p *program) explorer(ctx context.Context) (*explorer, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	logs, policy, err := p.givenLogs()
	if err != nil {
		return nil, err
	}
	cfg, given := client.Config{Keys: logs, Policy: policy}, "The log’s keys are those that you gave to logcli."
	if len(logs) == 0 {
		given = "The log’s keys are those that logcli remembers."
		if cfg.Keys, cfg.Origin, err = p.remembered(ctx); err != nil {
			return nil, err
		}
	}
	c, err := p.client(ctx, p.remembering(cfg))
	if err != nil {
		return nil, usage(err)
	}
	head, err := c.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	e := &explorer{client: c, page: page.New(), timeout: p.timeout, facts: page.Facts{
		Origin: head.Origin, URL: strings.TrimRight(redact.URL(p.url), "/"), Log: "log/", Files: page.Prefix, Keys: vkeysOf(cfg.Keys), Size: head.Size, Given: given,
	}}
	if p.policy != "" {
		text, err := readFile(p.policy, maxTrust)
		if err != nil {
			return nil, err
		}
		e.facts.Policy = string(text)
	}
	_, err = c.Fetch(ctx, "v1/checkpoint", checkpoint.MaxNoteSize*2)
	e.facts.Native = err == nil
	return e, nil
}

func vkeysOf(keys []checkpoint.Verifier) (list []string) {
	for _, k := range keys {
		list = append(list, k.String())
	}
	return list
}

// knows reports whether a request names this machine. A page elsewhere could have the
// name of its own server lead here, so a name must be the one that the user gave.
func (e *explorer) knows(hostport string) bool {
	host := hostOf(hostport)
	return isLoopback(hostport) || !e.local && (net.ParseIP(host) != nil || host != "" && strings.EqualFold(host, e.name))
}

// ServeHTTP answers GET and HEAD.
func (e *explorer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case e.knows(r.Host):
	case e.local:
		http.Error(w, "logcli explore answers browsers on this machine alone", http.StatusForbidden)
		return
	default:
		http.Error(w, "logcli explore does not know this name: open its IP address, or give the name to --listen", http.StatusForbidden)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD are answered here", http.StatusMethodNotAllowed)
		return
	}
	path := r.URL.EscapedPath()
	if path == "/" {
		e.page.Write(w, e.facts)
		return
	}
	if name, ok := strings.CutPrefix(path, "/"+page.Prefix); ok && e.page.File(w, r, name) {
		return
	}
	if name, ok := strings.CutPrefix(path, "/log/"); ok && isRead(name) {
		if r.URL.RawQuery != "" {
			name += "?" + r.URL.RawQuery
		}
		e.read(w, r, name)
		return
	}
	http.Error(w, "there is nothing here", http.StatusNotFound)
}

// hostOf is the host of an address, with or without a port.
func hostOf(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.Trim(hostport, "[]")
}

func isLoopback(hostport string) bool {
	host := hostOf(hostport)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// isRead reports whether a path is one that the page reads. Dots may be written in other
// ways, which the log's server, or a proxy in front of it, may take for dots.
func isRead(path string) bool {
	plain, err := url.PathUnescape(path)
	if err != nil || strings.ContainsAny(plain, "%\\") || strings.Contains(plain, "..") {
		return false
	}
	for _, prefix := range []string{"v1/", "tile/"} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return path == "checkpoint" || path == "openapi.json" || path == "api/v1/log/publicKey"
}

// maxRead bounds what the page reads at once, in bytes: a bundle of the largest
// entries.
const maxRead = 17 << 20

// read answers with what the log answers. The page proves it.
func (e *explorer) read(w http.ResponseWriter, r *http.Request, path string) {
	ctx, cancel := context.WithTimeout(r.Context(), e.timeout)
	defer cancel()
	head := w.Header()
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Cache-Control", "no-store")
	data, err := e.client.Fetch(ctx, path, maxRead)
	var status *client.StatusError
	switch {
	case err == nil:
		head.Set("Content-Type", "application/octet-stream")
		w.Write(data)
	case errors.As(err, &status):
		e.fail(w, status.Status, status.Message)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		e.fail(w, http.StatusGatewayTimeout, "the log did not answer in time")
	default:
		e.fail(w, http.StatusBadGateway, err.Error())
	}
}

func (e *explorer) fail(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(max(status, http.StatusBadRequest)) // a redirect is no answer
	data, err := json.Marshal(map[string]string{"message": message})
	if err != nil { // never, of a text
		data = []byte(`{"message":"the log does not answer"}`)
	}
	fmt.Fprintf(w, "%s\n", data)
}
