// Package prover is what the page in a browser proves with: it asks in JSON, and
// is answered in JSON. It is pure: it fetches nothing. The page fetches what a
// plan names, and hands the bytes in.
//
//	open         opens a checkpoint                       → head, checks
//	plan-entry   says which files prove an entry          → bundle, tiles
//	entry        proves an entry from these files         → checks, entry, path, proof
//	plan-extends says which files prove that a log grew   → tiles
//	extends      proves that one checkpoint extends another → checks, evidence
//	describe     says in words what an entry holds        → entry
//	digest       hashes a file                            → sha256, sha384, sha512
//	proof        checks a proof file without its artifact → checks, entry, path
//	verify       verifies an artifact with its proof file or bundle, as logcli verify does
//
// Package page/wasm compiles it for browsers.
package prover

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"indelible/verify"
)

// Answer answers one question. file is what digest and verify read; nil for the
// others. The answer is {"error": "…"} if the question cannot be answered at all;
// what does not verify is a check that failed.
func Answer(name string, question []byte, file io.Reader) []byte {
	answer, err := ask(name, question, file)
	if err != nil {
		answer = map[string]string{"error": err.Error()}
	}
	data, err := json.Marshal(answer)
	if err != nil { // never: all types here can be marshaled
		return []byte(`{"error":"the answer could not be written"}`)
	}
	return data
}

func ask(name string, question []byte, file io.Reader) (any, error) {
	switch name {
	case "open":
		return with(question, openHead)
	case "plan-entry":
		return with(question, planEntry)
	case "entry":
		return with(question, proveEntry)
	case "plan-extends":
		return with(question, planExtends)
	case "extends":
		return with(question, proveExtends)
	case "describe":
		return with(question, func(q struct{ Canonical []byte }) (any, error) { return describe(q.Canonical), nil })
	case "digest":
		return digest(file)
	case "proof":
		return with(question, checkProof)
	case "verify":
		return with(question, func(q verifyQuestion) (any, error) { return q.verify(file) })
	}
	return nil, fmt.Errorf("there is no question %.50q", name)
}

// with decodes a question.
func with[Q any](question []byte, answer func(Q) (any, error)) (any, error) {
	var q Q
	if err := json.Unmarshal(question, &q); err != nil {
		return nil, fmt.Errorf("the question is not valid: %w", err)
	}
	return answer(q)
}

// checks are what was looked at, in order.
type checks []verify.Check

func (c *checks) pass(name, format string, args ...any) {
	*c = append(*c, verify.Check{Name: name, State: verify.Passed, Detail: fmt.Sprintf(format, args...)})
}

func (c *checks) fail(name string, err error) {
	*c = append(*c, verify.Check{Name: name, State: verify.Failed, Detail: err.Error()})
}

func (c *checks) skip(name, why string) {
	*c = append(*c, verify.Check{Name: name, State: verify.NotChecked, Detail: why})
}

// failed reports whether a check failed.
func (c checks) failed() bool {
	for _, one := range c {
		if one.State == verify.Failed {
			return true
		}
	}
	return false
}

// digests are those by which a log can know a file, in hex.
type digests struct {
	SHA256 string `json:"sha256"`
	SHA384 string `json:"sha384"`
	SHA512 string `json:"sha512"`
}

func digest(file io.Reader) (any, error) {
	if file == nil {
		return nil, errors.New("there is no file to hash")
	}
	a, b, c := sha256.New(), sha512.New384(), sha512.New()
	if _, err := io.Copy(io.MultiWriter(a, b, c), file); err != nil {
		return nil, fmt.Errorf("read the file: %w", err)
	}
	return digests{hex.EncodeToString(a.Sum(nil)), hex.EncodeToString(b.Sum(nil)), hex.EncodeToString(c.Sum(nil))}, nil
}
