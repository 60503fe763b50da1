package terraform

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// folders are the modules and the examples.
func folders(t *testing.T) (modules, examples []string) {
	t.Helper()
	for _, pattern := range []string{"*/*.tf", "examples/*/*.tf"} {
		files, err := filepath.Glob(filepath.Join("../../deploy/terraform", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			folder, err := filepath.Rel("../../deploy/terraform", filepath.Dir(f))
			if err != nil {
				t.Fatal(err)
			}
			list := &modules
			if strings.HasPrefix(folder, "examples") {
				list = &examples
			}
			if n := len(*list); n == 0 || (*list)[n-1] != folder {
				*list = append(*list, folder)
			}
		}
	}
	if len(modules) == 0 || len(examples) == 0 {
		t.Fatal("there are no modules, or no examples")
	}
	return modules, examples
}

func TestFormat(t *testing.T) {
	mustRun(t, tree(t), nil, "fmt", "-check", "-diff", "-recursive")
}

// validated is what terraform validate finds.
func validated(t *testing.T, dir string) []string {
	t.Helper()
	if out, err := run(t, dir, nil, "init", "-backend=false", "-input=false"); err != nil {
		return []string{err.Error() + string(out)}
	}
	out, err := run(t, dir, nil, "validate", "-json")
	var report struct {
		Diagnostics []struct{ Severity, Summary, Detail string }
	}
	if bad := json.Unmarshal(out, &report); bad != nil {
		t.Fatalf("%v, %v: %s", err, bad, out)
	}
	var found []string
	for _, d := range report.Diagnostics {
		found = append(found, d.Severity+": "+d.Summary+": "+d.Detail)
	}
	return found
}

func TestValidate(t *testing.T) {
	dir := tree(t)
	modules, examples := folders(t)
	for _, folder := range append(modules, examples...) {
		if found := validated(t, filepath.Join(dir, folder)); len(found) > 0 {
			t.Errorf("%s:\n%s", folder, strings.Join(found, "\n"))
		}
	}
}

// What would be wrong with a real provider is wrong here too.
func TestValidateFinds(t *testing.T) {
	const providers = "terraform {\n  required_providers {\n    aws = { source = \"hashicorp/aws\" }\n  }\n}\n"
	for what, c := range map[string]struct{ text, says string }{
		"nothing":                 {`resource "aws_kms_key" "a" { enable_key_rotation = true }`, ""},
		"a misspelt argument":     {`resource "aws_kms_key" "a" { enable_key_rotations = true }`, "enable_key_rotations"},
		"a missing argument":      {`resource "aws_db_instance" "a" { engine = "mariadb" }`, "instance_class"},
		"a wrong type":            {`resource "aws_kms_key" "a" { enable_key_rotation = "perhaps" }`, "bool"},
		"a computed argument":     {`resource "aws_kms_key" "a" { arn = "arn:aws:kms:…" }`, "arn"},
		"a resource of no kind":   {`resource "aws_kms_lock" "a" {}`, "aws_kms_lock"},
		"a missing block":         {`resource "aws_s3_bucket_versioning" "a" { bucket = "b" }`, "versioning_configuration"},
		"a block too many":        {"resource \"aws_lb_target_group\" \"a\" {\n health_check {}\n health_check {}\n}", "health_check"},
		"an attribute of no kind": {"resource \"aws_kms_key\" \"a\" {}\noutput \"b\" { value = aws_kms_key.a.number }", "number"},
		"a secret where it stays": {"ephemeral \"random_password\" \"p\" { length = 20 }\nresource \"aws_secretsmanager_secret_version\" \"a\" {\n secret_id = \"s\"\n secret_string = ephemeral.random_password.p.result\n}", "phemeral"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte(providers+c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		found := strings.Join(validated(t, dir), "\n")
		if c.says == "" && found != "" || c.says != "" && !strings.Contains(found, c.says) {
			t.Errorf("%s: terraform says %q, and %q was expected", what, found, c.says)
		}
	}
}

// The modules' own tests, which their users can run as well.
func TestModulesTests(t *testing.T) {
	dir := tree(t)
	modules, _ := folders(t)
	for _, folder := range modules {
		tests, err := filepath.Glob(filepath.Join(dir, folder, "tests", "*.tftest.hcl"))
		if err != nil {
			t.Fatal(err)
		}
		if len(tests) == 0 {
			t.Errorf("%s has no tests", folder)
			continue
		}
		mustRun(t, filepath.Join(dir, folder), nil, "init", "-backend=false", "-input=false")
		out, err := run(t, filepath.Join(dir, folder), nil, "test")
		if err != nil {
			t.Error(err)
		}
		t.Logf("%s: %s", folder, out)
	}
}
