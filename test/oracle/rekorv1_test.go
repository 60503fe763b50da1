package oracle

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
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	"github.com/go-openapi/runtime"
	v1 "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/rekor/pkg/generated/models"
	pki "github.com/sigstore/rekor/pkg/pki/pkitypes"
	"github.com/sigstore/rekor/pkg/types"
	_ "github.com/sigstore/rekor/pkg/types/dsse/v0.0.1"
	hashed "github.com/sigstore/rekor/pkg/types/hashedrekord/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/intoto/v0.0.2"
	_ "github.com/sigstore/rekor/pkg/types/rekord/v0.0.1"
	"github.com/sigstore/sigstore/pkg/signature"

	"indelible/entry"
)

// obj is a JSON object.
type obj = map[string]any

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// rekorV1 is what Rekor v1's server does with a proposed entry, up to the leaf.
func rekorV1(t testing.TB, proposed []byte) ([]byte, error) {
	t.Helper()
	pe, err := models.UnmarshalProposedEntry(bytes.NewReader(proposed), runtime.JSONConsumer())
	if err != nil {
		return nil, err
	}
	e, err := types.CreateVersionedEntry(pe)
	if err != nil {
		return nil, err
	}
	if err := permitted(t, e); err != nil {
		return nil, err
	}
	return types.CanonicalizeEntry(context.Background(), e)
}

// permitted is the server's check of the algorithms of a hashedrekord, with the
// list that it has if it is not told another.
func permitted(t testing.TB, e types.EntryImpl) error {
	t.Helper()
	if _, ok := e.(*hashed.V001Entry); !ok {
		return nil
	}
	reg, err := signature.NewAlgorithmRegistryConfig([]v1.PublicKeyDetails{
		v1.PublicKeyDetails_PKIX_RSA_PKCS1V15_2048_SHA256, v1.PublicKeyDetails_PKIX_RSA_PKCS1V15_3072_SHA256, v1.PublicKeyDetails_PKIX_RSA_PKCS1V15_4096_SHA256,
		v1.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256, v1.PublicKeyDetails_PKIX_ECDSA_P384_SHA_384, v1.PublicKeyDetails_PKIX_ECDSA_P521_SHA_512,
		v1.PublicKeyDetails_PKIX_ED25519, v1.PublicKeyDetails_PKIX_ED25519_PH,
	})
	if err != nil {
		t.Fatal(err)
	}
	verifiers, err := e.Verifiers()
	if err != nil {
		return err
	}
	hash, err := e.ArtifactHash()
	if err != nil {
		return err
	}
	h := map[string]crypto.Hash{"sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512}[hash[:6]]
	for _, v := range verifiers {
		ids, err := v.Identities()
		if err != nil {
			return err
		}
		for _, id := range ids {
			pub := id.Crypto
			if c, ok := pub.(*x509.Certificate); ok {
				pub = c.PublicKey
			}
			if ok, err := reg.IsAlgorithmPermitted(pub, h); err != nil || !ok {
				return fmt.Errorf("entry algorithms are not allowed: %v", err)
			}
		}
	}
	return nil
}

// compare demands that both sides make the same of a proposed entry, or both
// refuse it; strict is what we refuse, and Rekor takes.
func compare(t *testing.T, name string, proposed []byte, strict string) {
	t.Helper()
	theirs, theirErr := rekorV1(t, proposed)
	ours, ourErr := entry.NewRekorV1(proposed)
	switch {
	case strict != "" && (theirErr != nil || ourErr == nil || !strings.Contains(ourErr.Error(), strict)):
		t.Errorf("%s: Rekor should take it (%v), and we refuse it, saying %q: %v", name, theirErr, strict, ourErr)
	case strict == "" && (ourErr == nil) != (theirErr == nil):
		t.Errorf("%s: ours: %v; theirs: %v\n%s", name, ourErr, theirErr, proposed)
	case ourErr == nil && !bytes.Equal(ours.Canonical(), theirs):
		t.Errorf("%s:\nours   %s\ntheirs %s", name, ours.Canonical(), theirs)
	case ourErr == nil:
		readBack(t, name, ours)
	}
}

// readBack demands that both sides read an entry, and the same keys in it.
func readBack(t *testing.T, name string, e entry.Entry) {
	t.Helper()
	p, err := entry.Parse(e.Canonical())
	if err != nil || p.Kind != e.Kind() || p.Version != e.Version() {
		t.Errorf("%s: we do not read it: %v", name, err)
	}
	verifiers, err := rekorReader(e.Canonical())
	if err != nil || len(verifiers) != len(p.Signers()) {
		t.Errorf("%s: Rekor reads %d verifiers, and we %d: %v", name, len(verifiers), len(p.Signers()), err)
		return
	}
	for i, s := range p.Signers() {
		ids, err := verifiers[i].Identities()
		if err != nil || len(ids) != 1 {
			t.Fatalf("%s: %v", name, err)
		}
		want := s.SPKI
		if s.Certificate != nil {
			want = s.Certificate.Raw
		}
		if !bytes.Equal(ids[0].Raw, want) {
			t.Errorf("%s: signer %d is another", name, i)
		}
	}
}

// rekorReader reads an entry of the log as Rekor's clients do.
func rekorReader(canonical []byte) ([]pki.PublicKey, error) {
	pe, err := models.UnmarshalProposedEntry(bytes.NewReader(canonical), runtime.JSONConsumer())
	if err != nil {
		return nil, err
	}
	e, err := types.UnmarshalEntry(pe)
	if err != nil {
		return nil, err
	}
	return e.Verifiers()
}

func proposal(t testing.TB, kind, version string, spec obj) []byte {
	t.Helper()
	data, err := json.Marshal(obj{"kind": kind, "apiVersion": version, "spec": spec})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// keyV1 is a key, with what a client sends of it.
type keyV1 struct {
	name string
	crypto.Signer
	text []byte // PEM
}

func pemOf(label string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der})
}

