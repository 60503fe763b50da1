package monitoring

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const deployed = "../../deploy/monitoring"

// rule is an alert of deploy/monitoring/rules.yaml.
type rule struct {
	Alert, Expr string
	Labels      struct{ Severity string }
	Annotations struct{ Summary string }
}

func rules(t *testing.T) (all []rule) {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []rule }
	}
	if err := yaml.Unmarshal(read(t, deployed+"/rules.yaml"), &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("there are no rules")
	}
	return all
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// panel is one of a dashboard, and what it asks.
type panel struct {
	ID                 int
	Type, Title        string
	Description, board string
	GridPos            struct{ X, Y, W, H int }
	Targets            []struct{ Expr string }
}

func panels(t *testing.T) (all []panel) {
	t.Helper()
	files, err := filepath.Glob(deployed + "/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		var board struct {
			UID    string
			Panels []panel
		}
		if err := json.Unmarshal(read(t, file), &board); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if board.UID == "" || len(board.Panels) == 0 {
			t.Errorf("%s has no uid, or no panels", file)
		}
		for _, p := range board.Panels {
			p.board = filepath.Base(file)
			all = append(all, p)
		}
	}
	return all
}

// expression is what Grafana asks Prometheus for a panel, of all jobs and instances.
func expression(expr string) string {
	return strings.NewReplacer(`"$job"`, `".*"`, `"$instance"`, `".*"`, "$__rate_interval", "10s").Replace(expr)
}

// TestPanels: each has a title and a text, asks something, and lies beside the others
// and not on them.
func TestPanels(t *testing.T) {
	all := panels(t)
	for i, p := range all {
		if p.Title == "" || p.Type != "row" && (p.Description == "" || len(p.Targets) == 0) {
			t.Errorf("%s: panel %d: %+v", p.board, p.ID, p)
		}
		for _, target := range p.Targets {
			if strings.Contains(expression(target.Expr), "$") {
				t.Errorf("%s: %q: this has a variable that the dashboard does not have: %s", p.board, p.Title, target.Expr)
			}
		}
		g := p.GridPos
		if g.X < 0 || g.X+g.W > 24 {
			t.Errorf("%s: %q lies outside of the page", p.board, p.Title)
		}
		for _, o := range all[:i] {
			if h := o.GridPos; o.board == p.board && (o.ID == p.ID || g.X < h.X+h.W && h.X < g.X+g.W && g.Y < h.Y+h.H && h.Y < g.Y+g.H) {
				t.Errorf("%s: %q lies on %q, or has its id", p.board, p.Title, o.Title)
			}
		}
	}
}

// TestAlertsAreDocumented: docs/operations.md has each alert, with its severity, and
// no other; and promtool tests each.
func TestAlertsAreDocumented(t *testing.T) {
	documented := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(Indelible\\w+)` \\| (\\w+) \\| .+ \\| .+ \\|$").FindAllStringSubmatch(string(read(t, "../../docs/operations.md")), -1) {
		documented[m[1]] = m[2]
	}
	var tests struct {
		Tests []struct {
			AlertRuleTest []struct {
				Alertname string
				ExpAlerts []any `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	if err := yaml.Unmarshal(read(t, "testdata/rules_test.yaml"), &tests); err != nil {
		t.Fatal(err)
	}
	var fire, quiet []string
	for _, test := range tests.Tests {
		for _, at := range test.AlertRuleTest {
			if len(at.ExpAlerts) > 0 {
				fire = append(fire, at.Alertname)
			} else {
				quiet = append(quiet, at.Alertname)
			}
		}
	}
	for _, r := range rules(t) {
		if documented[r.Alert] != r.Labels.Severity {
			t.Errorf("%s is %s, and in docs/operations.md %q", r.Alert, r.Labels.Severity, documented[r.Alert])
		}
		delete(documented, r.Alert)
		if r.Annotations.Summary == "" {
			t.Errorf("%s has no summary", r.Alert)
		}
		if !slices.Contains(fire, r.Alert) || !slices.Contains(quiet, r.Alert) {
			t.Errorf("testdata/rules_test.yaml does not say when %s fires and when not", r.Alert)
		}
	}
	for alert := range documented {
		t.Errorf("docs/operations.md has %s, which is no alert", alert)
	}
}
