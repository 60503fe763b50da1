package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// node does the work of a scheduler and a kubelet: it takes all pods, runs their
// containers with podman, and tells the API server how they are.
type node struct {
	api     *rest
	podman  func(ctx context.Context, args ...string) (string, error)
	folder  string // volumes
	network string
	say     func(format string, args ...any)

	mu      sync.Mutex
	running map[string]bool // pods by UID
	hosts   []string        // names of services and their addresses
	wait    sync.WaitGroup
}

const nodeName = "node-1"

// join makes the node. Its address is where the API server asks for logs.
func (n *node) join(ctx context.Context, port int) error {
	if err := n.api.do(ctx, http.MethodPost, "/api/v1/nodes", object{"apiVersion": "v1", "kind": "Node", "metadata": object{"name": nodeName, "labels": object{"kubernetes.io/hostname": nodeName}}}, nil); err != nil {
		return err
	}
	return n.api.do(ctx, http.MethodPatch, "/api/v1/nodes/"+nodeName+"/status", object{"status": object{
		"addresses":       []object{{"type": "InternalIP", "address": "127.0.0.1"}},
		"conditions":      []object{{"type": "Ready", "status": "True", "reason": "Ready"}},
		"daemonEndpoints": object{"kubeletEndpoint": object{"Port": port}},
	}}, nil)
}

// run looks at the pods until ctx ends, and then waits for what runs.
func (n *node) run(ctx context.Context) {
	defer n.wait.Wait()
	for ; ctx.Err() == nil; time.Sleep(200 * time.Millisecond) {
		pods, err := list[pod](ctx, n.api, "/api/v1/pods")
		if err != nil {
			continue
		}
		for _, p := range pods {
			n.look(ctx, p)
		}
	}
}

// look binds a pod, or starts it.
func (n *node) look(ctx context.Context, p pod) {
	at := "/api/v1/namespaces/" + p.Metadata.Namespace + "/pods/" + p.Metadata.Name
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case p.Spec.NodeName == "":
		if err := n.api.do(ctx, http.MethodPost, at+"/binding", object{"apiVersion": "v1", "kind": "Binding", "metadata": object{"name": p.Metadata.Name}, "target": object{"apiVersion": "v1", "kind": "Node", "name": nodeName}}, nil); err != nil {
			n.say("%v", err)
		}
	case n.running[p.Metadata.UID]:
	case p.Metadata.DeletionTimestamp != "":
		n.remove(ctx, at, p)
	case p.Status.Phase == "Pending":
		n.running[p.Metadata.UID] = true
		n.wait.Go(func() {
			r := &runner{node: n, pod: p, at: at, started: time.Now().UTC().Format(time.RFC3339)}
			r.whole(ctx)
			n.mu.Lock()
			delete(n.running, p.Metadata.UID)
			n.mu.Unlock()
		})
	}
}

