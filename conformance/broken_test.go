package conformance_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"indelible/checkpoint"
	"indelible/conformance"
)

// call is a request to a broken witness, which has a good one inside.
type call struct {
	t    *testing.T
	w    *world
	req  *http.Request
	body []byte
	had  *httptest.ResponseRecorder
}

// good is what the good witness answers. It is asked once.
func (c *call) good() *httptest.ResponseRecorder {
	if c.had == nil {
		c.had = c.ask(c.body)
	}
	return c.had
}

func (c *call) ask(body []byte) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	req := c.req.Clone(c.req.Context())
	req.Body = io.NopCloser(bytes.NewReader(body))
	c.w.handler.ServeHTTP(rec, req)
	return rec
}

func (c *call) add() bool          { return c.req.URL.Path == "/add-checkpoint" }
func (c *call) subtree() bool      { return c.req.URL.Path == "/sign-subtree" }
func (c *call) refused() bool      { return c.good().Code != http.StatusOK }
func (c *call) first() string      { line, _, _ := strings.Cut(string(c.body), "\n"); return line }
func (c *call) old() int64         { return number(strings.TrimPrefix(c.first(), "old ")) }
func (c *call) size() int64        { return c.checkpoint().Size }
func (c *call) told() int64        { return number(strings.TrimSpace(c.good().Body.String())) }
func (c *call) has(s string) bool  { return bytes.Contains(c.body, []byte(s)) }
func (c *call) says(s string) bool { return strings.Contains(c.good().Body.String(), s) }

// monitors reports whether what was cosigned is asked for, of the log or of
// another.
func (c *call) monitors(own bool) bool {
	sum := sha256.Sum256([]byte(c.w.log.Origin()))
	return strings.HasSuffix(c.req.URL.Path, "/checkpoint") && own == strings.Contains(c.req.URL.Path, hex.EncodeToString(sum[:]))
}

// proof is how many lines of proof there are.
func (c *call) proof() int {
	head, _, _ := bytes.Cut(c.body, []byte("\n\n"))
	return bytes.Count(head, []byte("\n"))
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// text is the text of the note.
func (c *call) text() string {
	_, note, _ := strings.Cut(string(c.body), "\n\n")
	text, _, _ := strings.Cut(note, "\n\n")
	return text + "\n"
}

// checkpoint is what the note says; of size -1 where that cannot be read.
func (c *call) checkpoint() checkpoint.Checkpoint {
	lines := strings.SplitAfterN(c.text(), "\n", 4)
	cp, err := checkpoint.ParseText([]byte(strings.Join(lines[:min(3, len(lines))], "")))
	if err != nil {
		// A false root at size 0 is no checkpoint for the parser either.
		if len(lines) > 1 && lines[1] == "0\n" {
			return checkpoint.Checkpoint{Origin: c.w.log.Origin(), Root: sha256.Sum256(nil)}
		}
		return checkpoint.Checkpoint{Origin: c.w.log.Origin(), Size: -1}
	}
	return cp
}

// sign cosigns whatever is asked for, and remembers nothing.
func (c *call) sign() *httptest.ResponseRecorder {
	cp := c.checkpoint()
	cp.Size = max(cp.Size, 0)
	return answer(http.StatusOK, c.cosign(cp, time.Now().Unix()))
}

func (c *call) cosign(cp checkpoint.Checkpoint, seconds int64) []byte {
	var lines []checkpoint.Signature
	for _, k := range c.w.cosigners {
		line, err := k.Cosign(cp, seconds)
		if err != nil {
			c.t.Error(err)
		}
		lines = append(lines, line)
	}
	return checkpoint.MarshalSignatures(lines)
}

func answer(code int, body []byte) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	rec.WriteHeader(code)
	rec.Write(body)
	return rec
}

func status(code int) *httptest.ResponseRecorder { return answer(code, []byte("broken\n")) }

// lines is the good answer of 200 with other lines.
func (c *call) lines(f func([]checkpoint.Signature) []checkpoint.Signature) *httptest.ResponseRecorder {
	all, err := checkpoint.ParseSignatures(c.good().Body.Bytes())
	if err != nil {
		c.t.Error(err)
	}
	return answer(http.StatusOK, checkpoint.MarshalSignatures(f(all)))
}

// answers is how a broken witness answers; nil where it does as the good one.
type answers func(*call) *httptest.ResponseRecorder

// when answers with a status in some cases.
func when(is func(*call) bool, code int) answers {
	return func(c *call) *httptest.ResponseRecorder {
		if is(c) {
			return status(code)
		}
		return nil
	}
}

// signs cosigns what the good witness refuses, in some cases.
func signs(code int, is func(*call) bool) answers {
	return func(c *call) *httptest.ResponseRecorder {
		if c.add() && is(c) && c.good().Code == code {
			return c.sign()
		}
		return nil
	}
}

