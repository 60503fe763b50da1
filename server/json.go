package server

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	pb "indelible/api/proto/indelible/v1"
)

// codec is the API's JSON.
type codec struct {
	runtime.JSONPb
}

func newCodec() *codec {
	return &codec{runtime.JSONPb{
		MarshalOptions:   protojson.MarshalOptions{EmitUnpopulated: true},
		UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: false},
	}}
}

// Marshal encodes one message.
func (c *codec) Marshal(v any) ([]byte, error) {
	if added, ok := v.(*pb.AddEntryResponse); ok {
		if data, ok := marshalAdded(added); ok {
			return data, nil
		}
	}
	return c.JSONPb.Marshal(v)
}

// NewDecoder reads a body that is one JSON value; grpc-gateway's own would
// leave what follows it unread.
func (c *codec) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		data, err := readBody(r)
		if err != nil {
			return err
		}
		if len(data) == 0 {
			return io.EOF
		}
		return c.Unmarshal(data, v)
	})
}

// Unmarshal decodes one message.
func (c *codec) Unmarshal(data []byte, v any) error {
	msg, ok := v.(proto.Message)
	if !ok {
		return c.JSONPb.Unmarshal(data, v)
	}
	if err := c.UnmarshalOptions.Unmarshal(data, msg); err != nil {
		return invalid(err)
	}
	return nil
}

// invalid is protojson's error without the spaces that it varies so that
// nobody relies on its text.
func invalid(err error) error {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	return errors.New("invalid JSON " + strings.TrimPrefix(text, "proto: "))
}

// firstRead is how much memory a request's body gets before it arrives.
const firstRead = 16 << 10

func readBody(r io.Reader) ([]byte, error) {
	var b bytes.Buffer
	if body, ok := r.(*cappedBody); ok && body.length > 0 {
		// Read wants room for the end of the file, too.
		b.Grow(int(min(body.length, firstRead)) + bytes.MinRead)
	}
	_, err := b.ReadFrom(r)
	return b.Bytes(), err
}
