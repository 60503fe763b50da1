package terraform

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"indelible/test/terraform/schema"
)

// modules is the folder that is tested.
const modules = "../../deploy/terraform"

// packages are the npm packages with the providers' schemas, and the SHA-256 of each.
var packages = []struct{ provider, version, sha256 string }{
	{"aws", "21.22.1", "d1446ab6ac6526c6fab4b28a5ebefdd90c0ce56203949925d35a4d286c05cbbf"},
	{"azurerm", "14.23.1", "5a0f614dae844379768e17881015f2d4cc02b4d195ce401aeadd9c18b6c9e90a"},
	{"google", "16.12.1", "c13e11596542ffb7412d5f4caa9376525fbef88d18cdedac03c9b3c392a1fc80"},
	{"helm", "12.1.2", "a9dd5089ab5204d2838977dddeef54f9871242426d0af2c11f9bf0b182efbd3e"},
	{"http", "10.0.1", "c71f9320510bae47fac7c3a4d0bb6727413ab9eea142e7976b81022de7df8f03"},
	{"kubernetes", "12.1.1", "0a58a193de50c8475fd53ed0e541ed2f1254dd72f14815943fd9374e6d81b5df"},
	{"random", "12.0.1", "0985d2da0531360057251dd68b57a0353efe561f4f3b8d4bae483f9f2cffcbee"},
}

// bench is what the tests share: terraform, a mirror of replayed providers, and the server.
type bench struct {
	terraform string // the program
	config    string // its configuration, which names the mirror
	logserver string
	logcli    string
	answers   string // what hosts other than this machine answer to the data source http
}

