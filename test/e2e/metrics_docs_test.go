//go:build unix

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// metric is what docs/metrics.md says of a metric, or what a server shows.
type metric struct {
	kind   string              // counter, gauge or histogram
	labels map[string][]string // and their values
	text   string              // what the page says of it
}

// signature is what the page and a server must agree on.
func (m metric) signature() string {
	return m.kind + " {" + strings.Join(slices.Sorted(maps.Keys(m.labels)), ",") + "}"
}

// documentedMetrics reads the tables of docs/metrics.md, by heading.
func documentedMetrics(t *testing.T) map[string]map[string]metric {
	t.Helper()
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("^\\| `(indelible_[a-z_]+)(?:\\{([a-z,]+)\\})?` \\| (\\w+) \\| (.+) \\|$")
	heading, found := "", map[string]map[string]metric{}
	for line := range strings.Lines(string(page)) {
		line = strings.TrimSpace(line)
		if title, ok := strings.CutPrefix(line, "## "); ok {
			heading = title
		}
		m := row.FindStringSubmatch(line)
		if m == nil {
			if strings.HasPrefix(line, "| `indelible_") {
				t.Errorf("this row cannot be read: %s", line)
			}
			continue
		}
		labels := map[string][]string{}
		for name := range strings.SplitSeq(m[2], ",") {
			if name != "" {
				labels[name] = nil
			}
		}
		if found[heading] == nil {
			found[heading] = map[string]metric{}
		}
		if _, twice := found[heading][m[1]]; twice {
			t.Errorf("%s: %s stands there twice", heading, m[1])
		}
		found[heading][m[1]] = metric{m[3], labels, m[4]}
	}
	return found
}

// scraped reads the metrics of ours at a URL.
func scraped(url string) (map[string]metric, error) {
	res, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	label := regexp.MustCompile(`([a-z_]+)="((?:[^"\\]|\\.)*)"`)
	kinds, found := map[string]string{}, map[string]metric{}
	for line := range strings.Lines(string(body)) {
		if f := strings.Fields(line); len(f) == 4 && f[1] == "TYPE" {
			kinds[f[2]] = f[3]
		}
		name := line[:strings.IndexAny(line+" ", "{ ")]
		if kinds[name] == "" {
			name = regexp.MustCompile("_(bucket|sum|count)$").ReplaceAllString(name, "")
		}
		if !strings.HasPrefix(name, "indelible_") {
			continue
		}
		m, ok := found[name]
		if !ok {
			m = metric{kind: kinds[name], labels: map[string][]string{}}
			found[name] = m
		}
		for _, l := range label.FindAllStringSubmatch(line, -1) {
			if l[1] != "le" && !slices.Contains(m.labels[l[1]], l[2]) {
				m.labels[l[1]] = append(m.labels[l[1]], l[2])
			}
		}
	}
	return found, nil
}

// compareMetrics fails for a metric that is only there or only in the docs, for
// labels that differ, and for a value of a label with few values that the page
// does not name.
func compareMetrics(t *testing.T, who string, docs, shown map[string]metric) {
	t.Helper()
	for name, d := range docs {
		if m, ok := shown[name]; !ok {
			t.Errorf("%s does not show %s, which docs/metrics.md has", who, name)
		} else if m.signature() != d.signature() {
			t.Errorf("%s: %s is a %s, and in docs/metrics.md a %s", who, name, m.signature(), d.signature())
		}
	}
	for name, m := range shown {
		d, ok := docs[name]
		if !ok {
			t.Errorf("%s shows %s, which docs/metrics.md does not have", who, name)
		}
		for _, few := range []string{"step", "result", "reason", "what", "kind", "api", "program", "outcome"} {
			for _, v := range m.labels[few] {
				if !strings.Contains(d.text, "`"+v+"`") {
					t.Errorf("%s: %s has %s=%q, which docs/metrics.md does not name", who, name, few, v)
				}
			}
		}
	}
}

