package browser

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"indelible/checkpoint"
	"indelible/evidence"
	"indelible/mirror/sourcetest"
)

func decoded(t *testing.T, text string) []byte {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// saying is a handler that answers with these bytes.
func saying(data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.Write(data) }
}

func flipped(data []byte) []byte {
	data[len(data)-1] ^= 1
	return data
}

// TestLies: a browser saw the log's true tree of 600 entries. Then the log lies, and
// the page names the check that fails, and says of nothing that it is proven.
func TestLies(t *testing.T) {
	s := newSigner(t, nil)
	other := logOf(t, "log.example", s, "other", 700)
	stranger := logOf(t, "elsewhere.example", s, "stranger", 600)
	b := newBrowser(t)
	for name, lie := range map[string]struct {
		tell            func(l *tiles)
		check, contains string
	}{
		"another entry": {func(l *tiles) { l.Replace("tile/entries/000", saying(other.Resource("tile/entries/000"))) }, "leaf", "one of them is false"},
		"a cut bundle":  {func(l *tiles) { l.Replace("tile/entries/000", saying(l.Resource("tile/entries/000")[:999])) }, "entry", "not a bundle"},
		"no bundle":     {func(l *tiles) { l.Replace("tile/entries/000", http.NotFound) }, "entry", "404"},
		"another leaf tile": {func(l *tiles) {
			l.Replace("tile/entries/000", saying(other.Resource("tile/entries/000")))
			l.Replace("tile/0/000", saying(other.Resource("tile/0/000")))
		}, "inclusion", "do not lead"},
		"a changed leaf tile": {func(l *tiles) { l.Replace("tile/0/000", saying(flipped(l.Resource("tile/0/000")))) }, "inclusion", "do not lead"},
		"a changed tile":      {func(l *tiles) { l.Replace("tile/1/000.p/2", saying(flipped(l.Resource("tile/1/000.p/2")))) }, "inclusion", "do not lead"},
		"a short tile":        {func(l *tiles) { l.Replace("tile/1/000.p/2", saying(l.Resource("tile/1/000.p/2")[:32])) }, "inclusion", "has 1 hashes"},
		"a wrong path":        {func(l *tiles) { l.Replace("tile/0/002.p/88", saying(make([]byte, 88*32))) }, "inclusion", "do not lead"},
		"a wrong key":         {func(l *tiles) { l.Replace("checkpoint", saying(stranger.Note(600))) }, "checkpoint", "no log that you trust"},
		"a changed head": {func(l *tiles) {
			l.Replace("checkpoint", saying([]byte(strings.Replace(string(l.Note(600)), "\n600\n", "\n601\n", 1))))
		}, "checkpoint", "no log that you trust"},
		"no head":          {func(l *tiles) { l.Replace("checkpoint", saying([]byte("<html>"))) }, "checkpoint", "no log that you trust"},
		"an old head":      {func(l *tiles) { l.Grow(500) }, "extends", "rolled back"},
		"a forked head":    {func(l *tiles) { other.Grow(600); l.become(other) }, "extends", "two different trees of 600 entries"},
		"a fork that grew": {func(l *tiles) { other.Grow(700); l.become(other) }, "extends", "does not begin with the tree of 600"},
		"growth that is not proven": {func(l *tiles) {
			l.Grow(700)
			l.Replace("tile/0/002.p/188", saying(make([]byte, 188*32)))
		}, "extends", "do not lead"},
	} {
		t.Run(name, func(t *testing.T) {
			b := b.at(t)
			l := pageOf(t, logOf(t, "log.example", s, "true", 600))
			b.open(l.url+"/", nil)
			b.text("[data-verdict=proven]")
			lie.tell(l)
			b.do("goto", object{"url": l.url + "/#/entry/7"})
			got := b.text("#view [data-verdict=failed]")
			if !strings.Contains(got, "the "+lie.check+" check failed") || !strings.Contains(got, lie.contains) {
				t.Errorf("the page says: %s; want the check %s with %q", got, lie.check, lie.contains)
			}
			if n := b.count("[data-verdict=proven]"); n != 0 {
				t.Error("the page says that something is proven")
			}
			b.contradiction(lie.check, l)
			b.quiet()
		})
	}
}

// contradiction checks that both notes are there to download, and evidence where they
// prove something.
func (b *browser) contradiction(check string, l *tiles) {
	b.t.Helper()
	if check != "extends" {
		if b.count("[data-verdict=contradiction]") != 0 {
			b.t.Error("the page says that the log contradicts itself")
		}
		return
	}
	for _, note := range []string{"older", "newer"} {
		if got := b.download("#alarm a[download='" + note + ".checkpoint']"); !strings.HasPrefix(got, "log.example\n") {
			b.t.Errorf("the %s note is %q", note, got)
		}
	}
	if b.count("#alarm a[download='log.evidence']") == 0 {
		return
	}
	file := b.download("#alarm a[download='log.evidence']")
	if _, err := evidence.Verify([]byte(file), []checkpoint.Verifier{l.Key}); err != nil {
		b.t.Errorf("%v: %s", err, file)
	}
}

