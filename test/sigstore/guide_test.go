package sigstore

import (
	"crypto"
	"crypto/x509"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// section is a part of the guide, and its commands.
type section struct {
	title string
	sh    []string // the fenced blocks
	text  string   // of those that begin with what this machine does not have
}

var fence = regexp.MustCompile("(?ms)^## ([^\n]*)$|^```(sh|text)\n(.*?)^```$")

func guide(t *testing.T) (list []section) {
	t.Helper()
	text, err := os.ReadFile("../../docs/sigstore.md")
	if err != nil {
		t.Fatal(err)
	}
	fences := strings.Count(string(text), "```")
	for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
		if m[1] != "" {
			list = append(list, section{title: m[1]})
			continue
		}
		fences -= 2
		last := &list[len(list)-1]
		if m[2] == "text" {
			last.text += m[3]
			continue
		}
		last.sh = append(last.sh, m[3])
	}
	if fences != 0 {
		t.Errorf("the guide has %d fences of blocks that are neither sh nor text", fences)
	}
	return list
}

// TestGuide runs the guide's commands, as they are written except for the ports,
// one section after the other in one folder, with what the text says must be
// there. Where it speaks of cosign v2, cosign is that.
func TestGuide(t *testing.T) {
	sections := guide(t)
	server, sections := sections[0].sh[0], append([]section{{title: sections[0].title, sh: sections[0].sh[1:]}}, sections[1:]...)
	if server != "logserver --origin localhost\n" {
		t.Fatalf("the guide begins with %q, and the harness starts a server otherwise", server)
	}
	w := newServer(t)
	w.keyPair("leaf", newKey())
	a := newAuthority(t)
	w.authorityFiles(a, func(pub crypto.PublicKey) (*x509.Certificate, error) { return a.issuePlain(identity, pub) })
	w.write("witnesses.txt", "quorum none\n") // as the log has none
	images := newImages(t, true)
	env := []string{"IMAGE=" + images.push("app"), "IMAGE2=" + images.push("app2"), "TSA=" + a.url + "/api/v1/timestamp", "FULCIO=" + a.url}
	done := 0
	for _, s := range sections {
		for _, sh := range s.sh {
			done++
			t.Run(fmt.Sprintf("%s/%d", s.title, done), func(t *testing.T) {
				w.in(t).shell(s.title, strings.ReplaceAll(sh, "http://localhost:8080", w.url), env...)
			})
		}
	}
	if done < 10 {
		t.Errorf("only %d blocks of commands were found", done)
	}
}

var cosignCommand = regexp.MustCompile(`(?m)^cosign (?:sign|verify|attest)[a-z-]* `)

// TestGuideNewBundles is the guide's first section with cosign v2, told on every
// command to use the new bundle format.
func TestGuideNewBundles(t *testing.T) {
	w := newServer(t)
	image, changed := "IMAGE="+newImages(t, true).push("app"), 0
	for _, sh := range guide(t)[0].sh[1:] {
		sh = cosignCommand.ReplaceAllStringFunc(sh, func(c string) string { changed++; return c + "--new-bundle-format " })
		w.shell("cosign v2", strings.ReplaceAll(sh, "http://localhost:8080", w.url), image)
	}
	if changed < 8 {
		t.Errorf("only %d commands of cosign were found", changed)
	}
}

// TestGuideVersions: the guide names the versions of what runs here.
func TestGuideVersions(t *testing.T) {
	version := func(program string) string {
		info, err := buildinfo.ReadFile(filepath.Join(bin, program))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimPrefix(info.Main.Version, "v")
	}
	text := string(must1(os.ReadFile("../../docs/sigstore.md")))
	all := fmt.Sprintf("cosign %s, cosign %s and rekor-cli %s", version("cosign3"), version("cosign2"), version("rekor-cli"))
	if !strings.Contains(strings.Join(strings.Fields(text), " "), all) {
		t.Errorf("the guide's first words are not of %s", all)
	}
	library := regexp.MustCompile(`sigstore/sigstore-go v(\d+\.\d+)`).FindStringSubmatch(string(must1(os.ReadFile("go.mod"))))
	js := string(must1(os.ReadFile("js/package.json")))
	major := func(name string) string {
		return regexp.MustCompile(regexp.QuoteMeta(name) + `": "(\d+)`).FindStringSubmatch(js)[1]
	}
	for _, row := range []string{
		"| sigstore-go " + library[1] + " |",
		fmt.Sprintf("| sigstore-js (`@sigstore/sign` %s, `@sigstore/verify` %s) |", major("@sigstore/sign"), major("@sigstore/verify")),
	} {
		if !strings.Contains(text, row) {
			t.Errorf("the guide's table has no %s", row)
		}
	}
}

// shell runs commands as of a text with this title.
func (w *world) shell(title, sh string, env ...string) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), "bash", "-euc", sh)
	cmd.Dir, cmd.Env = w.dir, append(append(w.env(), "PATH="+w.cosign(title)+":"+bin+":/usr/local/bin:/usr/bin:/bin"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("%v\n%s\n%s", err, sh, out)
	}
}

// cosign is a folder in which cosign is the version that a section is about.
func (w *world) cosign(title string) string {
	program := "cosign3"
	if strings.Contains(title, "cosign v2") {
		program = "cosign2"
	}
	dir := w.t.TempDir()
	if err := os.Symlink(filepath.Join(bin, program), filepath.Join(dir, "cosign")); err != nil {
		w.t.Fatal(err)
	}
	return dir
}
