package server_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	rekorpb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	pb "indelible/api/proto/indelible/v1"
	"indelible/entry"
	"indelible/internal/fair"
	translog "indelible/log"
	"indelible/server/admission"
	"indelible/server/native"
	"indelible/server/rekorv2"
)

func (f *fakeLog) Add(ctx context.Context, e entry.Entry) (translog.Receipt, error) {
	outcomes, err := f.AddMany(ctx, []entry.Entry{e})
	if err != nil {
		return translog.Receipt{}, err
	}
	return outcomes[0].Receipt, outcomes[0].Err
}

// rekorV1DSSE proposes an envelope over Rekor v1.
func (s signer) rekorV1DSSE(tb testing.TB, payload string) map[string]any {
	tb.Helper()
	envelope, _ := s.envelope(tb, payload)["dsse"].(map[string]any)["envelope"].([]byte)
	verifier := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: s.spki})
	return map[string]any{"apiVersion": "0.0.1", "kind": "dsse", "spec": map[string]any{"proposedContent": map[string]any{
		"envelope": string(envelope), "verifiers": []string{base64.StdEncoding.EncodeToString(verifier)},
	}}}
}

// asks are requests that verify, by every way over HTTP.
func asks(tb testing.TB) map[string][]byte {
	s := newSigner(tb)
	return map[string][]byte{
		"/v1/entries":                s.request(tb, "artifact"),
		rekorEntries:                 toJSON(tb, s.rekorRequest(tb, "artifact")),
		rekorV1Entries:               toJSON(tb, s.rekorV1DSSE(tb, "payload")),
		rekorV1Entries + "/retrieve": toJSON(tb, map[string]any{"entries": []any{s.rekorV1DSSE(tb, "payload")}}),
	}
}

