package server_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	entrypb "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	rekorpb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"indelible/checkpoint"
	"indelible/entry"
	translog "indelible/log"
	"indelible/merkle"
	"indelible/server/rekorv2"
)

const rekorEntries = "/api/v2/log/entries"

// rekorRequest is a hashedRekordRequestV002 of an artifact, as JSON.
func (s signer) rekorRequest(tb testing.TB, artifact string) map[string]any {
	tb.Helper()
	digest := sha256.Sum256([]byte(artifact))
	sig, err := ecdsa.SignASN1(rand.Reader, s.key, digest[:])
	if err != nil {
		tb.Fatal(err)
	}
	return rekorOf(digest[:], sig, map[string]any{"publicKey": map[string]any{"rawBytes": s.spki}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"})
}

func rekorOf(digest, sig []byte, verifier map[string]any) map[string]any {
	return map[string]any{"hashedRekordRequestV002": map[string]any{
		"digest": digest, "signature": map[string]any{"content": sig, "verifier": verifier},
	}}
}

// within returns what a path of names leads to in JSON.
func within(v map[string]any, path ...string) map[string]any {
	for _, name := range path {
		v = v[name].(map[string]any)
	}
	return v
}

// created expects status 201, and an entry that is proven.
func (w *world) created(t *testing.T, rec *httptest.ResponseRecorder) *entrypb.TransparencyLogEntry {
	t.Helper()
	if rec.Code != http.StatusCreated || rec.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v: %s", rec.Code, rec.Header(), rec.Body)
	}
	var e entrypb.TransparencyLogEntry
	if err := protojson.Unmarshal(rec.Body.Bytes(), &e); err != nil {
		t.Fatalf("%v: %s", err, rec.Body)
	}
	proven(t, &e)
	return &e
}

// proven checks an entry as a client does, from its bytes alone.
func proven(t *testing.T, e *entrypb.TransparencyLogEntry) {
	t.Helper()
	p := e.GetInclusionProof()
	note, err := checkpoint.ParseNote([]byte(p.GetCheckpoint().GetEnvelope()))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := checkpoint.ParseText(note.Text)
	if err != nil || signed.Origin != origin || signed.Size != p.GetTreeSize() || !bytes.Equal(signed.Root[:], p.GetRootHash()) || p.GetLogIndex() != e.GetLogIndex() {
		t.Fatalf("%v: %v does not fit its checkpoint", err, e)
	}
	if err := merkle.VerifyInclusion(p.GetLogIndex(), p.GetTreeSize(), merkle.LeafHash(e.GetCanonicalizedBody()), hashesOf(p.GetHashes()), signed.Root); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(e.GetLogId().GetKeyId(), keyID[:]) || e.GetIntegratedTime() != 0 || e.GetInclusionPromise() != nil || e.GetKindVersion().GetVersion() != "0.0.2" {
		t.Fatalf("%v", e)
	}
}

func TestRekorV2OverGRPCAndREST(t *testing.T) {
	w, s := newWorld(t, nil), newSigner(t)
	body := toJSON(t, s.rekorRequest(t, "a"))
	first := w.created(t, w.ask(t, "POST", rekorEntries, body))
	if first.GetLogIndex() != 0 || first.GetKindVersion().GetKind() != "hashedrekord" {
		t.Fatal(first)
	}
	second, err := w.rekor.CreateEntry(deadline(t), requestOf(t, toJSON(t, s.rekorRequest(t, "b")), &rekorpb.CreateEntryRequest{}))
	if err != nil || second.GetLogIndex() != 1 {
		t.Fatal(second, err)
	}
	proven(t, second)

	// The same again: its index, and a proof in the tree of now.
	again := w.created(t, w.ask(t, "POST", rekorEntries, body))
	if again.GetLogIndex() != 0 || again.GetInclusionProof().GetTreeSize() != 2 || !bytes.Equal(again.GetCanonicalizedBody(), first.GetCanonicalizedBody()) {
		t.Errorf("%v", again)
	}
	overGRPC, err := w.rekor.CreateEntry(deadline(t), requestOf(t, body, &rekorpb.CreateEntryRequest{}))
	if err != nil || !proto.Equal(overGRPC, again) {
		t.Errorf("%v\nREST %v\ngRPC %v", err, again, overGRPC)
	}
	// Whoever adds it by the native API gets the same entry.
	var native struct{ Entry struct{ Index string } }
	request := within(s.rekorRequest(t, "n"), "hashedRekordRequestV002")
	sig := within(request, "signature")
	added := w.created(t, w.ask(t, "POST", rekorEntries, toJSON(t, map[string]any{"hashed_rekord_request_v002": request})))
	rec := w.ask(t, "POST", "/v1/entries", toJSON(t, map[string]any{"entry": map[string]any{"hashedRekord": map[string]any{
		"digest": request["digest"], "signature": sig["content"], "verifier": map[string]any{"publicKey": s.spki},
	}}}))
	if err := json.Unmarshal(rec.Body.Bytes(), &native); err != nil || native.Entry.Index != fmt.Sprint(added.GetLogIndex()) {
		t.Errorf("%v: %s", err, rec.Body)
	}
}

// TestRekorV2AnswerToTheByte: clients in other languages read what
// grpc-gateway writes.
func TestRekorV2AnswerToTheByte(t *testing.T) {
	w, s := newFakeWorld(t, &fakeLog{hashes: 1}), newSigner(t)
	rec := w.ask(t, "POST", rekorEntries, toJSON(t, s.rekorRequest(t, "a")))
	head, canonical, _ := strings.Cut(rec.Body.String(), `,"canonicalizedBody":"`)
	root := base64.StdEncoding.EncodeToString(published.Root[:])
	want := `{"logIndex":"0","logId":{"keyId":"` + base64.StdEncoding.EncodeToString(keyID[:]) +
		`"},"kindVersion":{"kind":"hashedrekord","version":"0.0.2"},"integratedTime":"0","inclusionPromise":null,` +
		`"inclusionProof":{"logIndex":"0","rootHash":"` + root + `","treeSize":"1000000","hashes":["` +
		base64.StdEncoding.EncodeToString(make([]byte, 32)) + `"],"checkpoint":{"envelope":"` +
		strings.ReplaceAll(string(published.Note), "\n", `\n`) + `"}}`
	if rec.Code != 201 || head != want {
		t.Errorf("%d\n%s\n%s", rec.Code, head, want)
	}
	stored, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(canonical, `"}`))
	if err != nil || !strings.HasPrefix(string(stored), `{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"`) {
		t.Errorf("%v: %s", err, stored)
	}
	none := newFakeWorld(t, &fakeLog{}).ask(t, "POST", rekorEntries, toJSON(t, s.rekorRequest(t, "b")))
	if !strings.Contains(none.Body.String(), `"hashes":[],`) {
		t.Errorf("a tree of one: %s", none.Body)
	}
}