// keysV1 are the keys that may sign, bare and in certificates.
func keysV1(t testing.TB) (all []keyV1) {
	t.Helper()
	for _, s := range signers(t) {
		name := s.details.String()
		all = append(all, keyV1{name, s.key, pemOf("PUBLIC KEY", spki(t, s.key.Public()))}, keyV1{name + " certificate", s.key, pemOf("CERTIFICATE", certificate(t, s.key))})
	}
	slices.SortFunc(all, func(a, b keyV1) int { return strings.Compare(a.name, b.name) })
	return all
}

// sign signs with a hash; with none, the message itself.
func (k keyV1) sign(t testing.TB, h crypto.Hash, message []byte, opts crypto.SignerOpts) []byte {
	t.Helper()
	digest := message
	if _, pure := k.Signer.(ed25519.PrivateKey); !pure || opts.HashFunc() != 0 {
		d := h.New()
		d.Write(message)
		digest = d.Sum(nil)
	} else {
		opts = crypto.Hash(0)
	}
	sig, err := k.Sign(rand.Reader, digest, opts)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// whole signs as the kinds do that sign a message.
func (k keyV1) whole(t testing.TB, message []byte) []byte {
	t.Helper()
	if _, pure := k.Signer.(ed25519.PrivateKey); pure {
		return k.sign(t, 0, message, crypto.Hash(0))
	}
	return k.sign(t, crypto.SHA256, message, crypto.SHA256)
}

func hashedSpec(h, value string, sig, text []byte) obj {
	return obj{
		"data":      obj{"hash": obj{"algorithm": h, "value": value}},
		"signature": obj{"content": b64(sig), "publicKey": obj{"content": b64(text)}},
	}
}

// hashedOf signs with a hash of choice.
func (k keyV1) hashedOf(t testing.TB, h crypto.Hash, artifact string) obj {
	t.Helper()
	var opts crypto.SignerOpts = h
	if _, ed := k.Signer.(ed25519.PrivateKey); ed {
		opts = &ed25519.Options{Hash: crypto.SHA512}
		if h != crypto.SHA512 {
			opts = crypto.Hash(0)
		}
	}
	d := h.New()
	d.Write([]byte(artifact))
	name := map[crypto.Hash]string{crypto.SHA256: "sha256", crypto.SHA384: "sha384", crypto.SHA512: "sha512"}[h]
	return hashedSpec(name, hex.EncodeToString(d.Sum(nil)), k.sign(t, h, []byte(artifact), opts), k.text)
}

func (k keyV1) rekord(t testing.TB, artifact string) obj {
	t.Helper()
	return obj{
		"data":      obj{"content": b64([]byte(artifact))},
		"signature": obj{"format": "x509", "content": b64(k.whole(t, []byte(artifact))), "publicKey": obj{"content": b64(k.text)}},
	}
}

// envelope is an envelope's JSON, to be changed.
func envelope(t testing.TB, payload string, keys ...keyV1) obj {
	t.Helper()
	const payloadType = "application/vnd.in-toto+json"
	var sigs []any
	for _, k := range keys {
		sigs = append(sigs, obj{"keyid": "", "sig": b64(k.whole(t, entry.PAE(payloadType, []byte(payload))))})
	}
	return obj{"payloadType": payloadType, "payload": b64([]byte(payload)), "signatures": sigs}
}

func jsonOf(t testing.TB, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func texts(keys ...keyV1) (list [][]byte) {
	for _, k := range keys {
		list = append(list, k.text)
	}
	return list
}

func dsseSpec(text string, verifiers ...[]byte) obj {
	return obj{"proposedContent": obj{"envelope": text, "verifiers": verifiers}}
}

// intotoSpec proposes an envelope as Rekor's own client does.
func intotoSpec(t testing.TB, env obj, keys ...keyV1) obj {
	t.Helper()
	var sigs []any
	for i, s := range env["signatures"].([]any) {
		s := s.(obj)
		sigs = append(sigs, obj{"keyid": s["keyid"], "sig": b64([]byte(s["sig"].(string))), "publicKey": b64(keys[i].text)})
	}
	return obj{"content": obj{
		"envelope": obj{"payloadType": env["payloadType"], "payload": b64([]byte(env["payload"].(string))), "signatures": sigs},
		"hash":     obj{"algorithm": "sha256", "value": sha256Hex([]byte(jsonOf(t, env)))},
	}}
}

// at changes a spec, found by the names that lead there.
func at(t testing.TB, spec obj, value any, path ...string) obj {
	t.Helper()
	out := maps.Clone(spec)
	if len(path) == 1 {
		if out[path[0]] = value; value == nil {
			delete(out, path[0])
		}
		return out
	}
	inner, ok := spec[path[0]].(obj)
	if !ok {
		t.Fatalf("no %s in %v", path[0], spec)
	}
	out[path[0]] = at(t, inner, value, path[1:]...)
	return out
}

func TestRekorV1(t *testing.T) {
	all := keysV1(t)
	t.Run("algorithms", func(t *testing.T) { testAlgorithmsV1(t, all) })
	t.Run("PEM", func(t *testing.T) { testPEM(t, all) })
	t.Run("hashedrekord", func(t *testing.T) { testHashedRekordV1(t, all) })
	t.Run("rekord", func(t *testing.T) { testRekordV1(t, all) })
	t.Run("dsse", func(t *testing.T) { testDSSEV1(t, all) })
	t.Run("intoto", func(t *testing.T) { testIntoto(t, all) })
}

func testAlgorithmsV1(t *testing.T, all []keyV1) {
	for _, k := range all {
		for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
			compare(t, fmt.Sprintf("hashedrekord, %s, %s", k.name, h), proposal(t, "hashedrekord", "0.0.1", k.hashedOf(t, h, "artifact")), "")
		}
		env := envelope(t, "payload", k)
		compare(t, "rekord, "+k.name, proposal(t, "rekord", "0.0.1", k.rekord(t, "artifact")), "")
		compare(t, "dsse, "+k.name, proposal(t, "dsse", "0.0.1", dsseSpec(jsonOf(t, env), k.text)), "")
		compare(t, "intoto, "+k.name, proposal(t, "intoto", "0.0.2", intotoSpec(t, env, k)), "")
		testOtherHashes(t, k)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsa1024, err := rsa.GenerateKey(rand.Reader, 1536)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"P-224": p224, "1536 bits": rsa1024} {
		k := keyV1{name, key, pemOf("PUBLIC KEY", spki(t, key.Public()))}
		compare(t, "hashedrekord, "+name, proposal(t, "hashedrekord", "0.0.1", k.hashedOf(t, crypto.SHA256, "artifact")), "")
		compare(t, "dsse, "+name, proposal(t, "dsse", "0.0.1", dsseSpec(jsonOf(t, envelope(t, "payload", k)), k.text)), name)
	}
}

// testOtherHashes signs in ways that are not taken, by either side or by us.
func testOtherHashes(t *testing.T, k keyV1) {
	type form struct {
		name, says string
		h          crypto.Hash
		opts       crypto.SignerOpts
	}
	forms := []form{{"SHA-384", "it is over the SHA-384 digest; sign the SHA-256 digest", crypto.SHA384, crypto.SHA384}, {"SHA-512", "", crypto.SHA512, crypto.SHA512}}
	if _, ok := k.Signer.(*rsa.PrivateKey); ok {
		forms = append(forms, form{"PSS", "it is RSA-PSS", crypto.SHA256, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto, Hash: crypto.SHA256}})
	}
	if _, ok := k.Signer.(ed25519.PrivateKey); ok {
		forms = []form{{"Ed25519ph", "it is Ed25519ph", crypto.SHA512, &ed25519.Options{Hash: crypto.SHA512}}}
	}
	for _, f := range forms {
		spec := at(t, k.rekord(t, "artifact"), b64(k.sign(t, f.h, []byte("artifact"), f.opts)), "signature", "content")
		p := proposal(t, "rekord", "0.0.1", spec)
		compare(t, "rekord, "+k.name+" with "+f.name, p, "")
		if _, err := entry.NewRekorV1(p); err == nil || !strings.Contains(err.Error(), f.says) {
			t.Errorf("%s with %s: %v", k.name, f.name, err)
		}
		if f.name == "PSS" {
			spec := k.hashedOf(t, crypto.SHA256, "artifact")
			compare(t, "hashedrekord, PSS", proposal(t, "hashedrekord", "0.0.1", at(t, spec, b64(k.sign(t, f.h, []byte("artifact"), f.opts)), "signature", "content")), "")
		}
	}
	if key, ok := k.Signer.(*ecdsa.PrivateKey); ok {
		spec := at(t, k.rekord(t, "artifact"), b64(p1363(t, key, k.whole(t, []byte("artifact")))), "signature", "content")
		compare(t, "rekord, P1363", proposal(t, "rekord", "0.0.1", spec), "IEEE P1363")
	}
}

