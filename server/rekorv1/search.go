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
	"maps"
	"net/http"
	"net/mail"
	"slices"
	"strconv"
	"strings"

	"indelible/entry"
	"indelible/index"
	translog "indelible/log"
	"indelible/merkle"
)

// Search finds entries by what they say.
type Search interface {
	Find(ctx context.Context, key entry.IndexKey, after int64, limit int) (index.Hits, error)
}

var _ Search = (*index.Index)(nil)

const (
	// maxHits is how many entries one search goes through. Its answer has no
	// pages, so it must have all of them.
	maxHits = 10_000
	// pageHits is how many of them are in memory at a time.
	pageHits = 100
	// maxSubject is in characters.
	maxSubject = 512
)

// errTooMany: more entries answer to a search than one answer can have.
var errTooMany = errors.New("too many entries")

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
	s, err := parseSearch(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.cfg.Timeout)
	defer cancel()
	found, err := h.find(ctx, s)
	if errors.Is(err, errTooMany) {
		return refuse(http.StatusBadRequest, "more than %d entries answer to this, and an answer here has no pages: narrow it, with the operator \"and\", or use the log's own search, which has (GET /v1/entries:search, or logcli search)", maxHits)
	}
	if err != nil {
		return err
	}
	if found.size >= 0 {
		w.Header().Set("X-Index-Size", strconv.FormatInt(found.size, 10))
	}
	h.v.send(w, http.StatusOK, h.idList(found))
	return nil
}

// clause is what one member of a search asks for: entries with any of the keys.
type clause []entry.IndexKey

// search is what a client looks for.
type search struct {
	clauses []clause
	all     bool // entries must answer to all of them, and not to any
}

// hits are entries that were found.
type hits struct {
	leaves map[int64]merkle.Hash // by index
	size   int64                 // of the log, up to which these are all; -1: nothing was looked for
}

func (h *Handler) find(ctx context.Context, s search) (hits, error) {
	if s.all && len(s.clauses) > 1 {
		return h.findAll(ctx, s.clauses)
	}
	found := hits{leaves: map[int64]merkle.Hash{}, size: -1}
	for _, c := range s.clauses {
		err := h.walk(ctx, c, &found, func(translog.Record) bool { return true })
		if err != nil {
			return found, err
		}
	}
	return found, nil
}

// findAll goes through the entries of the first clause that does not have too
// many, and asks each for the other clauses.
func (h *Handler) findAll(ctx context.Context, clauses []clause) (hits, error) {
	for i, c := range clauses {
		others := slices.Delete(slices.Clone(clauses), i, i+1)
		found := hits{leaves: map[int64]merkle.Hash{}, size: -1}
		err := h.walk(ctx, c, &found, func(r translog.Record) bool { return answersTo(r, others) })
		if !errors.Is(err, errTooMany) {
			return found, err
		}
	}
	return hits{}, errTooMany
}

// answersTo reports whether an entry has a key of each clause.
func answersTo(r translog.Record, clauses []clause) bool {
	keys, err := entry.IndexKeys(r.Canonical)
	return err == nil && !slices.ContainsFunc(clauses, func(c clause) bool {
		return !slices.ContainsFunc(c, func(k entry.IndexKey) bool { return slices.Contains(keys, k) })
	})
}

// walk adds the entries of a clause that are wanted.
func (h *Handler) walk(ctx context.Context, c clause, found *hits, want func(translog.Record) bool) error {
	seen := 0
	for _, key := range c {
		for after, more := int64(-1), true; more; {
			page, err := h.cfg.Search.Find(ctx, key, after, pageHits)
			if err != nil {
				return err
			}
			if found.size < 0 || page.Size < found.size {
				found.size = page.Size
			}
			if seen += len(page.Records); seen > maxHits || len(found.leaves) > maxHits {
				return errTooMany
			}
			for _, r := range page.Records {
				if after = r.Index; want(r) {
					found.leaves[r.Index] = r.LeafHash
				}
			}
			more = page.More && len(page.Records) > 0
		}
	}
	return nil
}

// idList writes the ids of entries, in the order of the log.
func (h *Handler) idList(found hits) []byte {
	out := append(make([]byte, 0, 2+len(found.leaves)*(entryIDLen+3)), '[')
	for i, index := range slices.Sorted(maps.Keys(found.leaves)) {
		if i > 0 {
			out = append(out, ',')
		}
		out = h.ids.appendEntryID(append(out, '"'), found.leaves[index])
		out = append(out, '"')
	}
	return append(out, ']')
}

func parseSearch(body []byte) (search, error) {
	if len(body) == 0 {
		return search{}, unfit(codeRequired, "query in body is required: the body is empty")
	}
	if err := checkJSON(body); err != nil {
		return search{}, err
	}
	m, err := members(body, "hash", "email", "subject", "publicKey", "operator")
	if err != nil {
		return search{}, err
	}
	var s search
	for _, part := range []struct {
		name  string
		parse func(string) (clause, error)
	}{{"hash", hashClause}, {"email", emailClause}, {"subject", subjectClause}} {
		if err := s.addText(m, part.name, part.parse); err != nil {
			return search{}, err
		}
	}
	if raw, ok := m["publicKey"]; ok {
		c, err := keyClause(raw)
		if err != nil {
			return search{}, err
		}
		s.clauses = append(s.clauses, c)
	}
	s.all, err = parseOperator(m)
	return s, err
}

// addText adds the clause of a member that is a string. An empty one asks for
// nothing.
func (s *search) addText(m map[string]json.RawMessage, name string, parse func(string) (clause, error)) error {
	value, err := text(m, name)
	if err != nil || value == "" {
		return err
	}
	c, err := parse(value)
	s.clauses = append(s.clauses, c)
	return err
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
func hashClause(value string) (clause, error) {
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
		return clause{}, nil // no entry's digest is one
	}
	value = name + ":" + digits
	return clause{{By: entry.ByArtifact, Value: value}, {By: entry.ByPayload, Value: value}, {By: entry.ByEnvelope, Value: value}}, nil
}

func emailClause(value string) (clause, error) {
	if a, err := mail.ParseAddress(value); err != nil || a.Address != value {
		return nil, unfit(codeType, "email in body must be of type email: %.100q", value)
	}
	return subjectClause(value)
}

func subjectClause(value string) (clause, error) {
	if len([]rune(value)) > maxSubject {
		return nil, unfit(codeTooLong, "subject in body should be at most %d chars long", maxSubject)
	}
	return clause{{By: entry.BySubject, Value: strings.ToLower(value)}}, nil
}

func keyClause(raw json.RawMessage) (clause, error) {
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
	return clause{{By: entry.ByPublicKey, Value: fingerprint}}, nil
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
