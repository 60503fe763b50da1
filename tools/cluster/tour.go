package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// tour is what is done, and what must be seen.
func (w *world) tour(ctx context.Context) error {
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"Install", w.install},
		{"From outside", w.outside},
		{"Upgrade and rollback under load", w.upgrade},
		{"SQLite", w.sqlite},
		{"Uninstall, and install again", w.again},
	} {
		fmt.Fprintf(w.out, "\n### %s\n\n", step.what)
		began := time.Now()
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
		fmt.Fprintf(w.out, "\nIt took %d s.\n", int(time.Since(began).Seconds()))
	}
	return nil
}

// shell runs commands where the chart and the DSNs are, and returns what they wrote.
func (w *world) shell(ctx context.Context, commands string, env ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", commands)
	cmd.Dir = w.work
	cmd.Env = append(os.Environ(), "PATH="+w.work+"/bin:"+os.Getenv("PATH"), "KUBECONFIG="+w.work+"/kubeconfig", "HOME="+w.work)
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s: %w: %s", commands, err, out)
	}
	return string(out), nil
}

// say runs commands, and reports the lines that match.
func (w *world) say(ctx context.Context, commands, lines string, env ...string) error {
	out, err := w.shell(ctx, commands, env...)
	if err != nil {
		return err
	}
	found := regexp.MustCompile(`(?m)^.*(?:`+lines+`).*$`).FindAllString(out, -1)
	if len(found) == 0 {
		return fmt.Errorf("%s: it says nothing of %s: %s", commands, lines, out)
	}
	for _, line := range found {
		fmt.Fprintln(w.out, "    "+strings.TrimRight(line, " "))
	}
	return nil
}

// of has the commands below a heading of the guide, all or the one of a number.
func (w *world) of(heading string, n ...int) string {
	list := w.guide[heading]
	if len(n) == 0 {
		return strings.Join(list, "\n")
	}
	if n[0] >= len(list) {
		return "echo the guide has no commands number " + fmt.Sprint(n[0]) + " of " + heading + "; exit 1"
	}
	return list[n[0]]
}

func (w *world) install(ctx context.Context) error {
	for _, name := range []string{"database", "register"} {
		dsn, err := w.database(ctx, name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(w.work, name+".dsn"), []byte(dsn+"\n"), 0o600); err != nil {
			return err
		}
	}
	if err := w.routes(ctx); err != nil {
		return err
	}
	if _, err := w.shell(ctx, w.of("Install", 0)); err != nil {
		return err
	}
	if err := w.say(ctx, w.of("Install", 1), "STATUS"); err != nil {
		return err
	}
	if err := w.say(ctx, w.of("Install", 2), "vkey  |Created|Verified|Phase"); err != nil {
		return err
	}
	if _, err := w.shell(ctx, w.of("Install", 3)); err != nil {
		return err
	}
	return w.say(ctx, "kubectl -n logs get deployments,pods,httproutes,grpcroutes,poddisruptionbudgets", "/log-indelible")
}

// routes gives the cluster the kinds of the Gateway API.
func (w *world) routes(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api")
	cmd.Dir = filepath.Join(w.root, "test", "chart")
	dir, err := cmd.Output()
	if err != nil {
		return err
	}
	at := strings.TrimSpace(string(dir)) + "/config/crd/standard/gateway.networking.k8s.io_"
	_, err = w.shell(ctx, "kubectl apply --server-side -f "+at+"httproutes.yaml -f "+at+"grpcroutes.yaml && kubectl wait --for=condition=Established crd --all --timeout=60s")
	return err
}

// outside adds and verifies with a logcli that is no pod. Another replica's readers may
// be a second behind.
func (w *world) outside(ctx context.Context) error {
	ip, err := w.shell(ctx, "kubectl -n logs get service log-indelible -o jsonpath='{.spec.clusterIP}'")
	if err != nil {
		return err
	}
	url := "http://" + ip + ":8080"
	if w.load, err = newLoad(url); err != nil {
		return err
	}
	return w.say(ctx, "echo hello > hello.txt; logcli add hello.txt; logcli verify hello.txt; sleep 2; logcli list", "is in log|✓ |dsse|hashedrekord", "INDELIBLE_URL="+url)
}

// upgrade upgrades and rolls back while clients add.
func (w *world) upgrade(ctx context.Context) error {
	w.load.run(ctx, 8)
	time.Sleep(2 * time.Second)
	for i := range 2 {
		before, err := w.pods(ctx)
		if err != nil {
			return err
		}
		if err := w.say(ctx, w.of("Upgrade", i), "STATUS|successfully rolled out|Rollback was a success"); err != nil {
			return err
		}
		if err := await(ctx, "the old pods end", func() error {
			now, err := w.pods(ctx)
			if err == nil && (len(strings.Fields(now)) != 2 || shares(before, now)) {
				err = fmt.Errorf("there are %s", now)
			}
			return err
		}); err != nil {
			return err
		}
	}
	time.Sleep(2 * time.Second)
	said, err := w.load.finish()
	fmt.Fprintf(w.out, "\nEight clients outside added meanwhile, each entry once, without trying again: %s.\n\n", said)
	if err != nil {
		return err
	}
	if err := w.load.there(ctx); err != nil {
		return err
	}
	fmt.Fprintf(w.out, "Each of them is in the log, at the index that was answered. `logcli fsck`:\n\n")
	return w.say(ctx, "logcli fsck", "entries", "INDELIBLE_URL="+w.load.url)
}

// pods are the names of the servers' pods.
func (w *world) pods(ctx context.Context) (string, error) {
	return w.shell(ctx, "kubectl -n logs get pods -l app.kubernetes.io/component=server,app.kubernetes.io/instance=log -o jsonpath='{.items[*].metadata.name}'")
}

func shares(a, b string) bool {
	for _, name := range strings.Fields(a) {
		if strings.Contains(b, name) {
			return true
		}
	}
	return false
}

func (w *world) sqlite(ctx context.Context) error {
	return w.say(ctx, w.of("SQLite"), "STATUS|vkey  |Created|Phase")
}

// again uninstalls the log, and installs it again: it is the same log.
func (w *world) again(ctx context.Context) error {
	if _, err := w.shell(ctx, w.of("Uninstall", 0)); err != nil {
		return err
	}
	if err := w.say(ctx, w.of("Uninstall", 1), "is there already|vkey  "); err != nil {
		return err
	}
	ip, err := w.shell(ctx, "kubectl -n logs get service log-indelible -o jsonpath='{.spec.clusterIP}'")
	if err != nil {
		return err
	}
	w.load.url = "http://" + ip + ":8080"
	if err := w.load.there(ctx); err != nil {
		return err
	}
	fmt.Fprintf(w.out, "\nAll %d entries are still there. An upgrade that finds an empty database is refused:\n\n", len(w.load.added))
	if _, err := w.shell(ctx, "mariadb --no-defaults -S database.sock -uroot -e 'DROP DATABASE `database`; CREATE DATABASE `database`'"); err != nil {
		return err
	}
	return w.say(ctx, "! helm upgrade log charts/indelible -n logs --values values.yaml --timeout 40s 2>&1; kubectl -n logs logs job/log-indelible-init", "logserver: ")
}
