package doctor_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"indelible/checkpoint"
	"indelible/doctor"
	"indelible/merkle"
)

func TestAHealthyLog(t *testing.T) {
	w := newWorld(t)
	r, err := w.run(w.config())
	if err != nil || others(r) != "" || len(r.Checks) < 18 {
		t.Errorf("%v, %d checks\n%s", err, len(r.Checks), says(r))
	}
	if r.Origin != origin || fmt.Sprint(r.Wrote) != "[0 1]" || r.Count(doctor.Passed) != len(r.Checks) {
		t.Errorf("log %q, wrote %v, %d of %d passed", r.Origin, r.Wrote, r.Count(doctor.Passed), len(r.Checks))
	}
}

func TestReadOnlyWritesNothing(t *testing.T) {
	w := newWorld(t)
	w.change = func(r *http.Request, _ *httptest.ResponseRecorder) {
		if r.Method != http.MethodGet {
			t.Errorf("%s %s", r.Method, r.URL)
		}
	}
	cfg := w.config()
	cfg.ReadOnly = true
	const skips = "rekor v2 not checked, rekor v1 not checked, search not checked"
	if r, err := w.run(cfg); err != nil || others(r) != skips+", tiles not checked" || len(r.Wrote) > 0 || r.Size != 0 {
		t.Errorf("of an empty log: %v, wrote %v of %d\n%s", err, r.Wrote, r.Size, says(r))
	}
	w.change = nil
	if _, err := w.run(w.config()); err != nil {
		t.Fatal(err)
	}
	if r, err := w.run(cfg); err != nil || others(r) != skips || len(r.Wrote) > 0 || r.Size != 2 {
		t.Errorf("of a log with entries: %v, wrote %v of %d\n%s", err, r.Wrote, r.Size, says(r))
	}
}

// One entry of Rekor v1's blinds rekor-monitor, so the first is added only if it is
// asked for, or if no client can use Rekor v2.
func TestRekorV1IsAskedFor(t *testing.T) {
	w := newWorld(t)
	cfg := w.config()
	cfg.RekorV1 = false
	for wrote := range 2 { // of an empty log, and of one that has an entry of v2's
		r, err := w.run(cfg)
		if err != nil || others(r) != "rekor v1 not checked" || fmt.Sprint(r.Wrote) != fmt.Sprintf("[%d]", wrote) || !strings.Contains(says(r), "--rekor-v1") {
			t.Errorf("%v, wrote %v\n%s", err, r.Wrote, says(r))
		}
	}
	asked := w.config()
	if r, err := w.run(asked); err != nil || fmt.Sprint(r.Wrote) != "[2 3]" {
		t.Errorf("%v, wrote %v\n%s", err, r.Wrote, says(r))
	}
	if r, err := w.run(cfg); err != nil || others(r) != "" || fmt.Sprint(r.Wrote) != "[4 5]" {
		t.Errorf("where v1 is in use: %v, wrote %v\n%s", err, r.Wrote, says(r))
	}
	only := newWorld(t)
	only.change = onAll("/api/v2/*", answers(404, "{}"))
	cfg = only.config()
	cfg.RekorV1 = false
	if r, err := only.run(cfg); err != nil || others(r) != "rekor v2 not checked" || fmt.Sprint(r.Wrote) != "[0]" {
		t.Errorf("where v2 is not served: %v, wrote %v\n%s", err, r.Wrote, says(r))
	}
}

const (
	postV2 = "/api/v2/log/entries"
	postV1 = "/api/v1/log/entries"
)