// p1363 writes a signature as IEEE P1363 does.
func p1363(t testing.TB, key *ecdsa.PrivateKey, sig []byte) []byte {
	t.Helper()
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(sig, &rs); err != nil {
		t.Fatal(err)
	}
	n := (key.Params().BitSize + 7) / 8
	out := make([]byte, 2*n)
	rs.R.FillBytes(out[:n])
	rs.S.FillBytes(out[n:])
	return out
}

// keyOfDetails is the first key of a name.
func keyOfDetails(t testing.TB, all []keyV1, name string) keyV1 {
	t.Helper()
	i := slices.IndexFunc(all, func(k keyV1) bool { return k.name == name })
	if i < 0 {
		t.Fatalf("no key %s", name)
	}
	return all[i]
}

// chain issues certificates, the signer's first.
func chain(t testing.TB, key crypto.Signer, n int) (text []byte) {
	t.Helper()
	parent, parentKey := (*x509.Certificate)(nil), crypto.Signer(nil)
	for i := range n {
		k := key
		if i < n-1 {
			var err error
			if k, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
				t.Fatal(err)
			}
		}
		tmpl := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: fmt.Sprint(i)}, IsCA: i < n-1, BasicConstraintsValid: true,
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), EmailAddresses: []string{"a@example.org"},
		}
		if parent == nil {
			parent, parentKey = tmpl, k
		}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, k.Public(), parentKey)
		if err != nil {
			t.Fatal(err)
		}
		text = append(pemOf("CERTIFICATE", der), text...)
		if parent, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
		parentKey = k
	}
	return text
}

