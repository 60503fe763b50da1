package browser

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"indelible/mirror"
)

// entries is how many a log has. Their tree has three levels of tiles' edges, and
// more than one bundle.
const entries = 3000

// TestLookups: everything that the page takes leads to the entry, proven.
func TestLookups(t *testing.T) {
	log := newLog(t)
	plain, flow := newSigner(t, nil), newSigner(t, workflow(t))
	var names []string
	for i := range entries {
		names = append(names, fmt.Sprintf("artifact %d", i))
	}
	first := plain.add(t, log, names...)
	var released []string
	for i := range 30 {
		released = append(released, fmt.Sprintf("release %d", i))
	}
	flow.add(t, log, released...)
	b := newBrowser(t)
	b.open(log+"/", nil)
	b.text("[data-verdict=proven]")

	const index = 1234
	artifact := file(t, "artifact", names[index])
	digest := sha256.Sum256([]byte(names[index]))
	leaf := hexOf(t, first[index].LeafHash)
	key := sha256.Sum256(flow.spki)
	asks(t, b, "index", "1234", func() { b.proven(index) })
	for name, what := range map[string]string{
		"leaf hash": leaf, "leaf hash in base64": first[index].LeafHash, "UUID of Rekor v1": strings.Repeat("0", 15) + "7" + leaf,
		"digest": "sha256:" + hex.EncodeToString(digest[:]), "digest alone": hex.EncodeToString(digest[:]),
	} {
		asks(t, b, name, what, func() { b.found(index) })
	}
	for name, what := range map[string]string{
		"e-mail": "releases@example.com", "URI": "https://github.com/example/app/.github/workflows/release.yml@refs/heads/main",
		"issuer": "https://token.actions.githubusercontent.com", "fingerprint": fmt.Sprintf("SHA256:%x", key),
	} {
		asks(t, b, name, what, func() {
			b.found(entries)
			if n := b.count("tr[data-index]"); n != 20 {
				t.Errorf("%s: %d entries on the first page", name, n)
			}
			b.do("evaluate", object{"code": "document.querySelector('#view .pages a').click()"})
			b.found(entries + 29)
		})
	}
	asks(t, b, "nothing", "nobody@example.com", func() {
		if got := b.text("[data-found=nothing]"); !strings.Contains(got, "no such entry") {
			t.Error(got)
		}
	})
	b.clear()
	b.do("files", object{"on": "#files", "paths": []string{artifact}})
	b.found(index)
	b.do("evaluate", object{"code": "document.querySelector('tr[data-index] a').click()"})
	b.proven(index)
	if got := b.text(".checks [data-check=asked]"); !strings.Contains(got, "what you searched for") {
		t.Error(got)
	}

	proof := file(t, "artifact.tlog-proof", b.download("#view a[download$='.tlog-proof']"))
	logcli(t, "verify", artifact, "--proof", proof, "--log-key", keyOf(t, log), "--any-signer")
	b.clear()
	b.do("files", object{"on": "#files", "paths": []string{artifact, proof}})
	if got := b.text("#verified [data-verdict]:not(.wait)"); !strings.Contains(got, "Verified: entry 1234 of log log.example") {
		t.Error(got)
	}
	asks(t, b, "an entry's signer", fmt.Sprint(entries+3), func() {
		b.proven(entries + 3)
		for _, want := range []string{"releases@example.com", "Source repository URI", "https://github.com/example/app", "refs/heads/main", "push", "the log’s word, not proven"} {
			if got := b.text("#view"); !strings.Contains(got, want) {
				t.Errorf("the page does not say %q: %s", want, got)
			}
		}
	})
	b.quiet()
}

// asks looks something up in a page whose last answer is cleared.
func asks(t *testing.T, b *browser, name, what string, check func()) {
	t.Helper()
	b.clear()
	b.do("evaluate", object{"code": "location.hash = '#/trust'"})
	b.text("#keys")
	b.do("evaluate", object{"code": "location.hash = '#/'"})
	b.text("#view h2")
	b.clear()
	b.lookUp(what)
	check()
}

func (b *browser) clear() {
	b.t.Helper()
	b.do("evaluate", object{"code": "document.getElementById('view').replaceChildren()"})
}

