package sigstore

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// TestEarlyAnswers are those to requests whose bodies a server does not read, since
// they are too large, or go nowhere. Some clients send all of a request before they
// read the answer. All of them hear it.
func TestEarlyAnswers(t *testing.T) {
	w := newServer(t)
	witness := w.witness()
	for request, status := range map[string]int{
		"POST " + w.url + "/v1/entries": 413, "POST " + w.url + "/api/v1/log/entries": 413, "POST " + w.url + "/api/v2/log/entries": 413,
		"PUT " + w.url + "/checkpoint": 405, "POST " + w.url + "/nothing": 404,
		"POST " + witness + "/add-checkpoint": 413, "PUT " + witness + "/add-checkpoint": 405,
	} {
		method, url, _ := strings.Cut(request, " ")
		for _, size := range []int{8_400_000, 64_000_000} {
			for _, form := range []string{"length", "chunked"} {
				for client, run := range earlyClients() {
					t.Run(fmt.Sprint(request, " ", size, " ", form, " ", client), func(t *testing.T) {
						for _, answer := range run(form, method, url, size) {
							var got, length int
							if n, _ := fmt.Sscan(answer, &got, &length); n != 2 || got != status || length == 0 {
								t.Errorf("%s, instead of %d", answer, status)
							}
						}
					})
				}
			}
		}
	}
}

// witness starts a witness that knows no log.
func (w *world) witness() (url string) {
	w.t.Helper()
	dir, out := w.t.TempDir(), new(buffer)
	w.must("logwitness", "keygen", "--name", "witness.example/w1", "--out", filepath.Join(dir, "key"))
	w.start(out, "logwitness", "serve", "--admin", anyPort, "--listen", anyPort, "--data-dir", dir, "--key", filepath.Join(dir, "key"))
	return said(w.t, out, `submission +(http://\S+)/add-checkpoint`)
}

// earlyTimes is how often each client sends each request.
const earlyTimes = 2

// earlyClients return the answers to requests that they send.
func earlyClients() map[string]func(form, method, url string, size int) []string {
	command := func(program ...string) func(form, method, url string, size int) []string {
		return func(form, method, url string, size int) []string {
			args := append(program[1:], form, method, url, strconv.Itoa(size), strconv.Itoa(earlyTimes))
			out := must1(output(".", program[0], args...))
			return strings.Split(strings.TrimSpace(out), "\n")
		}
	}
	node, python := filepath.Join("early", "early.mjs"), filepath.Join("early", "early.py")
	return map[string]func(form, method, url string, size int) []string{
		"Go":                    earlyGo,
		"Node.js, fetch":        command("node", node, "fetch"),
		"Node.js, http.request": command("node", node, "request"),
		"Python, http.client":   command("python3", python, "http.client"),
		"Python, urllib":        command("python3", python, "urllib"),
	}
}

func earlyGo(form, method, url string, size int) (answers []string) {
	for range earlyTimes {
		answers = append(answers, earlyAnswer(form, method, url, size))
	}
	return answers
}

func earlyAnswer(form, method, url string, size int) string {
	var body io.Reader = bytes.NewReader(make([]byte, size))
	if form == "chunked" {
		body = io.MultiReader(body)
	}
	req := must1(http.NewRequest(method, url, body))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(res.StatusCode, " ", len(text))
}

// TestLargeEntries of the sizes that the guide says fit, and larger ones.
func TestLargeEntries(t *testing.T) {
	w := newWorld(t)
	key := newKey()
	w.keyPair("large", key)
	sign := func(message []byte) []byte {
		digest := sha256.Sum256(message)
		return must1(ecdsa.SignASN1(rand.Reader, key, digest[:]))
	}
	envelope := func(size int) {
		payload := fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","predicate":"%s"}`, strings.Repeat("x", size))
		w.write("large", string(must1(json.Marshal(object{
			"payloadType": "application/vnd.in-toto+json", "payload": payload,
			"signatures": []object{{"sig": sign(dsse.PAE("application/vnd.in-toto+json", payload))}},
		}))))
	}
	artifact := func(size int) {
		data := strings.Repeat("x", size)
		w.write("large", data)
		w.write("large.sig", string(sign([]byte(data))))
	}
	guide := string(must1(os.ReadFile("../../docs/sigstore.md")))
	for _, c := range []struct {
		kind  string
		fits  string
		most  int
		write func(size int)
		flags []string
	}{
		{"dsse", "a payload of 6 MiB", 6 << 20, envelope, nil},
		{"intoto:0.0.2", "a payload of 4.5 MiB", 9 << 19, envelope, nil},
		{"rekord", "a file of 6 MiB", 6 << 20, artifact, []string{"--pki-format", "x509", "--signature", "large.sig"}},
	} {
		t.Run(c.kind, func(t *testing.T) {
			w := w.in(t)
			kind, _, _ := strings.Cut(c.kind, ":")
			if !regexp.MustCompile("(?m)^\\| `" + kind + "`.* \\| " + regexp.QuoteMeta(c.fits) + " \\|").MatchString(guide) {
				t.Errorf("the guide does not say that %s of %s fit", kind, c.fits)
			}
			upload := w.rekorCLI("upload", append([]string{"--type", c.kind, "--artifact", "large", "--public-key", "large.pub"}, c.flags...)...)
			c.write(c.most - 64<<10)
			w.must(upload...)
			c.write(c.most)
			w.refused("413|Request Entity Too Large", upload...)
		})
	}
}
