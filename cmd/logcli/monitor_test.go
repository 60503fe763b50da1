package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"indelible/entry"
	"indelible/mirror/sourcetest"
)

// certified is an entry that a certificate of a name and an issuer signed.
func certified(t *testing.T, name, issuer string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), EmailAddresses: []string{name}, NotAfter: time.Now(),
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}, Value: []byte(issuer)}},
	}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(name))
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	e, err := entry.NewHashedRekord(entry.HashedRekord{Digest: digest[:], Signature: sig, Verifier: entry.Verifier{Certificate: cert}})
	if err != nil {
		t.Fatal(err)
	}
	return e.Canonical()
}

// watched is a log of tiles that is monitored.
type watched struct {
	*world
	log *sourcetest.Log
}

func newWatched(t *testing.T) *watched {
	w := &watched{newWorld(t), sourcetest.New(t, "tiles.example", 300)}
	w.log.Add(certified(t, "jane@example.com", "https://issuer.example"))
	w.log.Add(certified(t, "joe@example.com", "https://other.example"))
	return w
}

// monitor runs the monitor of the log.
func (w *watched) monitor(code int, args ...string) (stdout, stderr string) {
	w.t.Helper()
	return w.run(code, append([]string{"monitor", w.log.URL, "--log-key", w.log.Key.String()}, args...)...)
}

func TestMonitor(t *testing.T) {
	w := newWatched(t)
	out, _ := w.monitor(exitFound, "--identity", "Jane@example.com")
	says(t, out, "FOUND", "entry 300 matches identity Jane@example.com", "identity  jane@example.com", "issuer    https://issuer.example",
		"size 302", "Entries 0 to 301 were compared", "1 match, 1 of them new", "300 entries are of no known kind")
	out, _ = w.monitor(exitDone, "--identity", "Jane@example.com")
	says(t, out, "1 match, 0 of them new")
	state := func() []string { return []string{"--state", w.file(fmt.Sprint(time.Now().UnixNano()), "") + ".json"} }
	for _, test := range []struct {
		code int
		args []string
	}{
		{exitFound, []string{"--identity-glob", "*@example.com"}},
		{exitFound, []string{"--identity-regexp", "^j.+@example"}},
		{exitDone, []string{"--identity", "jane@example.com", "--issuer", "https://other.example"}},
		{exitFound, []string{"--issuer", "https://other.example"}},
		{exitDone, []string{"--identity-glob", "*@example.com", "--start", "now"}},
		{exitDone, []string{"--identity", "jane@example.com", "--start", "301"}},
		{exitFound, []string{"--digest", fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("joe@example.com")))}},
		{exitDone, []string{"--key", "SHA256:" + strings.Repeat("0", 64)}},
		{exitDone, []string{"--module", "example.com", "--domain", "example.com"}},
		{exitUsage, nil},
		{exitUsage, []string{"--identity-regexp", "("}},
		{exitUsage, []string{"--identity", "x", "--start", "-1"}},
		{exitUsage, []string{"--identity", "x", "--webhook", "http://127.0.0.1:1/"}},
		{exitUsage, []string{"--identity", "x", "--format", "nonsense"}},
	} {
		w.monitor(test.code, append(state(), test.args...)...)
	}
}

// A log that is down, and whose key is not known, is unreachable; one that answers,
// and does not say its key, is not for this command.
func TestMonitorWithoutAKey(t *testing.T) {
	w := newWatched(t)
	status := http.StatusBadGateway
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(status) }))
	ask := func(code int, url string) {
		t.Helper()
		out, errs := w.run(code, "monitor", url, "--identity", "x", "--timeout", "1s")
		says(t, out+errs, "the log's key is not known", "--log-key")
		if (code == exitUnasked) != strings.Contains(out, "UNREACHABLE") {
			t.Errorf("%s", out)
		}
	}
	ask(exitUnasked, server.URL)
	status = http.StatusNotFound
	ask(exitUsage, server.URL)
	server.Close()
	ask(exitUnasked, server.URL)
}