// Each of these logs is wrong in one way, and the check that is about it must
// say so; those that cannot pass for the same reason stand beside it.
func TestWhatIsWrongIsNamed(t *testing.T) {
	w := newWorld(t)
	for range 2 { // so that there is an older tree
		if _, err := w.run(w.config()); err != nil {
			t.Fatal(err)
		}
	}
	otherTime := time.Now().Add(-time.Hour).Unix()
	const noV1 = "rekor v1 failed"
	for name, c := range map[string]struct {
		change change
		others string
		says   string
	}{
		"clock off":        {clockOff(-30 * time.Second), "clock warning", "behind this one"},
		"clock far off":    {clockOff(10 * time.Minute), "clock failed", "ahead of this one; entries made with"},
		"clock of a cache": {all(header("Date", "Mon, 02 Jan 2006 15:04:05 GMT"), header("Age", "7")), "clock not checked", "a cache"},
		"no date":          {header("Date", "yesterday"), "clock not checked", "no Date"},
		"no vkey":          {on("GET", "/log.vkey", answers(404, "")), "key warning", "does not say its key"},
		"another vkey":     {on("GET", "/log.vkey", answers(200, vkey(t, ed25519Key(7))+"\n")), "key failed", "its operator replaced it"},
		"one more vkey":    {on("GET", "/log.vkey", answers(200, w.key.String()+"\n"+vkey(t, ed25519Key(7))+"\n")), "key warning", "keys that the test has not"},
		"type of vkey":     {on("GET", "/log.vkey", answers(200, vkey(t, ecdsaKey(t, elliptic.P384()))+"\n")), "key failed, key types failed", "P-384"},
		"other log's":      {on("GET", "/checkpoint", answers(200, otherNote(t))), "checkpoint failed, fresh failed, tiles not checked", "checkpoint"},
		"another log":      {all(on("GET", "/log.vkey", answers(200, vkey(t, ed25519Key(7))+"\n")), on("GET", "/checkpoint", answers(200, otherNote(t)))), "key failed, checkpoint failed, rekor v2 not checked, rekor v1 not checked, native not checked, search not checked, tiles not checked", "another log than the trusted one"},
		"cached":           {on("GET", "/checkpoint", first()), "fresh failed", "keeps /checkpoint"},
		"no CORS":          {header("Access-Control-Allow-Origin", ""), "browsers warning", "Access-Control-Allow-Origin"},
		"trust URL":        {on("GET", "/trust/signing_config.json", replaced("https://example.com", "http://internal:8080")), "trust files warning", "send clients to http://internal:8080"},
		"no trust files":   {on("GET", "/trust/signing_config.json", answers(404, "")), "trust files not checked", "serves none"},
		"trust broken":     {on("GET", "/trust/signing_config.json", answers(502, "<html>")), "trust files failed", "HTTP 502 Bad Gateway\n"},
		"no native":        {on("GET", "/v1/*", answers(502, "")), "native failed, search failed", "let /v1/ through"},
		"native off":       {on("GET", "/v1/checkpoint", answers(404, "")), "native warning", "not add to it"},
		"native index":     {on("GET", "/v1/entries:lookup", member("proof.index", "0")), "native failed", "does not verify"},
		"no search":        {on("GET", "/v1/entries:search", answers(501, "{}")), "search not checked", "--search"},
		"search is empty":  {on("GET", "/v1/entries:search", answers(200, "{}")), "search failed", "index rebuild"},
		"v1 search empty":  {on("POST", "/api/v1/index/retrieve", answers(200, "[]")), "v1 search failed", "is not found by its digest"},
		"v1 search error":  {on("POST", "/api/v1/index/retrieve", answers(500, `{"message":"no disk"}`)), "v1 search failed", "HTTP 500 Internal Server Error: no disk"},
		"bundle":           {on("GET", "/tile/entries/*", replaced("hashedrekord", "hashedRekord")), "tiles failed", "the entry bundle has another"},
		"tile":             {on("GET", "/tile/0/*", swapped()), "tiles failed", "the tile has the hash"},
		"no tiles":         {on("GET", "/tile/*", answers(403, "")), "tiles failed", "403"},

		"v2 off":                  {onAll("/api/v2/*", answers(404, "{}")), "rekor v2 not checked", "--rekor-v2"},
		"v2 at a proxy":           {on("GET", "/api/v2/checkpoint", answers(502, "")), "rekor v2 failed", "let /api/v2/ through"},
		"v2 status":               {on("POST", postV2, answers(200, "{}")), "rekor v2 failed", "clients take 201 only"},
		"v2 without hashedrekord": {on("POST", postV2, answers(400, `{"code":3,"message":"entries of kind hashedrekord are not taken by this log"}`)), "rekor v2 failed", "--entry-kinds"},
		"v2 forbidden":            {on("POST", postV2, answers(403, `{"message":"not you"}`)), "rekor v2 failed", "not you"},
		"v2 busy":                 {on("POST", postV2, answers(503, `{"message":"full"}`)), "rekor v2 failed", "Try again"},
		"v2 redirect":             {on("POST", postV2, all(answers(307, ""), header("Location", "https://b.example"))), "rekor v2 failed", "redirect to https://b.example"},
		"v2 no JSON":              {on("POST", postV2, answers(201, "<html>")), "rekor v2 failed", "not a TransparencyLogEntry"},
		"v2 field":                {on("POST", postV2, member("nonsense", 1)), "rekor v2 failed", "nonsense"},
		"v2 body":                 {on("POST", postV2, member("canonicalizedBody", "e30=")), "rekor v2 failed", "not what was asked for"},
		"v2 kind":                 {on("POST", postV2, member("kindVersion.version", "0.0.1")), "rekor v2 failed", "hashedrekord of 0.0.2"},
		"v2 no proof":             {on("POST", postV2, member("inclusionProof", nil)), "rekor v2 failed", "no inclusion proof"},
		"v2 index":                {on("POST", postV2, member("logIndex", "0")), "rekor v2 failed", "its proof's"},
		"v2 indexes":              {on("POST", postV2, all(member("logIndex", "0"), member("inclusionProof.logIndex", "0"))), "rekor v2 failed", "the inclusion proof: "},
		"v2 time":                 {on("POST", postV2, member("integratedTime", "5")), "rekor v2 failed", "of Rekor v1"},
		"v2 log id":               {on("POST", postV2, member("logId.keyId", "AAAA")), "rekor v2 failed", "the log id 000000"},
		"v2 checkpoint":           {on("POST", postV2, member("inclusionProof.checkpoint.envelope", otherNote(t))), "rekor v2 failed", "the checkpoint of the proof"},
		"v2 size":                 {on("POST", postV2, member("inclusionProof.treeSize", "7777777")), "rekor v2 failed", "of size 7777777"},
		"v2 hashes":               {on("POST", postV2, member("inclusionProof.hashes", []string{"AAAA"})), "rekor v2 failed", "hash of 3 bytes"},
		"v2 retry 409":            {on("POST", postV2, second(answers(409, `{"message":"exists"}`))), "v2 retry failed", "exists"},
		"v2 retry twice":          {on("POST", postV2, second(w.twice())), "v2 retry failed", "logged twice"},

		"v1 off":                   {onAll("/api/v1/*", answers(404, "{}")), "rekor v1 not checked", "--rekor-v1"},
		"v1 at a proxy":            {on("GET", "/api/v1/log/publicKey", answers(502, "")), "v1 key failed", "let /api/v1/ through"},
		"v1 key no PEM":            {on("GET", "/api/v1/log/publicKey", answers(200, "x")), "v1 key failed", "not a public key in PEM"},
		"v1 key of Ed25519":        {on("GET", "/api/v1/log/publicKey", answers(200, pemOf(t, ed25519Key(1)))), "v1 key failed", "not ECDSA P-256"},
		"v1 key on P-384":          {on("GET", "/api/v1/log/publicKey", answers(200, pemOf(t, ecdsaKey(t, elliptic.P384())))), "v1 key failed", "not ECDSA P-256"},
		"v1 key, another":          {on("GET", "/api/v1/log/publicKey", answers(200, pemOf(t, ecdsaKey(t, elliptic.P256())))), "v1 key failed", "the test has SHA256:"},
		"v1 note's key":            {on("GET", "/api/v1/log", member("signedTreeHead", v1Note("example.com - 1"))), "v1 note failed", "not by the key of Rekor v1"},
		"v1 note's origin":         {on("GET", "/api/v1/log", member("signedTreeHead", v1Note("example.com"))), "v1 note failed", "HOST - TREEID"},
		"v1 note's size":           {on("GET", "/api/v1/log", member("treeSize", 12345)), "v1 note failed", "12345"},
		"v1 other tree, same size": {on("GET", "/api/v1/log", w.otherTree(0)), "v1 note failed", "another tree"},
		"v1 other tree, older":     {on("GET", "/api/v1/log", w.otherTree(1)), "v1 note failed", "another tree"},
		"v1 log gone":              {on("GET", "/api/v1/log", answers(500, "")), "v1 note failed", "500"},
		"v1 status":                {on("POST", postV1, answers(200, "{}")), noV1, "it must be 201"},
		"v1 without hashedrekord":  {on("POST", postV1, answers(400, `{"code":400,"message":"entry kind 'hashedrekord' is not enabled for submission"}`)), noV1, "--entry-kinds"},
		"v1 no JSON":               {on("POST", postV1, replaced("{", "")), noV1, "not an entry of Rekor v1"},
		"v1 ETag quoted":           {on("POST", postV1, header("ETag", `"x"`)), noV1, "without quotes"},
		"v1 ETag weak":             {on("POST", postV1, weak), noV1, "does a proxy in front change it"},
		"v1 ETag of another":       {on("POST", postV1, header("ETag", strings.Repeat("ab", 40))), noV1, "Location"},
		"v1 no Location":           {on("POST", postV1, header("Location", "")), noV1, "Location"},
		"v1 body":                  {on("POST", postV1, member("*.body", "e30=")), noV1, "not what was asked for"},
		"v1 log id":                {on("POST", postV1, member("*.logID", "ab")), noV1, "the log id"},
		"v1 time":                  {on("POST", postV1, member("*.integratedTime", otherTime)), noV1, "behind this one; entries made with short-lived certificates will not verify\n  Set both clocks"},
		"v1 promise":               {on("POST", postV1, member("*.verification.signedEntryTimestamp", "AAAA")), noV1, "signed entry timestamp"},
		"v1 index":                 {on("POST", postV1, member("*.logIndex", 0)), noV1, "signed entry timestamp"},
		"v1 proof's note":          {on("POST", postV1, member("*.verification.inclusionProof.checkpoint", "x")), noV1, "the note of the proof"},
		"v1 proof's size":          {on("POST", postV1, member("*.verification.inclusionProof.treeSize", 1)), noV1, "of size 1"},
		"v1 proof's index":         {on("POST", postV1, member("*.verification.inclusionProof.logIndex", 0)), noV1, "the inclusion proof: "},
		"v1 hashes null":           {on("POST", postV1, member("*.verification.inclusionProof.hashes", json.RawMessage("null"))), noV1, "null"},
		"v1 hashes":                {on("POST", postV1, member("*.verification.inclusionProof.hashes", []string{"zz"})), noV1, "inclusion proof"},
		"v1 retry 409":             {on("POST", postV1, second(conflict)), "v1 retry warning", "--rekor-v1-conflict"},
		"v1 retry bare 409":        {on("POST", postV1, second(all(conflict, header("Location", "")))), "v1 retry failed", "without its Location"},
		"v1 retry, another":        {on("POST", postV1, second(header("ETag", "x"))), "v1 retry failed", "is another entry"},
		"v1 retry error":           {on("POST", postV1, second(answers(500, ""))), "v1 retry failed", "500"},
		"v1 read 404":              {on("GET", postV1+"/*", answers(404, "")), "v1 read failed", "404"},
		"v1 read, another":         {on("GET", postV1+"/*", member("*.integratedTime", otherTime+3597)), "v1 read failed", "signed entry timestamp"},
	} {
		w.change = c.change
		cfg := w.config()
		if strings.Contains(c.others, "search failed") || strings.Contains(c.others, "fresh failed") {
			cfg.Fresh, cfg.Found = time.Second/10, time.Second/10
		}
		r, err := w.run(cfg)
		if err != nil || others(r) != c.others || !strings.Contains(says(r), c.says) {
			t.Errorf("%s: %v; [%s], and not [%s]; it does not say %q:\n%s", name, err, others(r), c.others, c.says, says(r))
		}
		for _, check := range r.Checks {
			if (check.State == doctor.Failed || check.State == doctor.Warning) && check.Detail == "" {
				t.Errorf("%s: %s says nothing", name, check.Name)
			}
		}
	}
}