// found waits until an entry is among those found, proven.
func (b *browser) found(index int64) {
	b.t.Helper()
	if _, err := b.try("text", object{"on": fmt.Sprintf("tr[data-index='%d'] td.good", index)}); err != nil {
		b.t.Fatalf("entry %d is not found: %v: the page says: %s", index, err, b.text("main"))
	}
}

func (b *browser) download(on string) (text string) {
	b.t.Helper()
	b.decode(b.do("download", object{"on": on}), &text)
	return text
}

func keyOf(t *testing.T, log string) string {
	t.Helper()
	res, err := http.Get(log + "/log.vkey")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	key, _, _ := strings.Cut(string(data), "\n")
	return key
}

// TestMirror: against a mirror's tiles entries are found by index and proof file, and
// the page says what needs an index.
func TestMirror(t *testing.T) {
	log := newLog(t)
	s := newSigner(t, nil)
	s.add(t, log, "one", "two", "three")
	dir := filepath.Join(t.TempDir(), "copies")
	logcli(t, "mirror", log, dir, "--log-key", keyOf(t, log))
	url := start(t, ` at (http://127\.0\.0\.1:\d+)/<hex`, "logcli", "mirror", "serve", dir, "--listen", "127.0.0.1:0") + "/" + mirror.Folder("log.example") + "/"
	b := newBrowser(t)
	b.open(url, nil)
	b.text("[data-verdict=proven]")
	asks(t, b, "index", "1", func() { b.proven(1) })
	proof := file(t, "two.tlog-proof", b.download("#view a[download$='.tlog-proof']"))
	asks(t, b, "digest", "sha256:"+strings.Repeat("ab", 32), func() {
		if got := b.text("[data-verdict=trouble]"); !strings.Contains(got, "without an index") {
			t.Error(got)
		}
	})
	b.do("files", object{"on": "#files", "paths": []string{proof, file(t, "two", "two")}})
	if got := b.text("#verified [data-verdict]:not(.wait)"); !strings.Contains(got, "Verified: entry 1 of log log.example") {
		t.Error(got)
	}
	b.quiet()
}

// TestExplore: the page of one's own machine trusts the keys that were given.
func TestExplore(t *testing.T) {
	log := newLog(t)
	newSigner(t, nil).add(t, log, "one", "two")
	url := start(t, `Open (http://\S+/) in`, "logcli", "explore", "--url", log, "--log-key", keyOf(t, log))
	b := newBrowser(t)
	b.open(url, nil)
	b.text("[data-verdict=proven]")
	if got := b.text("footer"); !strings.Contains(got, "you gave to logcli") || strings.Contains(got, "proves nothing") {
		t.Error(got)
	}
	digest := sha256.Sum256([]byte("two"))
	asks(t, b, "digest", fmt.Sprintf("sha256:%x", digest), func() { b.found(1) })
	b.quiet()
}

// TestInsecure: over plain HTTP from another machine, where a browser has no
// cryptography for pages, files are hashed, piece by piece, and entries are proven.
func TestInsecure(t *testing.T) {
	log := newLog(t)
	content := strings.Repeat("0123456789abcdef", 1<<18) // 4 MiB: several pieces
	newSigner(t, nil).add(t, log, "other", content)
	b := newBrowser(t)
	b.open(strings.Replace(log, "127.0.0.1", "log.test", 1)+"/", nil)
	b.text("[data-verdict=proven]")
	var secure bool
	b.decode(b.do("evaluate", object{"code": "isSecureContext"}), &secure)
	if secure {
		t.Fatal("the browser takes the page for secure, so this tests nothing")
	}
	b.clear()
	b.do("files", object{"on": "#files", "paths": []string{file(t, "large", content)}})
	b.found(1)
	b.quiet()
}

// TestWithoutJavaScript: the facts are there.
func TestWithoutJavaScript(t *testing.T) {
	log := newLog(t)
	newSigner(t, nil).add(t, log, "one", "two")
	b := newBrowser(t)
	b.open(log+"/", object{"script": false})
	got := b.text("main")
	for _, want := range []string{"log.example", "needs JavaScript", keyOf(t, log), "Entries published\n2\n", "logcli add --url " + log, "/checkpoint"} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q: %s", want, got)
		}
	}
	if strings.Contains(got, "Look up an entry") {
		t.Error("it shows a form that does nothing")
	}
}

func hexOf(t *testing.T, base64 string) string {
	t.Helper()
	return hex.EncodeToString(decoded(t, base64))
}