// asOpenSSL is how openssl x509 -text describes a certificate before it writes it.
const asOpenSSL = `Certificate:
    Data:
        Version: 3 (0x2)
        Signature Algorithm: ecdsa-with-SHA256
        Subject: CN=builder, emailAddress=builder@example.com
            X509v3 Key Usage: critical
                Digital Signature
    Signature Value:
        30:45:02:21:00:da:69:f2:86:f0:3c:0d:21:31:b3:f9:5a:fe
`

// Ways to write a key.
func testPEM(t *testing.T, all []keyV1) {
	ec, rs := keyOfDetails(t, all, "PKIX_ECDSA_P256_SHA_256"), keyOfDetails(t, all, "PKIX_RSA_PKCS1V15_2048_SHA256")
	cert := keyOfDetails(t, all, "PKIX_ECDSA_P256_SHA_256 certificate")
	wrap := func(text []byte) []byte { // in lines of another length
		block, _ := pem.Decode(text)
		return fmt.Appendf(nil, "-----BEGIN %s-----\n%s\n-----END %[1]s-----", block.Type, b64(block.Bytes))
	}
	crlf := func(text []byte) []byte { return bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")) }
	pkcs1 := pemOf("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(rs.Public().(*rsa.PublicKey)))
	pkcs1InPKIX := pemOf("PUBLIC KEY", x509.MarshalPKCS1PublicKey(rs.Public().(*rsa.PublicKey)))
	header := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki(t, ec.Public()), Headers: map[string]string{"By": "me"}})
	three := chain(t, ec.Signer, 3)
	_, rest := pem.Decode(three)
	_, root := pem.Decode(rest)
	leaf := three[:len(three)-len(rest)]
	for _, c := range []struct {
		name, strict string
		key          keyV1
		text         []byte
	}{
		{"one line", "", ec, wrap(ec.text)},
		{"a certificate in one line", "", cert, wrap(cert.text)},
		{"CRLF", "", ec, crlf(ec.text)},
		{"a certificate in CRLF", "", cert, crlf(cert.text)},
		{"white space around", "", ec, slices.Concat([]byte(" \n\t"), ec.text, []byte("\n\n "))},
		{"a header", "", ec, header},
		{"DER", "", ec, spki(t, ec.Public())},
		{"PKCS#1", "", rs, pkcs1},
		{"PKCS#1 under the name of PKIX", "", rs, pkcs1InPKIX},
		{"a key under the name of a certificate", "", ec, pemOf("CERTIFICATE", spki(t, ec.Public()))},
		{"a certificate under the name of a key", "", ec, pemOf("PUBLIC KEY", certificate(t, ec.Signer))},
		{"two keys", "", ec, slices.Concat(ec.text, ec.text)},
		{"a key and more", "", ec, slices.Concat(ec.text, []byte("more"))},
		{"a key and a certificate", "", ec, slices.Concat(ec.text, cert.text)},
		{"a certificate and a key", "", ec, slices.Concat(cert.text, ec.text)},
		{"a certificate and more", "", ec, slices.Concat(cert.text, []byte("more"))},
		{"a damaged block", "", ec, bytes.Replace(ec.text, []byte("END"), []byte("DNE"), 1)},
		{"text before", "", ec, slices.Concat([]byte("a key:\n"), ec.text)},
		{"text before a certificate", "", cert, slices.Concat([]byte(asOpenSSL), cert.text)},
		{"text before, and white space around", "", cert, slices.Concat([]byte("\n\t "), []byte(asOpenSSL), cert.text, []byte(" \n"))},
		{"text and more before, in CRLF", "", cert, crlf(slices.Concat([]byte(asOpenSSL), []byte("\n"), cert.text))},
		{"text alone", "", ec, []byte(asOpenSSL)},
		{"text after", "", cert, slices.Concat(cert.text, []byte(asOpenSSL))},
		{"a key that does not begin a line", "", ec, slices.Concat([]byte("a key: "), ec.text)},
		{"a damaged block before", "damaged", ec, slices.Concat([]byte("-----BEGIN X-----\n!\n-----END X-----\n"), ec.text)},
		{"a block before whose beginning is damaged", "damaged", ec, slices.Concat(ec.text[1:], ec.text)},
		{"a block before whose end is damaged", "damaged", ec, slices.Concat(bytes.Replace(ec.text, []byte("-END"), []byte("END"), 1), ec.text)},
		{"a block before that does not begin a line", "damaged", ec, slices.Concat([]byte("another: "), ec.text, ec.text)},
		{"a chain", "", ec, three},
		{"a chain in CRLF", "", ec, crlf(three)},
		{"a chain of ten", "", ec, chain(t, ec.Signer, 10)},
		{"a chain of eleven", "", ec, chain(t, ec.Signer, 11)},
		{"a chain without its middle", "", ec, slices.Concat(leaf, root)},
		{"a chain in another order", "", ec, slices.Concat(root, leaf)},
		{"a certificate twice", "", cert, slices.Concat(cert.text, cert.text)},
		{"text in a chain", "", ec, slices.Concat([]byte(asOpenSSL), leaf, []byte(asOpenSSL), rest)},
		{"text after a chain", "", ec, slices.Concat(three, []byte(asOpenSSL))},
		{"white space in a chain", "", ec, slices.Concat(leaf, []byte("\n \n"), rest)},
		{"a certificate in a chain that is indented", "damaged", ec, slices.Concat(leaf, []byte(" "), leaf, rest)},
		{"a damaged block in a chain", "damaged", ec, slices.Concat(leaf, []byte("-----BEGIN X-----\n!\n-----END X-----\n"), rest)},
		{"a damaged certificate in a chain", "damaged", ec, slices.Concat(leaf, leaf[1:], rest)},
		{"another's chain", "", rs, three},
		{"empty", "", ec, nil},
		{"white space", "", ec, []byte(" \n")},
		{"a private key", "", ec, pemOf("PRIVATE KEY", []byte("secret"))},
	} {
		k := c.key
		k.text = c.text
		compare(t, "hashedrekord, "+c.name, proposal(t, "hashedrekord", "0.0.1", k.hashedOf(t, crypto.SHA256, "artifact")), c.strict)
		compare(t, "rekord, "+c.name, proposal(t, "rekord", "0.0.1", k.rekord(t, "artifact")), c.strict)
		env := envelope(t, "payload", k)
		compare(t, "dsse, "+c.name, proposal(t, "dsse", "0.0.1", dsseSpec(jsonOf(t, env), k.text)), c.strict)
		compare(t, "intoto, "+c.name, proposal(t, "intoto", "0.0.2", intotoSpec(t, env, k)), c.strict)
	}
}