var shared bench

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "terraform")
	if err == nil {
		shared, err = newBench(dir)
	}
	code := 1
	if err == nil {
		code = m.Run()
	} else {
		fmt.Fprintln(os.Stderr, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

func newBench(dir string) (b bench, err error) {
	if b.terraform, err = program(dir); err != nil {
		return b, err
	}
	b.logserver, b.logcli = filepath.Join(dir, "logserver"), filepath.Join(dir, "logcli")
	replay := filepath.Join(dir, "replay")
	for out, of := range map[string]string{b.logserver: "indelible/cmd/logserver", b.logcli: "indelible/cmd/logcli", replay: "./replay"} {
		build := exec.Command("go", "build", "-o", out, of)
		if strings.HasPrefix(of, "indelible/") {
			build.Dir = "../.."
		}
		if _, err := output(build); err != nil {
			return b, err
		}
	}
	mirror := filepath.Join(dir, "mirror")
	if err := newMirror(dir, mirror, replay); err != nil {
		return b, err
	}
	b.config, b.answers = filepath.Join(dir, "terraformrc"), filepath.Join(dir, "answers.json")
	text := fmt.Sprintf("disable_checkpoint = true\nprovider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", mirror)
	answers, err := json.Marshal(map[string]string{
		"https://truststore.pki.rds.amazonaws.com/": "-----BEGIN CERTIFICATE-----\nreplayed\n-----END CERTIFICATE-----\n",
	})
	return b, errors.Join(err, os.WriteFile(b.config, []byte(text), 0o600), os.WriteFile(b.answers, answers, 0o600))
}

func output(c *exec.Cmd) ([]byte, error) {
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("%s: %w\n%s%s", strings.Join(c.Args, " "), err, &out, &errs)
	}
	return out.Bytes(), nil
}

// program finds Terraform 1.11 or later: that of INDELIBLE_TERRAFORM (OpenTofu will do), that of the
// machine, or one that is built, which takes three minutes of a processor where Go's cache does not have it.
func program(dir string) (string, error) {
	if given := os.Getenv("INDELIBLE_TERRAFORM"); given != "" {
		return given, nil
	}
	if path, err := exec.LookPath("terraform"); err == nil {
		out, err := output(exec.Command(path, "version", "-json"))
		var v struct {
			Version string `json:"terraform_version"`
		}
		if err == nil && json.Unmarshal(out, &v) == nil && recent.MatchString(v.Version) {
			return path, nil
		}
	}
	built := filepath.Join(dir, "terraform")
	c := exec.Command("go", "build", "-o", built, "github.com/hashicorp/terraform")
	c.Dir = "program"
	_, err := output(c)
	return built, err
}

var recent = regexp.MustCompile(`^1\.(1[1-9]|[2-9][0-9])\.`)

var used = regexp.MustCompile(`(?m)^(resource|data|ephemeral) "([a-z0-9_]+)"`)

// wanted are the resources of each provider that the modules use.
func wanted() (map[string][]string, error) {
	found := map[string][]string{}
	err := filepath.WalkDir(modules, func(path string, e fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".tf" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, u := range used.FindAllStringSubmatch(string(text), -1) {
			provider, _, _ := strings.Cut(u[2], "_")
			name := map[string]string{"data": "data.", "resource": "", "ephemeral": "ephemeral."}[u[1]] + u[2]
			if !strings.HasPrefix(name, "ephemeral.") && provider != "terraform" && !slices.Contains(found[provider], name) {
				found[provider] = append(found[provider], name)
			}
		}
		return nil
	})
	return found, err
}

// newMirror makes a folder from which terraform init installs replayed providers.
func newMirror(dir, mirror, replay string) error {
	resources, err := wanted()
	if err != nil {
		return err
	}
	for _, p := range packages {
		tgz, err := packed(dir, "@cdktf/provider-"+p.provider, p.version, p.sha256)
		if err != nil {
			return err
		}
		s, err := schema.Read(tgz, p.provider, resources[p.provider])
		if err != nil {
			return err
		}
		fmt.Printf("replayed: provider %s %s, %d resources and data sources\n", p.provider, s.Version, len(s.Resources)+len(s.Data))
		text, err := json.Marshal(s)
		if err != nil {
			return err
		}
		for _, registry := range []string{"registry.terraform.io", "registry.opentofu.org"} {
			to := filepath.Join(mirror, registry, "hashicorp", p.provider, s.Version, runtime.GOOS+"_"+runtime.GOARCH)
			err := errors.Join(os.MkdirAll(to, 0o755), os.WriteFile(filepath.Join(to, "schema.json"), text, 0o644),
				os.Link(replay, filepath.Join(to, fmt.Sprintf("terraform-provider-%s_v%s", p.provider, s.Version))))
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// packed fetches an npm package.
func packed(dir, name, version, sum string) (string, error) {
	c := exec.Command("npm", "pack", "--silent", "--pack-destination", dir, name+"@"+version)
	if _, err := output(c); err != nil {
		return "", err
	}
	tgz := filepath.Join(dir, strings.NewReplacer("@", "", "/", "-").Replace(name)+"-"+version+".tgz")
	data, err := os.ReadFile(tgz)
	if err != nil {
		return "", err
	}
	if got := sha256.Sum256(data); hex.EncodeToString(got[:]) != sum {
		return "", fmt.Errorf("%s %s has SHA-256 %x, and not %s", name, version, got, sum)
	}
	return tgz, nil
}

// tree is a copy of the modules, in which terraform leaves its files.
func tree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(modules)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// run runs terraform in a folder; the environment has what is given, and nothing else of ours.
func run(t *testing.T, dir string, env []string, args ...string) ([]byte, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), shared.terraform, args...)
	c.Dir = dir
	c.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TF_CLI_CONFIG_FILE=" + shared.config, "REPLAY_ANSWERS=" + shared.answers,
		"TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1",
	}, env...)
	return output(c)
}

func mustRun(t *testing.T, dir string, env []string, args ...string) []byte {
	t.Helper()
	out, err := run(t, dir, env, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// unzipped are the files in an archive, one after the other.
func unzipped(t *testing.T, file string) []byte {
	t.Helper()
	z, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var all bytes.Buffer
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(&all, r); err != nil {
			t.Fatal(err)
		}
		r.Close()
	}
	return all.Bytes()
}