// TestEvidence: of a fork the page has a file that convinces others.
func TestEvidence(t *testing.T) {
	s := newSigner(t, nil)
	l := pageOf(t, logOf(t, "log.example", s, "true", 20))
	b := newBrowser(t)
	b.open(l.url+"/", nil)
	b.text("[data-verdict=proven]")
	l.become(logOf(t, "log.example", s, "other", 20))
	b.do("reload", nil)
	if got := b.text("#alarm [data-verdict]"); !strings.Contains(got, "does not extend the one that this browser remembers") {
		t.Error(got)
	}
	if _, err := evidence.Verify([]byte(b.download("#alarm a[download='log.evidence']")), []checkpoint.Verifier{l.Key}); err != nil {
		t.Error(err)
	}
	b.quiet()
}

// TestLyingIndex: an entry that the log names, and that is not what was asked for, is
// named; so are keys that are not those of before.
func TestLyingIndex(t *testing.T) {
	log := newLog(t)
	s := newSigner(t, nil)
	all := s.add(t, log, "one", "two", "three")
	lie := ""
	proxy := lying(t, log, func(path string, body []byte) []byte {
		switch {
		case lie == "lookup" && path == "/v1/entries:lookup", lie == "search" && path == "/v1/entries:search":
			return []byte(strings.Replace(string(body), `"index":"1"`, `"index":"2"`, 1))
		case lie == "keys" && path == "/":
			return []byte(strings.ReplaceAll(string(body), "data-keys=\"log.example", "data-keys=\"log.example+00000000+AQ==&#10;log.example"))
		}
		return body
	})
	b := newBrowser(t)
	b.open(proxy+"/", nil)
	b.text("[data-verdict=proven]")
	for name, what := range map[string]string{"lookup": hexOf(t, all[1].LeafHash), "search": "sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"} {
		lie = name
		asks(t, b, name, what, func() {
			if got := b.text("tr[data-index='2'] td.bad"); !strings.Contains(got, "asked") {
				t.Errorf("%s: %s", name, got)
			}
		})
	}
	lie = "keys"
	b.do("reload", nil)
	b.do("goto", object{"url": proxy + "/#/entry/1"})
	if got := b.text("[data-check=key]"); !strings.Contains(got, "other keys than the ones that this browser remembers") {
		t.Error(got)
	}
	b.quiet()
}

// TestHostile: texts that are markup, script, turned around or for a terminal are shown
// as texts.
func TestHostile(t *testing.T) {
	const markup = `"><img src=x onerror=window.hacked=1><script>window.hacked=1</script>`
	template := workflow(t)
	template.Subject.CommonName = "\u202eevil\u001b[31m" + markup
	template.EmailAddresses = []string{markup + "@example.com"}
	template.ExtraExtensions = append(template.ExtraExtensions, extension(t, 9, "\u202egnp.exe "+markup), extension(t, 99, "{{constructor}}"+markup))
	s := newSigner(t, template)
	l := sourcetest.New(t, "log.example", 0)
	l.Add(s.canonical(t, "artifact"))
	l.Add([]byte("raw \u001b[2J\u202e" + markup))
	l.Add([]byte("\xff\xfe\x00"))
	page := pageOf(t, l)
	b := newBrowser(t)
	b.open(page.url+"/", nil)
	b.text("[data-verdict=proven]")
	for index, want := range []string{`\u{202e}gnp.exe "><img src=x`, `raw \u{1b}[2J\u{202e}"><img`, "ff fe 00"} {
		b.do("goto", object{"url": page.url + "/#/entry/" + string(rune('0'+index))})
		b.text("#view [data-verdict=proven]")
		b.do("evaluate", object{"code": "document.querySelectorAll('details').forEach(d => { d.open = true; })"})
		if got := b.text("#view"); !strings.Contains(got, want) || strings.ContainsAny(got, "\u202e\u001b") {
			t.Errorf("entry %d: the page does not show %q: %s", index, want, got)
		}
	}
	b.do("goto", object{"url": page.url + "/#/find/" + `%3Cimg%20src=x%20onerror=window.hacked=1%3E`})
	b.text("#view [data-verdict=trouble]")
	var hacked json.RawMessage
	if hacked = b.do("evaluate", object{"code": "window.hacked ?? null"}); string(hacked) != "null" {
		t.Error("a text of the log was run")
	}
	if n := b.count("#view img, #view script"); n != 0 {
		t.Errorf("%d elements came from texts", n)
	}
	b.quiet()
}