// clockOff has answers say that it is later, or earlier.
func clockOff(by time.Duration) change {
	return func(r *http.Request, answer *httptest.ResponseRecorder) {
		header("Date", time.Now().Add(by).UTC().Format(http.TimeFormat))(r, answer)
	}
}

// onAll makes a change to what is read and added under a path.
func onAll(path string, c change) change { return all(on("GET", path, c), on("POST", path, c)) }

// first answers as the first time, as a cache does.
func first() change {
	kept := ""
	return func(_ *http.Request, answer *httptest.ResponseRecorder) {
		if kept == "" {
			kept = answer.Body.String()
		}
		answer.Body.Reset()
		answer.Body.WriteString(kept)
	}
}

// swapped has a tile's bytes in another order.
func swapped() change {
	return func(_ *http.Request, answer *httptest.ResponseRecorder) {
		b := answer.Body.Bytes()
		for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
			b[i], b[j] = b[j], b[i]
		}
	}
}

// twice answers that the entry was logged again, under another index, in a tree
// that has nothing but these two.
func (w *world) twice() change {
	return func(_ *http.Request, answer *httptest.ResponseRecorder) {
		var said struct {
			LogIndex          string `json:"logIndex"`
			CanonicalizedBody []byte `json:"canonicalizedBody"`
		}
		json.Unmarshal(answer.Body.Bytes(), &said)
		index := "0"
		if said.LogIndex == index {
			index = "1"
		}
		leaf := merkle.LeafHash(said.CanonicalizedBody)
		root := merkle.NodeHash(leaf, leaf)
		note := must(checkpoint.Sign(checkpoint.Checkpoint{Origin: origin, Size: 2, Root: root}, w.signer))(w.t)
		all(member("logIndex", index), member("inclusionProof.logIndex", index), member("inclusionProof.treeSize", "2"),
			member("inclusionProof.rootHash", root[:]), member("inclusionProof.hashes", [][]byte{leaf[:]}),
			member("inclusionProof.checkpoint.envelope", string(note)))(nil, answer)
	}
}

