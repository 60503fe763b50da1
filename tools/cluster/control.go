package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// version is that of Kubernetes, which kubernetes/go.mod pins.
const version = "v1.36.3"

// cluster is a control plane: etcd, kube-apiserver and kube-controller-manager as
// processes on this machine.
type cluster struct {
	work, bin string
	api       *rest
	stop      []func()
}

// build builds the programs of Kubernetes, and Helm, if they are not there yet. That
// takes some 12 minutes of a processor.
func build(ctx context.Context, root, cache string) error {
	ld := "-s -w -X k8s.io/component-base/version.gitVersion=" + version + " -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36"
	for _, b := range []struct{ name, module, pkg string }{
		{"kube-apiserver", "tools/cluster/kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver"},
		{"kube-controller-manager", "tools/cluster/kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager"},
		{"kubectl", "tools/cluster/kubernetes", "k8s.io/kubernetes/cmd/kubectl"},
		{"etcd", "tools/cluster/kubernetes", "go.etcd.io/etcd/server/v3"},
		{"helm-v3", "tools/cluster/helm", "helm.sh/helm/v3/cmd/helm"},
		{"helm-v4", "tools/cluster/helm", "helm.sh/helm/v4/cmd/helm"},
	} {
		to := filepath.Join(cache, b.name)
		if _, err := os.Stat(to); err == nil {
			continue
		}
		fmt.Fprintln(os.Stderr, "building", b.name)
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", ld, "-o", to+".new", b.pkg)
		cmd.Dir, cmd.Env = filepath.Join(root, b.module), append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w: %s", b.name, err, out)
		}
		if err := os.Rename(to+".new", to); err != nil {
			return err
		}
	}
	return nil
}

// start starts a process that ends with the cluster.
func (c *cluster) start(name string, args ...string) error {
	log, err := os.Create(filepath.Join(c.work, filepath.Base(name)+".log"))
	if err != nil {
		return err
	}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // ^C is for this program, which ends the others in turn
	if err := cmd.Start(); err != nil {
		return errors.Join(err, log.Close())
	}
	c.stop = append(c.stop, func() {
		cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
		cmd.Wait()
		kill.Stop()
		log.Close()
	})
	return nil
}

func (c *cluster) end() {
	for i := len(c.stop) - 1; i >= 0; i-- {
		c.stop[i]()
	}
}

// up starts the control plane, and waits until it answers.
func (c *cluster) up(ctx context.Context) error {
	ports, err := freePorts(4)
	if err != nil {
		return err
	}
	at := func(name string) string { return filepath.Join(c.work, name) }
	etcd, peer := fmt.Sprintf("http://127.0.0.1:%d", ports[0]), fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	c.api = newRest(fmt.Sprintf("https://127.0.0.1:%d", ports[2]), "admin-of-a-cluster-that-is-thrown-away")
	if err := errors.Join(c.serviceAccountKey(), c.kubeconfig(), os.WriteFile(at("tokens.csv"), []byte(c.api.token+",admin,admin,system:masters\n"), 0o600)); err != nil {
		return err
	}
	if err := c.start(c.bin+"/etcd", "--data-dir", at("etcd"), "--listen-client-urls", etcd, "--advertise-client-urls", etcd, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer, "--unsafe-no-fsync"); err != nil {
		return err
	}
	if err := c.start(c.bin+"/kube-apiserver", "--etcd-servers", etcd, "--secure-port", fmt.Sprint(ports[2]), "--bind-address", "127.0.0.1", "--cert-dir", at("pki"),
		"--service-cluster-ip-range", serviceRange, "--token-auth-file", at("tokens.csv"), "--authorization-mode", "RBAC", "--endpoint-reconciler-type", "none",
		"--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", at("sa.key"), "--service-account-signing-key-file", at("sa.key"),
		"--kubelet-preferred-address-types", "InternalIP"); err != nil {
		return err
	}
	if err := await(ctx, "the API server", func() error { return c.api.do(ctx, http.MethodGet, "/version", nil, nil) }); err != nil {
		return err
	}
	return c.start(c.bin+"/kube-controller-manager", "--kubeconfig", at("kubeconfig"), "--service-account-private-key-file", at("sa.key"), "--leader-elect=false",
		"--bind-address", "127.0.0.1", "--secure-port", fmt.Sprint(ports[3]), "--controllers", "*,-node-lifecycle-controller,-taint-eviction-controller,-cloud-node-lifecycle-controller,-node-route-controller,-service-lb-controller",
		"--concurrent-deployment-syncs", "2")
}

// kubeconfig is for kubectl, helm and the controllers.
func (c *cluster) kubeconfig() error {
	return os.WriteFile(filepath.Join(c.work, "kubeconfig"), fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: %q, insecure-skip-tls-verify: true}}]
users: [{name: u, user: {token: %q}}]
`, c.api.url, c.api.token), 0o600)
}

func (c *cluster) serviceAccountKey() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.work, "sa.key"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}

// serveTLS serves with a certificate that is made for the purpose.
func serveTLS(h http.HandlerFunc) (port int, stop func(), err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return 0, nil, err
	}
	from := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, from, from, key.Public(), key)
	if err != nil {
		return 0, nil, err
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		return 0, nil, err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go server.Serve(l)
	return l.Addr().(*net.TCPAddr).Port, func() { server.Close() }, nil
}

// database starts a server of MariaDB with one empty database, and returns its DSN.
func (c *cluster) database(ctx context.Context, name string) (string, error) {
	ports, err := freePorts(1)
	if err != nil {
		return "", err
	}
	dir, socket := filepath.Join(c.work, "db-"+name), filepath.Join(c.work, name+".sock")
	if out, err := exec.CommandContext(ctx, "mariadb-install-db", "--no-defaults", "--user=root", "--datadir="+dir, "--skip-test-db", "--auth-root-authentication-method=normal").CombinedOutput(); err != nil {
		return "", fmt.Errorf("mariadb-install-db: %w: %s", err, out)
	}
	server, err := exec.LookPath("mariadbd")
	if err != nil {
		server = "/usr/sbin/mariadbd"
	}
	if err := c.start(server, "--no-defaults", "--user=root", "--datadir="+dir, "--socket="+socket, fmt.Sprintf("--port=%d", ports[0]), "--bind-address=0.0.0.0", "--max-connections=400"); err != nil {
		return "", err
	}
	sql := fmt.Sprintf("CREATE DATABASE %[1]s; CREATE USER %[1]s@'%%' IDENTIFIED BY 'not-secret'; GRANT ALL ON %[1]s.* TO %[1]s@'%%'; GRANT REPLICATION CLIENT, SLAVE MONITOR ON *.* TO %[1]s@'%%';", name)
	err = await(ctx, "the database", func() error {
		out, err := exec.CommandContext(ctx, "mariadb", "--no-defaults", "-S", socket, "-uroot", "-e", sql).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	return fmt.Sprintf("%[1]s:not-secret@tcp(%[2]s:%[3]d)/%[1]s", name, gateway, ports[0]), err
}

// await tries something again until it succeeds, for two minutes at most.
func await(ctx context.Context, what string, f func() error) error {
	var err error
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if err = f(); err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return fmt.Errorf("%s: not within two minutes: %w", what, err)
}

func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// command runs a program to its end, and returns what it wrote.
func command(ctx context.Context, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}