// TestRekorV2Algorithms adds what each permitted key signs, bare and in a
// certificate.
func TestRekorV2Algorithms(t *testing.T) {
	w := newWorld(t, nil)
	sha384, sha512sum := sha512.Sum384([]byte("x")), sha512.Sum512([]byte("x"))
	sha256sum := sha256.Sum256([]byte("x"))
	curve := func(c elliptic.Curve) crypto.Signer { return must(ecdsa.GenerateKey(c, rand.Reader)) }
	rsaKey := func(bits int) crypto.Signer { return must(rsa.GenerateKey(rand.Reader, bits)) }
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		details string
		key     crypto.Signer
		digest  []byte
		opts    crypto.SignerOpts
	}{
		{"PKIX_ECDSA_P256_SHA_256", curve(elliptic.P256()), sha256sum[:], crypto.SHA256},
		{"PKIX_ECDSA_P384_SHA_384", curve(elliptic.P384()), sha384[:], crypto.SHA384},
		{"PKIX_ECDSA_P521_SHA_512", curve(elliptic.P521()), sha512sum[:], crypto.SHA512},
		{"PKIX_RSA_PKCS1V15_2048_SHA256", rsaKey(2048), sha256sum[:], crypto.SHA256},
		{"PKIX_RSA_PKCS1V15_3072_SHA256", rsaKey(3072), sha256sum[:], crypto.SHA256},
		{"PKIX_ED25519_PH", ed, sha512sum[:], &ed25519.Options{Hash: crypto.SHA512}},
	} {
		sig, err := c.key.Sign(rand.Reader, c.digest, c.opts)
		if err != nil {
			t.Fatal(err)
		}
		spki, err := x509.MarshalPKIXPublicKey(c.key.Public())
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(1, 0)} // it is long over, and nobody minds
		cert, err := x509.CreateCertificate(rand.Reader, template, template, c.key.Public(), c.key)
		if err != nil {
			t.Fatal(err)
		}
		for how, raw := range map[string][]byte{"publicKey": spki, "x509Certificate": cert} {
			verifier := map[string]any{how: map[string]any{"rawBytes": raw}, "keyDetails": c.details}
			e := w.created(t, w.ask(t, "POST", rekorEntries, toJSON(t, rekorOf(c.digest, sig, verifier))))
			if !strings.Contains(string(e.GetCanonicalizedBody()), `"verifier":{"keyDetails":"`+c.details+`","`+how+`":{"rawBytes":`) {
				t.Errorf("%s, %s: %s", c.details, how, e.GetCanonicalizedBody())
			}
			// Without details, and with others, the answer names the right ones.
			delete(verifier, "keyDetails")
			f := w.refused(t, "POST", rekorEntries, toJSON(t, rekorOf(c.digest, sig, verifier)), 400, "keyDetails is missing; for what signed here it is "+c.details)
			if *f.Code != int(codes.InvalidArgument) {
				t.Errorf("code %d", *f.Code)
			}
			for _, wrong := range []string{"PKIX_RSA_PSS_2048_SHA256", "ML_DSA_65", "PKIX_ECDSA_P384_SHA_256"} {
				verifier["keyDetails"] = wrong
				w.refused(t, "POST", rekorEntries, toJSON(t, rekorOf(c.digest, sig, verifier)), 400, `key details "`+wrong+`" do not fit the key, which is `+c.details)
			}
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // the tests' own keys
	}
	return v
}

