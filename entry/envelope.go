package entry

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// envelope is a DSSE envelope (secure-systems-lab/dsse, envelope.md), decoded.
type envelope struct {
	payloadType string
	payload     []byte
	signatures  [][]byte
}

// envelopeJSON is its JSON. Pointers tell an empty member from none.
// SPEC: envelope.md, parsing rules: "Consumers MUST ignore unrecognized
// fields": some tools put certificates and timestamps beside a signature. They
// are not signed, and not logged.
type envelopeJSON struct {
	PayloadType *string `json:"payloadType"`
	Payload     *string `json:"payload"`
	Signatures  []struct {
		Sig   *string `json:"sig"`
		KeyID string  `json:"keyid"`
	} `json:"signatures"`
}

func parseEnvelope(data []byte) (e envelope, err error) {
	var j envelopeJSON
	if !utf8.Valid(data) {
		return e, errors.New("it is not UTF-8")
	}
	if err := json.Unmarshal(data, &j); err != nil {
		return e, fmt.Errorf("it is not a DSSE envelope in JSON: %w", err)
	}
	if err := checkNames(data); err != nil {
		return e, err
	}
	if err := j.check(); err != nil {
		return e, err
	}
	e.payloadType = *j.PayloadType
	if e.payload, err = decodeBase64(*j.Payload); err != nil {
		return e, fmt.Errorf("its payload is not base64: %w", err)
	}
	for i, s := range j.Signatures {
		sig, err := decodeBase64(*s.Sig)
		if err != nil {
			return e, fmt.Errorf("its signature %d is not base64: %w", i, err)
		}
		if at := slices.IndexFunc(e.signatures, func(have []byte) bool { return bytes.Equal(have, sig) }); at >= 0 {
			return e, fmt.Errorf("its signature %d is there twice: signature %d is the same", at, i)
		}
		e.signatures = append(e.signatures, sig)
	}
	return e, nil
}

// check looks for what must be there.
// SPEC: envelope.md: payload, payloadType and signature.sig "are REQUIRED and
// MUST be set, even if empty". An empty payloadType is refused all the same,
// since it says nothing of what was signed; so is an empty signature.
func (j envelopeJSON) check() error {
	switch n := len(j.Signatures); {
	case j.PayloadType == nil || *j.PayloadType == "":
		return errors.New("it has no payloadType")
	case j.Payload == nil:
		return errors.New("it has no payload")
	case n == 0:
		return errors.New("it has no signature")
	case n > maxDSSESignatures:
		return fmt.Errorf("it has %d signatures; at most %d are logged", n, maxDSSESignatures)
	}
	for i, s := range j.Signatures {
		if s.Sig == nil || *s.Sig == "" {
			return fmt.Errorf("its signature %d has no sig", i)
		}
	}
	return nil
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

// signatureDepth is how deep in an envelope the members of a signature are: in
// an object, in a list, in an object.
const signatureDepth = 3

// checkNames refuses what different readers would read differently: an object
// with two members of one name, and a member whose name differs from one of an
// envelope's by capitals only, which encoding/json takes for it. The data is
// valid JSON, so that it is not too deep either.
func checkNames(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	var open []map[string]bool // the names in each object that is open; nil: an array
	isName := false            // the next token is a member's name
	for {
		t, err := d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if s, ok := t.(string); ok && isName {
			if err := checkName(s, open); err != nil {
				return err
			}
			isName = false
			continue
		}
		switch t {
		case json.Delim('{'):
			open = append(open, map[string]bool{})
		case json.Delim('['):
			open = append(open, nil)
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
		isName = len(open) > 0 && open[len(open)-1] != nil
	}
}

func checkName(name string, open []map[string]bool) error {
	seen := open[len(open)-1]
	if seen[name] {
		return fmt.Errorf("its member %q is there twice", name)
	}
	seen[name] = true
	if len(open) > signatureDepth {
		return nil
	}
	for _, known := range []string{"payloadType", "payload", "signatures", "sig", "keyid"} {
		if name != known && strings.EqualFold(name, known) {
			return fmt.Errorf("its member %q is spelt %q", name, known)
		}
	}
	return nil
}