// sendFrom sends a request from an address.
func sendFrom(ctx context.Context, h http.Handler, remote, forwarded, path string, body []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, path, bytes.NewReader(body))
	r.RemoteAddr = remote
	r.Header.Set("Content-Type", "application/json")
	if forwarded != "" {
		r.Header.Set("X-Forwarded-For", forwarded)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

// occupied is an Admission whose one worker is busy until free is called. Two more
// steps may wait.
func occupied(t *testing.T, proxies ...netip.Prefix) (turns *admission.Admission, free func()) {
	turns = admission.New(admission.Config{Workers: 1, Places: 2, TrustedProxies: proxies})
	release := make(chan struct{})
	go turns.Work(fair.As(t.Context(), "first"))(1, func() { <-release })
	synctest.Wait()
	return turns, func() { close(release); synctest.Wait() }
}

// TestEveryAPIWaitsForItsTurn: a client that has as much waiting as it may is told
// to come back, in the words of the API that it asks, and another client is not.
func TestEveryAPIWaitsForItsTurn(t *testing.T) {
	for path, body := range asks(t) {
		synctest.Test(t, func(t *testing.T) {
			turns, free := occupied(t)
			h := everyAPISharing(t, &fakeLog{}, nil, turns)
			answers := make(chan *httptest.ResponseRecorder, 2)
			send := func(remote string) {
				go func() { answers <- sendFrom(t.Context(), h, remote, "", path, body) }()
				synctest.Wait()
			}
			send("[2001:db8::1]:1000")
			// The same /64, another address and port; and what X-Forwarded-For says means nothing.
			rec := sendFrom(t.Context(), h, "[2001:db8::2]:2000", "192.0.2.9", path, body)
			want, code := http.StatusServiceUnavailable, float64(codes.Unavailable)
			switch {
			case path == "/v1/entries":
				want, code = http.StatusTooManyRequests, float64(codes.ResourceExhausted)
			case strings.HasPrefix(path, rekorV1Entries):
				code = http.StatusServiceUnavailable
			}
			var f map[string]any
			if err := json.Unmarshal(rec.Body.Bytes(), &f); err != nil || rec.Code != want || f["code"] != code || rec.Header().Get("Retry-After") != "1" ||
				!strings.Contains(fmt.Sprint(f["message"]), "try again in a moment") {
				t.Errorf("%s: %d %v %s, %v", path, rec.Code, rec.Header(), rec.Body, err)
			}
			send("[2001:db8:0:1::1]:1000")
			free()
			for range 2 {
				if rec := <-answers; rec.Code != http.StatusOK && rec.Code != http.StatusCreated {
					t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
				}
			}
		})
	}
}

// TestDecodingWaitsForItsTurn: the body of a large request is not decoded before its
// client's turn, over any API, and when too much waits, that is said.
func TestDecodingWaitsForItsTurn(t *testing.T) {
	wrong := append([]byte(`{"wrong":`), bytes.Repeat([]byte(" "), 20<<10)...)
	for path, busy := range map[string]int{
		"/v1/entries": 429, "/v1/entries:batch": 429, rekorEntries: 503, rekorV1Entries: 503, rekorV1Entries + "/retrieve": 503,
	} {
		synctest.Test(t, func(t *testing.T) {
			turns, free := occupied(t)
			h := everyAPISharing(t, &fakeLog{}, nil, turns)
			answer := make(chan *httptest.ResponseRecorder, 1)
			go func() { answer <- sendFrom(t.Context(), h, "192.0.2.1:1", "", path, wrong) }()
			synctest.Wait()
			if len(answer) > 0 {
				t.Errorf("%s: it was decoded while the worker was busy", path)
			}
			rec := sendFrom(t.Context(), h, "192.0.2.1:1", "", path, wrong)
			if rec.Code != busy || rec.Header().Get("Retry-After") != "1" || !strings.Contains(rec.Body.String(), "try again in a moment") {
				t.Errorf("%s: %d %v %s", path, rec.Code, rec.Header(), rec.Body)
			}
			free()
			if rec := <-answer; rec.Code != http.StatusBadRequest {
				t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
			}
		})
	}
}

// TestTurnsBehindAProxy: clients behind a trusted proxy are told apart.
func TestTurnsBehindAProxy(t *testing.T) {
	const proxy = "10.0.0.1:1000"
	for path, body := range asks(t) {
		synctest.Test(t, func(t *testing.T) {
			turns, free := occupied(t, netip.MustParsePrefix("10.0.0.0/8"))
			h := everyAPISharing(t, &fakeLog{}, nil, turns)
			for _, client := range []string{"192.0.2.1", "192.0.2.2"} {
				go func() {
					if rec := sendFrom(t.Context(), h, proxy, client, path, body); rec.Code >= 300 {
						t.Errorf("%s from %s: %d %s", path, client, rec.Code, rec.Body)
					}
				}()
				synctest.Wait()
			}
			free()
		})
	}
}

// TestVerificationEndsWithTheClient: what waits for a client that is gone is not
// verified, and its place is free at once.
func TestVerificationEndsWithTheClient(t *testing.T) {
	for path, body := range asks(t) {
		synctest.Test(t, func(t *testing.T) {
			turns, free := occupied(t)
			h := everyAPISharing(t, &fakeLog{}, nil, turns)
			for range 5 { // more than may wait
				ctx, cancel := context.WithCancel(t.Context())
				answer := make(chan *httptest.ResponseRecorder, 1)
				go func() { answer <- sendFrom(ctx, h, "192.0.2.1:1", "", path, body) }()
				synctest.Wait()
				cancel()
				if rec := <-answer; rec.Code != 499 {
					t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
				}
			}
			free()
		})
	}
}

// TestBatchTakesTurns: each entry of a batch waits for its own turn, so that others
// come between; and the batch ends with its client.
func TestBatchTakesTurns(t *testing.T) {
	s := newSigner(t)
	var all []any
	for i := range 64 {
		all = append(all, s.entry(t, numbered(i)))
	}
	var req pb.AddEntriesRequest
	if err := protojson.Unmarshal(toJSON(t, map[string]any{"entries": all}), &req); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		// The neighbour asks while the batch is under way, and is answered before
		// more than some of its entries are verified.
		turns := admission.New(admission.Config{Workers: 1})
		log := &countingLog{}
		service := native.New(native.Config{Log: log, Kinds: allKinds, Admission: turns})
		release := make(chan struct{})
		go turns.Work(fair.As(t.Context(), "first"))(1, func() { <-release })
		synctest.Wait()
		go func() {
			if _, err := service.AddEntries(fair.As(t.Context(), "batch"), &req); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		go func() {
			if _, err := service.AddEntry(fair.As(t.Context(), "neighbour"), &pb.AddEntryRequest{Entry: req.Entries[0]}); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		close(release)
		synctest.Wait()
		if got := fmt.Sprint(log.sizes); got != "[1 64]" {
			t.Errorf("logged in the order %s: the batch came first", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		turns, free := occupied(t)
		service := native.New(native.Config{Log: &fakeLog{}, Kinds: allKinds, Admission: turns})
		ctx, cancel := context.WithCancel(fair.As(t.Context(), "batch"))
		done := make(chan error, 1)
		go func() { _, err := service.AddEntries(ctx, &req); done <- err }()
		synctest.Wait()
		cancel()
		if err := <-done; status.Code(err) != codes.Canceled {
			t.Error(err)
		}
		free()
	})
}

// countingLog remembers how many entries came at a time.
type countingLog struct {
	fakeLog
	mu    sync.Mutex
	sizes []int
}

func (c *countingLog) AddMany(ctx context.Context, entries []entry.Entry) ([]translog.Outcome, error) {
	c.mu.Lock()
	c.sizes = append(c.sizes, len(entries))
	c.mu.Unlock()
	return c.fakeLog.AddMany(ctx, entries)
}

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// TestTurnsOverGRPC: there, too, a client is its address.
func TestTurnsOverGRPC(t *testing.T) {
	s := newSigner(t)
	var req pb.AddEntryRequest
	var v2 rekorpb.CreateEntryRequest
	if err := protojson.Unmarshal(s.request(t, "a"), &req); err != nil {
		t.Fatal(err)
	}
	if err := protojson.Unmarshal(toJSON(t, s.rekorRequest(t, "a")), &v2); err != nil {
		t.Fatal(err)
	}
	from := func(ctx context.Context, remote string) context.Context {
		return peer.NewContext(ctx, &peer.Peer{Addr: address(remote)})
	}
	for _, c := range []struct {
		name string
		busy codes.Code
		call func(ctx context.Context, turns *admission.Admission) error
	}{
		{"native", codes.ResourceExhausted, func(ctx context.Context, turns *admission.Admission) error {
			_, err := native.New(native.Config{Log: &fakeLog{}, Kinds: allKinds, Admission: turns}).AddEntry(ctx, &req)
			return err
		}},
		{"Rekor v2", codes.Unavailable, func(ctx context.Context, turns *admission.Admission) error {
			_, err := rekorv2.New(rekorv2.Config{Log: &fakeLog{}, Kinds: allKinds, Admission: turns}).CreateEntry(ctx, &v2)
			return err
		}},
	} {
		synctest.Test(t, func(t *testing.T) {
			turns, free := occupied(t)
			for _, remote := range []string{"192.0.2.1:1", "192.0.2.2:1"} {
				go func() {
					if err := c.call(from(t.Context(), remote), turns); err != nil {
						t.Errorf("%s from %s: %v", c.name, remote, err)
					}
				}()
				synctest.Wait()
				if remote == "192.0.2.1:1" {
					if err := c.call(from(t.Context(), "192.0.2.1:2"), turns); status.Code(err) != c.busy {
						t.Errorf("%s: %v, and not %s", c.name, err, c.busy)
					}
				}
			}
			free()
		})
	}
}
