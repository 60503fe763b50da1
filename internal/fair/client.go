package fair

import "context"

type clientKey struct{}

// As names the client of a request.
func As(ctx context.Context, client string) context.Context {
	return context.WithValue(ctx, clientKey{}, client)
}

// Client is the name that As gave, and whether it gave one.
func Client(ctx context.Context) (name string, ok bool) {
	name, ok = ctx.Value(clientKey{}).(string)
	return name, ok
}
