package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"indelible/checkpoint"
)

// servesRekor makes the fake log answer as if it served both Rekor APIs, and
// returns the key of v1, in PEM and as its fingerprint.
func (w *world) servesRekor() (text, fp string) {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		w.t.Fatal(err)
	}
	text = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}))
	w.log.replace["/api/v1/log/publicKey"] = func(out http.ResponseWriter, _ *http.Request) { io.WriteString(out, text) }
	w.log.replace["/api/v2/checkpoint"] = func(out http.ResponseWriter, _ *http.Request) { io.WriteString(out, w.log.note().GetNote()) }
	return text, fingerprint(spki)
}

func TestTrustExport(t *testing.T) {
	w := newWorld(t)
	v1, fp := w.servesRekor()
	dir := filepath.Join(w.dir, "a", "trust")
	out, announced := w.run(exitDone, "trust", "export", "--dir", dir, "--public-url", "https://log.example/")
	says(t, out, "Log log.example at https://log.example. In "+dir, "✓ trusted_root.json ", "✓ policy-controller.yaml ", "logcli doctor --url "+w.url, "cosign.txt")
	says(t, announced, w.log.signer.Verifier().String(), fp, filepath.Join(w.dir, "config/indelible/logs"))
	if strings.Contains(out, "→") {
		t.Errorf("a warning where nothing is wrong:\n%s", out)
	}
	for name, want := range map[string]string{
		"trusted_root.json": `"baseUrl": "https://log.example"`, "signing_config.json": `"majorApiVersion": 2`, "log.vkey": w.log.signer.Verifier().String() + "\n",
		"rekor-v1.pem": v1, "rekor-v2.pem": "-----BEGIN PUBLIC KEY-----", "cosign.txt": "--rekor-url https://log.example ",
		"kyverno.yaml": "url: https://log.example\n", "policy-controller.yaml": "baseURL: https://log.example\n", "logcli.txt": "--url https://log.example ",
	} {
		path := filepath.Join(dir, name)
		data, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(data), want) {
			t.Errorf("%s: %v; no %q in\n%s", name, err, want, data)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o644 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%s: %v, %v", dir, info.Mode(), err)
	}
}

func TestTrustExportOverwritesNothing(t *testing.T) {
	w := newWorld(t)
	w.servesRekor()
	export := []string{"trust", "export", "--dir", w.dir}
	w.run(exitDone, export...)
	out, announced := w.run(exitDone, export...)
	says(t, out, "for cosign --signing-config. (as it was)")
	if announced != "" {
		t.Errorf("announced again: %s", announced)
	}
	config := w.file("signing_config.json", "mine")
	if err := os.Remove(filepath.Join(w.dir, "cosign.txt")); err != nil {
		t.Fatal(err)
	}
	_, errs := w.run(exitUsage, export...)
	says(t, errs, config, "--force")
	if _, err := os.Stat(filepath.Join(w.dir, "cosign.txt")); err == nil {
		t.Error("a file was written, although another could not be")
	}
	if data, err := os.ReadFile(config); err != nil || string(data) != "mine" {
		t.Errorf("%s was overwritten: %v", config, err)
	}
	w.run(exitDone, append(export, "--force")...)
	if data, err := os.ReadFile(config); err != nil || !strings.Contains(string(data), "mediaType") {
		t.Errorf("%s was not overwritten: %s, %v", config, data, err)
	}
}

func TestTrustExportOfAnotherLog(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	v1, fp := w.servesRekor()
	dir := filepath.Join(w.dir, "trust")
	export := []string{"trust", "export", "--dir", dir}
	_, errs := w.run(exitUnverified, append(export, "--log-key", other.log.signer.Verifier().String())...)
	says(t, errs, "that key is not among those given")
	_, errs = w.run(exitUnverified, append(export, "--rekor-v1-key", "SHA256:"+strings.Repeat("0", 64))...)
	says(t, errs, fp, "and not SHA256:000")
	w.run(exitUsage, append(export, "--rekor-v1-key", w.file("x", "x"))...)
	w.run(exitUsage, append(export, "--rekor-v1-key", w.file("x", "x")+"y")...)
	if _, err := os.Stat(dir); err == nil {
		t.Error("files were written of a log that is not trusted")
	}
	_, announced := w.run(exitDone, append(export, "--log-key", w.log.signer.Verifier().String(), "--rekor-v1-key", w.file("v1.pem", v1))...)
	if strings.Contains(announced, fp) {
		t.Errorf("a key that was given is announced: %s", announced)
	}

	w.run(exitDone, export...)
	w.servesRekor() // with another key
	_, errs = w.run(exitUnverified, export...)
	says(t, errs, "the key of Rekor v1 of log", fp, "delete that file")
	w.log.signer = other.log.signer
	_, errs = w.run(exitUnverified, export...)
	says(t, errs, "this is not the log that you used before")
}