// TestBroken has a witness that is broken in one way, and demands that exactly
// the rule which forbids this fails.
func TestBroken(t *testing.T) {
	for _, part := range []map[string]answers{brokenFirst(), brokenForms(), brokenRefusals(), brokenNotes(), brokenMonitor(), brokenSubtree(), brokenAnswers()} {
		for _, name := range slices.Sorted(maps.Keys(part)) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.serve(t, w.breaking(t, part[name]))
				rules, _, _ := strings.Cut(name, ":")
				r := w.run(t)
				if failed := inState(r, conformance.Failed); !slices.Equal(failed, strings.Split(rules, " ")) {
					t.Errorf("failed %q", failed)
					explain(t, r)
				}
			})
		}
	}
}

// breaking is a handler that is broken.
func (w *world) breaking(t *testing.T, f answers) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		c := &call{t: t, w: w, req: req, body: body}
		rec := f(c)
		if rec == nil {
			rec = c.good()
		}
		maps.Copy(rw.Header(), rec.Header())
		rw.WriteHeader(rec.Code)
		rw.Write(rec.Body.Bytes())
	})
}

func brokenFirst() map[string]answers {
	closing := func(c *call) *httptest.ResponseRecorder {
		c.good().Header().Set("Connection", "close")
		return nil
	}
	return map[string]answers{
		"monitor-none": when(func(c *call) bool { return c.monitors(true) && c.good().Code == 404 }, 200),
		"first-old":    when(func(c *call) bool { return c.add() && c.old() == 1 && c.size() == 1 && c.good().Code == 409 }, 400),
		"first-old: it trusts at first sight": func(c *call) *httptest.ResponseRecorder {
			if c.add() && c.old() == 1 && c.good().Code == 409 && c.told() == 0 {
				return c.ask(bytes.Replace(c.body, []byte("old 1"), []byte("old 0"), 1))
			}
			return nil
		},
		"size-0-root": signs(422, func(c *call) bool { return c.size() == 0 }),
		"first-proof": signs(422, func(c *call) bool { return c.old() == 0 && c.size() > 0 }),
		"size-0":      when(func(c *call) bool { return c.add() && c.size() == 0 }, 422),
		"grow":        when(func(c *call) bool { return c.add() && c.old() == 4 && c.size() == 5 }, 422),
		"same-size":   when(func(c *call) bool { return c.add() && c.old() == c.size() && c.size() > 1 && !c.refused() }, 409),
		"keep-alive":  closing,
	}
}

func brokenForms() map[string]answers {
	return map[string]answers{
		"form-old":   signs(400, func(c *call) bool { return strings.HasPrefix(c.first(), "old 0") && len(c.first()) > 5 }),
		"form-proof": signs(400, func(c *call) bool { return c.proof() > 1 && c.has("=\r\n") }),
		"form-body":  signs(400, func(c *call) bool { return len(c.body) == 0 }),
		"form-checkpoint": signs(400, func(c *call) bool {
			lines := strings.Split(c.text(), "\n")
			return len(lines) == 4 && strings.HasPrefix(lines[1], "0") && len(lines[1]) > 1 && !strings.HasPrefix(lines[1], "0x")
		}),
		"form-note": signs(400, func(c *call) bool { return len(c.body) > 0 && !bytes.HasSuffix(c.body, []byte("\n")) }),
		"form-400":  when(func(c *call) bool { return c.add() && strings.HasPrefix(c.first(), "old +") }, 422),
		"method":    when(func(c *call) bool { return c.req.Method == http.MethodPut }, 200),
	}
}