func testHashedRekordV1(t *testing.T, all []keyV1) {
	k := keyOfDetails(t, all, "PKIX_ECDSA_P256_SHA_256")
	good := k.hashedOf(t, crypto.SHA256, "artifact")
	value := sha256Hex([]byte("artifact"))
	sig := good["signature"].(obj)["content"].(string)
	key := b64(k.text)
	der, err := base64.StdEncoding.DecodeString(sig)
	if err != nil {
		t.Fatal(err)
	}
	hash, content, text := []string{"data", "hash"}, []string{"signature", "content"}, []string{"signature", "publicKey", "content"}
	for _, c := range []struct {
		name, strict string
		value        any
		path         []string
	}{
		{"an upper-case digest", "has capitals; write " + value, strings.ToUpper(value), append(hash, "value")},
		{"one capital", "has capitals", strings.Replace(value, value[strings.IndexAny(value, "abcdef"):][:1], strings.ToUpper(value[strings.IndexAny(value, "abcdef"):][:1]), 1), append(hash, "value")},
		{"a digest of another", "", sha256Hex(nil), append(hash, "value")},
		{"a short digest", "", value[1:], append(hash, "value")},
		{"not hex", "", "g" + value[1:], append(hash, "value")},
		{"a number", "", 7, append(hash, "value")},
		{"no value", "", nil, append(hash, "value")},
		{"an empty value", "", "", append(hash, "value")},
		{"no algorithm", "", nil, append(hash, "algorithm")},
		{"SHA-1", "", "sha1", append(hash, "algorithm")},
		{"the algorithm in capitals", "", "SHA256", append(hash, "algorithm")},
		{"another algorithm", "", "sha512", append(hash, "algorithm")},
		{"no hash", "", nil, hash},
		{"a hash that is a list", "", []int{1}, hash},
		{"no data", "", nil, hash[:1]},
		{"no signature", "", nil, content[:1]},
		{"no content", "", nil, content},
		{"an empty content", "", "", content},
		{"content in lines", "", sig[:20] + "\r\n" + sig[20:], content},
		{"content that is a line break", "", "\n", content},
		{"content in the other alphabet", "", base64.URLEncoding.EncodeToString([]byte{0xff, 0xfe, 0xfd}), content},
		{"content without padding", "", "AAA", content},
		{"content that is hex", "", hex.EncodeToString(der), content},
		{"content in P1363", "IEEE P1363", b64(p1363(t, k.Signer.(*ecdsa.PrivateKey), der)), content},
		{"no key", "", nil, text},
		{"no publicKey", "", nil, text[:2]},
		{"key in lines", "", key[:20] + "\n" + key[20:], text},
		{"key not in base64", "", string(k.text), text},
		{"a member more", "", 7, []string{"more"}},
		{"a member more in the data", "", "aGk=", []string{"data", "content"}},
		{"a format", "", "pgp", []string{"signature", "format"}},
	} {
		compare(t, c.name, proposal(t, "hashedrekord", "0.0.1", at(t, good, c.value, c.path...)), c.strict)
	}
	p := string(proposal(t, "hashedrekord", "0.0.1", good))
	for _, c := range []struct{ name, strict, text string }{
		{"empty", "", ""},
		{"cut", "", p[:len(p)-1]},
		{"null", "", "null"},
		{"a list", "", "[" + p + "]"},
		{"no kind", "", strings.Replace(p, `"kind"`, `"x"`, 1)},
		{"no apiVersion", "", strings.Replace(p, `"apiVersion"`, `"x"`, 1)},
		{"no spec", "", strings.Replace(p, `"spec"`, `"x"`, 1)},
		{"another version", "", strings.Replace(p, "0.0.1", "0.0.2", 1)},
		{"not a version", "", strings.Replace(p, "0.0.1", "latest", 1)},
		{"a version with a build", "", strings.Replace(p, "0.0.1", "0.0.1+x", 1)},
		{"another kind", "", strings.Replace(p, `"hashedrekord"`, `"dsse"`, 1)},
		{"an unknown kind", "", strings.Replace(p, `"hashedrekord"`, `"nope"`, 1)},
		{"white space", "", strings.NewReplacer(":", " :\n", ",", ", \t").Replace(p)},
		{"escapes", "", strings.Replace(strings.Replace(p, `sha256`, `sh\u0061256`, 1), `"signature"`, `"s\u0069gnature"`, 1)},
		{"capitals outside", `must be spelt "kind"`, strings.Replace(p, `"kind"`, `"Kind"`, 1)},
		{"capitals inside", "", strings.Replace(p, `"hash"`, `"Hash"`, 1)},
		{"kind twice", `"kind" is there twice`, strings.Replace(p, `{`, `{"kind":"dsse",`, 1)},
		{"hash twice", `"hash" is there twice`, strings.Replace(p, `{"hash"`, `{"hash":1,"hash"`, 1)},
		{"more after", "not JSON", p + "{}"},
		{"not UTF-8", "not UTF-8", strings.Replace(p, `{`, "{\"x\":\"\xff\",", 1)},
	} {
		compare(t, c.name, []byte(c.text), c.strict)
	}
}

