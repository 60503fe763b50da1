package rest

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"indelible/internal/transport"
)

// Decode reads one JSON value, and nothing after it, into a message. A field
// that the message does not have, and one that is there twice, are errors; so is
// JSON of very many values.
func Decode(data []byte, msg proto.Message) error {
	if limit := transport.MaxValues(len(data)); tooManyValues(data, limit) {
		return fmt.Errorf("the JSON has more than %d values in its %d bytes, which no request needs", limit, len(data))
	}
	if err := protojson.Unmarshal(data, msg); err != nil {
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