func brokenRefusals() map[string]answers {
	conflict := func(is func(*call) bool) func(*call) bool {
		return func(c *call) bool { return c.add() && c.old() >= 0 && c.good().Code == 409 && c.told() > 0 && is(c) }
	}
	var behind atomic.Bool // one request: those of a race look alike
	var cosignedFrom, cosigned int64 = -1, -1
	return map[string]answers{
		"unknown-origin": when(func(c *call) bool { return c.add() && c.has("/unknown\n5\n") }, 500),
		"unsigned":       when(func(c *call) bool { return c.add() && c.good().Code == 403 && c.says("none of the") }, 400),
		"signature-wrong": when(func(c *call) bool {
			return c.add() && c.good().Code == 403 && c.says("is wrong") && bytes.Count(c.body, []byte("—")) == 1
		}, 500),
		"signature-beside": signs(400, func(c *call) bool { return c.says("two signature lines") }),
		"old-larger":       when(func(c *call) bool { return c.add() && c.old() > c.size() && c.size() > 0 }, 409),
		"old-behind": when(conflict(func(c *call) bool {
			return c.old() == c.told()-1 && c.size() == c.old()+3 && behind.CompareAndSwap(false, true)
		}), 422),
		"old-ahead":       when(conflict(func(c *call) bool { return c.old() == c.told()+1 && c.size() == c.old()+1 }), 422),
		"old-zero":        signs(409, conflict(func(c *call) bool { return c.old() == 0 })),
		"proof-wrong":     signs(422, func(c *call) bool { return c.size() == c.old()+2 }),
		"proof-same-size": signs(422, func(c *call) bool { return c.size() == c.old() && c.size() > 0 && c.proof() > 0 }),
		"same-size-root":  signs(422, func(c *call) bool { return c.size() == c.old() && c.size() > 0 && c.proof() == 0 }),
		"fork fork-root":  signs(422, func(c *call) bool { return c.size() == c.old()+3 }),
		"race": func(c *call) *httptest.ResponseRecorder {
			w := c.w.turn()
			defer w()
			if c.add() && c.good().Code == 409 && c.old() == cosignedFrom && c.size() != cosigned && c.size() > c.old() {
				return c.sign()
			}
			if c.add() && !c.refused() {
				cosignedFrom, cosigned = c.old(), c.size()
			}
			return nil
		},
		"refused-unchanged": func(c *call) *httptest.ResponseRecorder {
			if c.add() && c.has("=\r\n") && c.proof() > 1 && strings.HasPrefix(c.first(), "old ") && !strings.HasSuffix(c.first(), "\r") {
				c.ask(bytes.ReplaceAll(c.body, []byte("\r"), nil))
			}
			return nil
		},
	}
}

func brokenNotes() map[string]answers {
	poisoned := false
	return map[string]answers{
		"unknown-signatures":    when(func(c *call) bool { return c.add() && c.has("— unbekannt") }, 403),
		"forged-lines: refused": when(func(c *call) bool { return c.add() && c.has("— witness.example/w1") }, 403),
		"forged-lines: poisoned": func(c *call) *httptest.ResponseRecorder {
			defer c.w.turn()()
			if c.add() && poisoned {
				poisoned = false
				return status(500)
			}
			poisoned = poisoned || c.add() && c.has("— witness.example/w1")
			return nil
		},
		"16-signatures large-signatures": when(func(c *call) bool { return len(c.body) > 16<<10 }, 413),
		"large-signatures":               when(func(c *call) bool { return len(c.body) > 64<<10 }, 413),
		"extension-signed": func(c *call) *httptest.ResponseRecorder {
			if c.add() && c.has("an extension line\n") {
				return c.ask(c.plain())
			}
			return nil
		},
		"extension-lines: refused": when(func(c *call) bool { return c.add() && c.has("an extension line\n") }, 400),
		"extension-lines: a fault": when(func(c *call) bool { return c.add() && c.has("an extension line\n") }, 500),
	}
}

// plain is the request without extension lines, signed by the log.
func (c *call) plain() []byte {
	signer, err := checkpoint.NewSigner(c.w.log.Origin(), ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)))
	if err != nil {
		c.t.Error(err)
	}
	note, err := checkpoint.Sign(c.checkpoint(), signer)
	if err != nil {
		c.t.Error(err)
	}
	head, _, _ := bytes.Cut(c.body, []byte("\n\n"))
	return bytes.Join([][]byte{head, note}, []byte("\n\n"))
}

func brokenMonitor() map[string]answers {
	// served changes the note that is served of the log.
	served := func(f func(*call, *checkpoint.Note)) answers {
		return func(c *call) *httptest.ResponseRecorder {
			if !c.monitors(true) || c.refused() {
				return nil
			}
			n, err := checkpoint.ParseNote(c.good().Body.Bytes())
			if err != nil {
				c.t.Error(err)
			}
			f(c, &n)
			return answer(http.StatusOK, n.Marshal())
		}
	}
	without := func(prefix string) answers {
		return served(func(_ *call, n *checkpoint.Note) {
			n.Signatures = slices.DeleteFunc(n.Signatures, func(s checkpoint.Signature) bool { return strings.HasPrefix(s.Name, prefix) })
		})
	}
	return map[string]answers{
		"monitor-unknown":                  when(func(c *call) bool { return c.monitors(false) }, 200),
		"monitor-serves":                   when(func(c *call) bool { return c.monitors(true) }, 404),
		"monitor-log":                      without("conformance.invalid"),
		"monitor-log monitor-cosignatures": when(func(c *call) bool { return c.monitors(true) && !c.refused() }, 200),
		"monitor-cosignatures: none":       without("witness.example"),
		"monitor-cosignatures: others": served(func(c *call, n *checkpoint.Note) {
			cp, err := checkpoint.ParseText(n.Text)
			if err != nil {
				c.t.Error(err)
			}
			lines, err := checkpoint.ParseSignatures(c.cosign(cp, 1_700_000_000))
			if err != nil {
				c.t.Error(err)
			}
			n.Signatures = append(n.Signatures[:1], lines...)
		}),
		"monitor-cosignatures: wrong": served(func(_ *call, n *checkpoint.Note) { n.Signatures[1].Blob[20] ^= 1 }),
	}
}

