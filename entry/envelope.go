package entry

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"indelible/internal/strictjson"
)

// envelope is a DSSE envelope (secure-systems-lab/dsse, envelope.md), decoded.
type envelope struct {
	payloadType string
	payload     []byte
	signatures  [][]byte
	encoded     []string // the signatures as they were written
	keyIDs      []string // beside them; "" where there is none
}

// envelopeJSON is what an envelope's JSON says. Pointers tell an empty member
// from none.
type envelopeJSON struct {
	payloadType, payload *string
	sigs                 []*string // one more than are allowed, if there are more
	keyIDs               []string
}

func parseEnvelope(data []byte) (e envelope, err error) {
	j, err := readEnvelope(data)
	if err != nil {
		return e, err
	}
	if err := j.check(); err != nil {
		return e, err
	}
	e.payloadType, e.keyIDs = *j.payloadType, j.keyIDs
	if e.payload, err = decodeBase64(*j.payload); err != nil {
		return e, fmt.Errorf("its payload is not base64: %w", err)
	}
	for i, s := range j.sigs {
		sig, err := decodeBase64(*s)
		if err != nil {
			return e, fmt.Errorf("its signature %d is not base64: %w", i, err)
		}
		if at := slices.IndexFunc(e.signatures, func(have []byte) bool { return bytes.Equal(have, sig) }); at >= 0 {
			return e, fmt.Errorf("its signature %d is there twice: signature %d is the same", at, i)
		}
		e.signatures, e.encoded = append(e.signatures, sig), append(e.encoded, *s)
	}
	return e, nil
}

// check looks for what must be there.
// SPEC: envelope.md: payload, payloadType and signature.sig "are REQUIRED and
// MUST be set, even if empty". An empty payloadType is refused all the same,
// since it says nothing of what was signed; so is an empty signature.
func (j envelopeJSON) check() error {
	switch n := len(j.sigs); {
	case j.payloadType == nil || *j.payloadType == "":
		return errors.New("it has no payloadType")
	case j.payload == nil:
		return errors.New("it has no payload")
	case n == 0:
		return errors.New("it has no signature")
	case n > MaxSignatures:
		return fmt.Errorf("it has more than %d signatures; at most %d are logged", MaxSignatures, MaxSignatures)
	}
	for i, s := range j.sigs {
		if s == nil || *s == "" {
			return fmt.Errorf("its signature %d has no sig", i)
		}
	}
	return nil
}

func readEnvelope(data []byte) (j envelopeJSON, err error) {
	if !utf8.Valid(data) {
		return j, errors.New("it is not UTF-8")
	}
	if err := strictjson.Valid(data); err != nil {
		return j, fmt.Errorf("it is not a DSSE envelope in JSON: %w", err)
	}
	var signatures json.RawMessage
	err = readObject(data, []member{{"payloadType", &j.payloadType}, {"payload", &j.payload}, {"signatures", &signatures}})
	if err != nil || signatures == nil {
		return j, err
	}
	err = strictjson.Elements(signatures, func(signature []byte) error {
		if len(j.sigs) > MaxSignatures {
			return strictjson.ErrStop
		}
		var sig, keyID *string
		if err := readObject(signature, []member{{"sig", &sig}, {"keyid", &keyID}}); err != nil {
			return fmt.Errorf("its signature %d: %w", len(j.sigs), err)
		}
		hint := ""
		if keyID != nil {
			hint = *keyID
		}
		j.sigs, j.keyIDs = append(j.sigs, sig), append(j.keyIDs, hint)
		return nil
	})
	if errors.Is(err, strictjson.ErrKind) {
		err = errors.New("its signatures are not a list")
	}
	return j, err
}

// maxMembers bounds the work on an object, members that are passed over
// included.
const maxMembers = 100

// member is one that an object may have, and what to read it into.
type member struct {
	name string
	into any
}

// readObject reads the members of a JSON object, whose syntax was checked. It
// refuses what different readers would read differently: a member that is there
// twice, and one whose name differs by capitals, which encoding/json would take.
// SPEC: envelope.md: "Consumers MUST ignore unrecognized fields". Some tools put
// certificates and timestamps beside a signature; they are not signed, and not
// logged.
func readObject(data []byte, members []member) error {
	seen := make([]bool, len(members))
	n := 0
	err := strictjson.Members(data, func(name string, value []byte) error {
		if n++; n > maxMembers {
			return fmt.Errorf("it has more than %d members", maxMembers)
		}
		at := slices.IndexFunc(members, func(m member) bool { return strings.EqualFold(m.name, name) })
		if at < 0 {
			return nil
		}
		m := members[at]
		switch {
		case name != m.name:
			return fmt.Errorf("its member %q must be spelt %q", name, m.name)
		case seen[at]:
			return fmt.Errorf("its member %q is there twice", name)
		}
		seen[at] = true
		if err := m.read(value); err != nil {
			return fmt.Errorf("its member %q: %w", name, err)
		}
		return nil
	})
	if errors.Is(err, strictjson.ErrKind) {
		return errors.New("it is not a JSON object")
	}
	return err
}

// read keeps JSON as it is, where that is wanted.
func (m member) read(value json.RawMessage) error {
	switch into := m.into.(type) {
	case *json.RawMessage:
		*into = value
		return nil
	case **string:
		if value[0] == '"' {
			s, err := strictjson.String(value)
			*into = &s
			return err
		}
	}
	return jsonError(json.Unmarshal(value, m.into))
}

// jsonError says what JSON is wrong without speaking of Go.
func jsonError(err error) error {
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("its type is %s; give a %s", t.Value, t.Type)
	}
	return err
}

// decodeBase64 takes both alphabets, with padding.
// SPEC: envelope.md: "Either standard or URL-safe encoding is allowed."
func decodeBase64(s string) ([]byte, error) {
	if i := strings.IndexAny(s, "\r\n"); i >= 0 { // which the decoder would pass over
		return nil, fmt.Errorf("a line break at byte %d", i)
	}
	if strings.ContainsAny(s, "-_") {
		return base64.URLEncoding.Strict().DecodeString(s)
	}
	return base64.StdEncoding.Strict().DecodeString(s)
}
