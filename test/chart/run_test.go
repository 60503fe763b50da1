package chart

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	core "k8s.io/api/core/v1"

	"indelible/internal/freeport"
)

// node runs the containers of rendered pods as processes: each volume is a folder, and
// each port one of the loopback interface.
type node struct {
	programs string            // the folder of the programs
	root     string            // the folder of the volumes
	ports    map[string]string // the address in place of a port: ":8080" has 127.0.0.1:23456
	config   map[string]*core.ConfigMap
}

// newNode builds the programs as the images have them.
func newNode(t *testing.T) *node {
	t.Helper()
	n := &node{programs: t.TempDir(), root: t.TempDir(), ports: map[string]string{}, config: map[string]*core.ConfigMap{}}
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", n.programs+"/", "./cmd/...")
	build.Dir, build.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	known := []string{":8080", ":8081", ":8082", ":8090", ":8091", ":8092", ":9190"}
	addrs, err := freeport.Addrs(len(known))
	if err != nil {
		t.Fatal(err)
	}
	for i, port := range known {
		n.ports[port] = addrs[i]
	}
	return n
}

// keep puts a file into a secret.
func (n *node) keep(t *testing.T, secret, item string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(n.root, secret), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(n.root, secret, item), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// folders has the folder of each mount of a container. What a secret has of items that
// nobody kept is made up.
func (n *node) folders(t *testing.T, o object, c core.Container) map[string]string {
	t.Helper()
	pod, _, _ := o.pod()
	at := map[string]string{}
	for _, m := range c.VolumeMounts {
		name := o.meta.GetName() + "-" + m.Name
		i := slices.IndexFunc(pod.Volumes, func(v core.Volume) bool { return v.Name == m.Name })
		if i >= 0 && pod.Volumes[i].Secret != nil {
			name = pod.Volumes[i].Secret.SecretName
			for _, item := range pod.Volumes[i].Secret.Items {
				if _, err := os.Stat(filepath.Join(n.root, name, item.Path)); err != nil {
					n.keep(t, name, item.Path, []byte("user:password@tcp(db.example.com:3306)/log\n"))
				}
			}
		}
		if i >= 0 && pod.Volumes[i].ConfigMap != nil {
			for file, text := range n.config[pod.Volumes[i].ConfigMap.Name].Data {
				n.keep(t, name, file, []byte(text))
			}
		}
		if err := os.MkdirAll(filepath.Join(n.root, name), 0o700); err != nil {
			t.Fatal(err)
		}
		at[m.MountPath] = filepath.Join(n.root, name)
	}
	for _, f := range []string{"/etc/monitor/monitor.yaml"} { // a file that names other files
		if dir := at[filepath.Dir(f)]; dir != "" {
			text, err := os.ReadFile(filepath.Join(dir, filepath.Base(f)))
			if err != nil {
				t.Fatal(err)
			}
			n.keep(t, filepath.Base(dir), filepath.Base(f), []byte(n.moved(string(text), at)))
		}
	}
	return at
}

// moved puts folders and ports in the places of those that a container has.
func (n *node) moved(text string, at map[string]string) string {
	var mounts []string
	for m := range at {
		mounts = append(mounts, m)
	}
	slices.SortFunc(mounts, func(a, b string) int { return len(b) - len(a) })
	for _, m := range mounts {
		text = regexp.MustCompile(`(^|[^-/\w.])`+regexp.QuoteMeta(m)+`($|[^-\w])`).ReplaceAllString(text, "${1}"+at[m]+"${2}")
	}
	return regexp.MustCompile(`(?m)(^|[= ])(:\d{4})\b`).ReplaceAllStringFunc(text, func(s string) string {
		i := strings.Index(s, ":")
		return s[:i] + n.ports[s[i:]]
	})
}

// images are what the images set, as docs/containers.md says.
func images() map[string][]string {
	return map[string][]string{
		"logserver":  {"INDELIBLE_HTTP=:8080", "INDELIBLE_GRPC=:8081", "INDELIBLE_ADMIN=:8082", "INDELIBLE_DATA_DIR=/var/lib/indelible"},
		"logwitness": {"INDELIBLE_LISTEN=:8090", "INDELIBLE_ADMIN=:8091", "INDELIBLE_DATA_DIR=/var/lib/logwitness", "INDELIBLE_REGISTER=/var/lib/logwitness-register/register"},
		"logcli":     {"HOME=/home/indelible"},
	}
}

// command is the process of a container. With args, it has these in place of the container's.
func (n *node) command(t *testing.T, o object, name string, args ...string) *exec.Cmd {
	t.Helper()
	pod, _, _ := o.pod()
	all := slices.Concat(pod.InitContainers, pod.Containers)
	i := slices.IndexFunc(all, func(c core.Container) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("%s has no container %s", o.id(), name)
	}
	c := all[i]
	at := n.folders(t, o, c)
	program := regexp.MustCompile(`([a-z]+)[:@][^/]*$`).FindStringSubmatch(c.Image)[1]
	if len(args) == 0 {
		args = c.Args
	}
	cmd := exec.Command(filepath.Join(n.programs, program))
	cmd.Dir = n.root
	for _, a := range args {
		cmd.Args = append(cmd.Args, n.moved(a, at))
	}
	cmd.Env = []string{"PATH=/usr/bin"}
	for _, e := range images()[program] {
		cmd.Env = append(cmd.Env, n.moved(e, at))
	}
	for _, e := range c.Env {
		cmd.Env = append(cmd.Env, e.Name+"="+n.moved(e.Value, at))
	}
	return cmd
}

// once runs a container to its end, and wants these words of it.
func (n *node) once(t *testing.T, o object, name, want string, args ...string) string {
	t.Helper()
	out, err := n.command(t, o, name, args...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), want) {
		t.Fatalf("%s, container %s: %v: %s; want %s", o.id(), name, err, out, want)
	}
	return string(out)
}

