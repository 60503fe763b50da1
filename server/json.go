package server

import (
	"fmt"
	"io"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	pb "indelible/api/proto/indelible/v1"
	"indelible/server/rest"
)

// codec is the API's JSON.
type codec struct {
	runtime.JSONPb
}

func newCodec() *codec {
	return &codec{runtime.JSONPb{MarshalOptions: protojson.MarshalOptions{EmitUnpopulated: true}}}
}

// Marshal encodes one message.
func (c *codec) Marshal(v any) ([]byte, error) {
	if data, ok := marshal(v); ok {
		return data, nil
	}
	return c.JSONPb.Marshal(v)
}

// marshal writes the answers that are made most, and the largest.
func marshal(v any) ([]byte, bool) {
	switch r := v.(type) {
	case *pb.AddEntryResponse:
		return marshalAdded(r)
	case *pb.ListEntriesResponse:
		return marshalListed(r)
	case *pb.SearchEntriesResponse:
		return marshalFound(r)
	}
	return nil, false
}

// NewDecoder reads a body that is one JSON value; grpc-gateway's own would
// leave what follows it unread.
func (c *codec) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		if msg, ok := v.(proto.Message); ok {
			return rest.ReadMessage(r, msg)
		}
		return fmt.Errorf("%T is no message", v)
	})
}

// Unmarshal decodes one message.
func (c *codec) Unmarshal(data []byte, v any) error {
	if msg, ok := v.(proto.Message); ok {
		return rest.Decode(data, msg)
	}
	return c.JSONPb.Unmarshal(data, v)
}