func brokenSubtree() map[string]answers {
	also := func(c *call) *httptest.ResponseRecorder {
		if !c.subtree() || c.refused() {
			return nil
		}
		return c.lines(func(all []checkpoint.Signature) []checkpoint.Signature {
			other := all[0]
			other.Name = "elsewhere.example"
			return append(all, other)
		})
	}
	return map[string]answers{
		"subtree": when(func(c *call) bool { return c.subtree() && c.first() == "subtree 8 13" }, 422),
		"subtree-lines": func(c *call) *httptest.ResponseRecorder {
			if !c.subtree() || c.refused() {
				return nil
			}
			signed := c.cosign(c.checkpoint(), time.Now().Unix())
			return answer(200, signed[bytes.IndexByte(signed, '\n')+1:])
		},
		"subtree-key":      also,
		"subtree-range":    when(func(c *call) bool { return c.subtree() && c.good().Code == 400 && c.says("is not a subtree") }, 422),
		"subtree-form":     when(func(c *call) bool { return c.subtree() && c.good().Code == 400 && !c.says("is not a subtree") }, 500),
		"subtree-proof":    when(func(c *call) bool { return c.subtree() && c.good().Code == 422 }, 200),
		"subtree-origin":   when(func(c *call) bool { return c.subtree() && c.has("/unknown\n") }, 400),
		"subtree-unsigned": when(func(c *call) bool { return c.subtree() && c.good().Code == 403 }, 200),
	}
}

func brokenAnswers() map[string]answers {
	once := func(f answers) answers { // for one request, that all runs make
		return func(c *call) *httptest.ResponseRecorder {
			if c.add() && c.old() == 4 && c.size() == 5 && !c.refused() {
				return f(c)
			}
			return nil
		}
	}
	conflict := func(f func(string) string, media string) answers {
		return func(c *call) *httptest.ResponseRecorder {
			if !c.add() || c.good().Code != http.StatusConflict {
				return nil
			}
			rec := httptest.NewRecorder()
			rec.Header().Set("Content-Type", media)
			rec.WriteHeader(http.StatusConflict)
			rec.WriteString(f(c.good().Body.String()))
			return rec
		}
	}
	same := func(s string) string { return s }
	const media = "text/x.tlog.size"
	return map[string]answers{
		"200-lines: more": once(func(c *call) *httptest.ResponseRecorder {
			return answer(200, append(c.good().Body.Bytes(), "thanks\n"...))
		}),
		"200-lines: cut":  once(func(c *call) *httptest.ResponseRecorder { return answer(200, bytes.TrimSpace(c.good().Body.Bytes())) }),
		"200-lines: none": once(func(*call) *httptest.ResponseRecorder { return answer(200, nil) }),
		"200-cosignature": once(func(c *call) *httptest.ResponseRecorder {
			return c.lines(func(all []checkpoint.Signature) []checkpoint.Signature { all[0].Blob[20] ^= 1; return all })
		}),
		"200-cosignature: of a smaller tree": once(func(c *call) *httptest.ResponseRecorder {
			cp := c.checkpoint()
			cp.Size--
			return answer(200, c.cosign(cp, time.Now().Unix()))
		}),
		"200-time": once(func(c *call) *httptest.ResponseRecorder {
			cp := c.checkpoint()
			line, err := c.w.cosigners[1].CosignSubtree(cp.Origin, checkpoint.Subtree{End: cp.Size, Root: cp.Root})
			if err != nil {
				c.t.Error(err)
			}
			return answer(200, checkpoint.MarshalSignatures([]checkpoint.Signature{line}))
		}),
		"200-clock": once(func(c *call) *httptest.ResponseRecorder { return answer(200, c.cosign(c.checkpoint(), 1_700_000_000)) }),
		"200-mldsa": func(c *call) *httptest.ResponseRecorder {
			if !c.add() || c.refused() {
				return nil
			}
			return c.lines(func(all []checkpoint.Signature) []checkpoint.Signature { return all[:1] })
		},
		"409-type":                 conflict(same, "text/plain"),
		"409-type: none":           conflict(same, ""),
		"409-body: no newline":     conflict(strings.TrimSpace, media),
		"409-body: a leading zero": conflict(func(s string) string { return "0" + s }, media),
		"409-body: words":          conflict(func(s string) string { return "the size is " + s }, media),
	}
}
