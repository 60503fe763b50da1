package terraform

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// logKey is what stands for the log's private key, and for each password that an example
// is given: none may leave it anywhere.
const logKey = "thelogsownprivatekey"

// vkey is the log's in the examples.
const vkey = "log.example.com+68e25b55+AZqcGXmBq5RMPjaADo1kAOkhYyKGhGIZMS7WtFGm4sSc"

// initCommand makes a log with a key that was made before. It is tried in TestTrustOfARealLog.
var initCommand = []string{"init", "--adopt-key"}

// secrets are what neither a plan nor a state may have: the log's key, and what the
// replayed provider begins each ephemeral password with.
var secrets = []string{logKey, "ephemeralsecret"}

// applied applies an example, and returns its folder and its state.
func applied(t *testing.T, example string) (dir string, state []byte) {
	t.Helper()
	dir = filepath.Join(tree(t), "examples", example)
	env := exampleVariables()
	mustRun(t, dir, nil, "init", "-input=false")
	mustRun(t, dir, env, "plan", "-input=false", "-out=plan")
	mustRun(t, dir, env, "apply", "-input=false", "plan")
	state, err := os.ReadFile(filepath.Join(dir, "terraform.tfstate"))
	if err != nil {
		t.Fatal(err)
	}
	return dir, state
}

func exampleVariables() []string {
	env := []string{"TF_VAR_vkey=" + vkey}
	for _, v := range []string{"log_key", "rekor_v1_key", "database_password", "register_password", "database_dsn", "register_dsn"} {
		env = append(env, "TF_VAR_"+v+"="+logKey)
	}
	return env
}

// Each example is applied once, to replayed providers.
func TestExamples(t *testing.T) {
	_, examples := folders(t)
	for _, folder := range examples {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			example := filepath.Base(folder)
			dir, state := applied(t, example)
			t.Run("no secret stays", func(t *testing.T) { noSecretStays(t, dir, state) })
			t.Run("nothing destroys a log", func(t *testing.T) { nothingDestroys(t, dir, lasting(example)) })
			t.Run("command lines", func(t *testing.T) { commandLines(t, example, resources(t, state)) })
		})
	}
}

func noSecretStays(t *testing.T, dir string, state []byte) {
	for what, text := range map[string][]byte{
		"the state":        state,
		"the plan":         unzipped(t, filepath.Join(dir, "plan")),
		"the plan in JSON": mustRun(t, dir, nil, "show", "-json", "plan"),
	} {
		for _, s := range secrets {
			if bytes.Contains(text, []byte(s)) {
				t.Errorf("%s has %s", what, s)
			}
		}
	}
	// A second plan, without the key, finds that nothing is to be done: what is not stored is not missed.
	out := mustRun(t, dir, []string{"TF_VAR_vkey=" + vkey}, "plan", "-input=false", "-no-color")
	if !strings.Contains(string(out), "No changes.") {
		t.Errorf("a second plan: %s", out)
	}
}

// The search finds a secret that is an ordinary argument.
func TestASecretThatStaysIsFound(t *testing.T) {
	dir := t.TempDir()
	const text = `
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}
variable "log_key" { sensitive = true }
resource "aws_secretsmanager_secret_version" "a" {
  secret_id     = "s"
  secret_string = var.log_key
}`
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"TF_VAR_log_key=" + logKey}
	mustRun(t, dir, nil, "init", "-input=false")
	mustRun(t, dir, env, "plan", "-input=false", "-out=plan")
	mustRun(t, dir, env, "apply", "-input=false", "plan")
	state, err := os.ReadFile(filepath.Join(dir, "terraform.tfstate"))
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string][]byte{
		"state": state, "plan": unzipped(t, filepath.Join(dir, "plan")), "JSON": mustRun(t, dir, nil, "show", "-json", "plan"),
	} {
		if !bytes.Contains(text, []byte(logKey)) {
			t.Errorf("it is not found in the %s", what)
		}
	}
}

