package trust_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/mldsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	common "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	monitorpb "github.com/sigstore/protobuf-specs/gen/pb-go/monitor/v1"
	trustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"indelible/checkpoint"
	"indelible/trust"
)

func verifier(t *testing.T, name string, pub crypto.PublicKey) checkpoint.Verifier {
	t.Helper()
	v, err := checkpoint.NewVerifier(name, pub)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func ed25519Key(seed byte) ed25519.PublicKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)).Public().(ed25519.PublicKey)
}

func ecdsaKey(t *testing.T, curve elliptic.Curve) *ecdsa.PublicKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &key.PublicKey
}

func spki(t *testing.T, pub crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

const origin = "log.example.com"

func both(t *testing.T) trust.Log {
	return trust.Log{
		URL: "https://log.example.com/", Origin: origin, Keys: []string{verifier(t, origin, ed25519Key(1)).String()},
		RekorV1Key: spki(t, ecdsaKey(t, elliptic.P256())), RekorV2: true,
		Since: time.Date(2026, 3, 4, 5, 6, 7, 890, time.FixedZone("", 3600)),
	}
}

func files(t *testing.T, l trust.Log) map[string][]byte {
	t.Helper()
	list, err := trust.Files(l)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string][]byte{}
	for _, f := range list {
		if f.Name == "" || f.Type == "" || !strings.HasSuffix(f.About, ".") || len(f.Data) == 0 || f.Data[len(f.Data)-1] != '\n' {
			t.Errorf("file %q of type %q, about %q, is not whole: %q", f.Name, f.Type, f.About, f.Data)
		}
		m[f.Name] = f.Data
	}
	if len(m) != len(list) {
		t.Error("two files have one name")
	}
	return m
}