func TestRekorV2DSSE(t *testing.T) {
	w, s := newWorld(t, nil), newSigner(t)
	request := func() map[string]any {
		native := within(s.envelope(t, `{"x":1}`), "dsse")
		var envelope map[string]any
		if err := json.Unmarshal(native["envelope"].([]byte), &envelope); err != nil {
			t.Fatal(err)
		}
		return map[string]any{"envelope": envelope, "verifiers": []any{
			map[string]any{"publicKey": map[string]any{"rawBytes": s.spki}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"},
		}}
	}
	ask := func(r map[string]any) []byte { return toJSON(t, map[string]any{"dsseRequestV002": r}) }
	e := w.created(t, w.ask(t, "POST", rekorEntries, ask(request())))
	parsed, err := entry.Parse(e.GetCanonicalizedBody())
	if err != nil || e.GetKindVersion().GetKind() != "dsse" || parsed.DSSE == nil {
		t.Fatalf("%v: %v", err, e)
	}

	for reason, change := range map[string]func(r map[string]any){
		"envelope is missing":   func(r map[string]any) { delete(r, "envelope") },
		"there are 0 verifiers": func(r map[string]any) { delete(r, "verifiers") },
		"it has no signature":   func(r map[string]any) { within(r, "envelope")["signatures"] = []any{} },
		"it has no payloadType": func(r map[string]any) { within(r, "envelope")["payloadType"] = "" },
		"does not verify":       func(r map[string]any) { within(r, "envelope")["payload"] = []byte("y") },
		`unknown field "alg"`:   func(r map[string]any) { within(r, "envelope")["alg"] = "x" },
		"rawBytes is missing":   func(r map[string]any) { r["verifiers"] = []any{map[string]any{}} },
		"verifiers[0].keyDetails is missing; for what signed here it is PKIX_ECDSA_P256_SHA_256": func(r map[string]any) { delete(r["verifiers"].([]any)[0].(map[string]any), "keyDetails") },
	} {
		r := request()
		change(r)
		w.refused(t, "POST", rekorEntries, ask(r), 400, reason)
	}
}

// TestRekorV2BadRequests: every one says what is wrong.
func TestRekorV2BadRequests(t *testing.T) {
	w, s := newWorld(t, nil), newSigner(t)
	other := newSigner(t)
	sig := func(r map[string]any) map[string]any { return within(r, "hashedRekordRequestV002", "signature") }
	for reason, change := range map[string]func(r map[string]any){
		"signature.content is missing":  func(r map[string]any) { delete(sig(r), "content") },
		"signature.verifier is missing": func(r map[string]any) { delete(sig(r), "verifier") },
		"digest is missing":             func(r map[string]any) { delete(within(r, "hashedRekordRequestV002"), "digest") },
		"the digest has 31 bytes":       func(r map[string]any) { within(r, "hashedRekordRequestV002")["digest"] = make([]byte, 31) },
		"does not verify":               func(r map[string]any) { within(r, "hashedRekordRequestV002")["digest"] = make([]byte, 32) },
		"signature does not verify":     func(r map[string]any) { within(sig(r), "verifier", "publicKey")["rawBytes"] = other.spki },
		"rawBytes is missing":           func(r map[string]any) { delete(within(sig(r), "verifier"), "publicKey") },
		"not a SubjectPublicKeyInfo":    func(r map[string]any) { within(sig(r), "verifier", "publicKey")["rawBytes"] = s.spki[:50] },
		"holds PEM": func(r map[string]any) {
			within(sig(r), "verifier", "publicKey")["rawBytes"] = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: s.spki})
		},
		"not an X.509 certificate": func(r map[string]any) {
			sig(r)["verifier"] = map[string]any{"x509Certificate": map[string]any{"rawBytes": s.spki}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"}
		},
		"oneof": func(r map[string]any) {
			within(sig(r), "verifier")["x509Certificate"] = map[string]any{"rawBytes": s.spki}
		},
		`unknown field "extra"`:   func(r map[string]any) { r["extra"] = 1 },
		`unknown field "Content"`: func(r map[string]any) { sig(r)["Content"] = "" },
		`invalid value for enum`:  func(r map[string]any) { within(sig(r), "verifier")["keyDetails"] = "PKIX_NOTHING" },
	} {
		r := s.rekorRequest(t, "a")
		change(r)
		w.refused(t, "POST", rekorEntries, toJSON(t, r), 400, reason)
	}
	good := string(toJSON(t, s.rekorRequest(t, "a")))
	for body, reason := range map[string]string{
		"":          "no body",
		"{}":        "give hashedRekordRequestV002",
		"null":      "JSON",
		"[]":        "JSON",
		good[:50]:   "JSON",
		good + "{}": "JSON",
		good + " x": "JSON",
		`{"hashedRekordRequestV002":{"digest":"%"}}`: "JSON",
	} {
		w.refused(t, "POST", rekorEntries, []byte(body), 400, reason)
	}
	w.refused(t, "POST", rekorEntries+"?x=1", []byte(good), 400, "x=1")
	if p, err := w.log.Published(); err != nil || p.Size != 0 {
		t.Errorf("something was logged: %v, %v", p, err)
	}
	// Any content type will do, and every spelling that protojson has.
	for i, contentType := range []string{"", "text/plain", "application/x-www-form-urlencoded"} {
		r := httptest.NewRequest("POST", rekorEntries, bytes.NewReader(toJSON(t, s.rekorRequest(t, numbered(i))))).WithContext(deadline(t))
		r.Header.Set("Content-Type", contentType)
		rec := httptest.NewRecorder()
		w.rest.ServeHTTP(rec, r)
		w.created(t, rec)
	}
	snake := strings.NewReplacer("hashedRekordRequestV002", "hashed_rekord_request_v002", "publicKey", "public_key", "rawBytes", "raw_bytes",
		"keyDetails", "key_details", `"PKIX_ECDSA_P256_SHA_256"`, "5").Replace(good)
	w.created(t, w.ask(t, "POST", rekorEntries, []byte(snake)))
}

