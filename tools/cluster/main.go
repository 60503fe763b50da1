// Command cluster runs the chart for real: a control plane of Kubernetes (etcd,
// kube-apiserver, kube-controller-manager), a node that runs the pods with podman,
// and two servers of MariaDB. In it, the commands of docs/kubernetes.md are run as they
// stand, while clients outside add entries. What was seen goes into docs/cluster-run.md.
//
//	cd tools && go run ./cluster            # or make cluster; with -helm v3 only with Helm 3
//
// It needs root, and Debian's packages podman, runc, catatonit, netavark and
// mariadb-server. The programs of Kubernetes are built when they are not in the cache
// (~/.cache/indelible/cluster), which takes some 12 minutes of a processor.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(0)
	helms := flag.String("helm", "v3,v4", "which Helm: v3, v4 or both")
	out := flag.String("out", "../docs/cluster-run.md", "file for the result")
	keep := flag.Bool("keep", false, "keep the work folder")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, strings.Split(*helms, ","), *out, *keep); err != nil {
		log.Fatalln("cluster:", err)
	}
}

// world is everything that runs.
type world struct {
	*cluster
	root  string    // of the repository
	out   io.Writer // the report, and the terminal
	guide map[string][]string
	load  *load
}

func run(ctx context.Context, helms []string, out string, keep bool) error {
	home, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	root, err := filepath.Abs("..")
	if err != nil {
		return err
	}
	cache := filepath.Join(home, "indelible", "cluster", "kubernetes-"+version)
	if err := errors.Join(os.MkdirAll(cache, 0o755), build(ctx, root, cache)); err != nil {
		return err
	}
	var report bytes.Buffer
	to := io.MultiWriter(&report, os.Stdout)
	if err := heading(ctx, to); err != nil {
		return err
	}
	for _, helm := range helms {
		if err := with(ctx, helm, &world{cluster: &cluster{bin: cache}, root: root, out: to}, keep); err != nil {
			return fmt.Errorf("helm %s: %w", helm, err)
		}
	}
	return os.WriteFile(out, report.Bytes(), 0o644)
}

// with makes the tour with one Helm, in a cluster of its own.
func with(ctx context.Context, helm string, w *world, keep bool) (err error) {
	if w.work, err = os.MkdirTemp("", "cluster-"); err != nil {
		return err
	}
	if !keep {
		defer os.RemoveAll(w.work)
	}
	defer w.end()
	fmt.Fprintf(w.out, "\n## Helm %s\n", said(ctx, "go", "-C", "cluster/helm", "list", "-m", "-f", "{{.Version}}", "helm.sh/helm/"+helm))
	if err := w.prepare(ctx, helm); err != nil {
		return err
	}
	return w.tour(ctx)
}

// prepare starts everything.
func (w *world) prepare(ctx context.Context, helm string) error {
	if err := w.programs(ctx, helm); err != nil {
		return err
	}
	podman, err := w.podman(ctx)
	if err != nil {
		return err
	}
	if err := w.images(ctx, podman); err != nil {
		return err
	}
	if err := w.up(ctx); err != nil {
		return err
	}
	return w.attach(ctx, podman)
}

// attach gives the control plane its node and its services.
func (w *world) attach(ctx context.Context, podman func(context.Context, ...string) (string, error)) error {
	n := &node{api: w.api, podman: podman, folder: filepath.Join(w.work, "volumes"), network: "pods", say: log.Printf, running: map[string]bool{}}
	port, stop, err := serveTLS(n.serveLogs)
	if err != nil {
		return err
	}
	w.stop = append(w.stop, stop)
	if err := n.join(ctx, port); err != nil {
		return err
	}
	s := &services{api: w.api, node: n, known: map[string]*balancer{}, addrs: map[string]bool{}}
	both, cancel := context.WithCancel(ctx)
	ended := make(chan struct{}, 2)
	go func() { n.run(both); ended <- struct{}{} }()
	go func() { s.run(both); ended <- struct{}{} }()
	w.stop = append(w.stop, func() { cancel(); <-ended; <-ended })
	return nil
}

// programs puts kubectl, helm and logcli, and the chart, where the guide's commands find them.
func (w *world) programs(ctx context.Context, helm string) error {
	bin := filepath.Join(w.work, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", bin+"/", "./cmd/logcli")
	cmd.Dir, cmd.Env = w.root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build logcli: %w: %s", err, out)
	}
	guide, err := os.ReadFile(filepath.Join(w.root, "docs", "kubernetes.md"))
	if err != nil {
		return err
	}
	w.guide = blocks(string(guide))
	return errors.Join(
		os.Symlink(filepath.Join(w.bin, "helm-"+helm), filepath.Join(bin, "helm")),
		os.Symlink(filepath.Join(w.bin, "kubectl"), filepath.Join(bin, "kubectl")),
		os.Symlink(filepath.Join(w.root, "charts"), filepath.Join(w.work, "charts")),
	)
}

