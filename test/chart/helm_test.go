package chart

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	loader3 "helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	engine3 "helm.sh/helm/v3/pkg/engine"
	lint3 "helm.sh/helm/v3/pkg/lint"
	support3 "helm.sh/helm/v3/pkg/lint/support"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	lint4 "helm.sh/helm/v4/pkg/chart/v2/lint"
	support4 "helm.sh/helm/v4/pkg/chart/v2/lint/support"
	loader4 "helm.sh/helm/v4/pkg/chart/v2/loader"
	engine4 "helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/yaml"
)

const folder = "../../charts/indelible"

var update = flag.Bool("update", false, "write what is rendered to testdata")

// flavours are the files of values that the chart is tested with.
func flavours(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(folder + "/ci/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d flavours, %v", len(files), err)
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".yaml"))
	}
	return names
}

type values = map[string]any

// valuesOf reads a flavour. A renderer may change values, so each gets its own.
func valuesOf(t *testing.T, flavour string) values {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(folder, "ci", flavour+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(data))
}

func parse(t *testing.T, text string) values {
	t.Helper()
	v := values{}
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// release is what a chart is rendered for.
type release struct {
	name    string
	upgrade bool
}

func first() release { return release{name: "log"} }

// helm3 renders with Helm 3: one text for each template.
func helm3(v values, r release) (map[string]string, error) {
	chart, err := loader3.LoadDir(folder)
	if err != nil {
		return nil, err
	}
	all, err := chartutil.ToRenderValues(chart, v, chartutil.ReleaseOptions{Name: r.name, Namespace: "logs", Revision: 1, IsInstall: !r.upgrade, IsUpgrade: r.upgrade}, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine3.Render(chart, all)
}

// helm4 is helm3 with Helm 4.
func helm4(v values, r release) (map[string]string, error) {
	chart, err := loader4.LoadDir(folder)
	if err != nil {
		return nil, err
	}
	all, err := util.ToRenderValues(chart, v, common.ReleaseOptions{Name: r.name, Namespace: "logs", Revision: 1, IsInstall: !r.upgrade, IsUpgrade: r.upgrade}, common.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine4.Render(chart, all)
}

// helms are both, by name.
func helms() map[string]func(values, release) (map[string]string, error) {
	return map[string]func(values, release) (map[string]string, error){"Helm 3": helm3, "Helm 4": helm4}
}

// rendered is a flavour as one text, of all templates in order.
func rendered(t *testing.T, flavour string, r release) string {
	t.Helper()
	files, err := helm3(valuesOf(t, flavour), r)
	if err != nil {
		t.Fatal(err)
	}
	return joined(files)
}

func joined(files map[string]string) string {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if text := strings.TrimSpace(files[name]); text != "" && !strings.HasSuffix(name, ".tpl") {
			fmt.Fprintf(&out, "---\n# %s\n%s\n", name, strings.TrimPrefix(text, "---\n"))
		}
	}
	return out.String()
}

// manifests is a rendered text without the notes, which are no YAML.
func manifests(text string) string {
	before, after, found := strings.Cut(text, "---\n# indelible/templates/NOTES.txt\n")
	if !found {
		return text
	}
	_, rest, _ := strings.Cut(after, "\n---\n")
	return before + "---\n" + rest
}

// TestLint: helm lint --strict finds nothing.
func TestLint(t *testing.T) {
	for _, flavour := range flavours(t) {
		for _, m := range lint3.All(folder, valuesOf(t, flavour), "logs", true).Messages {
			if m.Severity >= support3.WarningSev {
				t.Errorf("Helm 3, %s: %v", flavour, m)
			}
		}
		for _, m := range lint4.RunAll(folder, valuesOf(t, flavour), "logs").Messages {
			if m.Severity >= support4.WarningSev {
				t.Errorf("Helm 4, %s: %v", flavour, m)
			}
		}
	}
}

// TestRendered: Helm 3 and Helm 4 render each flavour to what is in testdata, notes
// included. Nothing in it is random.
func TestRendered(t *testing.T) {
	for _, flavour := range flavours(t) {
		golden := filepath.Join("testdata", flavour+".yaml")
		if *update {
			if err := os.WriteFile(golden, []byte(rendered(t, flavour, first())), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		for helm, render := range helms() {
			files, err := render(valuesOf(t, flavour), first())
			if err != nil {
				t.Fatalf("%s, %s: %v", helm, flavour, err)
			}
			if got := joined(files); got != string(want) {
				t.Errorf("%s, %s: %s; if that is right: go test -run TestRendered -update", helm, flavour, difference(got, string(want)))
			}
		}
	}
}

// difference is the first line that differs.
func difference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d is %q, not %q", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, not %d", len(g), len(w))
}

// TestUpgrade: an install may create a log with the keys of the secret, an upgrade
// may not: a database without the log is a mistake then. Nothing else differs.
func TestUpgrade(t *testing.T) {
	for _, flavour := range []string{"mysql", "sqlite-keys"} {
		install, upgrade := rendered(t, flavour, first()), rendered(t, flavour, release{"log", true})
		if !strings.Contains(install, "args: [init, --adopt-key]") {
			t.Errorf("%s: an install cannot create the log", flavour)
		}
		if strings.ReplaceAll(install, "[init, --adopt-key]", "[init]") != upgrade {
			t.Errorf("%s: %s", flavour, difference(install, upgrade))
		}
		v := valuesOf(t, flavour)
		v["server"].(values)["init"] = values{"adoptKey": false}
		if files, err := helm3(v, first()); err != nil || joined(files) != upgrade {
			t.Errorf("%s without adoptKey: %v", flavour, err)
		}
	}
}

// TestSecondRelease: two releases in one namespace share no object, and no claim.
func TestSecondRelease(t *testing.T) {
	for _, flavour := range flavours(t) {
		if flavour == "s3-kms" {
			continue // its name is fixed by fullnameOverride
		}
		one, two := objects(t, rendered(t, flavour, first())), objects(t, rendered(t, flavour, release{name: "other"}))
		for _, a := range one {
			for _, b := range two {
				if a.id() == b.id() {
					t.Errorf("%s: both have %s", flavour, a.id())
				}
			}
		}
	}
}

// TestRefused: what is wrong is refused when it is rendered, by both, and the
// message names the value.
func TestRefused(t *testing.T) {
	const on = "server: {origin: o, storage: mysql, mysql: {existingSecret: db}, keys: {existingSecret: k}, register: {type: mysql, mysql: {existingSecret: r}}"
	for _, c := range []struct{ values, want string }{
		{"server: {}", "server.origin: it is missing"},
		{"server: {origin: o, replicas: 2}", "server.replicas: SQLite runs one replica, not 2"},
		{"server: {origin: o, autoscaling: {enabled: true}}", "server.replicas: SQLite runs one replica, not 6"},
		{"server: {origin: o, mysql: {existingSecret: db}}", "server.mysql.existingSecret: it is given, and server.storage is sqlite"},
		{"server: {origin: o, storage: mysql}", "server.mysql.existingSecret: it is missing"},
		{"server: {origin: o, storage: mysql, mysql: {existingSecret: db}}", "server.keys.existingSecret: it is missing"},
		{"server: {origin: o, storage: mysql, mysql: {existingSecret: db}, keys: {existingSecret: k}}", "server.register.claim.existingClaim: it is missing"},
		{"server: {origin: o, register: {type: mysql}}", "server.register.mysql.existingSecret: it is missing"},
		{"server: {origin: o, register: {type: s3, s3: {bucket: b}}}", "server.register.s3: bucket or prefix is missing"},
		{on + ", mirrors: [m1]}", "server.mirrors: they are witnesses of server.witnessPolicy"},
		{"server: {origin: o, register: {mysql: {existingSecret: r}}}", "server.register.mysql.existingSecret: it is given, and server.register.type is claim"},
		{"server: {origin: o, register: {s3: {bucket: b}}}", "server.register.s3: it is given, and server.register.type is claim"},
		{"server: {origin: o, register: {type: s3, claim: {existingClaim: c}, s3: {bucket: b, prefix: p}}}", "server.register.claim.existingClaim: it is given, and server.register.type is s3"},
		{"server: {origin: o, keys: {mldsaKey: m}}", "server.keys.existingSecret: it is missing; mldsaKey and passwordKey"},
		{"server: {origin: o, keys: {passwordKey: p}}", "server.keys.existingSecret: it is missing; mldsaKey and passwordKey"},
		{"server: {origin: o, mysql: {tls: {clientCertificate: true}}}", "server.mysql.tls.existingSecret: it is missing"},
		{"server: {origin: o, tls: {clientCA: ca.crt}}", "server.tls.existingSecret: it is missing"},
		{on + ", httpRoute: {enabled: true}}", "server.httpRoute.parentRefs: it is missing"},
		{on + ", grpcRoute: {enabled: true}}", "server.grpcRoute.parentRefs: it is missing"},
		{on + ", ingress: {enabled: true}}", "server.ingress.host: it is missing"},
		{"server: {enabled: false}\nwitness: {enabled: true}", "witness.name: it is missing"},
		{"server: {enabled: false}\nwitness: {enabled: true, name: w}", "witness.logs: it is missing"},
		{"server: {enabled: false}\nwitness: {enabled: true, name: w, logs: l, httpRoute: {enabled: true}}", "witness.httpRoute.parentRefs: it is missing"},
		{"server: {enabled: false}\nmirror: {enabled: true}", "mirror.logKey: it is missing"},
		{"server: {enabled: false}\nmirror: {enabled: true, logKey: k}", "mirror.sources: it is missing"},
		{"server: {enabled: false}\nmirror: {enabled: true, logKey: k, mode: push}", "mirror.name: it is missing"},
		{"server: {enabled: false}\nmirror: {enabled: true, logKey: k, sources: [\"https://l\"], keys: {existingSecret: k}}", "mirror.name: it is missing"},
		{"server: {enabled: false}\nmirror: {enabled: true, logKey: k, mode: push, name: m, sources: [\"https://l\"]}", "mirror.sources: it is given, and mirror.mode is push"},
		{"server: {enabled: false}\nmirror: {enabled: true, logKey: k, name: m, sources: [\"https://l\"], keys: {mldsaKey: m}}", "mirror.keys.existingSecret: it is missing"},
		{"server: {enabled: false}\nwitness: {enabled: true, name: w, logs: l, keys: {mldsaKey: m}}", "witness.keys.existingSecret: it is missing"},
		{"server: {enabled: false}\nmonitor: {enabled: true}", "monitor.sources: it is missing"},
		{"server: {origin: o}\nmonitor: {enabled: true}", "monitor.logKey: it is missing"},
		{"server: {origin: o}\nmonitor: {enabled: true, logKey: k}", "monitor.patterns: it is missing"},
		{"server: {origin: o}\nmonitor: {enabled: true, logKey: k, patterns: [{identity: a}], webhook: {url: \"https://h\"}}", "monitor.webhook: url and existingSecret go together"},

		// The schema.
		{"sever: {}", "sever"},
		{"server: {origin: o, replica: 2}", "replica"},
		{"server: {origin: o, replicas: two}", "/server/replicas"},
		{"server: {origin: o, replicas: 0}", "/server/replicas"},
		{"server: {origin: o, storage: postgres}", "/server/storage"},
		{"server: {origin: 'two words'}", "/server/origin"},
		{"server: {origin: o, settings: {max-bodi: 1}}", "max-bodi"},
		{"server: {origin: o, settings: {log-key: /etc/passwd}}", "log-key"},
		{"server: {origin: o, settings: {max-batch: many}}", "/server/settings/max-batch"},
		{"server: {origin: o, settings: {add-timeout: 20}}", "/server/settings/add-timeout"},
		{"server: {origin: o, settings: {publish-to: /srv/log}}", "/server/settings/publish-to"},
		{"server: {origin: o, register: {type: file}}", "/server/register/type"},
		{"server: {origin: o, keys: {rekorV1KMS: 'file:///etc'}}", "/server/keys/rekorV1KMS"},
		{"server: {origin: o, image: {digest: 'sha256:12'}}", "/server/image/digest"},
		{"server: {origin: o, sqlite: {size: large}}", "/server/sqlite/size"},
		{"server: {origin: o, env: [{nam: X}]}", "/server/env/0"},
		{"mirror: {sources: ['log.example.com']}", "/mirror/sources/0"},
		{"mirror: {mode: pull}", "/mirror/mode"},
		{"monitor: {patterns: [{identiti: a}]}", "identiti"},
		{"witness: {settings: {listen: x}}", "listen"},
		{"metrics: {serviceMonitor: {interval: often}}", "/metrics/serviceMonitor/interval"},
	} {
		for helm, render := range helms() {
			_, err := render(parse(t, c.values), first())
			if err == nil {
				err = errors.New("nothing")
			}
			if !strings.Contains(strings.ReplaceAll(err.Error(), ".", "/"), strings.ReplaceAll(c.want, ".", "/")) {
				t.Errorf("%s, %s: %v; want %s", helm, c.values, err, c.want)
			}
		}
	}
}
