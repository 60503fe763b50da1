package verify

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"indelible/checkpoint"
	"indelible/entry"
	"indelible/merkle"
)

// suite makes the cases of Sigstore's conformance suite for verifiers, by its names,
// with keys, an authority, a CT log and a clock of its own. What the suite has of
// trusted roots and of timestamps themselves is in the packages of those.
type suite struct {
	t testing.TB
	published
	cert *x509.Certificate
}

const suiteClock = clock("a")

func newSuite(t testing.TB) suite {
	p := newPublished(t)
	return suite{t, p, p.make(extension(t, listOf(p.log.sct(p.make(), p.ca.cert, p.from))))}
}

// trusts has the identity, its authority and CT log trusted.
func (u suite) trusts(s *signedIn) *signedIn {
	s.trust.Signers = []Signer{{Identity: "dev@example.com", Roots: u.ca.pool(), CTLogs: []CTLog{u.log.trusted(Period{})}}}
	return s
}

func (u suite) v1At(after time.Duration) *signedIn {
	return u.trusts(newRekorV1(u.t, u.key, u.cert.Raw, u.from.Add(after).Unix()))
}

func (u suite) v1() *signedIn { return u.v1At(0) }

func (u suite) envelopeAt(kind string, after time.Duration) *signedIn {
	return u.trusts(newEnvelopeBy(u.t, kind, u.key, u.cert.Raw, u.from.Add(after).Unix()))
}

func (u suite) intoto() *signedIn { return u.envelopeAt("intoto", 0) }

func (u suite) dsse() *signedIn { return u.envelopeAt("dsse", 0) }

// stampedAt is a bundle with a timestamp of the signature that it has.
func (u suite) stampedAt(s *signedIn, after time.Duration) *signedIn {
	s.trust.Timestamps = []TimestampAuthority{suiteClock}
	s.stamped(suiteClock.stamp(u.from.Add(after).Unix(), s.signature()))
	return u.trusts(s)
}

func (u suite) v2() *signedIn { return u.stampedAt(newSigned(u.t, u.key, u.cert.Raw), time.Minute) }

func (u suite) dsse2() *signedIn {
	return u.stampedAt(newStatementBy(u.t, entry.KindHashedRekord, u.key, u.cert.Raw), time.Minute)
}