func TestTrustExportChecksTheCheckpoint(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	w.log.replace["/checkpoint"] = func(out http.ResponseWriter, _ *http.Request) { io.WriteString(out, other.log.note().GetNote()) }
	w.run(exitUnverified, "trust", "export", "--dir", w.dir)
	w.run(exitUsage, "trust", "export")
	w.run(exitUsage, "trust")
	w.run(exitUsage, "trust", "nonsense")
	w.run(exitUsage, "trust", "export", "--dir", w.dir, "--public-url", "log.example")
	w.run(exitUnasked, "trust", "export", "--dir", w.dir, "--url", "http://127.0.0.1:1", "--timeout", "1s")
}

func TestTrustExportWithoutRekor(t *testing.T) {
	w := newWorld(t)
	out, _ := w.run(exitDone, "trust", "export", "--dir", w.dir, "-o", "json")
	var said struct {
		Origin, URL      string
		RekorV1, RekorV2 bool
		Files            []struct{ Name, Path, State string }
		Warnings         []struct {
			What, Do string
			Fatal    bool
		}
	}
	if err := json.Unmarshal([]byte(out), &said); err != nil {
		t.Fatal(err)
	}
	if said.Origin != "log.example" || said.URL != w.url || said.RekorV1 || said.RekorV2 || len(said.Files) != 5 || said.Files[0].State != "written" {
		t.Errorf("it says %s", out)
	}
	if len(said.Warnings) > 0 {
		t.Errorf("warnings of what Rekor v2's clients demand: %+v", said.Warnings)
	}
	w.servesRekor()
	out, _ = w.run(exitDone, "trust", "export", "--dir", filepath.Join(w.dir, "rekor"), "-o", "json")
	if err := json.Unmarshal([]byte(out), &said); err != nil || len(said.Warnings) != 2 || !said.Warnings[0].Fatal || said.Warnings[1].Fatal {
		t.Errorf("warnings of %s: %+v, %v", w.url, said.Warnings, err)
	}
	text, _ := w.run(exitDone, "trust", "export", "--dir", filepath.Join(w.dir, "rekor"))
	says(t, text, `origin is "log.example"`, "→ Let clients", "rekor-monitor")
	for line := range strings.Lines(text) {
		if len([]rune(line)) > 81 && strings.Contains(strings.TrimSpace(line), " ") && !strings.Contains(line, w.dir) {
			t.Errorf("wider than a terminal: %s", line)
		}
	}
}

// A signing config can have one API alone, as a log that is monitored needs.
func TestTrustExportOneAPI(t *testing.T) {
	w := newWorld(t)
	w.servesRekor()
	for api, without := range map[string]string{"v1": `"majorApiVersion": 2`, "v2": `"majorApiVersion": 1`} {
		dir := filepath.Join(w.dir, api)
		w.run(exitDone, "trust", "export", "--dir", dir, "--api", api)
		if cfg := read(t, filepath.Join(dir, "signing_config.json")); strings.Contains(cfg, without) || !strings.Contains(cfg, `"majorApiVersion"`) {
			t.Errorf("%s: %s", api, cfg)
		}
		says(t, read(t, filepath.Join(dir, "trusted_root.json")), "PKIX_ECDSA_P256_SHA_256", "PKIX_ED25519")
	}
	_, errs := w.run(exitUsage, "trust", "export", "--dir", w.dir, "--api", "v3")
	says(t, errs, "--api is v1 or v2")
	other := newWorld(t)
	_, errs = other.run(exitUsage, "trust", "export", "--dir", filepath.Join(other.dir, "x"), "--api", "v1")
	says(t, errs, "does not serve that API")
}

// Of a log's keys those that were given are enough, and the others are left out.
func TestAmongKeys(t *testing.T) {
	a, b := newWorld(t).log.signer.Verifier(), newWorld(t).log.signer.Verifier()
	var errs bytes.Buffer
	p := &program{output: "text", stderr: &errs}
	if list, err := p.amongKeys([]checkpoint.Verifier{a, b}, []checkpoint.Verifier{a}); err != nil || len(list) != 1 || !list[0].Equal(a) {
		t.Errorf("%v, %v", list, err)
	}
	says(t, errs.String(), "Left out: the log says that its key is "+b.String())
	if list, err := p.amongKeys([]checkpoint.Verifier{b}, []checkpoint.Verifier{a}); err == nil || code(err) != exitUnverified {
		t.Errorf("%v, %v", list, err)
	}
}