func newKeyV1(t testing.TB) keyV1 {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return keyV1{"", key, pemOf("PUBLIC KEY", spki(t, key.Public()))}
}

func paeOf(payloadType, payload string) []byte { return entry.PAE(payloadType, []byte(payload)) }

// onePerKind are proposals that are taken.
func onePerKind(t testing.TB) [][]byte {
	t.Helper()
	k := newKeyV1(t)
	env := envelope(t, "payload", k)
	return [][]byte{
		proposal(t, "hashedrekord", "0.0.1", k.hashedOf(t, crypto.SHA256, "artifact")), proposal(t, "rekord", "0.0.1", k.rekord(t, "artifact")),
		proposal(t, "dsse", "0.0.1", dsseSpec(jsonOf(t, env), k.text)), proposal(t, "intoto", "0.0.2", intotoSpec(t, env, k)),
	}
}

// What we take, Rekor takes, and makes the same of it.
func FuzzRekorV1(f *testing.F) {
	for _, p := range onePerKind(f) {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, proposed []byte) {
		ours, err := entry.NewRekorV1(proposed)
		if err != nil {
			return
		}
		theirs, err := rekorV1(t, proposed)
		if err != nil || !bytes.Equal(ours.Canonical(), theirs) {
			t.Fatalf("%v\nours   %s\ntheirs %s", err, ours.Canonical(), theirs)
		}
		readBack(t, "fuzzed", ours)
	})
}

