package admission

import (
	"context"
	"errors"
	"net/http"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"indelible/entry"
	"indelible/internal/fair"
	"indelible/internal/transport/rpc"
	"indelible/writers/gate"
)

type (
	requestKey struct{} // of the HTTP request
	sessionKey struct{} // of the writer
)

// Enter finds the writer of a request that adds entries, and refuses one that may not
// add any; over HTTP after a short pause, while many are refused. The context that it
// returns is for all that follows; Work and Decode count its work as the writer's. Without
// a policy it returns ctx.
func (a *Admission) Enter(ctx context.Context) (context.Context, error) {
	if a.writers == nil || ctx.Value(sessionKey{}) != nil {
		return ctx, nil
	}
	c := a.credentials(ctx)
	c.Address = a.Client(ctx)
	s, err := a.writers.Enter(ctx, c)
	if err != nil {
		if ctx.Value(requestKey{}) != nil { // over gRPC the request is there, and would hold memory
			a.refusals.wait(ctx)
		}
		return ctx, err
	}
	if !s.Anonymous() {
		ctx = fair.As(ctx, "writer "+s.Name())
	}
	return context.WithValue(ctx, sessionKey{}, s), nil
}

// Allow decides whether the writer that Enter found may add an entry. Where there is a
// policy, and Enter did not come before, nobody may.
func (a *Admission) Allow(ctx context.Context, e entry.Entry) error {
	if a.writers == nil {
		return nil
	}
	s, ok := ctx.Value(sessionKey{}).(*gate.Session)
	if !ok {
		return errors.New("the writer of the request is not known: Enter comes before Allow")
	}
	return a.writers.Allow(s, e)
}

// Writes refuses the requests of next, if they are POST, before their bodies are read.
func (a *Admission) Writes(next http.Handler, refuse func(http.ResponseWriter, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		ctx, err := a.Enter(r.Context())
		if err != nil {
			refuse(w, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// credentials are what a request shows, over HTTP or gRPC. The certificate of a
// connection over which a trusted proxy forwards is the proxy's, and not the client's.
func (a *Admission) credentials(ctx context.Context) (c gate.Credentials) {
	if r, ok := ctx.Value(requestKey{}).(*http.Request); ok {
		c.Authorize(r.Header.Get("Authorization"))
		c.Elsewhere = new(http.CrossOriginProtection).Check(r) != nil
		if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 && !a.forwards(r.RemoteAddr, r.Header["X-Forwarded-For"]) {
			c.Certificate = r.TLS.PeerCertificates[0]
		}
		return c
	}
	for _, header := range metadata.ValueFromIncomingContext(ctx, "authorization") {
		c.Authorize(header)
		break
	}
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil && !a.forwards(p.Addr.String(), metadata.ValueFromIncomingContext(ctx, "x-forwarded-for")) {
		c.Certificate = rpc.ClientCertificate(ctx)
	}
	return c
}

// forwards reports whether the other end of a connection is a trusted proxy that sends
// the request of another.
func (a *Admission) forwards(remote string, forwarded []string) bool {
	at, ok := parseAddr(remote)
	return ok && a.trusts(at) && len(forwarded) > 0
}