func weak(_ *http.Request, answer *httptest.ResponseRecorder) {
	answer.Header().Set("ETag", "W/"+answer.Header().Get("ETag"))
}

func conflict(_ *http.Request, answer *httptest.ResponseRecorder) {
	answer.Code = http.StatusConflict
	answer.Header().Set("Location", postV1+"/"+answer.Header().Get("ETag"))
	answer.Header().Del("ETag")
	answer.Body.Reset()
	io.WriteString(answer.Body, `{"code":409,"message":"an equivalent entry already exists"}`)
}

// otherTree answers with a tree head that the key of Rekor v1 signed, and that
// is of another tree; its size is the log's, or less by so many.
func (w *world) otherTree(less int64) change {
	return func(_ *http.Request, answer *httptest.ResponseRecorder) {
		var said struct {
			TreeID   string `json:"treeID"`
			TreeSize int64  `json:"treeSize"`
		}
		json.Unmarshal(answer.Body.Bytes(), &said)
		c := checkpoint.Checkpoint{Origin: origin + " - " + said.TreeID, Size: said.TreeSize - less, Root: merkle.LeafHash(nil)}
		digest := sha256.Sum256(c.Text())
		sig := must(ecdsa.SignASN1(rand.Reader, w.v1Key, digest[:]))(w.t)
		hint := sha256.Sum256(w.v1)
		note := checkpoint.Note{Text: c.Text(), Signatures: []checkpoint.Signature{{Name: origin, KeyID: binary.BigEndian.Uint32(hint[:]), Blob: sig}}}
		all(member("treeSize", c.Size), member("rootHash", hex.EncodeToString(c.Root[:])), member("signedTreeHead", string(note.Marshal())))(nil, answer)
	}
}

