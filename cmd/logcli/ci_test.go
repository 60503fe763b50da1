//go:build unix

package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// ciJob is a step of CI as its file has it: inputs with defaults, the variables that
// are made of them, and the script.
type ciJob struct {
	inputs    map[string]struct{ Default *string }
	variables map[string]string
	script    string
}

func githubAction(t *testing.T) ciJob {
	t.Helper()
	var action struct {
		Inputs map[string]struct{ Default *string }
		Runs   struct {
			Using string
			Steps []struct {
				Shell, Run string
				Env        map[string]string
			}
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "../../deploy/ci/github/action.yml")), &action); err != nil || action.Runs.Using != "composite" || len(action.Runs.Steps) != 1 || action.Runs.Steps[0].Shell != "sh" {
		t.Fatalf("%v: %+v", err, action)
	}
	return ciJob{action.Inputs, action.Runs.Steps[0].Env, action.Runs.Steps[0].Run}
}

func gitlabComponent(t *testing.T) ciJob {
	t.Helper()
	header, body, _ := strings.Cut(read(t, "../../deploy/ci/gitlab/verify.yml"), "\n---\n")
	var spec struct {
		Spec struct {
			Inputs map[string]struct{ Default *string }
		}
	}
	var jobs map[string]struct {
		Variables map[string]string
		Script    []string
	}
	if err := yaml.Unmarshal([]byte(header), &spec); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(body), &jobs); err != nil || len(jobs["verify-artifacts"].Script) != 1 {
		t.Fatalf("%v: %+v", err, jobs)
	}
	return ciJob{spec.Spec.Inputs, jobs["verify-artifacts"].Variables, jobs["verify-artifacts"].Script[0]}
}

