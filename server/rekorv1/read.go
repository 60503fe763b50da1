package rekorv1

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"indelible/entry"
	"indelible/internal/answers"
	translog "indelible/log"
	"indelible/merkle"
)

// Log is what the API needs of a log.
type Log interface {
	Add(ctx context.Context, e entry.Entry) (translog.Receipt, error)
	Published() (translog.Published, error)
	EntryWithProof(ctx context.Context, index int64) (translog.Record, translog.Proof, translog.Published, error)
	LookupWithProof(ctx context.Context, leaf merkle.Hash) (translog.Record, translog.Proof, translog.Published, error)
	InclusionProof(ctx context.Context, index, size int64) (translog.Proof, error)
	ConsistencyProof(ctx context.Context, from, to int64) (translog.ConsistencyProof, error)
}

var _ Log = (*translog.Log)(nil)

// maxRetrieve is how many entries one request looks for, and perEntry is what one
// takes until it is sent: as it was read, and in base64 twice.
const (
	maxRetrieve = 10
	perEntry    = 4 << 16
)

// getByIndex answers GET /api/v1/log/entries?logIndex=.
func (h *Handler) getByIndex(w http.ResponseWriter, r *http.Request) error {
	w.Header()["Cache-Control"] = h.v.noCache
	q, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	index, err := q.number("logIndex", -1, 0)
	if err != nil {
		return err
	}
	return h.answerEntry(w, r, func(ctx context.Context) ([]byte, error) { return h.appendByIndex(ctx, nil, index) })
}

// getByID answers GET /api/v1/log/entries/{id}.
func (h *Handler) getByID(w http.ResponseWriter, r *http.Request) error {
	w.Header()["Cache-Control"] = h.v.noCache
	leaf, ours, ok := h.ids.parseID(r.URL.Path[len(entriesPath):])
	if !ok {
		return unfit(codePattern, "entryUUID in path should match '%s'", idPattern)
	}
	if !ours {
		return errNoEntry
	}
	return h.answerEntry(w, r, func(ctx context.Context) ([]byte, error) { return h.appendByLeaf(ctx, nil, leaf) })
}

const idPattern = "^([0-9a-fA-F]{64}|[0-9a-fA-F]{80})$"

func (h *Handler) answerEntry(w http.ResponseWriter, r *http.Request, find func(context.Context) ([]byte, error)) error {
	ctx, cancel := context.WithTimeout(r.Context(), h.cfg.Timeout)
	defer cancel()
	release, err := h.cfg.Answers.Hold(ctx, perEntry)
	if err != nil {
		return err
	}
	defer release()
	out, err := find(ctx)
	if err != nil {
		return err
	}
	h.v.send(w, http.StatusOK, out)
	return nil
}

// appendByIndex writes the entry at an index. Of one that was answered before
// only the proof is new.
func (h *Handler) appendByIndex(ctx context.Context, to []byte, index int64) ([]byte, error) {
	s, ok := h.entries.Peek(index)
	if !ok {
		record, proof, err := h.load(ctx, func() (translog.Record, translog.Proof, translog.Published, error) {
			return h.cfg.Log.EntryWithProof(ctx, index)
		})
		return h.appendRecord(ctx, to, record, proof, err)
	}
	proof, err := h.cfg.Log.InclusionProof(ctx, index, 0)
	if err != nil {
		return to, err
	}
	return h.appendEntry(ctx, to, s, proof)
}

// appendByLeaf writes the entry that has a leaf hash.
func (h *Handler) appendByLeaf(ctx context.Context, to []byte, leaf merkle.Hash) ([]byte, error) {
	if index, ok := h.indexes.Peek(leaf); ok {
		return h.appendByIndex(ctx, to, index)
	}
	record, proof, err := h.load(ctx, func() (translog.Record, translog.Proof, translog.Published, error) {
		return h.cfg.Log.LookupWithProof(ctx, leaf)
	})
	return h.appendRecord(ctx, to, record, proof, err)
}

// load reads an entry from the database when it is its turn. The entry is signed
// after that: a key management service may take long.
func (h *Handler) load(ctx context.Context, read func() (translog.Record, translog.Proof, translog.Published, error)) (translog.Record, translog.Proof, error) {
	leave, err := h.cfg.Answers.Work(ctx, answers.Light)
	if err != nil {
		return translog.Record{}, translog.Proof{}, err
	}
	defer leave()
	record, proof, _, err := read()
	return record, proof, err
}

func (h *Handler) appendRecord(ctx context.Context, to []byte, r translog.Record, p translog.Proof, err error) ([]byte, error) {
	if errors.Is(err, translog.ErrNotFound) {
		return to, errNoEntry
	}
	if err != nil {
		return to, err
	}
	s, err := h.sealForReader(ctx, r)
	if err != nil {
		return to, err
	}
	return h.appendEntry(ctx, to, s, p)
}

// retrieve answers POST /api/v1/log/entries/retrieve.
func (h *Handler) retrieve(w http.ResponseWriter, r *http.Request) error {
	body, err := h.readBody(w, r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.cfg.Timeout)
	defer cancel()
	wanted, err := h.parseRetrieve(ctx, body)
	if err != nil {
		return err
	}
	release, err := h.cfg.Answers.Hold(ctx, int64(len(wanted))*perEntry)
	if err != nil {
		return err
	}
	defer release()
	out := []byte{'['}
	for _, find := range wanted {
		end := len(out)
		if end > 1 {
			out = append(out, ',')
		}
		out, err = find(ctx, out)
		if errors.Is(err, errNoEntry) {
			out, err = out[:end], nil
		}
		if err != nil {
			return err
		}
	}
	h.v.send(w, http.StatusOK, append(out, ']'))
	return nil
}