// However a key is written: where we take it, Rekor takes it for the same.
func FuzzKeyV1(f *testing.F) {
	// The processes that fuzz must have one key.
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{1}, 32))
	if err != nil {
		f.Fatal(err)
	}
	k := keyV1{"", key, pemOf("PUBLIC KEY", spki(f, key.Public()))}
	three := chain(f, k.Signer, 3)
	for _, text := range [][]byte{k.text, three, slices.Concat([]byte(asOpenSSL), three), slices.Concat(k.text, k.text[1:]), slices.Concat([]byte(" "), three)} {
		f.Add(text, "")
		f.Add(text, asOpenSSL)
	}
	spec := k.hashedOf(f, crypto.SHA256, "artifact")
	f.Fuzz(func(t *testing.T, text []byte, before string) {
		text = append([]byte(before), text...)
		spec["signature"].(obj)["publicKey"].(obj)["content"] = b64(text)
		proposed := proposal(t, "hashedrekord", "0.0.1", spec)
		ours, err := entry.NewRekorV1(proposed)
		if err != nil {
			return
		}
		theirs, err := rekorV1(t, proposed)
		if err != nil || !bytes.Equal(ours.Canonical(), theirs) {
			t.Fatalf("%q: %v\nours   %s\ntheirs %s", text, err, ours.Canonical(), theirs)
		}
	})
}