// buffer is what a process writes.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// start runs a container until the test ends, when it is told to stop, and waits for
// its readiness probe.
func (n *node) start(t *testing.T, o object, name string) *buffer {
	t.Helper()
	cmd, out := n.command(t, o, name), &buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Process.Signal(syscall.SIGTERM) // at once, where there is a delay
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s, container %s: %s", o.id(), name, out)
		}
	})
	pod, _, _ := o.pod()
	for _, c := range pod.Containers {
		if c.Name != name || c.ReadinessProbe == nil {
			continue
		}
		if probe := c.ReadinessProbe.HTTPGet; probe != nil {
			n.get(t, n.portOf(c, probe.Port.String())+probe.Path)
		}
	}
	return out
}

// portOf is the address of a container's port of this name.
func (n *node) portOf(c core.Container, name string) string {
	for _, p := range c.Ports {
		if p.Name == name {
			return n.ports[fmt.Sprintf(":%d", p.ContainerPort)]
		}
	}
	return name
}

// get waits until an URL is answered with 200.
func (n *node) get(t *testing.T, at string) string {
	t.Helper()
	last := ""
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		res, err := http.Get("http://" + at)
		if err != nil {
			last = err.Error()
			continue
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err == nil && res.StatusCode == http.StatusOK {
			return string(body)
		}
		last = res.Status + " " + string(body)
	}
	t.Fatalf("%s: not within a minute: %s", at, last)
	return ""
}

// render renders a flavour with changed values, and takes its config maps in.
func (n *node) render(t *testing.T, flavour string, change func(values)) []object {
	t.Helper()
	v := valuesOf(t, flavour)
	if change != nil {
		change(v)
	}
	files, err := helm4(v, first())
	if err != nil {
		t.Fatal(err)
	}
	list := objects(t, joined(files))
	for _, o := range list {
		if c, ok := o.any.(*core.ConfigMap); ok {
			n.config[c.Name] = c
		}
	}
	return list
}

func named(t *testing.T, list []object, id string) object {
	t.Helper()
	for _, o := range list {
		if o.id() == id {
			return o
		}
	}
	t.Fatalf("there is no %s", id)
	return object{}
}

// TestConfigCheck: logserver config check takes the settings of each flavour, and all
// of them come from where the chart says.
func TestConfigCheck(t *testing.T) {
	n, checked := newNode(t), 0
	cert, key := certificate(t)
	for _, secret := range []string{"log-tls", "log-database-tls"} {
		n.keep(t, secret, "ca.crt", cert)
		n.keep(t, secret, "tls.crt", cert)
		n.keep(t, secret, "tls.key", key)
	}
	for _, flavour := range flavours(t) {
		for _, o := range n.render(t, flavour, nil) {
			pod, _, _ := o.pod()
			if pod == nil {
				continue
			}
			for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
				if !strings.Contains(c.Image, "/logserver") {
					continue
				}
				checked++
				out := n.once(t, o, c.Name, "SETTING", "config", "check")
				for _, e := range c.Env {
					if strings.HasPrefix(e.Name, "INDELIBLE_") && !strings.Contains(out, "environment "+e.Name) {
						t.Errorf("%s: %s of %s has no effect: %s", flavour, e.Name, o.id(), out)
					}
				}
				if strings.Contains(out, "have no effect") || strings.Contains(out, "127.0.0.1:808") {
					t.Errorf("%s: %s: %s", flavour, o.id(), out)
				}
			}
		}
	}
	if checked < 10 {
		t.Errorf("%d containers were checked", checked)
	}
}