// finder writes the entry that a client looks for.
type finder func(ctx context.Context, to []byte) ([]byte, error)

func (h *Handler) parseRetrieve(ctx context.Context, body []byte) ([]finder, error) {
	if len(body) == 0 {
		return nil, unfit(codeRequired, "entry in body is required: the body is empty")
	}
	var m map[string]json.RawMessage
	err := h.cfg.Admission.Decode(ctx, len(body), func() (err error) {
		if err = checkJSON(body); err == nil {
			m, err = members(body, "entryUUIDs", "entries", "logIndexes")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var all []finder
	for _, part := range []struct {
		name string
		find func(context.Context, json.RawMessage) (finder, error)
	}{{"entryUUIDs", h.findByID}, {"entries", h.findProposed}, {"logIndexes", h.findByIndex}} {
		items, err := wantedList(m, part.name)
		if err != nil {
			return nil, err
		}
		if len(all)+len(items) > maxRetrieve {
			return nil, refuse(http.StatusUnprocessableEntity, "more than max allowed %d entries in request", maxRetrieve)
		}
		for i, item := range items {
			find, err := part.find(ctx, item)
			if err != nil {
				return nil, within(part.name, i, err)
			}
			all = append(all, find)
		}
	}
	return all, nil
}

// within says which of a request's proposed entries an error is of. Other errors
// show the value that is wrong.
func within(name string, i int, err error) error {
	r, ok := errors.AsType[*refusal](err)
	if !ok || name != "entries" {
		return err
	}
	return &refusal{r.status, r.code, fmt.Sprintf("%s[%d]: %s", name, i, r.message)}
}

func wantedList(m map[string]json.RawMessage, name string) ([]json.RawMessage, error) {
	items, err := list(m, name)
	switch {
	case err != nil:
		return nil, err
	case len(items) > maxRetrieve:
		return nil, unfit(codeMaxItems, "%s in body should have at most %d items", name, maxRetrieve)
	case items != nil && len(items) == 0:
		return nil, unfit(codeMinItems, "%s in body should have at least 1 items", name)
	}
	return items, nil
}

func (h *Handler) findByID(_ context.Context, item json.RawMessage) (finder, error) {
	var id string
	err := json.Unmarshal(item, &id)
	leaf, ours, ok := h.ids.parseID(id)
	if err != nil || !ok {
		return nil, unfit(codePattern, "entryUUIDs in body should match '%s': %.100s", idPattern, item)
	}
	return func(ctx context.Context, to []byte) ([]byte, error) {
		if !ours {
			return to, errNoEntry
		}
		return h.appendByLeaf(ctx, to, leaf)
	}, nil
}

func (h *Handler) findByIndex(_ context.Context, item json.RawMessage) (finder, error) {
	index, err := strconv.ParseInt(string(item), 10, 64)
	if err != nil {
		return nil, unfit(codeType, "logIndexes in body must be of type int64: %.100s", item)
	}
	if index < 0 {
		return nil, unfit(codeMinimum, "logIndexes in body should be greater than or equal to 0")
	}
	return func(ctx context.Context, to []byte) ([]byte, error) { return h.appendByIndex(ctx, to, index) }, nil
}

// findProposed looks for an entry as a client would add it. Its kind need not
// be one that may be added: it may have been once.
func (h *Handler) findProposed(ctx context.Context, item json.RawMessage) (finder, error) {
	p, err := readProposal(item)
	if err != nil {
		return nil, err
	}
	if version(p.kind) == "" {
		return nil, h.notServed(p.kind)
	}
	if p.kind == entry.KindIntoto && p.version() == "0.0.1" {
		// cosign asks for one beside each dsse, of attestations without a bundle.
		// None was ever taken.
		return func(_ context.Context, to []byte) ([]byte, error) { return to, errNoEntry }, nil
	}
	e, err := p.entry(h.cfg.Admission.Work(ctx))
	if err != nil {
		return nil, err
	}
	leaf := e.LeafHash()
	return func(ctx context.Context, to []byte) ([]byte, error) { return h.appendByLeaf(ctx, to, leaf) }, nil
}

// query is the parameters of a URL.
type query url.Values

func parseQuery(raw string) (query, error) {
	if value, ok := strings.CutPrefix(raw, "logIndex="); ok && allDigits(value) {
		return query{"logIndex": {value}}, nil
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "the query cannot be read: %v", err)
	}
	return query(values), nil
}

// one returns a parameter that may be given once; "" if it is not there.
func (q query) one(name string) (string, error) {
	switch values := q[name]; len(values) {
	case 0:
		return "", nil
	case 1:
		return values[0], nil
	default:
		return "", unfit(codeType, "%s in query is given %d times", name, len(values))
	}
}

// number reads an integer of at least least; otherwise, if it is not there,
// unless it is required, as a negative otherwise says.
func (q query) number(name string, otherwise, least int64) (int64, error) {
	value, err := q.one(name)
	if err != nil {
		return 0, err
	}
	if value == "" {
		if otherwise < 0 {
			return 0, unfit(codeRequired, "%s in query is required", name)
		}
		return otherwise, nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return 0, unfit(codeType, "%s in query must be of type int64: %.50q", name, value)
	}
	if n < least {
		return 0, unfit(codeMinimum, "%s in query should be greater than or equal to %d", name, least)
	}
	return n, nil
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
