package server

import (
	"html/template"
	"net/http"
	"strconv"
)

// page is what a person sees who opens the log's address.
const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Origin}} – transparency log</title>
<style>
 body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem; color: #1a1a1a; background: #fff }
 h1 { font-size: 1.5rem; margin-bottom: 0 } p.sub { color: #555; margin-top: .2rem }
 pre { background: #f4f4f2; padding: .8rem 1rem; overflow-x: auto; border-radius: 6px; font-size: .9rem }
 dt { color: #555; font-size: .9rem } dd { margin: 0 0 .8rem 0; overflow-wrap: anywhere; font-family: ui-monospace, monospace; font-size: .95rem }
 @media (prefers-color-scheme: dark) { body { color: #e8e8e6; background: #161616 } pre { background: #242424 } p.sub, dt { color: #a5a5a0 } a { color: #8ab4f8 } }
</style>
<h1>{{.Origin}}</h1>
<p class="sub">An append-only transparency log. Every answer is a proof.</p>
<dl>
 <dt>Entries published</dt><dd>{{.Size}}</dd>
 {{range .Keys}}<dt>Verifier key</dt><dd>{{.}}</dd>{{end}}
</dl>
<p>Log a file, and verify it offline:</p>
<pre>logcli add --url {{.URL}} FILE
logcli verify FILE</pre>
<p>Audit all of it:</p>
<pre>logcli fsck --url {{.URL}}</pre>
<p>What is served here:</p>
<dl>
 <dt>the log's own API, over REST</dt><dd><a href="v1/entries">/v1/</a> (<a href="openapi.json">described</a>)</dd>
 <dt>C2SP tlog-tiles</dt><dd><a href="checkpoint">/checkpoint</a>, /tile/</dd>
 {{if .RekorV2}}<dt>Rekor v2, for cosign and other Sigstore clients</dt><dd>/api/v2/</dd>{{end}}
 {{if .RekorV1}}<dt>Rekor v1, for their older versions and rekor-cli</dt><dd><a href="api/v1/log">/api/v1/</a></dd>{{end}}
 <dt>what to trust: keys, and configuration for clients</dt><dd><a href="trust/">/trust/</a>, <a href="log.vkey">/log.vkey</a></dd>
</dl>
</html>
`

func landing(cfg Config) http.HandlerFunc {
	tmpl := template.Must(template.New("page").Parse(page))
	return func(w http.ResponseWriter, r *http.Request) {
		url := cfg.PublicURL
		if scheme := "http"; url == "" {
			if r.TLS != nil {
				scheme = "https"
			}
			url = scheme + "://" + r.Host
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		w.Header().Set("Cache-Control", "no-store")
		tmpl.Execute(w, struct {
			Origin, URL      string
			Keys             []string
			Size             string
			RekorV1, RekorV2 bool
		}{cfg.Origin, url, cfg.Keys, grouped(cfg.Size()), cfg.RekorV1 != nil, cfg.RekorV2 != nil})
	}
}

// grouped writes a number as people read it: 1,234,567.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
