// Package trustfiles serves the files that package trust makes: what clients
// need to trust the log.
//
//	GET /trust/                    a page that says what there is
//	GET /trust/trusted_root.json   and each of the others by its name
//
// They hold the log's URL. It is the operator's, or else the one the client
// used itself: its Host header, and https if the connection is TLS here. What a
// proxy says in X-Forwarded-Host is not believed, since whoever asks can say
// it too. For the same reason no cache may keep an answer.
package trustfiles

import (
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"

	"indelible/server/failure"
	"indelible/trust"
)

// Prefix is where the files are.
const Prefix = "/trust/"

// New makes the handler of everything under Prefix. The function makes the
// files for a log that clients reach under a URL; publicURL, if it is not
// empty, is that URL for all of them.
func New(files func(url string) ([]trust.File, error), publicURL string) http.Handler {
	return &handler{files: files, publicURL: publicURL, page: template.Must(template.New("page").Parse(page))}
}

type handler struct {
	files     func(url string) ([]trust.File, error)
	publicURL string
	page      *template.Template
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		failure.Write(w, http.StatusMethodNotAllowed, codes.Unimplemented, fmt.Sprintf("%.200s takes GET and HEAD, and not %.20q", path, r.Method))
		return
	}
	files, err := h.files(h.url(r))
	if err != nil {
		h.refuse(w, err)
		return
	}
	name, _ := strings.CutPrefix(path, Prefix)
	i := slices.IndexFunc(files, func(f trust.File) bool { return f.Name == name })
	switch {
	case name == "":
		h.index(w, h.url(r), files)
	case i < 0:
		failure.Write(w, http.StatusNotFound, codes.NotFound, fmt.Sprintf("there is nothing at %.200q; %s lists what there is", path, Prefix))
	default:
		header(w, files[i].Type)
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Write(files[i].Data)
	}
}

// url is the log's URL as this client knows it.
func (h *handler) url(r *http.Request) string {
	switch {
	case h.publicURL != "":
		return h.publicURL
	case r.TLS != nil:
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// refuse answers when the files cannot be made. If the URL came with the
// request, it is at fault: the keys were good when the server started.
func (h *handler) refuse(w http.ResponseWriter, err error) {
	if h.publicURL == "" {
		failure.Write(w, http.StatusBadRequest, codes.InvalidArgument, err.Error())
		return
	}
	failure.Write(w, http.StatusInternalServerError, codes.Internal, err.Error())
}

func header(w http.ResponseWriter, contentType string) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
}

func (h *handler) index(w http.ResponseWriter, url string, files []trust.File) {
	header(w, "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	h.page.Execute(w, struct {
		URL   string
		Files []trust.File
	}{url, files})
}

const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>How to trust this log</title>
<style>
 body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem; color: #1a1a1a; background: #fff }
 h1 { font-size: 1.5rem } dd { margin: 0 0 .8rem 0 } dt { font-family: ui-monospace, monospace; font-size: .95rem }
 pre { background: #f4f4f2; padding: .8rem 1rem; overflow-x: auto; border-radius: 6px; font-size: .9rem }
 @media (prefers-color-scheme: dark) { body { color: #e8e8e6; background: #161616 } pre { background: #242424 } a { color: #8ab4f8 } }
</style>
<h1>How to trust this log</h1>
<p>Files for clients that reach the log as {{.URL}}.</p>
<dl>
{{range .Files}} <dt><a href="{{.Name}}">{{.Name}}</a></dt><dd>{{.About}}</dd>
{{end}}</dl>
<p>Whoever gives you these files decides which log you trust. Have the log's key confirmed
by its operator in another way. Then let logcli fetch them, and compare:</p>
<pre>logcli trust export --url {{.URL}} --log-key VKEY --dir trust</pre>
<p><a href="../">the log</a></p>
</html>
`