// blocks are the commands of a guide, by heading.
func blocks(text string) map[string][]string {
	of, heading := map[string][]string{}, ""
	for i, part := range strings.Split(text, "```") {
		if i%2 == 1 {
			if commands, ok := strings.CutPrefix(part, "sh\n"); ok {
				of[heading] = append(of[heading], commands)
			}
			continue
		}
		for line := range strings.Lines(part) {
			if h, ok := strings.CutPrefix(line, "## "); ok {
				heading = strings.TrimSpace(h)
			}
		}
	}
	return of
}

// podman starts what runs containers, with storage of its own.
func (w *world) podman(ctx context.Context) (func(context.Context, ...string) (string, error), error) {
	conf := filepath.Join(w.work, "containers.conf")
	text := "[containers]\ndefault_ulimits=[\"nofile=4096:4096\",\"nproc=4096:4096\"]\nlog_driver=\"k8s-file\"\n[engine]\nruntime=\"runc\"\ncgroup_manager=\"cgroupfs\"\nevents_logger=\"file\"\n" +
		"[network]\nnetwork_backend=\"netavark\"\nnetwork_config_dir=\"" + w.work + "/networks\"\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	storage := filepath.Join(w.work, "storage")
	podman := func(ctx context.Context, args ...string) (string, error) {
		return command(ctx, []string{"CONTAINERS_CONF=" + conf}, "podman", append([]string{"--root", storage, "--runroot", w.work + "/run", "--tmpdir", w.work + "/libpod"}, args...)...)
	}
	w.stop = append(w.stop, func() {
		podman(context.Background(), "rm", "-fa", "-t", "2")
		podman(context.Background(), "network", "rm", "-f", "pods")
		exec.Command("umount", "-R", storage+"/overlay").Run()
	})
	_, err := podman(ctx, "network", "create", "--disable-dns", "--subnet", podRange, "--gateway", gateway, "pods")
	return podman, err
}

// images makes the images, and gives them the names that the guide's values have. There
// is one build: what an upgrade changes is the tag.
func (w *world) images(ctx context.Context, podman func(context.Context, ...string) (string, error)) error {
	if _, err := command(ctx, nil, "go", "run", "./images", "-out", filepath.Join(w.work, "images"), "-platforms", "linux/"+runtime.GOARCH); err != nil {
		return err
	}
	for _, name := range []string{"logserver", "logwitness", "logcli"} {
		id, err := podman(ctx, "pull", "-q", "oci:"+filepath.Join(w.work, "images", name)+":latest")
		if err != nil {
			return err
		}
		for _, tag := range []string{"1.0", "1.1"} {
			if _, err := podman(ctx, "tag", strings.TrimSpace(id), "registry.example.com/indelible/"+name+":"+tag); err != nil {
				return err
			}
		}
	}
	return nil
}

// heading begins the report.
func heading(ctx context.Context, out io.Writer) error {
	changes := ""
	if _, err := command(ctx, nil, "git", "diff", "--quiet", "HEAD"); err != nil {
		changes = ", with changes"
	}
	_, err := fmt.Fprintf(out, "# The chart in a cluster\n\n<!-- Made by `make cluster`; do not edit. -->\n\nCommit %s%s, %s, %s, %d processors: Kubernetes %s, %s, %s.\n\n"+
		"The control plane is real. A small program does the work of scheduler, kubelet and kube-proxy, and runs the pods with podman.\n"+
		"The commands are those of [kubernetes.md](kubernetes.md). An upgrade changes the tag of the image: both tags are one build.\n",
		said(ctx, "git", "rev-parse", "--short=12", "HEAD"), changes, time.Now().UTC().Format(time.DateOnly), runtime.GOARCH, runtime.NumCPU(), version,
		said(ctx, "podman", "--version"), regexp.MustCompile(`[0-9.]+-MariaDB`).FindString(said(ctx, "mariadb", "--version")))
	return err
}

// said is the first line that a program writes, or what is wrong with it.
func said(ctx context.Context, name string, args ...string) string {
	out, err := command(ctx, nil, name, args...)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(strings.Split(out, "\n")[0])
}