// run runs the script as CI does, in a folder, with inputs.
func (j ciJob) run(t *testing.T, dir string, inputs map[string]string, more ...string) (out string, code int) {
	t.Helper()
	cmd := exec.Command("sh", "-e", "-c", j.script)
	cmd.Dir, cmd.Env = dir, append([]string{"PATH=" + dir + "/bin:" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + t.TempDir()}, more...)
	for name, value := range j.variables {
		input := regexp.MustCompile(`inputs\.([a-z-]+)`).FindStringSubmatch(value)
		if input != nil {
			given, ok := inputs[input[1]]
			if d := j.inputs[input[1]].Default; !ok && d != nil {
				given = *d
			}
			value = given
		}
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	_ = cmd.Run() // its exit code says it
	return both.String(), cmd.ProcessState.ExitCode()
}

// newCI is a folder as CI has it, with logcli on its PATH.
func newCI(t *testing.T) *world {
	t.Helper()
	w, _ := bundled(t, "cosign3-v2-blob.json", "artifact.sigstore.json")
	if err := os.Mkdir(w.path("bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	program := w.file("bin/logcli", fmt.Sprintf("#!/bin/sh\n%s=1 exec %q \"$@\"\n", asLogcli, os.Args[0]))
	if err := os.Chmod(program, 0o700); err != nil {
		t.Fatal(err)
	}
	return w
}

// The guide's examples are run, with the inputs that they have.
func TestCIGuide(t *testing.T) {
	action, component := githubAction(t), gitlabComponent(t)
	w := newCI(t)
	for _, dir := range []string{"dist", "trust"} {
		if err := os.Mkdir(w.path(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w.file("trust/policy.txt", read(t, w.path("policy.txt")))
	w.file("trust/cosign.pub", read(t, w.path("cosign.pub")))
	w.file("trust/trusted_root.json", read(t, w.trustedRoot(w.path("policy.txt"))))
	for _, name := range []string{"a.tgz", "b.zip"} {
		w.file("dist/"+name, "true\n")
		w.file("dist/"+name+".sigstore.json", read(t, w.path("artifact.sigstore.json")))
	}
	guide := read(t, "../../docs/ci.md")
	examples := 0
	for _, block := range blocks(guide, "yaml") {
		var example struct {
			Steps   []struct{ With map[string]string }
			Include []struct{ Inputs map[string]string }
		}
		if err := yaml.Unmarshal([]byte(block), &example); err != nil {
			t.Fatal(err)
		}
		try := func(j ciJob, inputs map[string]string) {
			examples++
			for name := range inputs {
				if _, ok := j.inputs[name]; !ok && name != "image" {
					t.Errorf("there is no input %s", name)
				}
			}
			out, code := j.run(t, w.dir, inputs)
			if byKey := inputs["signer"] != ""; byKey && (code != 0 || !strings.Contains(out, "verified: dist/a.tgz")) || !byKey && !strings.Contains(out, "--trusted-root with an authority") {
				t.Errorf("%v: exit code %d: %s", inputs, code, out)
			}
		}
		for _, s := range example.Steps {
			try(action, s.With)
		}
		for _, i := range example.Include {
			try(component, i.Inputs)
		}
	}
	if command := blocks(guide, "sh"); examples != 3 || len(command) != 1 || session(t, w.dir, "$ "+command[0]) != "$ "+command[0] {
		t.Errorf("%d examples, %q", examples, command)
	}
}

// TestCI runs the steps of the GitHub Action and of the GitLab component.
func TestCI(t *testing.T) {
	action, component := githubAction(t), gitlabComponent(t)
	if action.script != component.script {
		t.Error("the scripts differ")
	}
	w := newCI(t)
	bundle := read(t, w.path("artifact.sigstore.json"))
	w.file("bad 100%,.tgz", "false\n")
	w.file("bad 100%,.tgz.sigstore.json", bundle)
	w.file("bare|x.tgz", "")
	trust := map[string]string{"files": "artifact*", "policy": "policy.txt", "signer": "cosign.pub"}
	with := func(name, value string) map[string]string {
		m := maps.Clone(trust)
		m[name] = value
		return m
	}
	for name, j := range map[string]ciJob{"github": action, "gitlab": component} {
		t.Run(name, func(t *testing.T) {
			env := []string{"GITHUB_ACTIONS=true", "GITHUB_STEP_SUMMARY=" + w.path("summary.md")}
			summary, mark := "summary.md", "::error file=bad 100%25%2C.tgz,title=Not verified::the artifact check failed: this is not the artifact"
			if name == "gitlab" {
				env, summary, mark = nil, "verify-summary.md", "NOT VERIFIED: bad 100%,.tgz: the artifact check failed: this is not the artifact"
			}
			out, code := j.run(t, w.dir, trust, env...)
			if code != 0 || out != "verified: artifact\n" {
				t.Errorf("exit code %d: %s", code, out)
			}
			says(t, read(t, w.path(summary)), "### 1 of 1 files are verified", "| `artifact` | verified | |")
			out, code = j.run(t, w.dir, with("files", "artifact *.tgz\nsha256:00"), env...)
			if code != exitUnverified {
				t.Errorf("exit code %d", code)
			}
			says(t, out, "verified: artifact\n", mark, "there is no proof for bare|x.tgz", "64 hex digits")
			says(t, read(t, w.path(summary)), "### 1 of 4 files are verified", "| `bad 100%,.tgz` | **not verified** | the artifact check failed", `for bare\|x.tgz`)
			for said, inputs := range map[string]map[string]string{
				"There is no file to verify": with("files", "*.sigstore.json"),
				"Give the log":               with("policy", ""),
				"no signer is trusted":       with("signer", ""),
			} {
				if out, code := j.run(t, w.dir, inputs, env...); code != exitUsage || !strings.Contains(out, said) {
					t.Errorf("%q: exit code %d: %s", said, code, out)
				}
			}
			out, code = j.run(t, w.dir, with("bundle", "artifact.sigstore.json"), append(env, "PATH="+os.Getenv("PATH"))...)
			if code == 0 || strings.Contains(out, "verified: artifact\n") {
				t.Errorf("without logcli: exit code %d: %s", code, out)
			}
		})
	}
}
