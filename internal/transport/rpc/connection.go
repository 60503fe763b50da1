package rpc

import (
	"context"
	"net"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"indelible/internal/transport"
)

// connectionInfo has the calls of gRPC know their connections. TLS, if there is
// any, is the listener's.
type connectionInfo struct {
	credentials.TransportCredentials
}

// connectionAuth is what a call's context has of its connection.
type connectionAuth struct {
	credentials.AuthInfo
	conn transport.Connection
}

// ServerHandshake implements credentials.TransportCredentials.
func (i connectionInfo) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := i.TransportCredentials.ServerHandshake(raw)
	c := transport.ConnectionOf(raw)
	c.Idle()
	return conn, connectionAuth{info, c}, err
}

// Clone implements credentials.TransportCredentials.
func (i connectionInfo) Clone() credentials.TransportCredentials {
	return connectionInfo{i.TransportCredentials.Clone()}
}

// connectionOfCall is the connection of a call, if it is known.
func connectionOfCall(ctx context.Context) (c transport.Connection) {
	if p, ok := peer.FromContext(ctx); ok {
		if auth, ok := p.AuthInfo.(connectionAuth); ok {
			return auth.conn
		}
	}
	return c
}
