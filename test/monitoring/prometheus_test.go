package monitoring

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"indelible/internal/freeport"
)

// TestRules has promtool check the rules, and run what testdata says of them.
func TestRules(t *testing.T) {
	for _, args := range [][]string{{"check", "rules", deployed + "/rules.yaml"}, {"test", "rules", "testdata/rules_test.yaml"}} {
		if out, err := exec.CommandContext(t.Context(), "promtool", args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// empty has the expressions that find nothing on servers that do well, and why.
func empty() map[string]string {
	const healthy, calm = "no request of the test fails on the server's side", "no client of the test is told to come back later"
	return map[string]string{
		`indelible_requests_total{code=~"5..|Internal|Unavailable|DeadlineExceeded|DataLoss|Unknown|FailedPrecondition"}`: healthy,
		`indelible_requests_total{code=~"429|ResourceExhausted"}`:                                                         calm,
	}
}

// TestExpressions: on a log with one witness that cosigns and one that is away, the
// witness, and a monitor, each expression of a panel and each selector of a rule
// finds series, or is known to find none. All rules can be evaluated.
func TestExpressions(t *testing.T) {
	w := newWorld(t)
	w.log(t)
	w.prometheus(t)
	ask := map[string]string{} // and who asks
	for _, p := range panels(t) {
		for _, target := range p.Targets {
			ask[expression(target.Expr)] = fmt.Sprintf("%s: %q", p.board, p.Title)
		}
	}
	selector := regexp.MustCompile(`\b(indelible_[a-z_]+|up)\b(\{[^}]*\})?`)
	for _, r := range rules(t) {
		for _, s := range selector.FindAllString(r.Expr, -1) {
			ask[s] = r.Alert
		}
	}
	known := empty()
	for expr, who := range ask {
		if why, ok := known[expr]; ok {
			delete(known, expr)
			if n, err := w.query(expr); err != nil || n != 0 {
				t.Errorf("%s finds %d series, %v; it should find none, since %s", expr, n, err, why)
			}
			continue
		}
		eventually(t, who+" finds series with "+expr, func() error {
			w.busy(t)
			n, err := w.query(expr)
			if err == nil && n == 0 {
				err = errors.New("there are none")
			}
			return err
		})
	}
	for expr := range known {
		t.Errorf("nobody asks %s", expr)
	}
	var answer struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	if err := w.api("rules", nil, &answer); err != nil {
		t.Fatal(err)
	}
	evaluated := 0
	for _, g := range answer.Groups {
		for _, r := range g.Rules {
			evaluated++
			if r.Health != "ok" {
				t.Errorf("%s is %s: %s", r.Name, r.Health, r.LastError)
			}
		}
	}
	if want := len(rules(t)); evaluated != want {
		t.Errorf("Prometheus has %d rules, and the file %d", evaluated, want)
	}
}

// world is a log, its witness, a monitor, and a Prometheus that scrapes them.
type world struct {
	dir, http, grpc, admin             string
	witness, witnessAdmin, monitor, at string
	entries                            int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{dir: t.TempDir()}
	addrs, err := freeport.Addrs(7)
	if err != nil {
		t.Fatal(err)
	}
	for i, to := range []*string{&w.http, &w.grpc, &w.admin, &w.witness, &w.witnessAdmin, &w.monitor, &w.at} {
		*to = addrs[i]
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", w.dir, "./cmd/...")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return w
}

func (w *world) in(name string) string { return filepath.Join(w.dir, name) }

func (w *world) write(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(w.in(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return w.in(name)
}

// run runs one of our programs to its end.
func (w *world) run(t *testing.T, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), w.in(program), args...)
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+w.in("config"), "INDELIBLE_URL=https://"+w.http)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// start runs a program until the test ends.
func (w *world) start(t *testing.T, program string, args ...string) {
	t.Helper()
	said, err := os.Create(w.in(filepath.Base(program) + ".out"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		err := cmd.Wait()
		said.Close()
		if t.Failed() {
			t.Logf("%s: %v\n%s", program, err, read(t, said.Name()))
		}
	})
}

// log starts the log, with a certificate, its witness, and a monitor.
func (w *world) log(t *testing.T) {
	t.Helper()
	cert, key := w.certificate(t)
	encrypted := []string{"--tls-cert", cert, "--tls-key", key}
	log := []string{"--data-dir", w.in("data"), "--origin", "log.example"}
	vkey := regexp.MustCompile(`(?m)^  vkey +(\S+)$`).FindStringSubmatch(w.run(t, "logserver", append([]string{"init"}, log...)...))[1]
	one := strings.TrimSpace(w.run(t, "logwitness", "keygen", "--name", "w1", "--out", w.in("w1.key")))
	two := strings.TrimSpace(w.run(t, "logwitness", "keygen", "--name", "w2", "--out", w.in("w2.key")))
	w.start(t, w.in("logwitness"), append([]string{
		"serve", "--listen", w.witness, "--admin", w.witnessAdmin, "--data-dir", w.in("witness"), "--key", w.in("w1.key"),
		"--logs", w.write(t, "logs", "logs/v0\n\nvkey "+vkey+"\nqpd 86400\n"),
	}, encrypted...)...)
	policy := w.write(t, "policy", fmt.Sprintf("log %s\nwitness w1 %s https://%s\nwitness w2 %s http://127.0.0.1:1\nquorum w1\n", vkey, one, w.witness, two))
	w.start(t, w.in("logserver"), append(append(log, "--http", w.http, "--grpc", w.grpc, "--admin", w.admin, "--witness-policy", policy), encrypted...)...)
	eventually(t, "the log is ready", func() error {
		res, err := http.Get("http://" + w.admin + "/readyz")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return errors.New(res.Status)
		}
		return nil
	})
	w.busy(t)
	w.start(t, w.in("logcli"), "monitor", "https://"+w.http, "--log-key", vkey, "--state", w.in("state"), "--follow", "--metrics-listen", w.monitor, "--identity", "me@example.com", "--interval", "200ms")
}

// busy has an entry logged, and asks for what is not there.
func (w *world) busy(t *testing.T) {
	t.Helper()
	w.entries++
	name := fmt.Sprintf("artifact%d", w.entries)
	w.run(t, "logcli", "add", w.write(t, name, name))
	res, err := trusting(w.in("cert")).Get("https://" + w.http + "/nowhere")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
}

// prometheus starts Prometheus with the rules.
func (w *world) prometheus(t *testing.T) {
	t.Helper()
	here, err := filepath.Abs(deployed + "/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config := w.write(t, "prometheus.yaml", fmt.Sprintf(`global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: indelible
    static_configs: [{targets: [%q, %q, %q]}]
`, here, w.admin, w.witnessAdmin, w.monitor))
	w.start(t, "prometheus", "--config.file", config, "--storage.tsdb.path", w.in("tsdb"), "--web.listen-address", w.at, "--log.level", "warn")
	eventually(t, "Prometheus scrapes all of them", func() error {
		n, err := w.query("up == 1")
		if err == nil && n != 3 {
			err = fmt.Errorf("%d of 3", n)
		}
		return err
	})
}

// api asks Prometheus.
func (w *world) api(path string, query url.Values, data any) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+w.at+"/api/v1/"+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer := struct {
		Error string
		Data  any
	}{Data: data}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Error != "" {
		return errors.New(answer.Error)
	}
	return nil
}

// query is how many series an expression finds.
func (w *world) query(expr string) (int, error) {
	var found struct{ Result []any }
	err := w.api("query", url.Values{"query": {expr}}, &found)
	return len(found.Result), err
}

// eventually waits until f succeeds: far longer than anything takes.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	end := time.Now().Add(2 * time.Minute)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("never: %s: %v", what, err)
		}
		<-time.After(200 * time.Millisecond)
	}
}