func v1Note(line string) string {
	return line + "\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— example.com AAAAAAAAAAAAAAAA\n"
}

func ed25519Key(seed byte) ed25519.PublicKey {
	return ed25519.NewKeyFromSeed(append(make([]byte, 31), seed)).Public().(ed25519.PublicKey)
}

func ecdsaKey(t *testing.T, curve elliptic.Curve) *ecdsa.PublicKey {
	t.Helper()
	return &must(ecdsa.GenerateKey(curve, rand.Reader))(t).PublicKey
}

func vkey(t *testing.T, pub any) string {
	t.Helper()
	return must(checkpoint.NewVerifier(origin, pub))(t).String()
}

func pemOf(t *testing.T, pub any) string {
	t.Helper()
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(pub))(t)}))
}

func TestWhatIsTrusted(t *testing.T) {
	w := newWorld(t)
	cfg := w.config()
	cfg.Trusted = nil
	if r, err := w.run(cfg); err != nil || others(r) != "key warning, v1 key warning" || !strings.Contains(says(r), w.key.String()) {
		t.Errorf("nothing: %v\n%s", err, says(r))
	}
	cfg.Trusted = func(string) (doctor.Trusted, error) { return doctor.Trusted{}, errors.New("damaged pin") }
	if r, err := w.run(cfg); err != nil || !strings.HasPrefix(others(r), "key failed, checkpoint not checked") || !strings.Contains(says(r), "damaged pin") {
		t.Errorf("an error: %v\n%s", err, says(r))
	}
	other := must(checkpoint.NewVerifier(origin, ed25519Key(7)))(t)
	cfg.Trusted = func(string) (doctor.Trusted, error) {
		return doctor.Trusted{Keys: []checkpoint.Verifier{other}, From: "my file"}, nil
	}
	if r, err := w.run(cfg); err != nil || !strings.HasPrefix(others(r), "key failed, checkpoint failed") || !strings.Contains(says(r), "my file has "+other.String()) {
		t.Errorf("another key: %v\n%s", err, says(r))
	}
	w.change = on("GET", "/log.vkey", answers(404, ""))
	cfg.Trusted = nil
	if r, err := w.run(cfg); err != nil || !strings.HasPrefix(others(r), "key failed, checkpoint not checked, origin not checked") || !strings.Contains(says(r), "--log-key") {
		t.Errorf("no key at all: %v\n%s", err, says(r))
	}
}

