package sigstore

import (
	"strings"
	"testing"
)

// TestSnippets runs the command lines that the log gives its clients, after
// replacing what stands there for the user's own.
func TestSnippets(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"cosign.key", "cosign.pub"} {
		w.write("trust/"+name, w.read(name))
	}
	w.write("trust/FILE", "a file\n")
	w.write("trust/PREDICATE.json", predicate)
	images := newImages(t, true)
	v3, v2, found := strings.Cut(w.read("trust/cosign.txt"), "# ---- cosign v2")
	if !found {
		t.Fatal("cosign.txt has no part for cosign v2")
	}
	for title, commands := range map[string]string{"cosign v3": v3, "cosign v2": "#" + v2} {
		t.Run(title, func(t *testing.T) {
			w := w.in(t)
			sh := strings.NewReplacer("IMAGE@DIGEST", images.push(title[len("cosign "):]), "TYPE", "slsaprovenance1").Replace(commands)
			w.shell(title, "cd trust\n"+sh)
		})
	}
	t.Run("logcli", func(t *testing.T) { w.in(t).shell("", "cd trust\n"+w.read("trust/logcli.txt")) })
}
