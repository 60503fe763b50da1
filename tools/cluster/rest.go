package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// rest asks the API server.
type rest struct {
	url, token string
	http       *http.Client
}

func newRest(url, token string) *rest {
	// The certificate is one that the server made for itself, on this machine.
	return &rest{url, token, &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}}
}

// do sends a request, with a body if there is one, and reads the answer into out.
func (r *rest) do(ctx context.Context, method, path string, body, out any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, r.url+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	req.Header.Set("Content-Type", map[bool]string{true: "application/strategic-merge-patch+json", false: "application/json"}[method == http.MethodPatch])
	res, err := r.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %.300s", method, path, res.Status, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

type object = map[string]any

// list has the objects at a path.
func list[T any](ctx context.Context, r *rest, path string) ([]T, error) {
	var all struct{ Items []T }
	err := r.do(ctx, http.MethodGet, path, nil, &all)
	return all.Items, err
}

// pod is what the node needs to know of one.
type pod struct {
	Metadata struct {
		Name, Namespace, UID       string
		DeletionTimestamp          string
		DeletionGracePeriodSeconds int
	}
	Spec   podSpec
	Status struct{ Phase, PodIP string }
}

type podSpec struct {
	NodeName                   string
	RestartPolicy              string
	InitContainers, Containers []container
	Volumes                    []volume
	SecurityContext            struct{ RunAsUser, RunAsGroup, FSGroup int }
}

type container struct {
	Name, Image string
	Args        []string
	Env         []struct{ Name, Value string }
	Ports       []struct {
		Name          string
		ContainerPort int
	}
	VolumeMounts []struct {
		Name, MountPath, SubPath string
		ReadOnly                 bool
	}
	ReadinessProbe *struct {
		HTTPGet *struct {
			Path string
			Port any
		}
	}
	SecurityContext struct{ ReadOnlyRootFilesystem bool }
	Resources       struct{ Limits map[string]string }
}

type volume struct {
	Name   string
	Secret *struct {
		SecretName string
		Items      []struct{ Key, Path string }
	}
	ConfigMap             *struct{ Name string }
	EmptyDir              *object
	PersistentVolumeClaim *struct{ ClaimName string }
}

type service struct {
	Metadata struct{ Name, Namespace string }
	Spec     struct {
		ClusterIP string
		Ports     []struct {
			Name string
			Port int
		}
	}
}

type slice struct {
	Metadata  struct{ Labels map[string]string }
	Endpoints []struct {
		Addresses  []string
		Conditions struct{ Ready *bool }
	}
	Ports []struct {
		Name string
		Port int
	}
}
