package rekorv1

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"indelible/entry"
	"indelible/internal/strictjson"
	translog "indelible/log"
	"indelible/server/failure"
)

// version is the one version of a kind that can be served; "" if it cannot.
func version(kind entry.Kind) string {
	switch kind {
	case entry.KindHashedRekord, entry.KindDSSE, entry.KindRekord:
		return "0.0.1"
	case entry.KindIntoto:
		return "0.0.2"
	}
	return ""
}

// served names the kinds that may be added.
func served(kinds []entry.Kind) string {
	var names []string
	for _, k := range kinds {
		if v := version(k); v != "" {
			names = append(names, string(k)+" "+v)
		}
	}
	if len(names) == 0 {
		return "none of Rekor v1's"
	}
	return strings.Join(names, ", ")
}

// create answers POST /api/v1/log/entries.
func (h *Handler) create(w http.ResponseWriter, r *http.Request) error {
	ctx, err := h.cfg.Admission.Enter(r.Context())
	if err != nil {
		return h.admitFailed(w, r, err)
	}
	body, err := h.readBody(w, r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Timeout)
	defer cancel()
	e, err := h.admit(ctx, body)
	if err == nil {
		err = h.cfg.Admission.Allow(ctx, e)
	}
	if err != nil {
		return h.admitFailed(w, r, err)
	}
	receipt, err := h.cfg.Log.Add(ctx, e)
	if err != nil {
		return h.addFailed(w, r, err)
	}
	id := h.ids.entryID(receipt.LeafHash)
	if receipt.Duplicate && h.cfg.Conflict {
		w.Header()["Location"] = []string{entriesPath + id}
		return refuse(http.StatusConflict, "an equivalent entry already exists in the transparency log with UUID %s", id)
	}
	out, err := h.appendReceipt(ctx, receipt, e)
	if err != nil {
		return err
	}
	// Bare: clients take it for the key of the map.
	w.Header()["Etag"] = []string{id}
	w.Header()["Location"] = []string{entriesPath + id}
	h.v.send(w, http.StatusCreated, out)
	return nil
}

func (h *Handler) appendReceipt(ctx context.Context, r translog.Receipt, e entry.Entry) ([]byte, error) {
	s, err := h.seal(ctx, translog.Record{Index: r.Index, LeafHash: r.LeafHash, IntegratedAt: r.IntegratedAt, Canonical: e.Canonical()})
	if err != nil {
		return nil, err
	}
	return h.appendEntry(ctx, nil, s, r.Proof)
}

// admitFailed says why an entry was not verified.
func (h *Handler) admitFailed(w http.ResponseWriter, req *http.Request, err error) error {
	if _, refused := errors.AsType[*refusal](err); refused {
		return err
	}
	return h.refusalOf(w, req, failure.Admit(err), err)
}

// addFailed says why an entry was not logged, or may not be.
func (h *Handler) addFailed(w http.ResponseWriter, req *http.Request, err error) error {
	wire := failure.Add(err)
	r := h.refusalOf(w, req, wire, err)
	if status.Code(wire) == codes.InvalidArgument {
		r.message = "error processing entry: " + r.message
	}
	return r
}

// admit makes an entry of what a client proposes. Rekor looks at the kind first,
// and then for what else must be there.
func (h *Handler) admit(ctx context.Context, body []byte) (entry.Entry, error) {
	var p proposal
	err := h.cfg.Admission.Decode(ctx, len(body), func() (err error) {
		p, err = readProposal(body)
		return err
	})
	if err != nil {
		return entry.Entry{}, err
	}
	if version(p.kind) == "" || !slices.Contains(h.cfg.Kinds, p.kind) {
		return entry.Entry{}, h.notServed(p.kind)
	}
	return p.entry(h.cfg.Admission.Work(ctx))
}

// proposal is what a client proposes, of whatever kind.
type proposal struct {
	entry.Proposal
	kind entry.Kind
}

// readProposal reads what an entry says that it is. Whatever is wrong below its
// spec is package entry's to refuse.
func readProposal(body []byte) (proposal, error) {
	if len(body) == 0 {
		return proposal{}, unfit(codeRequired, "kind in body is required: the body is empty")
	}
	p, err := entry.ReadProposal(body)
	if syntax, ok := errors.AsType[*strictjson.SyntaxError](err); ok {
		return proposal{}, badSyntax(syntax)
	}
	if first := bytes.TrimLeft(body, " \t\r\n"); first[0] != '{' {
		return proposal{}, notObject(body)
	}
	if err != nil {
		return proposal{}, unprocessable(err)
	}
	kind, err := textOf("kind", p.Kind)
	if err == nil && kind == "" {
		err = missing("kind")
	}
	return proposal{p, entry.Kind(kind)}, err
}

// version is the version that an entry says that it is of, if it says so in a
// way that can be read.
func (p proposal) version() string {
	version, err := textOf("apiVersion", p.APIVersion)
	if err != nil {
		return ""
	}
	return version
}

// entry makes an entry of what a client proposes or looks for.
func (p proposal) entry(work entry.Work) (entry.Entry, error) {
	if err := p.complete(); err != nil {
		return entry.Entry{}, err
	}
	p.Work = work
	e, err := p.Entry()
	if errors.Is(err, entry.ErrInvalid) {
		return e, unprocessable(err)
	}
	return e, err
}

func unprocessable(err error) error {
	return refuse(http.StatusBadRequest, "error processing entry: %v", err)
}

// complete looks for what an entry must have beside its kind.
func (p proposal) complete() error {
	for _, m := range []struct {
		name  string
		value json.RawMessage
	}{{"apiVersion", p.APIVersion}, {"spec", p.Spec}} {
		if m.value == nil || string(m.value) == `""` {
			return missing(m.name)
		}
	}
	return nil
}

func missing(name string) error { return unfit(codeRequired, "%s in body is required", name) }

// notServed refuses a kind: one that only Rekor knows, or an unknown one.
func (h *Handler) notServed(kind entry.Kind) error {
	switch kind {
	case "alpine", "cose", "dsse", "hashedrekord", "helm", "intoto", "jar", "rekord", "rfc3161", "rpm", "tuf":
		return refuse(http.StatusBadRequest, "error processing entry: entry kind '%s' is not enabled for submission on this server, which takes %s", kind, h.kinds)
	}
	return refuse(http.StatusUnprocessableEntity, "invalid kind value: %.100q; this server takes %s", string(kind), h.kinds)
}