// old is a bundle as of version 0.1 or 0.2, with a chain.
func (u suite) old(version string, s *signedIn, certs ...*x509.Certificate) *signedIn {
	list := []any{}
	for _, c := range certs {
		list = append(list, obj{"rawBytes": b64(c.Raw)})
	}
	s.bundle["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=" + version
	delete(s.material(), "certificate")
	s.material()["x509CertificateChain"] = obj{"certificates": list}
	return s
}

func (u suite) with(s *signedIn, change func(s *signedIn)) *signedIn {
	change(s)
	return s
}

// content has the content of another bundle, which shares key and certificate.
func content(s, other *signedIn) *signedIn {
	for _, name := range []string{"messageSignature", "dsseEnvelope"} {
		if c, ok := other.bundle[name]; ok {
			s.bundle[name] = c
		}
	}
	return s
}

// lines has the checkpoint's lines changed.
func lines(s *signedIn, change func([]string) []string) *signedIn {
	all := strings.SplitAfter(s.checkpoint()["envelope"].(string), "\n")
	s.checkpoint()["envelope"] = strings.Join(change(all), "")
	return s
}

func dropLine(n int) func([]string) []string {
	return func(l []string) []string { return append(l[:n:n], l[n+1:]...) }
}

// cosigned has witnesses sign that are not known.
func (u suite) cosigned(s *signedIn, at ...int64) *signedIn {
	logs := s.trust.Logs
	s.witnessed(at...)
	s.trust.Policy, s.trust.Logs = nil, logs
	return s
}

// twoSignatures has a key that is not known sign as the log, too.
func (u suite) twoSignatures(s *signedIn) *signedIn {
	signer, err := checkpoint.NewSigner(origin, newKey(u.t))
	if err != nil {
		u.t.Fatal(err)
	}
	other := strings.SplitAfter(s.note(origin, signer, s.root()), "\n")
	return lines(s, func(l []string) []string { return append(l[:4:4], append([]string{other[4]}, l[4:]...)...) })
}

// bitIn changes one bit of a signature line's base64, after so many bytes.
func bitIn(at int) func([]string) []string {
	return func(l []string) []string {
		i := strings.LastIndexByte(l[4], ' ') + 1
		blob, err := base64.StdEncoding.DecodeString(strings.TrimSpace(l[4][i:]))
		if err != nil {
			panic(err)
		}
		blob[at] ^= 1
		l[4] = l[4][:i] + b64(blob) + "\n"
		return l
	}
}

// conformant is a case: how its bundle is made, and the check that refuses it.
type conformant struct {
	s      *signedIn
	check  string // "" if the bundle is valid
	reason string
}

func (u suite) ofBundles() map[string]conformant {
	other := newSuite(u.t)
	return map[string]conformant{
		"bundle-empty-certificate-chain_fail":  {u.old("0.2", u.v1()), "bundle", "certificates is missing"},
		"bundle-from-wrong-instance_fail":      {u.with(u.v1(), func(s *signedIn) { s.trust = other.v1().trust }), "checkpoint", "no log that you trust"},
		"bundle-invalid-base64-signature_fail": {u.with(u.v1(), func(s *signedIn) { s.bundle["messageSignature"].(obj)["signature"] = "no base64" }), "bundle", "base64"},
		"bundle-negative-log-index_fail":       {u.with(u.v1(), func(s *signedIn) { s.entry()["logIndex"] = "-1" }), "bundle", "logIndex"},
		"bundle-unknown-version_fail":          {u.with(u.v1(), func(s *signedIn) { s.bundle["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=9.9" }), "bundle", "mediaType"},
		// A root in a bundle is passed over: it makes nobody trusted.
		"bundle-with-root-cert_fail": {u.with(u.old("0.1", u.v1(), u.cert, u.ca.cert), func(s *signedIn) { s.trust.Signers = other.v1().trust.Signers }), "signer", "does not come from a trusted authority"},
		"bundle-with-sct-with-extensions": {u.with(u.v1(), func(s *signedIn) {
			with := u.published.with(u.t, listOf(u.log.sct(u.make(), u.ca.cert, u.from, 1, 2, 3)))
			s.bundle, s.trust = with.bundle, with.trust
		}), "", ""},
		"happy-path-v0.1":               {u.old("0.1", u.v1(), u.cert), "", ""},
		"happy-path-v0.2":               {u.old("0.2", u.v1(), u.cert), "", ""},
		"happy-path-v0.3":               {u.with(u.v1(), func(s *signedIn) { s.bundle["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.3" }), "", ""},
		"happy-path-v0.3-new-mediaType": {u.v1(), "", ""},
		"happy-path-intoto-in-dsse-v3":  {u.dsse(), "", ""},
	}
}

func (u suite) ofLogs() map[string]conformant {
	return map[string]conformant{
		"checkpoint-bad-keyhint_fail": {lines(u.v1(), bitIn(0)), "checkpoint", "no log that you trust"},
		"checkpoint-wrong-roothash_fail": {u.with(u.v1(), func(s *signedIn) {
			s.checkpoint()["envelope"] = s.note("rekor.example - 42", s.signerV1(), merkle.Hash{9})
		}), "checkpoint", "rootHash"},
		"invalid-checkpoint-signature_fail":   {lines(u.v1(), bitIn(20)), "checkpoint", "no log that you trust"},
		"inclusion-proof-corrupted-hash_fail": {u.with(u.v1(), func(s *signedIn) { h := s.inclusion()["hashes"].([]any); h[1] = flipped(h[1]) }), "inclusion", ""},
		"invalid-inclusion-proof_fail":        {u.with(u.v1(), func(s *signedIn) { s.inclusion()["hashes"] = s.inclusion()["hashes"].([]any)[1:] }), "inclusion", ""},
		"integrated-time-in-future_fail":      {u.v1At(1e4 * time.Hour), "signer", "was not at the proven time"},
		"set-invalid-signature_fail": {u.with(u.v1(), func(s *signedIn) {
			p := s.entry()["inclusionPromise"].(obj)
			p["signedEntryTimestamp"] = flipped(p["signedEntryTimestamp"])
		}), "time", "promise"},
		"trust-root-tlog-validity-end-inclusive": {u.with(u.v1(), func(s *signedIn) { s.listed(Period{1, u.from.Unix()}) }), "", ""},
		"invalid-ct-key_fail":                    {u.with(u.v1(), func(s *signedIn) { s.trust.Signers[0].CTLogs[0].Key = newKey(u.t).Public() }), "sct", "does not verify"},
		"managed-key-happy-path":                 {newRekorV1(u.t, u.key, nil, u.from.Unix()), "", ""},
		"managed-key-and-trusted-root":           {u.with(newRekorV1(u.t, u.key, nil, u.from.Unix()), func(s *signedIn) { s.listed(Period{}) }), "", ""},
		"managed-key-no-key_fail":                {u.trusts(newRekorV1(u.t, u.key, nil, u.from.Unix())), "signer", "not signed by anybody you trust"},
		"managed-key-wrong-key_fail":             {u.with(newRekorV1(u.t, u.key, nil, u.from.Unix()), func(s *signedIn) { s.trust.Signers = newRekorV1(u.t, newKey(u.t), nil, 1).trust.Signers }), "signer", "not signed by anybody you trust"},
	}
}

func (u suite) ofContents() map[string]conformant {
	flipSig := func(s *signedIn) {
		e := s.bundle["dsseEnvelope"].(obj)["signatures"].([]any)[0].(obj)
		e["sig"] = flipped(e["sig"])
	}
	entryOf := func(s, other *signedIn) *signedIn {
		s.material()["tlogEntries"], s.trust.BareKeys = other.material()["tlogEntries"], other.trust.BareKeys
		return s
	}
	return map[string]conformant{
		"dsse-invalid-sig_fail":                           {u.with(u.dsse(), flipSig), "entry", "its signature is not the envelope's"},
		"dsse-mismatch-sig_fail":                          {content(u.dsse(), u.dsse()), "entry", "its signature is not the envelope's"},
		"dsse-mismatch-envelope_fail":                     {content(u.dsse(), u.intoto()), "entry", "its signature is not the envelope's"},
		"incorrect-public-key_fail":                       {entryOf(u.v1(), newRekorV1(u.t, newKey(u.t), nil, u.from.Unix())), "entry", "another signature than the bundle"},
		"intoto-expired-certificate_fail":                 {u.with(u.intoto(), func(s *signedIn) { s.trust.Signers[0].Valid = Period{1, u.from.Unix() - 1} }), "signer", "its certificate authority is trusted from"},
		"intoto-log-entry-mismatch_fail":                  {entryOf(u.intoto(), u.intoto()), "entry", "its signature is not the envelope's"},
		"intoto-missing-inclusion-proof_fail":             {u.with(u.old("0.2", u.intoto(), u.cert), func(s *signedIn) { delete(s.entry(), "inclusionProof") }), "bundle", "inclusionProof is missing"},
		"intoto-set-outside-signing-cert-validity_fail":   {u.envelopeAt("intoto", time.Hour), "signer", "was not at the proven time"},
		"intoto-tsa-timestamp-outside-cert-validity_fail": {u.stampedAt(u.intoto(), time.Hour), "signer", "was not at the proven time"},
		"intoto-with-custom-trust-root":                   {u.with(u.intoto(), func(s *signedIn) { s.listed(Period{}) }), "", ""},
		"message-digest-mismatch_fail": {u.with(u.v1(), func(s *signedIn) {
			d := s.bundle["messageSignature"].(obj)["messageDigest"].(obj)
			d["digest"] = flipped(d["digest"])
		}), "entry", "its digest is"},
		"signature-mismatch_fail":              {u.with(u.v1(), func(s *signedIn) { m := s.bundle["messageSignature"].(obj); m["signature"] = flipped(m["signature"]) }), "entry", "its signature is not the bundle's"},
		"wrong-hashedrekord-artifact_fail":     {u.with(u.v2(), func(s *signedIn) { s.logIt("hashedrekord", signed(u.t, u.key, "another", u.cert.Raw).Canonical()) }), "entry", "another signature than the bundle"},
		"wrong-hashedrekord-cert-and-sig_fail": {u.with(u.v2(), func(s *signedIn) { s.logIt("hashedrekord", signed(u.t, newKey(u.t), s.artifact, nil).Canonical()) }), "entry", "another signature than the bundle"},
		"wrong-hashedrekord-entry_fail":        {entryOf(u.v1(), u.v1()), "entry", "its signature is not the bundle's"},
		"wrong-material_fail":                  {u.with(u.v1(), func(s *signedIn) { s.artifact = "another" }), "artifact", "not the artifact that was signed"},
	}
}

func (u suite) ofRekorV2() map[string]conformant {
	return map[string]conformant{
		"rekor2-happy-path":                            {u.v2(), "", ""},
		"rekor2-dsse-happy-path":                       {u.dsse2(), "", ""},
		"rekor2-dsse-invalid-sig_fail":                 {u.stampedAt(content(u.dsse2(), newStatement(u.t, entry.KindHashedRekord)), time.Minute), "entry", "another signature than the bundle"},
		"rekor2-dsse-mismatch-envelope_fail":           {u.stampedAt(content(u.dsse2(), u.intoto()), time.Minute), "entry", "another signature than the bundle"},
		"rekor2-dsse-mismatch-sig_fail":                {u.stampedAt(content(u.dsse2(), u.dsse2()), time.Minute), "entry", "its signature is not the envelope's"},
		"rekor2-no-inclusion-proof_fail":               {u.with(u.v2(), func(s *signedIn) { delete(s.entry(), "inclusionProof") }), "bundle", "inclusionProof is missing"},
		"rekor2-no-timestamp_fail":                     {u.with(u.v2(), func(s *signedIn) { delete(s.material(), "timestampVerificationData") }), "signer", "has no timestamp of RFC 3161"},
		"rekor2-timestamp-payload-mismatch_fail":       {u.with(u.v2(), func(s *signedIn) { s.stamped(suiteClock.stamp(u.from.Unix()+60, u.v2().signature())) }), "timestamp", "it is of something else"},
		"rekor2-timestamp-with-incorrect-time_fail":    {u.stampedAt(newSigned(u.t, u.key, u.cert.Raw), time.Hour), "signer", "was not at the proven time"},
		"rekor2-checkpoint-cosigned":                   {u.cosigned(u.v2(), 300, -1, -1), "", ""},
		"rekor2-checkpoint-multiple-cosigs":            {u.cosigned(u.v2(), 300, 400, 500), "", ""},
		"rekor2-checkpoint-two-sigs-from-origin":       {u.twoSignatures(u.v2()), "", ""},
		"rekor2-checkpoint-two-sigs-cosigned":          {u.twoSignatures(u.cosigned(u.v2(), 300, -1, -1)), "", ""},
		"rekor2-checkpoint-origin-not-first":           {lines(u.cosigned(u.v2(), 300, -1, -1), func(l []string) []string { l[4], l[5] = l[5], l[4]; return l }), "", ""},
		"rekor2-checkpoint-missing-log-signature_fail": {lines(u.v2(), dropLine(4)), "checkpoint", ""},
		"rekor2-checkpoint-missing-origin_fail":        {lines(u.v2(), dropLine(0)), "checkpoint", ""},
		"rekor2-checkpoint-missing-size_fail":          {lines(u.v2(), dropLine(1)), "checkpoint", ""},
		"rekor2-checkpoint-missing-root-hash_fail":     {lines(u.v2(), dropLine(2)), "checkpoint", ""},
		"rekor2-checkpoint-no-matching-signature_fail": {lines(u.v2(), func(l []string) []string { l[4] = strings.Replace(l[4], origin, "lag.example", 1); return l }), "checkpoint", ""},
	}
}

// TestConformance is each case with its result, and that a fault is found by the
// check that is about it.
func TestConformance(t *testing.T) {
	u := newSuite(t)
	done := 0
	for _, table := range []map[string]conformant{u.ofBundles(), u.ofLogs(), u.ofContents(), u.ofRekorV2()} {
		for name, c := range table {
			done++
			t.Run(name, func(t *testing.T) {
				if strings.HasSuffix(name, "_fail") != (c.check != "") {
					t.Error("its name says otherwise")
				}
				c.s.t = t
				if c.check == "" {
					c.s.verifies()
				} else {
					c.s.fails(c.check, c.reason)
				}
			})
		}
	}
	if done != 60 {
		t.Errorf("%d cases", done)
	}
	t.Run("bundle-malformed-json_fail", func(t *testing.T) {
		s := u.v1()
		data := bytes.TrimSuffix(s.data(), []byte("}"))
		if r, err := VerifyBundle(strings.NewReader(s.artifact), data, s.trust); err != nil || r.Failed() == nil || r.Failed().Name != "bundle" {
			t.Errorf("%v, %+v", err, r)
		}
	})
}