func TestV1AndV2WithOneKey(t *testing.T) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	w := newWorldOf(t, key)
	cfg := w.config()
	if r, err := w.run(cfg); err != nil || others(r) != "" {
		t.Errorf("a log with an ECDSA key: %v\n%s", err, says(r))
	}
	w.v1 = nil
	w.change = on("GET", "/api/v1/log/publicKey", answers(200, pemOf(t, &key.PublicKey)))
	if r, err := w.run(cfg); err != nil || others(r) != "v1 key failed" || !strings.Contains(says(r), "the log's own") {
		t.Errorf("%v\n%s", err, says(r))
	}
}

func TestOriginAndURL(t *testing.T) {
	w := newWorld(t)
	cfg := w.config()
	cfg.PublicURL = "https://elsewhere.example"
	r, err := w.run(cfg)
	if err != nil || others(r) != "origin failed, trust files warning, v1 note warning" {
		t.Errorf("%v\n%s", err, says(r))
	}
	w.change = on("GET", "/api/v2/*", answers(404, ""))
	if r, err = w.run(cfg); err != nil || others(r) != "origin not checked, trust files warning, rekor v2 not checked, v1 note warning" {
		t.Errorf("without Rekor v2: %v\n%s", err, says(r))
	}
	w.change = on("GET", "/api/v2/*", answers(502, ""))
	if r, err = w.run(cfg); err != nil || !strings.HasPrefix(others(r), "origin failed") {
		t.Errorf("with a Rekor v2 that is not reached: %v\n%s", err, says(r))
	}
	w.change = nil
	cfg.URL, cfg.PublicURL = "https://"+origin+":443/", ""
	if r, err = w.run(cfg); err != nil || others(r) != "origin warning" {
		t.Errorf("%v\n%s", err, says(r))
	}
	for _, url := range []string{"", "example.com", "https://me:secret@example.com", "https://example.com/?x"} {
		cfg.URL = url
		if r, err = w.run(cfg); err == nil || len(r.Checks) > 0 || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v\n%s", url, err, says(r))
		}
	}
}

