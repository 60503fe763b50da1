// Package admission says which client a request is of, and shares the processors
// among clients when entries are verified, over all APIs.
//
//	a := admission.New(admission.Config{TrustedProxies: proxies})
//	handler = a.HTTP(handler)
//	…
//	entry.NewDSSE(entry.DSSE{…, Work: a.Work(ctx)})
//
// # Clients
//
// A client is the address that a request came from; an IPv6 address counts as its
// /64, which one host can have all of. Where the address is that of a trusted
// proxy, the header X-Forwarded-For says whom the proxy forwards: the client is
// its last address that is not a trusted proxy's. From all others the header means
// nothing, since anybody can write one. fair.As puts another name in the place of the
// address, for requests whose writer is known.
//
// # Writers
//
// Where the log has a policy of writers, [Admission.Enter] finds the writer of a
// request, before its body is read, and [Admission.Allow] decides about each entry.
//
// # Turns
//
// Half of the processors verify at a time, one at least: the rest is for all else
// that an answer takes. Package fair says how clients share them. Each verification
// is a turn of its own, so that an entry with many signatures, or a batch of many
// entries, holds up others for the length of one. While several clients verify, an
// expensive turn (P-384, P-521) is followed by a rest of the same length, in which
// cheap ones go on. Decoding the body of a large
// request is a turn, too.
package admission

import (
	"context"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"indelible/entry"
	"indelible/internal/fair"
	"indelible/writers/gate"
)

// DefaultPlaces is how many steps of all clients wait for a turn.
const DefaultPlaces = 8192

// Config is what an Admission is made from.
type Config struct {
	Writers        *gate.Gate     // who may write; nil: everybody
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed
	Workers        int            // how many verify at a time; 0: half of the processors
	Places         int            // how many steps wait for a turn; 0: DefaultPlaces
}

// Admission is what the APIs of one server share.
type Admission struct {
	writers  *gate.Gate
	trusted  []netip.Prefix
	pool     *fair.Pool
	costly   *fair.Pool // which expensive steps go through first
	recent   recent
	refusals *refusals
}

// New makes an Admission.
func New(cfg Config) *Admission {
	if cfg.Workers == 0 {
		cfg.Workers = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if cfg.Places == 0 {
		cfg.Places = DefaultPlaces
	}
	return &Admission{
		writers: cfg.Writers, trusted: cfg.TrustedProxies, refusals: newRefusals(),
		pool: fair.New(cfg.Workers, cfg.Places), costly: fair.New(cfg.Workers, cfg.Places),
	}
}

// Work has the steps of admitting an entry wait for their client's turn. They end
// when ctx does.
func (a *Admission) Work(ctx context.Context) entry.Work {
	client := a.Client(ctx)
	return func(cost int, do func()) error {
		others := a.recent.others(client)
		if cost < expensive {
			return a.pool.Do(ctx, client, cost, do)
		}
		leave, err := a.costly.Enter(ctx, client, cost)
		if err != nil {
			return err
		}
		took := time.Duration(0)
		defer func() {
			if others {
				time.AfterFunc(took, leave)
			} else {
				leave()
			}
		}()
		return a.pool.Do(ctx, client, cost, func() {
			begin := time.Now()
			do()
			took = time.Since(begin)
		})
	}
}

const (
	// expensive is the cost of a step that is followed by a rest: one verification on
	// P-384 has it.
	expensive = 10
	// lately is for how long a client counts as one that others must leave time for.
	lately = 100 * time.Millisecond
)

// recent remembers the last two clients.
type recent struct {
	mu   sync.Mutex
	last [2]visit
}

type visit struct {
	client string
	at     time.Time
}

// others notes that a client works, and reports whether another did lately.
func (r *recent) others(client string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if r.last[0].client != client {
		r.last[1] = r.last[0]
	}
	r.last[0] = visit{client, now}
	return now.Sub(r.last[1].at) < lately
}

// decodeUnit is about how many bytes of JSON are decoded in the time of one unit of
// entry.Work. Less is decoded at once, since waiting would cost more.
const decodeUnit = 16 << 10

// Decode has the decoding of a request's body, of size bytes, wait for its client's
// turn. It returns decode's error, or that of waiting.
func (a *Admission) Decode(ctx context.Context, size int, decode func() error) (err error) {
	if size <= decodeUnit {
		return decode()
	}
	if busy := a.pool.Do(ctx, a.Client(ctx), size/decodeUnit, func() { err = decode() }); busy != nil {
		return busy
	}
	return err
}

// HTTP says which client each request of next is of.
func (a *Admission) HTTP(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := fair.As(r.Context(), a.ClientOf(r))
		if a.writers != nil {
			ctx = context.WithValue(ctx, requestKey{}, r)
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// ClientOf is the client that a request over HTTP is of.
func (a *Admission) ClientOf(r *http.Request) string {
	return a.clientAt(r.RemoteAddr, r.Header["X-Forwarded-For"])
}

// Client is the client that a request is of: as fair.As said, or else the one that
// calls over gRPC.
func (a *Admission) Client(ctx context.Context) string {
	if client, ok := fair.Client(ctx); ok {
		return client
	}
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return ""
	}
	return a.clientAt(p.Addr.String(), metadata.ValueFromIncomingContext(ctx, "x-forwarded-for"))
}

// clientAt names the client at the other end of a connection, or behind it.
func (a *Admission) clientAt(remote string, forwarded []string) string {
	at, ok := parseAddr(remote)
	if !ok {
		return ""
	}
	hops := strings.Split(strings.Join(forwarded, ","), ",")
	for len(hops) > 0 && a.trusts(at) {
		hop, ok := parseAddr(hops[len(hops)-1])
		if !ok { // nothing is known beyond this proxy
			break
		}
		at, hops = hop, hops[:len(hops)-1]
	}
	if at.Is6() {
		return netip.PrefixFrom(at, 64).Masked().String()
	}
	return at.String()
}

func (a *Admission) trusts(at netip.Addr) bool {
	return slices.ContainsFunc(a.trusted, func(p netip.Prefix) bool { return p.Contains(at) })
}

// parseAddr reads an address with or without a port.
func parseAddr(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return plain(ap.Addr()), true
	}
	at, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	return plain(at), err == nil
}

// plain leaves out the zone, and what makes an IPv4 address one of IPv6.
func plain(at netip.Addr) netip.Addr { return at.Unmap().WithZone("") }