// certificateFiles makes a certificate for this machine, and has this process and
// those that it starts trust it.
func certificateFiles(t *testing.T) (cert, key string, trusting *http.Client) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "cert"), filepath.Join(t.TempDir(), "key")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("SSL_CERT_FILE", cert)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return cert, key, &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
}

// background runs a program until the test ends.
func background(t *testing.T, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(bins, program), args...)
	var said buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Logf("%s: %v\n%s", program, err, tail(said.String()))
		}
	})
}

// TestMetricsAreDocumented: a log with a certificate and a witness, the witness,
// and a monitor show what docs/metrics.md has, and nothing else.
func TestMetricsAreDocumented(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string) string {
		t.Helper()
		if err := os.WriteFile(in(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return in(name)
	}
	cert, key, trusting := certificateFiles(t)
	encrypted := []string{"--tls-cert", cert, "--tls-key", key}
	addrs := freeAddrs(t, 3)
	witness, witnessAdmin, monitor := addrs[0], addrs[1], addrs[2]

	log := []string{"--data-dir", in("data"), "--origin", origin, "--mldsa-key", in("mldsa.key")} // whose signature states a time
	out := must(t, nil, "logserver", append([]string{"init"}, log...)...)
	var vkeys string
	for _, m := range regexp.MustCompile(`(?m)^  vkey +(\S+)$`).FindAllStringSubmatch(out, -1) {
		vkeys += m[1] + "\n"
	}
	vkey, _, _ := strings.Cut(vkeys, "\n")
	cosigner := strings.TrimSpace(must(t, nil, "logwitness", "keygen", "--name", "witness.example/w1", "--out", in("key")))
	background(t, "logwitness", append([]string{
		"serve", "--listen", witness, "--admin", witnessAdmin, "--data-dir", in("witness"), "--key", in("key"),
		"--logs", write("logs", "logs/v0\n\nvkey "+vkey+"\nqpd 86400\n"),
	}, encrypted...)...)
	policy := write("policy", fmt.Sprintf("log %s\nwitness w1 %s https://%s\nquorum w1\n", vkey, cosigner, witness))
	s := newServer(t, append(append(log, "--witness-policy", policy, "--publish-to", in("published"), "--writers", write("writers", "rules: [{name: all, principals: [anyone]}]\n")), encrypted...)...)
	s.start()
	s.ready()
	res, err := trusting.Get("https://" + s.http + "/checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	must(t, []string{"XDG_CONFIG_HOME=" + in("config"), "INDELIBLE_URL=https://" + s.http}, "logcli", "add", write("artifact", "x"))
	background(t, "logcli", "monitor", "https://"+s.http, "--log-key", write("vkeys", vkeys), "--state", in("state"), "--follow", "--metrics-listen", monitor, "--identity", "me@example.com", "--interval", "100ms")

	docs := documentedMetrics(t)
	of := func(headings ...string) map[string]metric {
		all := map[string]metric{}
		for _, h := range headings {
			if len(docs[h]) == 0 {
				t.Errorf("docs/metrics.md has no table below %q", h)
			}
			maps.Copy(all, docs[h])
		}
		return all
	}
	for _, c := range []struct {
		who, admin string
		docs       map[string]metric
	}{
		{"logserver", s.admin, of("Every server", "logserver")},
		{"logwitness", witnessAdmin, of("Every server", "logwitness")},
		{"logcli monitor", monitor, of("logcli monitor")},
	} {
		url := "http://" + c.admin + "/metrics"
		eventually(t, c.who+" shows all of its metrics", func() error { // the first of some comes with time
			shown, err := scraped(url)
			if err != nil {
				return err
			}
			for name := range c.docs {
				if _, ok := shown[name]; !ok {
					return fmt.Errorf("docs/metrics.md has %s, which is not there", name)
				}
			}
			return nil
		})
		shown, err := scraped(url)
		if err != nil {
			t.Fatal(err)
		}
		compareMetrics(t, c.who, c.docs, shown)
	}
}