// certificate is one that signed itself, and its key.
func certificate(t *testing.T) (cert, private []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	from := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"log.example.com"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, from, from, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// TestRun: what the chart renders runs: a log that a witness cosigns, its test, a mirror
// and a monitor of it. Each metric in an alert is there.
func TestRun(t *testing.T) {
	n := newNode(t)
	url := "http://" + n.ports[":8080"]
	server := func(policy string) object {
		return named(t, n.render(t, "sqlite", func(v values) { v["server"].(values)["witnessPolicy"] = policy }), "StatefulSet log-indelible")
	}
	log := server("")
	vkey := regexp.MustCompile(`vkey +(\S+)`).FindStringSubmatch(n.once(t, log, "init", `Created log "log.example.com"`))[1]
	n.once(t, log, "init", "is there already") // when the pod starts again

	witness := named(t, n.render(t, "witness", func(v values) {
		v["witness"].(values)["logs"] = "logs/v0\n\nvkey " + vkey + "\nqpd 86400\ncontact a@example.com\n"
	}), "StatefulSet log-indelible-witness")
	by := strings.TrimSpace(n.once(t, witness, "keygen", "witness.example.com/w1+"))
	if again := strings.TrimSpace(n.once(t, witness, "keygen", "")); again != by {
		t.Fatalf("a second start has the key %s, not %s", again, by)
	}
	n.start(t, witness, "logwitness")

	policy := fmt.Sprintf("witness w1 %s http://%s\nquorum w1\n", by, n.ports[":8090"])
	n.start(t, server(policy), "logserver")
	test := named(t, n.render(t, "sqlite", func(v values) { v["test"] = values{"url": url} }), "Pod log-indelible-test")
	n.once(t, test, "add", "is in log log.example.com, number 0")
	n.once(t, test, "verify", "Verified: ")

	mirror := named(t, n.render(t, "mirror", func(v values) {
		v["mirror"].(values)["sources"], v["mirror"].(values)["logKey"] = []any{url}, vkey
	}), "StatefulSet log-indelible-mirror")
	n.start(t, mirror, "follow")
	n.start(t, mirror, "serve")
	origin := sha256.Sum256([]byte("log.example.com"))
	if c := n.get(t, n.ports[":8092"]+"/"+hex.EncodeToString(origin[:])+"/checkpoint"); !strings.Contains(c, "log.example.com\n1\n") {
		t.Errorf("the mirror has the checkpoint %s", c)
	}

	monitor := named(t, n.render(t, "monitor", func(v values) {
		v["monitor"].(values)["sources"], v["monitor"].(values)["logKey"] = []any{url}, vkey
		delete(v["monitor"].(values), "webhook")
	}), "StatefulSet log-indelible-monitor")
	n.start(t, monitor, "monitor")

	scraped := n.get(t, n.ports[":8082"]+"/metrics") + n.get(t, n.ports[":8091"]+"/metrics") + n.get(t, n.ports[":9190"]+"/metrics")
	n.alerts(t, scraped)
}

// alerts wants each metric of each alert to be among those that were scraped. Those of
// TLS are there only with TLS.
func (n *node) alerts(t *testing.T, scraped string) {
	t.Helper()
	found := 0
	for _, flavour := range []string{"mysql", "witness", "monitor"} {
		for _, name := range regexp.MustCompile(`indelible_[a-z_]+`).FindAllString(joinedRules(t, n.render(t, flavour, nil)), -1) {
			found++
			if !strings.Contains(scraped, "\n"+name+" ") && !strings.Contains(scraped, "\n"+name+"{") && !strings.Contains(scraped, "# TYPE "+name+" ") && !strings.HasPrefix(name, "indelible_tls_") {
				t.Errorf("%s: there is no metric %s", flavour, name)
			}
		}
	}
	if found < 10 {
		t.Errorf("%d metrics in alerts", found)
	}
}