// lasting is what each example must refuse to destroy.
func lasting(example string) []string {
	cluster := []string{"log.kubernetes_namespace_v1.log", "log.kubernetes_secret_v1.keys"}
	return map[string][]string{
		"aws": {
			"log.aws_db_instance.log", "log.aws_kms_key.data", "log.aws_kms_key.rekor_v1", "log.aws_s3_bucket.register",
			"log.aws_s3_bucket_versioning.register", "log.aws_s3_bucket.static[0]", "log.aws_secretsmanager_secret.log_key",
			"log.aws_secretsmanager_secret_version.log_key",
		},
		"kubernetes": cluster,
		"google": append(cluster, `cloud.google_sql_database_instance.of["log"]`, `cloud.google_sql_database_instance.of["register"]`,
			`cloud.google_sql_database.of["log"]`, `cloud.google_sql_database.of["register"]`, "cloud.google_kms_key_ring.log",
			"cloud.google_kms_crypto_key.rekor_v1", "cloud.google_kms_crypto_key.cluster"),
		"azure": append(cluster, `cloud.azurerm_mysql_flexible_server.of["log"]`, `cloud.azurerm_mysql_flexible_server.of["register"]`,
			`cloud.azurerm_mysql_flexible_database.of["log"]`, `cloud.azurerm_mysql_flexible_database.of["register"]`,
			`cloud.azurerm_management_lock.of["log"]`, `cloud.azurerm_management_lock.of["register"]`, "cloud.azurerm_key_vault.log",
			"cloud.azurerm_key_vault_key.rekor_v1"),
	}[example]
}

// nothingDestroys has terraform destroy all of a log, and replace each part that lasts. What
// depends on a part that is refused is not looked at, so that takes several plans.
func nothingDestroys(t *testing.T, dir string, lasting []string) {
	if len(lasting) == 0 {
		t.Fatal("nothing is said to last")
	}
	plan := []string{"plan", "-input=false", "-no-color"}
	if _, err := run(t, dir, exampleVariables(), append(plan, "-destroy")...); !refuses(err, "") {
		t.Errorf("a plan that destroys all of it: %v", err)
	}
	for left := lasting; len(left) > 0; {
		args := slices.Clone(plan)
		for _, resource := range left {
			args = append(args, "-replace=module."+resource)
		}
		_, err := run(t, dir, exampleVariables(), args...)
		rest := slices.DeleteFunc(slices.Clone(left), func(resource string) bool { return refuses(err, resource) })
		if len(rest) == len(left) {
			t.Fatalf("a plan that replaces %v: %v", left, err)
		}
		left = rest
	}
}

func refuses(err error, resource string) bool {
	return err != nil && strings.Contains(strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return unicode.IsSpace(r) || r == '│' }), " "), "Resource module."+resource)
}

// resource is one of a state.
type resource struct {
	Type, Name string
	Instances  []struct{ Attributes map[string]any }
}

func resources(t *testing.T, state []byte) []resource {
	t.Helper()
	var s struct{ Resources []resource }
	if err := json.Unmarshal(state, &s); err != nil {
		t.Fatal(err)
	}
	return s.Resources
}

// container is a container that runs logserver, as each service writes it.
type container struct {
	args []string
	env  map[string]string
}

// Every command line and environment that an example gives to logserver passes its own check.
func commandLines(t *testing.T, example string, state []resource) {
	if example != "aws" {
		ofChart(t, example, state)
		return
	}
	list := ofECS(t, state)
	inits := 0
	for _, c := range list {
		if slices.Equal(c.args, initCommand) {
			inits++
		}
		c.check(t)
	}
	if len(list) != 2 || inits != 1 {
		t.Errorf("%d containers, of which %d make the log; a server and an init are expected", len(list), inits)
	}
}