// remove says that a pod that was deleted has ended.
func (n *node) remove(ctx context.Context, at string, p pod) {
	for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
		n.podman(ctx, "rm", "-f", "-i", "-t", "0", nameOf(p, c.Name))
	}
	n.api.do(ctx, http.MethodDelete, at, object{"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "preconditions": object{"uid": p.Metadata.UID}}, nil)
}

func nameOf(p pod, container string) string {
	return p.Metadata.Namespace + "_" + p.Metadata.Name + "_" + container
}

// runner is one pod that runs.
type runner struct {
	*node
	pod     pod
	at      string
	ip      string
	started string
	init    []object // of the containers that ended
	last    string   // the status that was told
}

// whole runs a pod from its start to its end.
func (r *runner) whole(ctx context.Context) {
	phase := "Failed"
	if err := r.start(ctx); err != nil {
		r.say("%s: %v", r.pod.Metadata.Name, err)
	} else {
		phase = r.follow(ctx)
	}
	r.tell(ctx, phase, r.states(ctx, false), false)
	for _, c := range r.pod.Spec.Containers {
		r.podman(context.WithoutCancel(ctx), "stop", "-i", "-t", "1", nameOf(r.pod, c.Name))
	}
}

// start runs the init containers, and starts the others.
func (r *runner) start(ctx context.Context) error {
	for _, c := range r.pod.Spec.InitContainers {
		if err := r.create(ctx, c); err != nil {
			return err
		}
		code, err := r.podman(ctx, "wait", nameOf(r.pod, c.Name))
		if err != nil || strings.TrimSpace(code) != "0" {
			return fmt.Errorf("init container %s ended with %s, %w", c.Name, code, err)
		}
		r.init = append(r.init, state(c, true, false, 0))
	}
	for _, c := range r.pod.Spec.Containers {
		if err := r.create(ctx, c); err != nil {
			return err
		}
	}
	ip, err := r.podman(ctx, "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", nameOf(r.pod, r.pod.Spec.Containers[0].Name))
	r.ip = strings.TrimSpace(ip)
	return err
}

// create starts a container as the pod says: its user, its root, its volumes.
func (r *runner) create(ctx context.Context, c container) error {
	sc := r.pod.Spec.SecurityContext
	args := []string{
		"run", "-d", "--name", nameOf(r.pod, c.Name), "--network", r.network, "--cap-drop=ALL", "--security-opt=no-new-privileges", "--pull=never",
		"--user", fmt.Sprintf("%d:%d", sc.RunAsUser, sc.RunAsGroup), "--group-add", strconv.Itoa(sc.FSGroup), "--hostname", r.pod.Metadata.Name,
		"--read-only=" + strconv.FormatBool(c.SecurityContext.ReadOnlyRootFilesystem), "--read-only-tmpfs=false", "--image-volume=ignore",
	}
	if m := c.Resources.Limits["memory"]; m != "" {
		args = append(args, "--memory", strings.ToLower(strings.TrimSuffix(m, "i")))
	}
	r.mu.Lock()
	for _, h := range r.hosts {
		args = append(args, "--add-host", h)
	}
	r.mu.Unlock()
	for _, e := range c.Env {
		args = append(args, "-e", e.Name+"="+e.Value)
	}
	for _, m := range c.VolumeMounts {
		dir, err := r.volume(ctx, m.Name)
		if err != nil {
			return err
		}
		args = append(args, "-v", filepath.Join(dir, m.SubPath)+":"+m.MountPath+map[bool]string{true: ":ro"}[m.ReadOnly])
	}
	_, err := r.podman(ctx, append(append(args, c.Image), c.Args...)...)
	return err
}

// volume makes a volume's folder, if it is not there, with the owners and modes that
// a kubelet gives it.
func (r *runner) volume(ctx context.Context, name string) (string, error) {
	for _, v := range r.pod.Spec.Volumes {
		if v.Name != name {
			continue
		}
		dir := filepath.Join(r.folder, r.pod.Metadata.UID, name)
		switch {
		case v.PersistentVolumeClaim != nil:
			dir = filepath.Join(r.folder, "claim-"+v.PersistentVolumeClaim.ClaimName)
			return dir, r.writable(dir)
		case v.Secret != nil:
			return dir, r.files(ctx, dir, "secrets/"+v.Secret.SecretName, 0o440)
		case v.ConfigMap != nil:
			return dir, r.files(ctx, dir, "configmaps/"+v.ConfigMap.Name, 0o644)
		case v.EmptyDir != nil:
			return dir, r.writable(dir)
		}
	}
	return "", fmt.Errorf("volume %s is of a kind that this node does not know", name)
}

func (r *runner) writable(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.Chown(dir, 0, r.pod.Spec.SecurityContext.FSGroup); err != nil {
		return err
	}
	return os.Chmod(dir, 0o775|os.ModeSetgid)
}

// files writes the items of a secret or a config map: they belong to root, and the
// pod's group may read them.
func (r *runner) files(ctx context.Context, dir, of string, mode os.FileMode) error {
	var from struct{ Data map[string]string }
	if err := r.api.do(ctx, http.MethodGet, "/api/v1/namespaces/"+r.pod.Metadata.Namespace+"/"+of, nil, &from); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, text := range from.Data {
		data := []byte(text)
		if strings.HasPrefix(of, "secrets/") {
			var err error
			if data, err = base64.StdEncoding.DecodeString(text); err != nil {
				return err
			}
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return err
		}
		if err := os.Chown(path, 0, r.pod.Spec.SecurityContext.FSGroup); err != nil {
			return err
		}
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
	}
	return nil
}

// follow tells how the pod is until it ends, and stops it when it is deleted. It
// returns the phase that it ended in.
func (r *runner) follow(ctx context.Context) string {
	for ; ctx.Err() == nil; time.Sleep(250 * time.Millisecond) {
		codes, ended := r.codes(ctx)
		if ended {
			if strings.Trim(codes, "0 ") == "" {
				return "Succeeded"
			}
			return "Failed"
		}
		ready := r.ready(ctx)
		r.tell(ctx, "Running", r.states(ctx, ready), ready)
		var now pod
		if err := r.api.do(ctx, http.MethodGet, r.at, nil, &now); err == nil && (now.Metadata.DeletionTimestamp != "" || now.Metadata.UID != r.pod.Metadata.UID) {
			r.stop(ctx, now.Metadata.DeletionGracePeriodSeconds)
			return "Succeeded"
		}
	}
	return "Failed"
}

// stop sends SIGTERM to all containers, and SIGKILL when the grace is over. Meanwhile
// the probes go on.
func (r *runner) stop(ctx context.Context, grace int) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, c := range r.pod.Spec.Containers {
			r.podman(ctx, "stop", "-i", "-t", strconv.Itoa(grace), nameOf(r.pod, c.Name))
		}
	}()
	for {
		select {
		case <-done:
			return
		case <-time.After(500 * time.Millisecond):
			ready := r.ready(ctx)
			r.tell(ctx, "Running", r.states(ctx, ready), ready)
		}
	}
}

