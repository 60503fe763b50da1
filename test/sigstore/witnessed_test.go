package sigstore

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// witnessed prepares a log that signs with ML-DSA-44 beside Ed25519 and
// publishes only what a witness has cosigned, with both kinds of keys too: the
// most signature lines that a client of Sigstore's meets. It returns the flags
// that make a server be that log. The witness is logwitness.
func (w *world) witnessed() []string {
	w.t.Helper()
	dir := w.t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	var vkey string
	for line := range strings.Lines(w.must("logcli", "keygen", in("log.key"), "--origin", "localhost")) {
		if strings.Contains(line, "localhost+") {
			vkey = line[strings.Index(line, "localhost+"):]
		}
	}
	// The log is there before its server, as its witness must know its key.
	w.must("logserver", "init", "--adopt-key", "--data-dir", in("log"), "--origin", "localhost", "--log-key", in("log.key"))
	w.write("logs.txt", "logs/v0\nvkey "+vkey)
	ed := w.must("logwitness", "keygen", "--name", "witness.example/w1", "--out", in("ed.key"))
	pq := w.must("logwitness", "keygen", "--name", "witness.example/w1", "--mldsa", "--out", in("pq.key"))
	out := new(buffer)
	w.start(out, "logwitness", "serve", "--admin", anyPort, "--listen", anyPort, "--data-dir", in("witness"),
		"--key", in("ed.key"), "--key", in("pq.key"), "--logs", w.path("logs.txt"))
	url := said(w.t, out, `submission +(http://\S+)/add-checkpoint`)
	w.write("witnesses.txt", fmt.Sprintf("witness ed %s %s\nwitness pq %s %s\ngroup both 2 ed pq\nquorum both\n", strings.TrimSpace(ed), url, strings.TrimSpace(pq), url))
	return []string{"--data-dir", in("log"), "--log-key", in("log.key"), "--mldsa-key", in("mldsa.key"), "--witness-policy", w.path("witnesses.txt")}
}

// What newWorld's clients meet is what it says: all of the lines.
func TestWitnessed(t *testing.T) {
	w := newWorld(t)
	w.write("artifact", "true\n")
	w.must("logcli", "add", "artifact", "--url", w.url)
	res, err := http.Get(w.url + "/checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	note, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if log, witness := strings.Count(string(note), "— localhost "), strings.Count(string(note), "— witness.example/w1 "); log != 2 || witness != 2 {
		t.Errorf("%d lines by the log, %d by the witness; both have two:\n%s", log, witness, note)
	}
}
