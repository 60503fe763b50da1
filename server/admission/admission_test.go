package admission

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"indelible/internal/fair"
)

func proxies(t testing.TB, list ...string) []netip.Prefix {
	t.Helper()
	p, err := ParseProxies(list)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestClient: over HTTP and over gRPC a client is the same.
func TestClient(t *testing.T) {
	a := New(Config{TrustedProxies: proxies(t, "10.0.0.0/8", "192.0.2.1", "2001:db8:ff::/48")})
	for _, c := range []struct {
		remote    string
		forwarded []string
		want      string
	}{
		{"198.51.100.7:1234", nil, "198.51.100.7"},
		{"[2001:db8:1:2:3:4:5:6]:1234", nil, "2001:db8:1:2::/64"},
		{"[2001:db8:1:2:ffff::1]:80", nil, "2001:db8:1:2::/64"},
		{"[fe80::1%eth0]:1234", nil, "fe80::/64"},
		{"[::ffff:198.51.100.7]:1234", nil, "198.51.100.7"},
		// From an address that is not trusted the header means nothing.
		{"198.51.100.7:1234", []string{"203.0.113.9"}, "198.51.100.7"},
		{"192.0.2.2:1234", []string{"203.0.113.9"}, "192.0.2.2"},
		{"10.1.2.3:1234", []string{"203.0.113.9"}, "203.0.113.9"},
		{"[::ffff:10.1.2.3]:1234", []string{"203.0.113.9"}, "203.0.113.9"},
		{"192.0.2.1:1234", []string{"2001:db8:1:2:3:4:5:6"}, "2001:db8:1:2::/64"},
		{"[2001:db8:ff::1]:1234", []string{"[2001:db8:1:2::9]:555"}, "2001:db8:1:2::/64"},
		{"10.1.2.3:1234", []string{"203.0.113.9:4711"}, "203.0.113.9"},
		// What the client wrote stands to the left of what the proxies did.
		{"10.1.2.3:1234", []string{"1.1.1.1, 203.0.113.9"}, "203.0.113.9"},
		{"10.1.2.3:1234", []string{"1.1.1.1", "203.0.113.9 , 10.9.9.9"}, "203.0.113.9"},
		{"10.1.2.3:1234", []string{"10.5.5.5, 10.9.9.9"}, "10.5.5.5"},
		{"10.1.2.3:1234", []string{"1.1.1.1, unknown"}, "10.1.2.3"},
		{"10.1.2.3:1234", []string{"1.1.1.1, unknown, 10.9.9.9"}, "10.9.9.9"},
		{"10.1.2.3:1234", []string{""}, "10.1.2.3"},
		{"10.1.2.3:1234", nil, "10.1.2.3"},
		{"@", []string{"203.0.113.9"}, ""},
	} {
		r := httptest.NewRequest("POST", "/", nil)
		r.RemoteAddr, r.Header["X-Forwarded-For"] = c.remote, c.forwarded
		a.HTTP(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if got := a.Client(r.Context()); got != c.want {
				t.Errorf("HTTP, %s with %q: %q, and not %q", c.remote, c.forwarded, got, c.want)
			}
		})).ServeHTTP(httptest.NewRecorder(), r)
		ctx := metadata.NewIncomingContext(t.Context(), metadata.MD{"x-forwarded-for": c.forwarded})
		ctx = peer.NewContext(ctx, &peer.Peer{Addr: addr(c.remote)})
		if got := a.Client(ctx); got != c.want {
			t.Errorf("gRPC, %s with %q: %q, and not %q", c.remote, c.forwarded, got, c.want)
		}
	}
}

// addr is a net.Addr of any text.
type addr string

func (addr) Network() string  { return "tcp" }
func (a addr) String() string { return string(a) }

var _ net.Addr = addr("")