func TestRekorV2Bodies(t *testing.T) {
	w := newWorld(t, nil)
	w.refused(t, "POST", rekorEntries, bytes.Repeat([]byte(" "), 2<<20+1), 413, "2097152 bytes")
	unsaid := httptest.NewRequest("POST", rekorEntries, bytes.NewReader(bytes.Repeat([]byte(" "), 2<<20+1)))
	unsaid.ContentLength = -1
	rec := httptest.NewRecorder()
	if w.rest.ServeHTTP(rec, unsaid); rec.Code != 413 || rec.Header().Get("Connection") != "close" {
		t.Errorf("%d %v", rec.Code, rec.Header())
	}
	failureOf(t, rec)
}

// TestRekorV2Refusals: what the log says, in the words of Rekor's clients.
func TestRekorV2Refusals(t *testing.T) {
	s := newSigner(t)
	for _, c := range []struct {
		err   error
		http  int
		code  codes.Code
		retry string
		says  string
	}{
		{translog.ErrQueueFull, 503, codes.Unavailable, "1", "queue is full"},
		{translog.ErrUnavailable, 503, codes.Unavailable, "1", "try again"},
		{translog.ErrStopping, 503, codes.Unavailable, "1", "stopping"},
		{translog.ErrPoisoned, 503, codes.FailedPrecondition, "", "poisoned"},
		{context.Canceled, 499, codes.Canceled, "", "cancelled"},
		{context.DeadlineExceeded, 504, codes.DeadlineExceeded, "", "add it again"},
		{fmt.Errorf("dial tcp 10.0.0.1: password"), 500, codes.Internal, "", "internal error"},
	} {
		w := newFakeWorld(t, &fakeLog{err: c.err})
		rec := w.ask(t, "POST", rekorEntries, toJSON(t, s.rekorRequest(t, "a")))
		f := failureOf(t, rec)
		if rec.Code != c.http || *f.Code != int(c.code) || rec.Header().Get("Retry-After") != c.retry || !strings.Contains(*f.Message, c.says) {
			t.Errorf("%v: %d %v %s", c.err, rec.Code, rec.Header(), rec.Body)
		}
		_, err := w.rekor.CreateEntry(deadline(t), requestOf(t, toJSON(t, s.rekorRequest(t, "a")), &rekorpb.CreateEntryRequest{}))
		if status.Code(err) != c.code {
			t.Errorf("%v over gRPC: %v", c.err, err)
		}
		if shown := len(w.fault); (c.code == codes.Internal) != (shown > 0) {
			t.Errorf("%v: the operator is told %d times", c.err, shown)
		}
	}
}

