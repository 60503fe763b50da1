// Package requestid names requests, so that an answer, the lines that the server
// wrote about its request, and what a proxy or a client noted can be found together.
//
//	id := requestid.Choose(header.Get("X-Request-Id"), header.Get("traceparent"))
//	ctx = requestid.With(ctx, id)
//	…
//	logger.Error("…", "request", requestid.Of(ctx))
//
// An id is for finding, and proves nothing: a client can choose it.
package requestid

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"strings"
)

// Header is the header that has the id, of requests and of answers. Over gRPC it is
// metadata, in lower case.
const Header = "X-Request-Id"

// MaxLen is the maximum length of an id, in bytes.
const MaxLen = 128

// Choose returns the id of a request: given, if it is one, else the trace id in
// traceparent, else a new one of 32 hexadecimal digits. An id is 1 to MaxLen letters
// of ASCII, digits and characters of -_.:+/=@.
func Choose(given, traceparent string) string {
	if valid(given) {
		return given
	}
	if id, ok := traceID(traceparent); ok {
		return id
	}
	return fresh()
}

func valid(id string) bool {
	if id == "" || len(id) > MaxLen {
		return false
	}
	for i := range len(id) {
		switch b := id[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', strings.IndexByte("-_.:+/=@", b) >= 0:
		default:
			return false
		}
	}
	return true
}

// traceID takes the trace id out of a traceparent.
//
// SPEC: W3C Trace Context, 3.2: version "-" trace-id "-" parent-id "-" flags, in
// lower case; version ff and a trace-id of zeros are invalid. A later version may
// have more at the end.
func traceID(traceparent string) (string, bool) {
	const versionLen, idLen, parentLen, flagsLen = 2, 32, 16, 2
	const all = versionLen + 1 + idLen + 1 + parentLen + 1 + flagsLen
	if len(traceparent) < all || len(traceparent) > all && (traceparent[:2] == "00" || traceparent[all] != '-') {
		return "", false
	}
	parts := strings.SplitN(traceparent[:all], "-", 4)
	if len(parts) != 4 || len(parts[0]) != versionLen || len(parts[1]) != idLen || len(parts[2]) != parentLen ||
		parts[0] == "ff" || strings.Trim(parts[1], "0") == "" || strings.Trim(parts[2], "0") == "" ||
		strings.Trim(strings.Join(parts, ""), "0123456789abcdef") != "" {
		return "", false
	}
	return strings.Clone(parts[1]), true
}

// fresh makes an id that no other request has. Nobody need fail to guess it.
func fresh() string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], rand.Uint64())
	binary.BigEndian.PutUint64(b[8:], rand.Uint64())
	return hex.EncodeToString(b[:])
}

type key struct{}

// With returns a context that knows the id of its request.
func With(ctx context.Context, id string) context.Context { return context.WithValue(ctx, key{}, id) }

// Of returns the id of a context's request; empty if it is of none.
func Of(ctx context.Context) string {
	id, _ := ctx.Value(key{}).(string)
	return id
}
