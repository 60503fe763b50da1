package rekorv1

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/mail"
	"strconv"
	"strings"

	"indelible/entry"
	"indelible/index"
)

// Search finds entries by what they say.
type Search interface {
	FindAll(ctx context.Context, q index.Query) (index.Leaves, error)
}

var _ Search = (*index.Index)(nil)

// maxSubject is in characters.
const maxSubject = 512

// search answers POST /api/v1/index/retrieve. X-Index-Size says up to which
// size of the log the answer is complete.
func (h *Handler) search(w http.ResponseWriter, r *http.Request) error {
	if h.cfg.Search == nil {
		return refuse(http.StatusNotImplemented, "Search Index API not enabled in this Rekor instance: the operator has turned the search index off")
	}
	body, err := h.readBody(w, r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.cfg.Timeout)
	defer cancel()
	var q index.Query
	err = h.cfg.Admission.Decode(ctx, len(body), func() (err error) {
		q, err = parseSearch(body)
		return err
	})
	if err != nil {
		return err
	}
	found, err := h.cfg.Search.FindAll(ctx, q)
	if errors.Is(err, index.ErrTooMany) {
		return refuse(http.StatusBadRequest, "%v, and an answer here has no pages: narrow it, with the operator \"and\", or use the log's own search, which has (GET /v1/entries:search, or logcli search)", index.ErrTooMany)
	}
	if err != nil {
		return err
	}
	release, err := h.cfg.Answers.Hold(ctx, int64(len(found.Leaves)*(entryIDLen+3)))
	if err != nil {
		return err
	}
	defer release()
	if found.Size >= 0 {
		w.Header().Set("X-Index-Size", strconv.FormatInt(found.Size, 10))
	}
	h.v.send(w, http.StatusOK, h.idList(found.Leaves))
	return nil
}

// idList writes the ids of entries.
func (h *Handler) idList(leaves []index.Leaf) []byte {
	out := append(make([]byte, 0, 2+len(leaves)*(entryIDLen+3)), '[')
	for i, l := range leaves {
		if i > 0 {
			out = append(out, ',')
		}
		out = h.ids.appendEntryID(append(out, '"'), l.Hash)
		out = append(out, '"')
	}
	return append(out, ']')
}

func parseSearch(body []byte) (q index.Query, err error) {
	if len(body) == 0 {
		return q, unfit(codeRequired, "query in body is required: the body is empty")
	}
	if err := checkJSON(body); err != nil {
		return q, err
	}
	m, err := members(body, "hash", "email", "subject", "publicKey", "operator")
	if err != nil {
		return q, err
	}
	for _, part := range []struct {
		name  string
		parse func(string) (index.Clause, error)
	}{{"hash", hashClause}, {"email", emailClause}, {"subject", subjectClause}} {
		value, err := text(m, part.name)
		if err != nil {
			return q, err
		}
		if value == "" { // it asks for nothing
			continue
		}
		c, err := part.parse(value)
		if err != nil {
			return q, err
		}
		q.Clauses = append(q.Clauses, c)
	}
	if raw, ok := m["publicKey"]; ok {
		c, err := keyClause(raw)
		if err != nil {
			return q, err
		}
		q.Clauses = append(q.Clauses, c)
	}
	q.All, err = parseOperator(m)
	return q, err
}

func parseOperator(m map[string]json.RawMessage) (all bool, err error) {
	op, err := text(m, "operator")
	if err != nil {
		return false, err
	}
	switch op {
	case "", "or":
		return false, nil
	case "and":
		return true, nil
	}
	return false, unfit(codeEnum, "operator in body should be one of [and or]: %.50q", op)
}

// hashClause finds a digest as an artifact's, a payload's or an envelope's.
func hashClause(value string) (index.Clause, error) {
	name, digits, ok := strings.Cut(strings.ToLower(value), ":")
	if !ok {
		digits = name
		name = map[int]string{40: "sha1", 64: "sha256", 96: "sha384", 128: "sha512"}[len(digits)]
	}
	want := map[string]int{"sha1": 40, "sha256": 64, "sha384": 96, "sha512": 128}[name]
	if _, err := hex.DecodeString(digits); err != nil || want == 0 || len(digits) != want {
		return nil, unfit(codePattern, "hash in body should be the hex of a digest, of 40, 64, 96 or 128 digits, after sha1:, sha256:, sha384:, sha512: or nothing: %.150q", value)
	}
	if name == "sha1" {
		return index.Clause{}, nil // no entry's digest is one
	}
	value = name + ":" + digits
	return index.Clause{{By: entry.ByArtifact, Value: value}, {By: entry.ByPayload, Value: value}, {By: entry.ByEnvelope, Value: value}}, nil
}

func emailClause(value string) (index.Clause, error) {
	if a, err := mail.ParseAddress(value); err != nil || a.Address != value {
		return nil, unfit(codeType, "email in body must be of type email: %.100q", value)
	}
	return subjectClause(value)
}

func subjectClause(value string) (index.Clause, error) {
	if len([]rune(value)) > maxSubject {
		return nil, unfit(codeTooLong, "subject in body should be at most %d chars long", maxSubject)
	}
	return index.Clause{{By: entry.BySubject, Value: strings.ToLower(value)}}, nil
}

func keyClause(raw json.RawMessage) (index.Clause, error) {
	m, err := members(raw, "format", "content")
	if err != nil {
		return nil, err
	}
	format, err := text(m, "format")
	if err != nil {
		return nil, err
	}
	switch format {
	case "":
		return nil, unfit(codeRequired, "publicKey.format in body is required")
	case "x509":
	case "pgp", "minisign", "ssh", "tuf":
		return nil, refuse(http.StatusBadRequest, "the PKI format requested is not supported by this server: no entry of this log has a key of format %s; there is x509", format)
	default:
		return nil, unfit(codeEnum, "publicKey.format in body should be one of [pgp x509 minisign ssh tuf]: %.50q", format)
	}
	var content []byte
	if err := json.Unmarshal(orEmpty(m["content"]), &content); err != nil {
		return nil, unfit(codeType, "publicKey.content in body must be of type byte: it is not base64")
	}
	fingerprint, err := keyFingerprint(content)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "public key provided could not be parsed: %v", err)
	}
	return index.Clause{{By: entry.ByPublicKey, Value: fingerprint}}, nil
}

func orEmpty(raw json.RawMessage) []byte {
	if raw == nil {
		return []byte(`""`)
	}
	return raw
}

// keyFingerprint is by what the index knows a key or a certificate's key: the
// SHA-256 of its SubjectPublicKeyInfo, in hex.
func keyFingerprint(data []byte) (string, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return "", errors.New("it is not PEM: give a PUBLIC KEY or a CERTIFICATE")
	}
	spki, err := spkiOf(block)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(spki)
	return hex.EncodeToString(sum[:]), nil
}

func spkiOf(block *pem.Block) ([]byte, error) {
	switch block.Type {
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return cert.RawSubjectPublicKeyInfo, nil
	case "PUBLIC KEY":
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		return x509.MarshalPKIXPublicKey(key)
	case "RSA PUBLIC KEY":
		key, err := x509.ParsePKCS1PublicKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		return x509.MarshalPKIXPublicKey(key)
	}
	return nil, fmt.Errorf("it is a PEM block of type %.50q; give a PUBLIC KEY or a CERTIFICATE", block.Type)
}