// What we read as an entry of Rekor v1, Rekor reads too, and it is what Rekor
// would write of it.
func FuzzReadRekorV1(f *testing.F) {
	for _, p := range onePerKind(f) {
		e, err := entry.NewRekorV1(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(e.Canonical())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := entry.Parse(data)
		if err != nil || p.Kind == entry.KindRaw {
			return
		}
		if p.Version == "0.0.2" && p.Kind != entry.KindIntoto { // of Rekor v2
			return
		}
		again, err := jsoncanonicalizer.Transform(data)
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%s is not canonical: %v", data, err)
		}
		rekorReadsV1(t, data, p)
	})
}

func rekorReadsV1(t *testing.T, data []byte, p entry.Parsed) {
	t.Helper()
	pe, err := models.UnmarshalProposedEntry(bytes.NewReader(data), runtime.JSONConsumer())
	if err != nil {
		t.Fatalf("Rekor does not read %s: %v", data, err)
	}
	e, err := types.UnmarshalEntry(pe)
	if p.HashedRekord != nil && p.HashedRekord.Verify() != nil {
		return // which Rekor checks on reading
	}
	if err != nil {
		t.Fatalf("Rekor does not read %s: %v", data, err)
	}
	if p.Rekord != nil { // Rekor cannot write it again, for want of the artifact
		return
	}
	if again, err := types.CanonicalizeEntry(context.Background(), e); err != nil || !bytes.Equal(again, data) {
		t.Fatalf("%v\n%s became\n%s", err, data, again)
	}
}