func TestRekorV2WaitsNoLongerThanItsTimeout(t *testing.T) {
	s := newSigner(t)
	req := requestOf(t, toJSON(t, s.rekorRequest(t, "a")), &rekorpb.CreateEntryRequest{})
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		service := rekorv2.New(rekorv2.Config{Log: &fakeLog{block: true}, Kinds: allKinds})
		_, err := service.CreateEntry(t.Context(), req)
		if took := time.Since(start); status.Code(err) != codes.DeadlineExceeded || took != 20*time.Second {
			t.Errorf("%v after %s", err, took)
		}
	})
}

func TestRekorV2KindsThatAreNotTaken(t *testing.T) {
	s := newSigner(t)
	h := rekorv2.New(rekorv2.Config{Log: &fakeLog{}, Kinds: []entry.Kind{entry.KindDSSE}}).Handler()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("POST", rekorEntries, bytes.NewReader(toJSON(t, s.rekorRequest(t, "a")))))
	if f := failureOf(t, rec); rec.Code != 400 || !strings.Contains(*f.Message, "kind hashedrekord are not taken") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// TestRekorV2Reads: the same bytes at the root, below /api/v2, and over gRPC.
// An empty log has its checkpoint, too.
func TestRekorV2Reads(t *testing.T) {
	w, s := newWorld(t, nil), newSigner(t)
	if note := w.ask(t, "GET", "/checkpoint", nil); note.Code != 200 || !strings.HasPrefix(note.Body.String(), origin+"\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n") {
		t.Errorf("%d %s", note.Code, note.Body)
	}
	w.created(t, w.ask(t, "POST", rekorEntries, toJSON(t, s.rekorRequest(t, "a"))))
	ctx := deadline(t)
	note, err := w.rekor.GetCheckpoint(ctx, &emptypb.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	tile, err := w.rekor.GetTile(ctx, &rekorpb.TileRequest{L: 0, N: "000.p/1"})
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := w.rekor.GetEntryBundle(ctx, &rekorpb.EntryBundleRequest{N: "000.p/1"})
	if err != nil {
		t.Fatal(err)
	}
	for path, overGRPC := range map[string][]byte{"/checkpoint": note.GetData(), "/tile/0/000.p/1": tile.GetData(), "/tile/entries/000.p/1": bundle.GetData()} {
		root, below := w.ask(t, "GET", path, nil), w.ask(t, "GET", "/api/v2"+path, nil)
		if root.Code != 200 || below.Code != 200 || !bytes.Equal(root.Body.Bytes(), below.Body.Bytes()) || !bytes.Equal(root.Body.Bytes(), overGRPC) {
			t.Errorf("%s: %d %q, %d %q, %q", path, root.Code, root.Body, below.Code, below.Body, overGRPC)
		}
	}
	for _, n := range []string{"", "0", "000.p/256", "../0", "x001"} {
		if _, err := w.rekor.GetTile(ctx, &rekorpb.TileRequest{N: n}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("tile %q: %v", n, err)
		}
		if _, err := w.rekor.GetEntryBundle(ctx, &rekorpb.EntryBundleRequest{N: n}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("bundle %q: %v", n, err)
		}
	}
	if _, err := w.rekor.GetTile(ctx, &rekorpb.TileRequest{N: "000"}); status.Code(err) != codes.NotFound {
		t.Errorf("a tile that is not full yet: %v", err)
	}
	for _, path := range []string{"/api/v2/", "/api/v2/log", "/api/v2/log/entries/", "/api/v2/log/entries/0", "/api/v2//checkpoint", "/api/v2/tile/9", "/api/v2/%63heckpoint", "/api/v3/x"} {
		w.refused(t, "GET", path, nil, 404, "")
	}
	rec := w.ask(t, "GET", rekorEntries, nil)
	if failureOf(t, rec); rec.Code != 405 || rec.Header().Get("Allow") != "POST" {
		t.Errorf("%d %v", rec.Code, rec.Header())
	}
}

// FuzzRekorV2 sends what clients might. Whatever it is, the answer has one of
// two shapes, and what is logged verifies.
func FuzzRekorV2(f *testing.F) {
	s := newSigner(f)
	good := string(toJSON(f, s.rekorRequest(f, "a")))
	for _, body := range []string{
		good, strings.Replace(good, "PKIX_ECDSA_P256_SHA_256", "PKIX_ED25519", 1), strings.Replace(good, "publicKey", "x509Certificate", 1),
		`{}`, `{"hashedRekordRequestV002":{}}`, `{"dsseRequestV002":{"envelope":{"payload":"","payloadType":"x","signatures":[{"sig":"AA=="}]},"verifiers":[{}]}}`,
		`{"hashedRekordRequestV002":null,"dsseRequestV002":null}`, "\xff", `[[[[[[[[`,
	} {
		f.Add([]byte(body))
	}
	h := rekorv2.New(rekorv2.Config{Log: &fakeLog{}, Kinds: allKinds, MaxBody: 1 << 16}).Handler()
	f.Fuzz(func(t *testing.T, body []byte) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest("POST", rekorEntries, bytes.NewReader(body)))
		if rec.Code != http.StatusCreated {
			if failureOf(t, rec); rec.Code != 400 && rec.Code != 413 {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
			return
		}
		var e entrypb.TransparencyLogEntry
		if err := protojson.Unmarshal(rec.Body.Bytes(), &e); err != nil || !strictJSON(rec.Body.Bytes()) {
			t.Fatalf("%v: %s", err, rec.Body)
		}
		p, err := entry.Parse(e.GetCanonicalizedBody())
		if err != nil || p.HashedRekord == nil && p.DSSE == nil || p.HashedRekord != nil && p.HashedRekord.Verify() != nil {
			t.Fatalf("%v: %s", err, e.GetCanonicalizedBody())
		}
	})
}
