package rpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
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
	tls  *tls.Conn // nil: no TLS
}

// ServerHandshake implements credentials.TransportCredentials.
func (i connectionInfo) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := i.TransportCredentials.ServerHandshake(raw)
	c := transport.ConnectionOf(raw)
	c.Idle()
	return conn, connectionAuth{info, c, tlsOf(raw)}, err
}

// tlsOf finds the TLS of a connection; nil if there is none.
func tlsOf(conn net.Conn) *tls.Conn {
	for {
		switch c := conn.(type) {
		case *tls.Conn:
			return c
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return nil
		}
	}
}

// ClientCertificate is the verified certificate of the client of a call; nil if it
// showed none.
func ClientCertificate(ctx context.Context) *x509.Certificate {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	auth, ok := p.AuthInfo.(connectionAuth)
	if !ok || auth.tls == nil {
		return nil
	}
	state := auth.tls.ConnectionState()
	if len(state.VerifiedChains) == 0 {
		return nil
	}
	return state.PeerCertificates[0]
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