func (c container) check(t *testing.T) {
	t.Helper()
	args := slices.DeleteFunc(slices.Clone(c.args), func(a string) bool { return a == "serve" || slices.Contains(initCommand, a) })
	out, err := configCheck(t, args, c.env)
	if err != nil || strings.Contains(out, `"level":"WARN"`) {
		t.Errorf("%v, with %v: %v\n%s", c.args, c.env, err, out)
	}
	for _, setting := range []string{"origin", "register", "log-key", "storage", "public-url"} {
		if err == nil && !strings.Contains(out, "\n"+setting+" ") {
			t.Errorf("it does not say %s:\n%s", setting, out)
		}
	}
	c.env["INDELIBLE_STORAGE"] = "oracle"
	if out, _ := configCheck(t, args, c.env); !strings.Contains(out, "oracle") {
		t.Errorf("a storage that does not exist passes: %s", out)
	}
}

// ofECS reads the task definitions. Secrets come as variables.
func ofECS(t *testing.T, list []resource) (found []container) {
	t.Helper()
	for _, r := range list {
		if r.Type != "aws_ecs_task_definition" {
			continue
		}
		var containers []struct {
			Name                 string
			Command              []string
			Environment, Secrets []struct{ Name, Value string }
		}
		for _, i := range r.Instances {
			if err := json.Unmarshal([]byte(i.Attributes["container_definitions"].(string)), &containers); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range containers {
			if c.Name != "logserver" {
				continue
			}
			env := map[string]string{}
			for _, e := range c.Environment {
				env[e.Name] = e.Value
			}
			for _, s := range c.Secrets {
				env[s.Name] = "indelible:" + logKey + "@tcp(db.example.com:3306)/indelible"
			}
			found = append(found, container{c.Command, env})
		}
	}
	return found
}

// flavour is the file of values with which test/chart renders what the module makes of its
// example, and has logserver check it.
const flavour = "../../charts/indelible/ci/terraform.yaml"

// ofChart compares the chart's values with those that test/chart renders. The clouds' examples
// have others in a few places, which are looked at here.
func ofChart(t *testing.T, example string, state []resource) {
	t.Helper()
	rendered, err := os.ReadFile(flavour)
	if err != nil {
		t.Fatal(err)
	}
	var values string
	for _, r := range state {
		if r.Type == "helm_release" {
			values = r.Instances[0].Attributes["values"].([]any)[0].(string)
		}
	}
	if example == "kubernetes" {
		if _, want, _ := strings.Cut(string(rendered), "\n"); values != want {
			t.Errorf("the module's values are\n%s\nwrite them into %s, below its first line, and in test/chart: go test . -update", values, flavour)
		}
		return
	}
	var left []string
	for line := range strings.Lines(values) {
		if !strings.Contains(string(rendered), line) {
			left = append(left, strings.TrimSpace(line))
		}
	}
	slices.Sort(left)
	_, kms, _ := strings.Cut(values, `"rekorV1KMS": "`)
	kms, _, _ = strings.Cut(kms, `"`)
	want := append(clouds[example], `"rekorV1KMS": "`+kms+`"`)
	slices.Sort(want)
	if !slices.Equal(left, want) {
		t.Errorf("its values beside those of the module's own example are\n%s\nand not\n%s", strings.Join(left, "\n"), strings.Join(want, "\n"))
	}
	container{env: map[string]string{
		"INDELIBLE_REKOR_V1_KEY": kms, "INDELIBLE_STORAGE": "mysql", "INDELIBLE_ORIGIN": "log.example.com", "INDELIBLE_REGISTER": "mysql:/run/indelible/register",
		"INDELIBLE_LOG_KEY": "/run/indelible/log.key", "INDELIBLE_PUBLIC_URL": "https://log.example.com", "INDELIBLE_MYSQL_DSN": "u:p@tcp(db.example.com:3306)/indelible?tls=true",
	}}.check(t)
}

// clouds are the lines of values that a cloud adds to those of the module kubernetes' own example.
var clouds = map[string][]string{
	"google": {`"existingSecret": "log-authorities"`, `"name": "log"`, `"registry": "europe-docker.pkg.dev/a-project/images"`},
	"azure": {
		`"azure.workload.identity/use": "true"`, `"env":`, `"name": "log"`, `"podLabels":`, `"registry": "example.azurecr.io"`,
		`"value": "00000000-0000-0000-0000-000000000001"`, `- "name": "AZURE_TENANT_ID"`,
	},
}
