package browser

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestPictures: each page is drawn narrow and wide, light and dark. It has no serious
// fault for people with disabilities, and fits 320 pixels.
func TestPictures(t *testing.T) {
	log := newLog(t)
	s := newSigner(t, workflow(t))
	var names []string
	for i := range 300 {
		names = append(names, fmt.Sprint("release ", i))
	}
	s.add(t, log, names...)
	lies := pageOf(t, logOf(t, "log.example", s, "true", 20))
	other := logOf(t, "log.example", s, "other", 30)
	pages := []struct{ name, url, ready string }{
		{"log", log + "/", "#view table"},
		{"entry", log + "/#/entry/123", "#view [data-verdict=proven]"},
		{"found", log + "/#/find/releases%40example.com", "#view table"},
		{"nothing", log + "/#/find/nobody%40example.com", "[data-found]"},
		{"verify", log + "/#/verify", "#view fieldset"},
		{"trust", log + "/#/trust", "#keys"},
		{"missing", log + "/#/entry/999", "#view [data-verdict=failed]"},
		{"forked", lies.url + "/#/entry/7", "#alarm [data-verdict]"},
	}
	b := newBrowser(t)
	for _, width := range []int{375, 1280} {
		for _, dark := range []bool{false, true} {
			b.open(log+"/", object{"width": width, "dark": dark})
			b.text("#view table")
			lies.become(logOf(t, "log.example", s, "true", 20))
			b.do("goto", object{"url": lies.url + "/"})
			b.text("[data-verdict=proven]")
			lies.become(other)
			for _, p := range pages {
				b.do("goto", object{"url": p.url})
				b.text(p.ready)
				b.do("evaluate", object{"code": "document.querySelectorAll('details').forEach(d => { d.open = true; })"})
				name := fmt.Sprintf("%s-%d-%s.png", p.name, width, map[bool]string{false: "light", true: "dark"}[dark])
				b.do("picture", object{"path": filepath.Join(t.ArtifactDir(), name)})
				for _, fault := range b.list("axe") {
					t.Errorf("%s: %s", name, fault)
				}
			}
		}
	}
	b.open(log+"/", object{"width": 320})
	for _, p := range pages[:len(pages)-1] {
		b.do("goto", object{"url": p.url})
		b.text(p.ready)
		var wide int
		if b.decode(b.do("evaluate", object{"code": "document.documentElement.scrollWidth"}), &wide); wide > 320 {
			t.Errorf("%s: at 320 pixels it is %d wide", p.name, wide)
		}
	}
}

// TestKeyboard: the page is used without a mouse.
func TestKeyboard(t *testing.T) {
	log := newLog(t)
	newSigner(t, nil).add(t, log, "one", "two")
	b := newBrowser(t)
	b.open(log+"/", nil)
	b.text("#view table")
	var order []string
	for range 7 {
		b.do("press", object{"key": "Tab"})
		var on string
		b.decode(b.do("evaluate", object{"code": "document.activeElement.id || document.activeElement.textContent.trim()"}), &on)
		order = append(order, on)
	}
	if got := strings.Join(order, ", "); got != "Skip to the content, transparency log, Log, Verify a file, Trust, what, Look up" {
		t.Error(got)
	}
	b.do("evaluate", object{"code": "document.getElementById('what').focus()"})
	b.clear()
	b.lookUp("1")
	b.proven(1)
	b.quiet()
}
