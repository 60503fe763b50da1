package client

import (
	"encoding/json/v2"
	"fmt"
	"strconv"
	"strings"
)

// The messages of the native API as JSON; api/proto/indelible/v1/log.proto says what each member means. They are written
// out here so that a program with a client links neither gRPC nor protobuf. TestWireIsTheAPI compares both.

// Request is an entry as the native API takes it. One member is set.
type Request struct {
	HashedRekord *HashedRekord `json:"hashedRekord,omitzero"`
	DSSE         *DSSE         `json:"dsse,omitzero"`
	Raw          []byte        `json:"raw,omitzero"`
}

// HashedRekord is a digest and a signature over it.
type HashedRekord struct {
	Digest    []byte   `json:"digest,omitempty"`
	Signature []byte   `json:"signature,omitempty"`
	Verifier  Verifier `json:"verifier,omitzero"`
}

// DSSE is a DSSE envelope, as JSON, and who signed it: each verifier verifies a signature.
type DSSE struct {
	Envelope  []byte     `json:"envelope,omitempty"`
	Verifiers []Verifier `json:"verifiers,omitempty"`
}

// Verifier is a public key (SubjectPublicKeyInfo) or an X.509 certificate, DER or PEM. One of both is set.
type Verifier struct {
	PublicKey   []byte `json:"publicKey,omitzero"`
	Certificate []byte `json:"certificate,omitzero"`
	KeyDetails  string `json:"keyDetails,omitempty"` // Sigstore's name of the algorithm; empty: the key's usual one
}

type addRequest struct {
	Entry Request `json:"entry"`
}

type addManyRequest struct {
	Entries []Request `json:"entries"`
}

type addResponse struct {
	outcome
	Checkpoint signedNote `json:"checkpoint"`
}

type addManyResponse struct {
	Outcomes   []outcome  `json:"outcomes"`
	Checkpoint signedNote `json:"checkpoint"`
}

type outcome struct {
	Entry     loggedEntry    `json:"entry"`
	Proof     inclusionProof `json:"proof"`
	Duplicate bool           `json:"duplicate"`
	Error     *outcomeError  `json:"error"`
}

type outcomeError struct {
	Message string `json:"message"`
}

type getResponse struct {
	Entry      loggedEntry    `json:"entry"`
	Proof      inclusionProof `json:"proof"`
	Checkpoint signedNote     `json:"checkpoint"`
}

type listResponse struct {
	Entries []loggedEntry `json:"entries"`
}

type searchResponse struct {
	Entries       []loggedEntry `json:"entries"`
	NextPageToken string        `json:"nextPageToken"`
	CompleteTo    number        `json:"completeTo"`
	TreeSize      number        `json:"treeSize"`
}

type loggedEntry struct {
	Index        number `json:"index"`
	Canonical    []byte `json:"canonical"`
	IntegratedAt number `json:"integratedAt"`
}

type inclusionProof struct {
	Index  number   `json:"index"`
	Hashes [][]byte `json:"hashes"`
}

type consistencyProof struct {
	Hashes   [][]byte `json:"hashes"`
	FromRoot []byte   `json:"fromRoot"`
}

type signedNote struct {
	Note string `json:"note"`
}

// number is an int64. SPEC: ProtoJSON: it is written as a string, and may be read as a number too.
type number int64

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(data []byte) error {
	text := string(data)
	if text == "null" {
		*n = 0
		return nil
	}
	if inner, ok := strings.CutPrefix(text, `"`); ok {
		text = strings.TrimSuffix(inner, `"`)
	}
	i, err := strconv.ParseInt(text, 10, 64)
	*n = number(i)
	return err
}

// decode reads an answer. A newer server may say more than we know.
func decode(data []byte, out any) error {
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("%w: it is not what the API says: %w", ErrUntrusted, err)
	}
	return nil
}
