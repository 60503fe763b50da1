package chart

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// object is one that was rendered.
type object struct {
	kind string
	meta meta.Object
	any  runtime.Object
}

func (o object) id() string { return o.kind + " " + o.meta.GetName() }

// objects decodes what was rendered, and fails at a field that the type does not have,
// and at one that is there twice.
func objects(t *testing.T, text string) (list []object) {
	t.Helper()
	types := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, gateway.Install, monitoring.AddToScheme} {
		if err := add(types); err != nil {
			t.Fatal(err)
		}
	}
	decoder := serializer.NewCodecFactory(types, serializer.EnableStrict).UniversalDeserializer()
	for _, document := range regexp.MustCompile(`(?m)^---$`).Split(manifests(text), -1) {
		if strings.Trim(regexp.MustCompile(`(?m)^#.*$`).ReplaceAllString(document, ""), "\n ") == "" {
			continue
		}
		o, kind, err := decoder.Decode([]byte(document), nil, nil)
		if err != nil {
			t.Errorf("%v in\n%s", err, document)
			continue
		}
		list = append(list, object{kind.Kind, o.(meta.Object), o})
	}
	if len(list) == 0 {
		t.Fatal("nothing was rendered")
	}
	return list
}

// pod is the pod of an object, and its volumes' claims; nil if it has none.
func (o object) pod() (*core.PodSpec, *meta.ObjectMeta, []core.PersistentVolumeClaim) {
	switch o := o.any.(type) {
	case *apps.Deployment:
		return &o.Spec.Template.Spec, &o.Spec.Template.ObjectMeta, nil
	case *apps.StatefulSet:
		return &o.Spec.Template.Spec, &o.Spec.Template.ObjectMeta, o.Spec.VolumeClaimTemplates
	case *batch.Job:
		return &o.Spec.Template.Spec, &o.Spec.Template.ObjectMeta, nil
	case *core.Pod:
		return &o.Spec, &o.ObjectMeta, nil
	}
	return nil, nil, nil
}

// TestStrict: each object is one that Kubernetes, the Gateway API or the Prometheus
// operator knows, without unknown fields, and is there once.
func TestStrict(t *testing.T) {
	kinds := map[string]bool{}
	for _, flavour := range flavours(t) {
		seen := map[string]bool{}
		for _, o := range objects(t, rendered(t, flavour, first())) {
			kinds[o.kind] = true
			if seen[o.id()] {
				t.Errorf("%s: %s is there twice", flavour, o.id())
			}
			seen[o.id()] = true
			if len(o.meta.GetName()) > 57 { // a pod's name is longer, and a label's value has 63
				t.Errorf("%s: the name of %s is too long", flavour, o.id())
			}
		}
	}
	for _, kind := range []string{"Deployment", "StatefulSet", "Job", "Pod", "HTTPRoute", "GRPCRoute", "Ingress", "PodDisruptionBudget", "HorizontalPodAutoscaler", "NetworkPolicy", "ServiceMonitor", "PrometheusRule"} {
		if !kinds[kind] {
			t.Errorf("no flavour has a %s", kind)
		}
	}
}

// TestPods: each pod keeps the "restricted" standard, as the API server checks it, and
// each container has a root that is not writable. No pod gets a token that was not asked for.
func TestPods(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, flavour := range flavours(t) {
		for _, o := range objects(t, rendered(t, flavour, first())) {
			pod, meta, claims := o.pod()
			if pod == nil {
				continue
			}
			for _, r := range evaluator.EvaluatePod(api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}, meta, pod) {
				if !r.Allowed {
					t.Errorf("%s: %s: %s %s", flavour, o.id(), r.ForbiddenReason, r.ForbiddenDetail)
				}
			}
			if *pod.AutomountServiceAccountToken != (flavour == "s3-kms") {
				t.Errorf("%s: %s: automountServiceAccountToken", flavour, o.id())
			}
			checkVolumes(t, flavour+": "+o.id(), pod, claims)
			for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
				if c.SecurityContext.ReadOnlyRootFilesystem == nil || !*c.SecurityContext.ReadOnlyRootFilesystem || c.Resources.Limits.Memory().IsZero() {
					t.Errorf("%s: %s: container %s", flavour, o.id(), c.Name)
				}
			}
		}
	}
}

// checkVolumes: each mount has its volume and the reverse, and only the group that
// the process is in can read a secret.
func checkVolumes(t *testing.T, what string, pod *core.PodSpec, claims []core.PersistentVolumeClaim) {
	t.Helper()
	unused := map[string]bool{}
	for _, c := range claims {
		unused[c.Name] = true
	}
	for _, v := range pod.Volumes {
		unused[v.Name] = true
		if v.Secret != nil && (v.Secret.DefaultMode == nil || *v.Secret.DefaultMode != 0o400) {
			t.Errorf("%s: the mode of %s", what, v.Name)
		}
	}
	there := len(unused)
	used := map[string]bool{}
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		for _, m := range c.VolumeMounts {
			used[m.Name] = true
			delete(unused, m.Name)
		}
	}
	if len(unused) > 0 || len(used) != there {
		t.Errorf("%s: %d volumes, %d are mounted, not %v", what, there, len(used), unused)
	}
}