func TestUnreachable(t *testing.T) {
	w := newWorld(t)
	quiet := log.New(io.Discard, "", 0)
	plain := httptest.NewServer(w)
	t.Cleanup(plain.Close)
	gone := httptest.NewTLSServer(w)
	stranger := w.certified(time.Now().Add(time.Hour))
	stranger.Config.ErrorLog, plain.Config.ErrorLog = quiet, quiet
	for name, c := range map[string]struct {
		http   func() *http.Client
		change change
		others string
		says   string
	}{
		"refused":      {func() *http.Client { h := w.http(gone); gone.Close(); return h }, nil, "reachable failed", "Is the log running"},
		"no TLS":       {func() *http.Client { return w.http(plain) }, nil, "tls failed", "put TLS in front"},
		"unknown CA":   {func() *http.Client { return w.trusting(x509.NewCertPool(), stranger) }, nil, "tls failed", "SSL_CERT_FILE"},
		"not found":    {nil, answers(404, "<html>"), "reachable failed", "HTTP 404 Not Found\n"},
		"redirect":     {nil, all(answers(301, ""), header("Location", "https://www.example.com")), "reachable failed", "a redirect to https://www.example.com"},
		"much too big": {nil, answers(200, strings.Repeat("x", 5<<20)), "reachable failed", "over 4194304 bytes"},
	} {
		cfg := w.config()
		w.change = c.change
		if c.http != nil {
			cfg.HTTP = c.http()
		}
		if r, err := w.run(cfg); !errors.Is(err, doctor.ErrUnreachable) || others(r) != c.others || !strings.Contains(says(r), c.says) {
			t.Errorf("%s: %v; [%s] does not say %q:\n%s", name, err, others(r), c.says, says(r))
		}
	}
}

// without has hosts that answer nothing, and one that answers 502.
type without struct{ http.RoundTripper }

func (t without) RoundTrip(r *http.Request) (*http.Response, error) {
	switch r.URL.Hostname() {
	case "gone.example":
		return nil, errors.New("no such host")
	case "down.example":
		return &http.Response{StatusCode: http.StatusBadGateway, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	}
	return t.RoundTripper.RoundTrip(r)
}

// Of several URLs the first that answers is looked at.
func TestSeveralURLs(t *testing.T) {
	w := newWorld(t)
	cfg := w.config()
	cfg.HTTP.Transport = without{cfg.HTTP.Transport}
	up := cfg.URL
	cfg.URL, cfg.Others = "https://down.example", []string{"https://gone.example", up, "https://gone.example"}
	r, err := w.run(cfg)
	if err != nil || r.URL != up || others(r) != "reachable warning, reachable warning" || !strings.Contains(says(r), "https://down.example/checkpoint: HTTP 502") {
		t.Errorf("%v; %s [%s]\n%s", err, r.URL, others(r), says(r))
	}
	s, err := doctor.FindServed(t.Context(), cfg.HTTP, "https://gone.example", up)
	if err != nil || !s.RekorV2 {
		t.Errorf("%+v, %v", s, err)
	}
	cfg.Others = []string{"https://gone.example"}
	if r, err := w.run(cfg); !errors.Is(err, doctor.ErrUnreachable) || others(r) != "reachable warning, reachable failed" {
		t.Errorf("none answers: %v\n%s", err, says(r))
	}
	cfg.Others = []string{"nonsense"}
	if _, err := w.run(cfg); err == nil || errors.Is(err, doctor.ErrUnreachable) {
		t.Errorf("no URL: %v", err)
	}
}

func TestCertificateEndsSoon(t *testing.T) {
	w := newWorld(t)
	cfg := w.config()
	cfg.HTTP = w.http(w.certified(time.Now().Add(49 * time.Hour)))
	if r, err := w.run(cfg); err != nil || others(r) != "tls warning" || !strings.Contains(says(r), "in 2 days") {
		t.Errorf("%v\n%s", err, says(r))
	}
}

func TestCancelled(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	r, err := doctor.Run(ctx, w.config(), func(c doctor.Check) {
		if c.Name == "checkpoint" {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v\n%s", err, says(r))
	}
}

func TestFindServed(t *testing.T) {
	w := newWorld(t)
	s, err := doctor.FindServed(t.Context(), w.http(w.server), "https://"+origin)
	if err != nil || string(s.RekorV1Key) != string(w.v1) || !s.RekorV2 || !s.Since.Equal(time.Unix(0, 0)) {
		t.Errorf("%+v, %v", s, err)
	}
	w.change = answers(404, "")
	if s, err = doctor.FindServed(t.Context(), w.http(w.server), "https://"+origin); err != nil || s.RekorV1Key != nil || s.RekorV2 || !s.Since.IsZero() {
		t.Errorf("%+v, %v", s, err)
	}
	w.change = answers(500, "")
	if s, err = doctor.FindServed(t.Context(), w.http(w.server), "https://"+origin); err == nil {
		t.Errorf("%+v", s)
	}
}
