package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	pb "indelible/api/proto/indelible/v1"
	"indelible/internal/requestid"
)

// requestLines are the lines of the access log so far, by the request's id.
func requestLines(t *testing.T, log string) map[string]map[string]any {
	t.Helper()
	found := map[string]map[string]any{}
	for line := range strings.Lines(log) {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if id, ok := l["request"].(string); ok && l["msg"] == "request" {
			found[id] = l
		}
	}
	return found
}

// TestRequestIDs: over all APIs an answer has the id that its request came with, as
// do an error of the native API and the access log, which names the client behind a
// trusted proxy and no query.
func TestRequestIDs(t *testing.T) {
	s := start(t, t.TempDir(), "--access-log", "--trusted-proxies", "127.0.0.1")
	for i, c := range []struct {
		path, in string // what the body has
		status   int
	}{
		{"/checkpoint", "log.example.com", 200},
		{"/v1/entries?start=0", "[]", 200},
		{"/v1/entries/7", `"requestId":"id-3"`, 404},
		{"/v1/nowhere?token=hidden", `"requestId":"id-4"`, 404},
		{"/api/v2/nowhere", `"requestId":"id-5"`, 404},
		{"/api/v1/log", "treeSize", 200},
		{"/tile/0/nonsense", `"requestId":"id-7"`, 404},
		{"/healthz", "SERVING", 200},
	} {
		id := fmt.Sprintf("id-%d", i+1)
		req, err := http.NewRequestWithContext(t.Context(), "GET", s.url+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Request-Id", id)
		req.Header.Set("X-Forwarded-For", "203.0.113.9")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != c.status || !strings.Contains(string(body), c.in) || res.Header.Get("X-Request-Id") != id {
			t.Errorf("%s: %v, %d, id %q: %s", c.path, err, res.StatusCode, res.Header.Get("X-Request-Id"), body)
		}
		line := s.access(t, id)
		path, _, _ := strings.Cut(c.path, "?")
		if line["api"] != "http" || line["method"] != "GET" || line["path"] != path || line["status"] != float64(c.status) || line["bytes"] != float64(len(body)) || line["client"] != "203.0.113.9" {
			t.Errorf("%s: the access log says %v", c.path, line)
		}
	}
	conn, err := grpc.NewClient(s.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "x-request-id", "over-grpc"), time.Minute)
	defer cancel()
	var header metadata.MD
	if _, err := pb.NewLogClient(conn).GetCheckpoint(ctx, &pb.GetCheckpointRequest{}, grpc.Header(&header)); err != nil {
		t.Fatal(err)
	}
	if got := header.Get("x-request-id"); len(got) != 1 || got[0] != "over-grpc" {
		t.Errorf("%v", header)
	}
	line := s.access(t, "over-grpc")
	if bytes, ok := line["bytes"].(float64); line["path"] != "/indelible.v1.Log/GetCheckpoint" || line["status"] != "OK" || line["client"] != "127.0.0.1" || !ok || bytes < 100 {
		t.Errorf("the access log says %v", line)
	}
	if strings.Contains(s.log.String(), "hidden") {
		t.Errorf("the log has a query: %s", s.log)
	}
}

// access waits for the line of a request, which is written after its answer.
func (s *instance) access(t *testing.T, id string) map[string]any {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); <-time.After(time.Millisecond) {
		if line := requestLines(t, s.log.String())[id]; line != nil {
			return line
		}
	}
	t.Fatalf("the access log has no request %s:\n%s", id, s.log)
	return nil
}

// TestNoAccessLog: by default no request is in the log, and each has an id.
func TestNoAccessLog(t *testing.T) {
	s := start(t, t.TempDir())
	res, err := http.Get(s.url + "/checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if id := res.Header.Get("X-Request-Id"); len(id) != 32 {
		t.Errorf("%q", id)
	}
	s.stop()
	if lines := requestLines(t, s.log.String()); len(lines) > 0 {
		t.Errorf("%v", lines)
	}
}

// TestFaultsNameTheirRequest, so that an operator finds what a client was not told.
func TestFaultsNameTheirRequest(t *testing.T) {
	var said bytes.Buffer
	faults(slog.New(slog.NewJSONHandler(&said, nil)))(requestid.With(t.Context(), "abc"), errors.New("why"))
	if !strings.Contains(said.String(), `"request":"abc"`) || !strings.Contains(said.String(), `"error":"why"`) {
		t.Error(said.String())
	}
}