// Every alarm has its exit code.
func TestMonitorAlarms(t *testing.T) {
	w := newWatched(t)
	who := []string{"--identity", "nobody@example.com"}
	w.monitor(exitDone, who...)
	out, _ := w.monitor(exitStale, append(who, "--stale-after", "1ns")...)
	says(t, out, "STALE")
	w.log.Replace("checkpoint", func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "gone", http.StatusForbidden) })
	out, _ = w.monitor(exitUnasked, who...)
	says(t, out, "UNREACHABLE", "gone")
	w.log.Replace("checkpoint", func(rw http.ResponseWriter, _ *http.Request) { rw.Write([]byte("nonsense")) })
	out, _ = w.monitor(exitUnverified, who...)
	says(t, out, "FALSE", "checkpoint")
	w.log.Replace("checkpoint", nil)
	w.log.Add([]byte("x"))
	w.log.Replace("tile/entries/001.p/47", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	out, _ = w.monitor(exitBehind, append(who, "--for", "1s", "--state", w.dir+"/new.json")...)
	says(t, out, "BEHIND", "47 entries of 303", "47 entries are left")
	out, _ = w.monitor(exitBehind, append(who, "--for", "100ms")...)
	says(t, out, "1 entry of 303")
	w.log.Replace("tile/entries/001.p/47", nil)
	other := sourcetest.New(t, "tiles.example", 400)
	out, _ = w.run(exitForked, append([]string{"monitor", other.URL, "--log-key", other.Key.String()}, who...)...)
	says(t, out, "FORKED", "the evidence is ")
	_, path, _ := strings.Cut(out, "the evidence is ")
	path, _, _ = strings.Cut(path, "\n")
	w.run(exitDone, "evidence", "verify", path, "--log-key", other.Key.String())
}

// Nothing in a certificate makes a terminal do anything, or passes for a line.
func TestMonitorIsHarmless(t *testing.T) {
	w := newWatched(t)
	w.log.Add(certified(t, "evil@example.com", "https://x\x1b[2J\n2026 FORKED \u009b31m\u202e"))
	for _, output := range []string{"text", "json"} {
		out, _ := w.monitor(exitFound, "--identity", "evil@example.com", "-o", output, "--state", w.dir+"/"+output)
		if strings.ContainsAny(out, "\x1b\u009b\u202e") || strings.Contains(out, "\n2026 FORKED") {
			t.Errorf("%q", out)
		}
	}
}

func TestMonitorJSON(t *testing.T) {
	w := newWatched(t)
	out, _ := w.monitor(exitFound, "--issuer", "https://issuer.example", "-o", "json")
	var kinds []string
	for line := range strings.Lines(out) {
		var e struct {
			Kind  string
			Entry struct{ Index int64 }
			Next  int64
			Exit  int
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err, line)
		}
		kinds = append(kinds, fmt.Sprint(e.Kind, e.Entry.Index, e.Next, e.Exit))
	}
	if got := strings.Join(kinds, " "); got != "found300 0 0 report0 302 6" {
		t.Error(got)
	}
}

func TestMonitorConfig(t *testing.T) {
	w := newWatched(t)
	hooked := make(chan []byte, 10)
	secret := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, bytes.Repeat([]byte{7}, 32))
		fmt.Fprintf(mac, "%s.%s.%s", r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp"), body)
		if r.Header.Get("webhook-signature") == "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
			hooked <- body
		}
	}))
	defer hook.Close()
	config := w.file("monitor.yaml", fmt.Sprintf(`
urls: [%q]
log-key: %s
state: %s
webhook: %s
webhook-secret-file: %s
start: 1
patterns:
  - name: people of ours
    identity-glob: "*@example.com"
    issuer-regexp: ^https://(issuer|nobody)\.example$
  - domain: example.com
`, w.log.URL, w.log.Key, w.dir+"/s.json", hook.URL, w.file("secret", "whsec_"+secret+"\n")))
	out, _ := w.run(exitFound, "monitor", "--config", config)
	says(t, out, "entry 300 matches people of ours", "Entries 1 to 301", "1 match")
	select {
	case body := <-hooked:
		says(t, string(body), `"type":"log.events"`, `"patterns":["people of ours"]`, `"index":300`)
	default:
		t.Error("the webhook was not asked, or its signature does not verify")
	}
	for want, text := range map[string]string{
		"no setting \"nonsense\"": "nonsense: 1\n",
		"field idenity not found": "patterns: [{idenity: x}]\n",
		"second document":         "start: 1\n---\nstart: 2\n",
		"already defined":         "start: 1\nstart: 2\n",
		"stale-after \"1\"":       "stale-after: 1\n",
		"asks about 2 things":     "patterns: [{identity: x, domain: example.com}]\n",
		"output":                  "output: nonsense\n",
	} {
		_, errs := w.run(exitUsage, "monitor", "--config", w.file("bad.yaml", text), "--identity", "x")
		says(t, errs, want)
	}
}