// TestAs: a name stands in the place of the address.
func TestAs(t *testing.T) {
	a := New(Config{})
	ctx := fair.As(peer.NewContext(t.Context(), &peer.Peer{Addr: addr("198.51.100.7:1")}), "writer ci@example.com")
	if got := a.Client(ctx); got != "writer ci@example.com" {
		t.Error(got)
	}
	if got := a.Client(t.Context()); got != "" {
		t.Error(got)
	}
}

func TestParseProxies(t *testing.T) {
	got := proxies(t, "10.0.0.0/8", "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.7")
	if want := "10.0.0.0/8 192.0.2.1/32 2001:db8::1/128 192.0.2.7/32"; join(got) != want {
		t.Errorf("%s, and not %s", join(got), want)
	}
	for bad, says := range map[string]string{
		"proxy.example.com": "no network and no address", "10.0.0.1/8": "give 10.0.0.0/8", "0.0.0.0/0": "trusts every address", "::/0": "trusts every address",
		"10.0.0.0/33": "no network", "fe80::1%eth0": "no network", "": "no network", "::ffff:10.0.0.0/104": "in IPv4 form",
	} {
		if _, err := ParseProxies([]string{bad}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, and not %q", bad, err, says)
		}
	}
}

func join(list []netip.Prefix) string {
	var all []string
	for _, p := range list {
		all = append(all, p.String())
	}
	return strings.Join(all, " ")
}

// FuzzClient: whatever the headers say, a client of an untrusted address is that
// address, and of a trusted one it is a name that is made here.
func FuzzClient(f *testing.F) {
	f.Add("10.1.2.3:1234", "1.1.1.1, 203.0.113.9:4711, [2001:db8::1]:5")
	f.Add("198.51.100.7:1234", ",,,")
	f.Add("10.1.2.3:1234", "fe80::1%25eth0")
	a := New(Config{TrustedProxies: proxies(f, "10.0.0.0/8")})
	f.Fuzz(func(t *testing.T, remote, forwarded string) {
		got := a.clientAt(remote, []string{forwarded})
		if at, ok := parseAddr(remote); ok && !a.trusts(at) && got != a.clientAt(remote, nil) {
			t.Errorf("%q with %q is %q", remote, forwarded, got)
		}
		if _, err := netip.ParsePrefix(got); err != nil && got != "" {
			if _, err := netip.ParseAddr(got); err != nil {
				t.Errorf("%q with %q is %q", remote, forwarded, got)
			}
		}
	})
}

// TestExpensiveStepsRest while another client verifies, and what is cheap does not wait
// for that.
func TestExpensiveStepsRest(t *testing.T) {
	const long = 10 * time.Millisecond
	for _, c := range []struct {
		cost  int
		other bool
		want  time.Duration // of ten steps
	}{{expensive, true, 19 * long}, {expensive, false, 10 * long}, {expensive - 1, true, 10 * long}} {
		synctest.Test(t, func(t *testing.T) {
			a := New(Config{Workers: 1})
			neighbour, attacker := a.Work(fair.As(t.Context(), "neighbour")), a.Work(fair.As(t.Context(), "attacker"))
			begin := time.Now()
			for range 10 {
				before := time.Now()
				if c.other {
					neighbour(1, func() {})
				}
				if waited := time.Since(before); waited != 0 {
					t.Errorf("the neighbour waited for %v", waited)
				}
				if err := attacker(c.cost, func() { time.Sleep(long) }); err != nil {
					t.Fatal(err)
				}
			}
			if took := time.Since(begin); took != c.want {
				t.Errorf("%+v: ten steps took %v", c, took)
			}
		})
	}
}

// TestWork: steps wait for those of other clients, and end with their request.
func TestWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(Config{Workers: 1})
		release := make(chan struct{})
		go a.Work(fair.As(t.Context(), "a"))(1, func() { <-release })
		synctest.Wait()
		ctx, cancel := context.WithCancel(fair.As(t.Context(), "b"))
		ended := make(chan error, 1)
		go func() { ended <- a.Work(ctx)(1, func() { t.Error("it was done") }) }()
		synctest.Wait()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		close(release)
	})
}