// TestSelectors: each service, budget, policy and spread selects the pods that it is for,
// and no others.
func TestSelectors(t *testing.T) {
	for _, flavour := range flavours(t) {
		list := objects(t, rendered(t, flavour, first()))
		matching := func(selector map[string]string) (n int) {
			for _, o := range list {
				if pod, m, _ := o.pod(); pod != nil && contains(m.Labels, selector) {
					n++
				}
			}
			return n
		}
		for _, o := range list {
			if s, ok := o.any.(*core.Service); ok && matching(s.Spec.Selector) != 1 {
				t.Errorf("%s: %s selects %d kinds of pods", flavour, o.id(), matching(s.Spec.Selector))
			}
			if m, ok := o.any.(*monitoring.ServiceMonitor); ok && !slices.ContainsFunc(list, func(o object) bool {
				return o.kind == "Service" && contains(o.meta.GetLabels(), m.Spec.Selector.MatchLabels)
			}) {
				t.Errorf("%s: %s selects no service", flavour, o.id())
			}
		}
	}
}

func contains(labels, selector map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return true
}

// TestNothingLost: what must stay when a release is uninstalled is not the release's.
// The keys and the register of a log on MySQL are somebody else's objects, and other
// claims are made by stateful sets, which keep them.
func TestNothingLost(t *testing.T) {
	for _, flavour := range flavours(t) {
		for _, o := range objects(t, rendered(t, flavour, first())) {
			if o.kind == "Secret" || o.kind == "PersistentVolumeClaim" {
				t.Errorf("%s: an uninstall deletes %s", flavour, o.id())
			}
			set, ok := o.any.(*apps.StatefulSet)
			if ok && (set.Spec.PersistentVolumeClaimRetentionPolicy.WhenDeleted != apps.RetainPersistentVolumeClaimRetentionPolicyType || set.Spec.PersistentVolumeClaimRetentionPolicy.WhenScaled != apps.RetainPersistentVolumeClaimRetentionPolicyType) {
				t.Errorf("%s: %s does not keep its claims", flavour, o.id())
			}
		}
	}
}

// TestSettings: the schema has all settings of the documentation, of the same types,
// except those that the chart's own values set.
func TestSettings(t *testing.T) {
	own := "http grpc admin data-dir origin storage mysql-dsn-file mysql-dsn mysql-tls-ca mysql-tls-cert mysql-tls-key " +
		"log-key log-key-password-file mldsa-key register witness-policy mirrors rekor-v1-key rekor-v1-key-password-file tls-cert tls-key tls-client-ca writers"
	types := map[string]string{"text": "string", "file": "string", "duration": "string", "size": "string", "number": "integer", "list": "array", "bool": "boolean"}
	var schema struct {
		Properties map[string]struct {
			Properties map[string]struct{ Properties map[string]struct{ Type any } }
		}
	}
	data, err := os.ReadFile(folder + "/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	left := schema.Properties["server"].Properties["settings"].Properties
	doc, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `--([a-z0-9-]+)`<br>`[A-Z0-9_]+` \\| (\\w+) \\|").FindAllStringSubmatch(string(doc), -1)
	if len(rows) < 40 {
		t.Fatalf("%d settings are documented", len(rows))
	}
	for _, row := range rows {
		has, ok := left[row[1]]
		is := has.Type
		if list, several := is.([]any); several {
			is = list[0]
		}
		switch {
		case slices.Contains(strings.Fields(own), row[1]):
			if ok {
				t.Errorf("%s has a value of its own", row[1])
			}
		case !ok:
			t.Errorf("values.schema.json lacks server.settings.%s: add it, with the type %s", row[1], types[row[2]])
		case is != types[row[2]]:
			t.Errorf("server.settings.%s is of type %v; it is documented as %s", row[1], is, row[2])
		}
		delete(left, row[1])
	}
	for name := range left {
		t.Errorf("there is no setting %s", name)
	}
}

// joinedRules are the expressions of all alerts.
func joinedRules(t *testing.T, list []object) string {
	t.Helper()
	var out strings.Builder
	for _, o := range list {
		if rule, ok := o.any.(*monitoring.PrometheusRule); ok {
			for _, g := range rule.Spec.Groups {
				for _, r := range g.Rules {
					out.WriteString(r.Expr.String() + "\n")
				}
			}
		}
	}
	return out.String()
}