// A MonitorConfig of Sigstore's names the log.
func TestMonitorSigstoreConfig(t *testing.T) {
	w := newWatched(t)
	// Rekor v2 has its tiles below /api/v2.
	server := httptest.NewServer(http.StripPrefix("/api/v2", w.log))
	defer server.Close()
	config := w.file("monitor.json", fmt.Sprintf(`{"rekorLogs":[
		{"readUrl":"http://127.0.0.1:1","logOrigin":"rekor.example - 1","majorApiVersion":1},
		{"readUrl":%q,"logOrigin":"tiles.example","majorApiVersion":2}],"ctLogs":[]}`, server.URL+"/"))
	args := []string{"monitor", "--sigstore-config", config, "--log-key", w.log.Key.String(), "--identity", "jane@example.com"}
	out, _ := w.run(exitFound, append(args, "--origin", "tiles.example")...)
	says(t, out, "entry 300")
	_, errs := w.run(exitUsage, args...)
	says(t, errs, "names 2 logs", `"rekor.example - 1"`, "give --origin")
	for _, bad := range []string{`{"rekorLogs":[{"readUrl":"x","logOrigin":"y","majorApiVersion":3}]}`, `{"nonsense":1}`, `{}`} {
		w.run(exitUsage, "monitor", "--sigstore-config", w.file("bad.json", bad), "--log-key", w.log.Key.String(), "--identity", "x")
	}
}

// A key in PEM needs the log's name beside it.
func TestMonitorBareKey(t *testing.T) {
	w := newWatched(t)
	der, err := x509.MarshalPKIXPublicKey(w.log.Key.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	key := w.file("log.pem", "-----BEGIN PUBLIC KEY-----\n"+base64.StdEncoding.EncodeToString(der)+"\n-----END PUBLIC KEY-----\n")
	_, errs := w.run(exitUsage, "monitor", w.log.URL, "--log-key", key, "--identity", "x")
	says(t, errs, "give --origin")
	w.run(exitFound, "monitor", w.log.URL, "--log-key", key, "--origin", "tiles.example", "--identity", "jane@example.com")
}

// A copy on disk is monitored like the log.
func TestMonitorCopy(t *testing.T) {
	w := newWatched(t)
	dir := w.dir + "/copy"
	w.run(exitDone, "mirror", w.log.URL, dir, "--log-key", w.log.Key.String())
	asked := w.log.Asked("")
	out, _ := w.run(exitFound, "monitor", dir, "--identity", "jane@example.com")
	says(t, out, "entry 300", "size 302")
	if w.log.Asked("") != asked {
		t.Error("the log was asked")
	}
	w.run(exitUsage, "monitor", w.dir, "--identity", "jane@example.com")
}

// closed is an output that takes nothing.
type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, errors.New("no space left") }

// What could not be printed is found again.
func TestMonitorOutputFails(t *testing.T) {
	w := newWatched(t)
	args := []string{"monitor", w.log.URL, "--log-key", w.log.Key.String(), "--identity", "jane@example.com"}
	getenv := func(name string) (string, bool) { v, ok := w.env[name]; return v, ok }
	if code := run(t.Context(), args, getenv, strings.NewReader(""), closed{}, io.Discard); code != exitUnasked {
		t.Errorf("exit code %d", code)
	}
	out, _ := w.run(exitFound, args...)
	says(t, out, "entry 300")
}
