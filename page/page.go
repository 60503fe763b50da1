// Package page is the page on which people look entries up and see them proven.
// It is plain HTML, CSS and JavaScript modules, and needs no other server.
//
// What never needs JavaScript, the facts of the log, is in the HTML (Write). The
// rest reads the log as any client does, from tiles and, where the log has it, the
// native API, and proves what it shows by package page/prover, compiled to
// WebAssembly: the same code as logcli verify. It is loaded when it is first needed.
//
// A page from the log's own server proves nothing against that server, and says so.
// logcli explore serves the same page from the reader's own machine.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Prefix is the folder, beside the page, that Files serves.
const Prefix = "page/"

// Facts are what a page says of its log.
type Facts struct {
	Origin string
	URL    string // of the log, for the commands; without a slash at the end
	Log    string // where the page reads the log: relative to the page, empty or with a slash at the end
	Files  string // where Files is: relative to the page, with a slash at the end
	Keys   []string
	Policy string // a tlog-policy that the reader gave; empty: none
	Size   int64
	// Given says who gave the keys and the policy, where the reader did; empty: this
	// server did, which is the one that they are to be compared with.
	Given   string
	Version string // of the program; empty: it is not said
	Health  string // why the log takes no entries; empty: it does, or that is not known
	Native  bool   // the native API is there; else only tiles are
	RekorV1 bool
	RekorV2 bool
	Trust   bool // /trust/ and /log.vkey are there
	Mirror  bool // it is a copy of the log: tiles alone
}

// security is what the page may do: its own files and the log beside it, and nothing
// else. WebAssembly is compiled, and nothing is evaluated.
const security = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

//go:embed page.html
var text string

//go:embed files
var files embed.FS

// Page writes pages.
type Page struct {
	page  *template.Template
	files map[string]file
}

type file struct {
	data      []byte
	kind, tag string
}

// New makes a Page.
func New() *Page {
	p := &Page{
		page:  template.Must(template.New("page").Funcs(template.FuncMap{"grouped": grouped, "list": func(s []string) string { return strings.Join(s, "\n") }}).Parse(text)),
		files: map[string]file{},
	}
	kinds := map[string]string{"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml", "gz": "application/gzip"}
	list, _ := fs.ReadDir(files, "files") // what is embedded can be read
	for _, e := range list {
		data, _ := fs.ReadFile(files, "files/"+e.Name())
		sum := sha256.Sum256(data)
		p.files[e.Name()] = file{data: data, kind: kinds[e.Name()[strings.LastIndexByte(e.Name(), '.')+1:]], tag: `"` + hex.EncodeToString(sum[:16]) + `"`}
	}
	return p
}

// Write answers with the page.
func (p *Page) Write(w http.ResponseWriter, f Facts) {
	var b bytes.Buffer
	if err := p.page.Execute(&b, f); err != nil { // never, of Facts
		http.Error(w, fmt.Sprintf("the page could not be written: %v", err), http.StatusInternalServerError)
		return
	}
	head := w.Header()
	head.Set("Content-Type", "text/html; charset=utf-8")
	head.Set("Content-Security-Policy", security)
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("Cache-Control", "no-store")
	w.Write(b.Bytes())
}

// File answers with one of the page's files, by its name, and reports whether there is
// such a file.
func (p *Page) File(w http.ResponseWriter, r *http.Request, name string) bool {
	f, ok := p.files[name]
	if !ok {
		return false
	}
	head := w.Header()
	head.Set("Content-Type", f.kind)
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Cache-Control", "no-cache") // it is asked again whether the file is the same
	head.Set("Etag", f.tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.data))
	return true
}

// grouped writes a number as people read it: 1,234,567.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
