package page_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"indelible/page"
)

func written(f page.Facts) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	page.New().Write(rec, f)
	return rec
}

// TestFacts: the page says what is known without JavaScript, shows texts as texts,
// and runs nothing that is not a file of its own.
func TestFacts(t *testing.T) {
	rec := written(page.Facts{Origin: `<script>alert(1)</script>"'`, URL: "https://log.example", Files: page.Prefix, Keys: []string{"a+b+c", "d+e+f"}, Size: 1234567, Health: "no disk", Native: true, Version: "v1"})
	body := rec.Body.String()
	for _, want := range []string{"1,234,567", "a&#43;b&#43;c", "no disk", "logcli add --url https://log.example", "proves nothing against that server", "<main", "<nav", `lang="en"`} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if n := strings.Count(body, "<script"); n != 1 || strings.Contains(body, "<style") || regexp.MustCompile(`(?i)\s(style|on[a-z]+)=`).MatchString(body) {
		t.Errorf("%d scripts, or inline code:\n%s", n, body)
	}
	policy := rec.Header().Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none';") || strings.Contains(policy, "unsafe-inline") || strings.Contains(policy, "'unsafe-eval'") {
		t.Error(policy)
	}
	if strings.Contains(written(page.Facts{Given: "By you."}).Body.String(), "proves nothing against that server") {
		t.Error("a page of one's own machine warns of its server")
	}
}

// TestFiles: the files are small, known by a tag, and none asks anybody else.
func TestFiles(t *testing.T) {
	list, err := os.ReadDir("files")
	if err != nil {
		t.Fatal(err)
	}
	p, total := page.New(), 0
	for _, e := range list {
		rec := httptest.NewRecorder()
		if !p.File(rec, httptest.NewRequest("GET", "/", nil), e.Name()) || rec.Code != 200 || rec.Header().Get("Content-Type") == "" || rec.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", e.Name(), rec.Code, rec.Header())
		}
		again := httptest.NewRequest("GET", "/", nil)
		again.Header.Set("If-None-Match", rec.Header().Get("Etag"))
		same := httptest.NewRecorder()
		if p.File(same, again, e.Name()); same.Code != http.StatusNotModified {
			t.Errorf("%s: asked again, %d", e.Name(), same.Code)
		}
		if strings.HasSuffix(e.Name(), ".gz") {
			continue
		}
		total += rec.Body.Len()
		if e.Name() != "wasm_exec.js" && regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function`).Match(rec.Body.Bytes()) {
			t.Errorf("%s makes HTML or code from text", e.Name())
		}
	}
	if total > 150_000 {
		t.Errorf("the files have %d bytes; the limit is 150,000", total)
	}
	if p.File(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), "../page.go") {
		t.Error("it serves another file")
	}
}

// TestProver: the verifier is a program in WebAssembly of at most 3 MiB, compressed.
func TestProver(t *testing.T) {
	f, err := os.Open("files/prover.wasm.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() > 3<<20 {
		t.Errorf("%v, %v", err, info)
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var magic [4]byte
	if _, err := io.ReadFull(z, magic[:]); err != nil || string(magic[:]) != "\x00asm" {
		t.Errorf("%v, %q", err, magic)
	}
}