func names(m map[string][]byte) string {
	var list []string
	for name := range m {
		list = append(list, name)
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// same decodes JSON as Sigstore's clients do, which refuse unknown fields, and
// compares what it says.
func same[M proto.Message](t *testing.T, data []byte, got, want M) {
	t.Helper()
	if err := protojson.Unmarshal(data, got); err != nil {
		t.Fatalf("%v in\n%s", err, data)
	}
	if !proto.Equal(got, want) {
		t.Errorf("it says\n%s\nand not\n%s", protojson.Format(got), protojson.Format(want))
	}
}

func TestTrustedRootIsWhatSigstoreReads(t *testing.T) {
	l := both(t)
	id := func(b []byte) *common.LogId { return &common.LogId{KeyId: b} }
	start := &common.TimeRange{Start: timestamppb.New(time.Date(2026, 3, 4, 4, 6, 7, 0, time.UTC))}
	log := func(der []byte, details common.PublicKeyDetails, keyID [32]byte) *trustroot.TransparencyLogInstance {
		return &trustroot.TransparencyLogInstance{
			BaseUrl: "https://log.example.com", HashAlgorithm: common.HashAlgorithm_SHA2_256,
			PublicKey: &common.PublicKey{RawBytes: der, KeyDetails: details, ValidFor: start}, LogId: id(keyID[:]),
		}
	}
	same(t, files(t, l)["trusted_root.json"], new(trustroot.TrustedRoot), &trustroot.TrustedRoot{
		MediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
		Tlogs: []*trustroot.TransparencyLogInstance{
			log(spki(t, ed25519Key(1)), common.PublicKeyDetails_PKIX_ED25519, sha256.Sum256(append([]byte(origin+"\n\x01"), ed25519Key(1)...))),
			log(l.RekorV1Key, common.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256, sha256.Sum256(l.RekorV1Key)),
		},
	})
}

func TestSigningConfigIsWhatSigstoreReads(t *testing.T) {
	service := func(version uint32, start time.Time, operator string) *trustroot.Service {
		return &trustroot.Service{Url: "https://log.example.com", MajorApiVersion: version, ValidFor: &common.TimeRange{Start: timestamppb.New(start)}, Operator: operator}
	}
	config := func(services ...*trustroot.Service) *trustroot.SigningConfig {
		return &trustroot.SigningConfig{
			MediaType: "application/vnd.dev.sigstore.signingconfig.v0.2+json", RekorTlogUrls: services,
			RekorTlogConfig: &trustroot.ServiceConfiguration{Selector: trustroot.ServiceSelector_ANY}, TsaConfig: &trustroot.ServiceConfiguration{},
		}
	}
	l := both(t)
	at := time.Date(2026, 3, 4, 4, 6, 7, 0, time.UTC)
	same(t, files(t, l)["signing_config.json"], new(trustroot.SigningConfig), config(service(2, at, origin), service(1, at, origin)))
	l.Since, l.RekorV1Key, l.Operator = time.Time{}, nil, "example.org"
	same(t, files(t, l)["signing_config.json"], new(trustroot.SigningConfig), config(service(2, time.Unix(0, 0), "example.org")))
	l.RekorV1Key, l.RekorV2 = spki(t, ecdsaKey(t, elliptic.P256())), false
	same(t, files(t, l)["signing_config.json"], new(trustroot.SigningConfig), config(service(1, time.Unix(0, 0), "example.org")))
}

func TestWhichFilesThereAre(t *testing.T) {
	l := both(t)
	const always = "cosign.txt flux.yaml kyverno.yaml log.vkey logcli.txt monitor_config.json policy-controller.yaml rekor-v1.pem rekor-v2.pem signing_config.json trusted_root.json"
	if got := names(files(t, l)); got != always {
		t.Errorf("with both APIs: %s", got)
	}
	l.RekorV1Key = nil
	if got := names(files(t, l)); got != "cosign.txt log.vkey logcli.txt monitor_config.json rekor-v2.pem signing_config.json trusted_root.json" {
		t.Errorf("without v1: %s", got)
	}
	l.RekorV2 = false
	if got := names(files(t, l)); got != "cosign.txt log.vkey logcli.txt rekor-v2.pem trusted_root.json" {
		t.Errorf("without any: %s", got)
	}
}

// The id of the public Rekor v2 log, as Sigstore's trusted root has it, and
// checkpoint's own key ids, which are the first four bytes.
func TestLogID(t *testing.T) {
	der, err := base64.StdEncoding.DecodeString("MCowBQYDK2VwAyEAt8rlp1knGwjfbcXAYPYAkn0XiLz1x8O4t0YkEhie244=")
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		t.Fatal(err)
	}
	id, err := trust.LogID(verifier(t, "log2025-1.rekor.sigstore.dev", public))
	if got := base64.StdEncoding.EncodeToString(id[:]); err != nil || got != "zxGZFVvd0FEmjR8WrFwMdcAJ9vtaY/QXf44Y1wUeP6A=" {
		t.Errorf("the public log's id is %s, %v", got, err)
	}
	for _, pub := range []crypto.PublicKey{ed25519Key(1), ecdsaKey(t, elliptic.P256()), ecdsaKey(t, elliptic.P384())} {
		v := verifier(t, origin, pub)
		id, err := trust.LogID(v)
		if got := binary.BigEndian.Uint32(id[:]); err != nil || got != v.KeyHash() {
			t.Errorf("%s: the id begins with %08x, %v", v, got, err)
		}
	}
}

// A log with an ML-DSA-44 key alone is exported with it; beside another key it is left
// out, since clients that do not know ML-DSA refuse the whole file.
func TestMLDSA(t *testing.T) {
	key, err := mldsa.GenerateKey(mldsa.MLDSA44())
	if err != nil {
		t.Fatal(err)
	}
	v := verifier(t, origin, key.PublicKey())
	l := both(t)
	l.Keys, l.RekorV1Key = append(l.Keys, v.String()), nil
	tlogs := func() []*trustroot.TransparencyLogInstance {
		var root trustroot.TrustedRoot
		if err := protojson.Unmarshal(files(t, l)["trusted_root.json"], &root); err != nil {
			t.Fatal(err)
		}
		return root.GetTlogs()
	}
	if got := tlogs(); len(got) != 1 || got[0].GetPublicKey().GetKeyDetails() != common.PublicKeyDetails_PKIX_ED25519 {
		t.Errorf("%v", got)
	}
	l.Keys = []string{v.String()}
	// SPEC: rekor-tiles 2.4.2, pkg/note: SHA-256 of the name, a line feed, 0x06, the key.
	id := sha256.Sum256(append([]byte(origin+"\n\x06"), key.PublicKey().Bytes()...))
	got := tlogs()
	if len(got) != 1 || got[0].GetPublicKey().GetKeyDetails() != common.PublicKeyDetails_ML_DSA_44 || !bytes.Equal(got[0].GetLogId().GetKeyId(), id[:]) {
		t.Errorf("%v", got)
	}
	if pub, err := x509.ParsePKIXPublicKey(got[0].GetPublicKey().GetRawBytes()); err != nil || !key.PublicKey().Equal(pub) {
		t.Errorf("%T, %v", pub, err)
	}
}

func TestPEMAndVkeys(t *testing.T) {
	l := both(t)
	second := ecdsaKey(t, elliptic.P256())
	l.Keys = append(l.Keys, verifier(t, origin, ecdsaKey(t, elliptic.P384())).String(), verifier(t, origin, second).String())
	m := files(t, l)
	if got := string(m["log.vkey"]); got != strings.Join(l.Keys, "\n")+"\n" {
		t.Errorf("log.vkey is %q", got)
	}
	for name, want := range map[string][][]byte{"rekor-v1.pem": {l.RekorV1Key}, "rekor-v2.pem": {spki(t, ed25519Key(1)), spki(t, second)}} {
		rest, got := m[name], [][]byte(nil)
		for block := new(pem.Block); block != nil; {
			if block, rest = pem.Decode(rest); block != nil && block.Type == "PUBLIC KEY" {
				got = append(got, block.Bytes)
			}
		}
		if !slices.EqualFunc(got, want, bytes.Equal) || len(rest) > 0 {
			t.Errorf("%s is not the keys:\n%s", name, m[name])
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	key := ecdsaKey(t, elliptic.P256())
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	vkey := func(name string, pub crypto.PublicKey) []string { return []string{verifier(t, name, pub).String()} }
	for name, c := range map[string]struct {
		change func(*trust.Log)
		says   string
	}{
		"no URL":            {func(l *trust.Log) { l.URL = "" }, "must begin with http://"},
		"no scheme":         {func(l *trust.Log) { l.URL = "log.example.com" }, "must begin with http://"},
		"other scheme":      {func(l *trust.Log) { l.URL = "ftp://log.example.com" }, "must begin with http://"},
		"no host":           {func(l *trust.Log) { l.URL = "https:///x" }, "and a host"},
		"password":          {func(l *trust.Log) { l.URL = "https://me:secret@log.example.com" }, "no user"},
		"query":             {func(l *trust.Log) { l.URL = "https://log.example.com/?a=b" }, "query"},
		"shell":             {func(l *trust.Log) { l.URL = "https://log.example.com/$(reboot)" }, `'$'`},
		"line break":        {func(l *trust.Log) { l.URL = "https://log.example.com/\nrun: x" }, "is not the URL of a log"},
		"origin":            {func(l *trust.Log) { l.Origin = "a b" }, `"a b"`},
		"no key":            {func(l *trust.Log) { l.Keys = nil }, "none of the log's 0 keys"},
		"damaged key":       {func(l *trust.Log) { l.Keys[0] += "x" }, "malformed"},
		"another log's key": {func(l *trust.Log) { l.Keys = vkey("other.example.com", ed25519Key(1)) }, `not of the log "log.example.com"`},
		"P-384":             {func(l *trust.Log) { l.Keys = vkey(origin, ecdsaKey(t, elliptic.P384())) }, "P-384"},
		"v1 damaged":        {func(l *trust.Log) { l.RekorV1Key = []byte("x") }, "the key of Rekor v1"},
		"v1 of RSA":         {func(l *trust.Log) { l.RekorV1Key = spki(t, &rsaKey.PublicKey) }, "not on P-256"},
		"v1 on P-384":       {func(l *trust.Log) { l.RekorV1Key = spki(t, ecdsaKey(t, elliptic.P384())) }, "not on P-256"},
		"one key for both":  {func(l *trust.Log) { l.Keys, l.RekorV1Key = vkey(origin, key), spki(t, key) }, "is the log's own"},
	} {
		l := both(t)
		c.change(&l)
		_, err := trust.Files(l)
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, and not %q", name, err, c.says)
		}
	}
}

func TestMisfits(t *testing.T) {
	for _, c := range []struct {
		url, origin string
		fatal, more string // a word of the one and of the other, or none, where the log serves Rekor v2
	}{
		{"https://log.example.com", "log.example.com", "", ""},
		{"https://log.example.com/", "log.example.com", "", ""},
		{"https://log.example.com:8443", "log.example.com", "", "rekor-monitor"},
		{"https://example.com/log", "example.com", "", "rekor-monitor"},
		{"https://example.com/log", "example.com/log", "cosign", "rekor-monitor"},
		{"https://10.0.0.1", "log.example.com", "https://log.example.com", ""},
		{"http://log.example.com", "log.example.com", "", "https"},
		{"http://127.0.0.1", "127.0.0.1", "", ""},
		{"http://[::1]:8080", "::1", "", "rekor-monitor"},
		{"nothing", "log.example.com", "must begin with", ""},
	} {
		fatal, more := "", ""
		for _, m := range trust.Misfits(trust.Log{URL: c.url, Origin: c.origin, RekorV2: true}) {
			if m.What == "" || m.Do == "" {
				t.Errorf("%s: a misfit without words: %+v", c.url, m)
			}
			if m.Fatal {
				fatal += m.What + m.Do
			} else {
				more += m.What + m.Do
			}
		}
		if (fatal == "") != (c.fatal == "") || !strings.Contains(fatal, c.fatal) || (more == "") != (c.more == "") || !strings.Contains(more, c.more) {
			t.Errorf("%s of %s: %q and %q, and not %q and %q", c.url, c.origin, fatal, more, c.fatal, c.more)
		}
	}
}

// Without Rekor v2 nobody compares origin and URL.
func TestMisfitsWithoutRekorV2(t *testing.T) {
	for url, want := range map[string]string{
		"https://elsewhere.example":          "",
		"https://log.example.com:8443/log":   "",
		"http://elsewhere.example:8080/a/b/": "is not https",
		"elsewhere.example":                  "must begin with",
	} {
		said := ""
		for _, m := range trust.Misfits(trust.Log{URL: url, Origin: "log.example.com"}) {
			said += m.What + "\n"
		}
		if strings.Count(said, "\n") > 1 || (said == "") != (want == "") || !strings.Contains(said, want) {
			t.Errorf("%s: %q, and not %q", url, said, want)
		}
	}
}

// The snippets must be what they are for, whatever the log is called.
func TestSnippetsAreShell(t *testing.T) {
	l := both(t)
	l.Origin = "$(reboot)`reboot`'\"\\;&|>x"
	l.Keys = []string{verifier(t, l.Origin, ed25519Key(1)).String()}
	m := files(t, l)
	for _, name := range []string{"cosign.txt", "logcli.txt"} {
		sh := exec.Command("sh", "-n")
		sh.Stdin = bytes.NewReader(m[name])
		if out, err := sh.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
		for line := range strings.Lines(string(m[name])) {
			if !strings.HasPrefix(line, "#") && strings.Contains(line, "reboot") {
				t.Errorf("%s has the origin in a command: %s", name, line)
			}
			if len(line) > 81 && !strings.Contains(line, l.Origin) {
				t.Errorf("%s has a line wider than a terminal: %s", name, line)
			}
		}
	}
}

func TestPoliciesAreYAML(t *testing.T) {
	l := both(t)
	l.Origin = "a:#'\"{}-x"
	l.Keys = []string{verifier(t, l.Origin, ed25519Key(1)).String()}
	m := files(t, l)
	want := string(m["rekor-v1.pem"])

	kyverno := documents(t, m["kyverno.yaml"])
	cosign := dig(kyverno[0], "spec", "attestors", 0, "cosign")
	root := strings.TrimSpace(string(m["trusted_root.json"]))
	if len(kyverno) != 1 || dig(cosign, "ctlog", "url") != "https://log.example.com" || dig(cosign, "ctlog", "rekorPubKey") != strings.TrimSpace(want) || dig(cosign, "trustedRoot", "value") != root {
		t.Errorf("Kyverno is told %v", cosign)
	}
	flux := documents(t, m["flux.yaml"])
	if len(flux) != 2 || dig(flux[0], "stringData", "trusted_root.json") != root || dig(flux[1], "spec", "verify", "trustedRootSecretRef", "name") != dig(flux[0], "metadata", "name") {
		t.Errorf("Flux is told %v", flux)
	}
	var monitor monitorpb.MonitorConfig
	if err := protojson.Unmarshal(m["monitor_config.json"], &monitor); err != nil {
		t.Fatal(err)
	}
	if logs := monitor.GetRekorLogs(); len(logs) != 1 || logs[0].GetReadUrl() != "https://log.example.com" || logs[0].GetLogOrigin() != l.Origin || logs[0].GetMajorApiVersion() != 2 {
		t.Errorf("monitors are told %v", logs)
	}
	controller := documents(t, m["policy-controller.yaml"])
	tlog := dig(controller[0], "spec", "sigstoreKeys", "tLogs", 0)
	pubkey, err := base64.StdEncoding.DecodeString(fmt.Sprint(dig(tlog, "publicKey")))
	if err != nil || string(pubkey) != want || dig(tlog, "baseURL") != "https://log.example.com" {
		t.Errorf("policy-controller is told %v", tlog)
	}
	if ref := dig(controller[1], "spec", "authorities", 0, "ctlog", "trustRootRef"); len(controller) != 2 || ref != dig(controller[0], "metadata", "name") {
		t.Errorf("the policy refers to the trust root %v", ref)
	}
}

func documents(t *testing.T, data []byte) []any {
	t.Helper()
	var list []any
	for d := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var doc any
		err := d.Decode(&doc)
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, data)
		}
		list = append(list, doc)
	}
}

// dig follows names and indexes into decoded YAML; nil where there is nothing.
func dig(v any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[step]
		case int:
			list, _ := v.([]any)
			if step >= len(list) {
				return nil
			}
			v = list[step]
		}
	}
	return v
}

func FuzzBaseURL(f *testing.F) {
	for _, s := range []string{"https://log.example.com/", "http://[::1]:8080/a", "http://a/%2e%2e", "http://a/$(x)", "https://u:p@h", "http://a//"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		base, err := trust.BaseURL(s)
		if err != nil {
			return
		}
		if strings.ContainsAny(base, " \n\t'\"`$&;|<>(){}\\*?#!,") || strings.HasSuffix(base, "/") {
			t.Errorf("%q became %q, which is not harmless", s, base)
		}
		if again, err := trust.BaseURL(base); err != nil || again != base {
			t.Errorf("%q became %q and that %q, %v", s, base, again, err)
		}
	})
}