// codes are the exit codes of the containers, if all have ended.
func (r *runner) codes(ctx context.Context) (string, bool) {
	var all []string
	for _, c := range r.pod.Spec.Containers {
		out, err := r.podman(ctx, "inspect", "-f", "{{.State.Running}} {{.State.ExitCode}}", nameOf(r.pod, c.Name))
		if err != nil || strings.HasPrefix(out, "true") {
			return "", false
		}
		all = append(all, strings.TrimPrefix(strings.TrimSpace(out), "false "))
	}
	return strings.Join(all, " "), true
}

// ready asks the readiness probes. Kubernetes asks less often, so a pod there is ready later.
func (r *runner) ready(ctx context.Context) bool {
	for _, c := range r.pod.Spec.Containers {
		if c.ReadinessProbe == nil || c.ReadinessProbe.HTTPGet == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s:%d%s", r.ip, c.port(c.ReadinessProbe.HTTPGet.Port), c.ReadinessProbe.HTTPGet.Path), nil)
		if err != nil {
			return false
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return false
		}
	}
	return true
}

// port is the number of a port that is named.
func (c container) port(named any) int {
	for _, p := range c.Ports {
		if p.Name == named {
			return p.ContainerPort
		}
	}
	n, _ := named.(float64)
	return int(n)
}

// state is what the API server is told of a container.
func state(c container, ended, ready bool, code int) object {
	is := object{"running": object{}}
	if ended {
		is = object{"terminated": object{"exitCode": code, "reason": map[bool]string{true: "Completed", false: "Error"}[code == 0]}}
	}
	return object{"name": c.Name, "image": c.Image, "imageID": c.Image, "ready": ready, "started": !ended, "restartCount": 0, "state": is}
}

func (r *runner) states(ctx context.Context, ready bool) []object {
	var all []object
	for _, c := range r.pod.Spec.Containers {
		out, err := r.podman(context.WithoutCancel(ctx), "inspect", "-f", "{{.State.Running}} {{.State.ExitCode}}", nameOf(r.pod, c.Name))
		code, _ := strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(out), "false "))
		if err != nil {
			code = 1
		}
		all = append(all, state(c, err != nil || !strings.HasPrefix(out, "true"), ready, code))
	}
	return all
}

// tell patches the pod's status, if it is another than before.
func (r *runner) tell(ctx context.Context, phase string, states []object, ready bool) {
	now := fmt.Sprint(phase, states, ready)
	if now == r.last {
		return
	}
	is := map[bool]string{true: "True", false: "False"}
	var conditions []object
	for _, c := range []string{"PodScheduled", "Initialized", "ContainersReady", "Ready"} {
		conditions = append(conditions, object{"type": c, "status": is[ready || c == "PodScheduled" || c == "Initialized"], "lastTransitionTime": time.Now().UTC().Format(time.RFC3339)})
	}
	status := object{"phase": phase, "startTime": r.started, "conditions": conditions, "containerStatuses": states, "initContainerStatuses": r.init}
	if r.ip != "" {
		status["podIP"], status["podIPs"], status["hostIP"] = r.ip, []object{{"ip": r.ip}}, "127.0.0.1"
	}
	if err := r.api.do(ctx, http.MethodPatch, r.at+"/status", object{"status": status}, nil); err == nil {
		r.last = now
	}
}

// serveLogs answers kubectl logs, as a kubelet does.
func (n *node) serveLogs(rw http.ResponseWriter, req *http.Request) {
	parts := strings.Split(strings.TrimPrefix(req.URL.Path, "/containerLogs/"), "/")
	if len(parts) != 3 {
		http.NotFound(rw, req)
		return
	}
	text, err := n.podman(req.Context(), "logs", strings.Join(parts, "_"))
	if err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
		return
	}
	rw.Write([]byte(text))
}
