package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"sync"
	"time"
)

const (
	serviceRange = "10.77.0.0/24"
	podRange     = "10.78.0.0/24"
	gateway      = "10.78.0.1"
)

// services does the work of kube-proxy: the address of each service is one of this
// machine, and its connections go to the pods that are ready, in turn. A connection
// stays where it is when its pod ends.
type services struct {
	api  *rest
	node *node

	known map[string]*balancer // by address and port
	addrs map[string]bool
}

// balancer is one port of one service.
type balancer struct {
	mu   sync.Mutex
	to   []string
	next int
}

// run follows the services until ctx ends.
func (s *services) run(ctx context.Context) {
	for ; ctx.Err() == nil; time.Sleep(200 * time.Millisecond) {
		list, err := list[service](ctx, s.api, "/api/v1/services")
		if err != nil {
			continue
		}
		slices, err := slicesOf(ctx, s.api)
		if err != nil {
			continue
		}
		var hosts []string
		for _, svc := range list {
			if ip := net.ParseIP(svc.Spec.ClusterIP); ip == nil || svc.Metadata.Namespace == "default" {
				continue
			}
			hosts = append(hosts, svc.Metadata.Name+":"+svc.Spec.ClusterIP)
			s.serve(ctx, svc, slices[svc.Metadata.Namespace+"/"+svc.Metadata.Name])
		}
		s.node.mu.Lock()
		s.node.hosts = hosts
		s.node.mu.Unlock()
	}
	for addr := range s.addrs {
		exec.Command("ip", "addr", "del", addr+"/32", "dev", "lo").Run()
	}
}

// slicesOf has the endpoints of all services, by namespace and name.
func slicesOf(ctx context.Context, api *rest) (map[string][]slice, error) {
	var all struct {
		Items []struct {
			Metadata struct {
				Namespace string
				Labels    map[string]string
			}
			slice
		}
	}
	if err := api.do(ctx, "GET", "/apis/discovery.k8s.io/v1/endpointslices", nil, &all); err != nil {
		return nil, err
	}
	of := map[string][]slice{}
	for _, i := range all.Items {
		name := i.Metadata.Namespace + "/" + i.Metadata.Labels["kubernetes.io/service-name"]
		of[name] = append(of[name], i.slice)
	}
	return of, nil
}

// serve listens on the ports of a service, and says where they lead to now.
func (s *services) serve(ctx context.Context, svc service, slices []slice) {
	for _, p := range svc.Spec.Ports {
		at := fmt.Sprintf("%s:%d", svc.Spec.ClusterIP, p.Port)
		b := s.known[at]
		if b == nil {
			exec.Command("ip", "addr", "add", svc.Spec.ClusterIP+"/32", "dev", "lo").Run()
			l, err := net.Listen("tcp", at)
			if err != nil {
				continue
			}
			context.AfterFunc(ctx, func() { l.Close() })
			b = &balancer{}
			s.known[at], s.addrs[svc.Spec.ClusterIP] = b, true
			go b.accept(l)
		}
		var to []string
		for _, sl := range slices {
			for _, port := range sl.Ports {
				for _, e := range sl.Endpoints {
					if port.Name == p.Name && (e.Conditions.Ready == nil || *e.Conditions.Ready) {
						to = append(to, fmt.Sprintf("%s:%d", e.Addresses[0], port.Port))
					}
				}
			}
		}
		b.mu.Lock()
		b.to = to
		b.mu.Unlock()
	}
}

// pick is the next pod in turn; empty if none is ready.
func (b *balancer) pick() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.to) == 0 {
		return ""
	}
	b.next++
	return b.to[b.next%len(b.to)]
}

func (b *balancer) accept(l net.Listener) {
	for {
		from, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer from.Close()
			to, err := net.DialTimeout("tcp", b.pick(), 5*time.Second)
			if err != nil {
				return
			}
			defer to.Close()
			done := make(chan struct{}, 2)
			for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
				go func() {
					io.Copy(way[0], way[1])
					way[0].(*net.TCPConn).CloseWrite()
					done <- struct{}{}
				}()
			}
			<-done
			<-done
		}()
	}
}
