package sigstore

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"maps"
	"strconv"
	"strings"
	"time"
)

// lie is a change to what a verifier is given, in which another bundle, as true as the first, may be
// used. It says why the library refuses what results, or that it is accepted.
type lie struct {
	name   string
	change func(g, other *given)
	v1, v2 string
}

func (l lie) reason(api uint32) string { return [...]string{1: l.v1, 2: l.v2}[api] }

const (
	leafError   = "failed to verify leaf certificate: leaf certificate verification failed"
	stampError  = "threshold not met for verified signed timestamps: 0 < 1"
	otherSigner = "transparency log certificate does not match" // or key
	beyond      = "index is beyond size"
	badPromise  = noEntry + ": unable to verify SET"
	unknownLog  = noEntry + ": no log has this id"
	unsigned    = badNote2 + ".*: note has no verifiable signatures"
	badSigned   = badNote2 + ".*: invalid signature for key"
)

// ofEntry makes a lie of a change to what a bundle says of the log.
func ofEntry(change func(entry object)) func(g, other *given) {
	return func(g, _ *given) { change(logged(g.bundle)) }
}

// ofSwap makes a lie of what the other bundle says of the log.
func ofSwap(change func(entry, other object)) func(g, other *given) {
	return func(g, other *given) { change(logged(g.bundle), logged(other.bundle)) }
}

// without makes a lie of one to which the log promised nothing.
func without(change func(g, other *given)) func(g, other *given) {
	return func(g, other *given) {
		delete(logged(g.bundle), "inclusionPromise")
		change(g, other)
	}
}

// beyondTheSize makes a number in an inclusion proof what cannot be.
func beyondTheSize(e object, of object, name string) { of[name] = proof(e)["treeSize"] }

// lies are those to which it does not matter who signed what. Rekor v2's proof
// is of what the library makes itself of the bundle, for the tree and root in
// the checkpoint: what else the entry says of those is not looked at.
func lies() []lie {
	return []lie{
		{"nothing", ofEntry(func(object) {}), accepted, accepted},
		{"a hash of the proof", ofEntry(func(e object) { h := proof(e)["hashes"].([]any); h[0] = flip(h[0]) }), otherRoot, otherRoot},
		{"fewer hashes", ofEntry(func(e object) { proof(e)["hashes"] = proof(e)["hashes"].([]any)[1:] }), "wrong proof size", "wrong proof size"},
		{"the proof's root", ofEntry(func(e object) { proof(e)["rootHash"] = flip(proof(e)["rootHash"]) }), otherRoot, accepted},
		{"the proof's tree size", ofEntry(func(e object) { proof(e)["treeSize"] = proof(e)["logIndex"] }), beyond, accepted},
		{"the proof's log index", ofEntry(func(e object) { beyondTheSize(e, proof(e), "logIndex") }), beyond, accepted},
		{"no proof", ofEntry(func(e object) { delete(e, "inclusionProof") }), "inclusion proof missing in bundle", "inclusion proof missing in bundle"},
		{"no checkpoint", ofEntry(func(e object) { delete(proof(e), "checkpoint") }), "missing required checkpoint", "missing required checkpoint"},
		{"the checkpoint's tree size", ofEntry(func(e object) { larger(e) }), badNote, badSigned},
		{"the checkpoint's root", ofEntry(func(e object) { flipLine(e, 2) }), badNote, badSigned},
		{"the checkpoint's signature", ofEntry(func(e object) { flipLine(e, 4) }), badNote, badSigned},
		{"a checkpoint by another key", ofEntry(func(e object) { sealed(e, false) }), badNote, unsigned},
		{"a checkpoint by another key, with the log's id", ofEntry(func(e object) { sealed(e, true) }), badNote, badSigned},
		{"the log index", ofEntry(func(e object) { beyondTheSize(e, e, "logIndex") }), badPromise, beyond},
		{"the log's id", ofEntry(func(e object) { id := e["logId"].(object); id["keyId"] = flip(id["keyId"]) }), unknownLog, unknownLog},
		{"the body", ofSwap(func(e, other object) { e["canonicalizedBody"] = other["canonicalizedBody"] }), badPromise, accepted},
		{"no entry in the body", ofEntry(func(e object) { e["canonicalizedBody"] = "e30=" }), "not a recognizable Rekor v1 or Rekor v2 type", "not a recognizable Rekor v1 or Rekor v2 type"},
		{"the entry", ofSwap(func(e, other object) { clear(e); maps.Copy(e, other) }), "transparency log signature does not match", otherRoot},
		{"no entry", func(g, _ *given) { delete(materialOf(g.bundle), "tlogEntries") }, noEntry + "$", noEntry + "$"},
		{"an entry twice", func(g, _ *given) {
			m := materialOf(g.bundle)
			m["tlogEntries"] = append(m["tlogEntries"].([]any), logged(g.bundle))
		}, "duplicate tlog entries", "duplicate tlog entries"},
		{"another key of the log is trusted", func(g, _ *given) { otherKey(g.root) }, badPromise, unsigned},
		{"no log is trusted", func(g, _ *given) { delete(g.root, "tlogs") }, unknownLog, unknownLog},
		{"a log of another origin is trusted", func(g, _ *given) {
			for _, log := range g.root["tlogs"].([]any) {
				log.(object)["baseUrl"] = "https://other.example"
			}
		}, accepted, unsigned},
	}
}

// promised are those about what Rekor v1 alone gives, and, without that, about
// what it otherwise hides: the promise is looked at first.
func promised() []lie {
	promise := func(e object) object { return e["inclusionPromise"].(object) }
	only := func(name, reason string, change func(g, other *given)) lie { return lie{name, change, reason, ""} }
	return []lie{
		only("the promise", badPromise, ofEntry(func(e object) { promise(e)["signedEntryTimestamp"] = flip(promise(e)["signedEntryTimestamp"]) })),
		only("another entry's promise", badPromise, ofSwap(func(e, other object) { e["inclusionPromise"] = other["inclusionPromise"] })),
		only("no promise", "threshold not met for verified log entry integrated timestamps: 0 < 1", ofEntry(func(e object) { delete(e, "inclusionPromise") })),
		only("the time", badPromise, ofEntry(func(e object) { e["integratedTime"] = later(e["integratedTime"]) })),
		only("the body, without promise", otherRoot, without(ofSwap(func(e, other object) { e["canonicalizedBody"] = other["canonicalizedBody"] }))),
		only("another key of the log is trusted, without promise", badNote, without(func(g, _ *given) { otherKey(g.root) })),
	}
}

// unpromised are those about what Rekor v2 does not give.
func unpromised() []lie {
	return []lie{{
		"a promise", ofEntry(func(e object) { e["inclusionPromise"] = object{"signedEntryTimestamp": "AAAA"} }),
		"", noEntry + ": can only verify SET for Rekor v1 entry",
	}}
}

// ofContent are those about what was signed.
func ofContent(what string) []lie {
	if what == "blob" {
		return []lie{
			{"another artifact", func(g, other *given) { g.artifact = other.artifact }, "could not verify message", "could not verify message"},
			{"another artifact, and its digest", func(g, other *given) {
				g.artifact = other.artifact
				message(g.bundle)["messageDigest"] = message(other.bundle)["messageDigest"]
			}, "hashedrekord entry digest .* does not match artifact", otherRoot},
			{"the signature", func(g, _ *given) { m := message(g.bundle); m["signature"] = flip(m["signature"]) }, "transparency log signature does not match", otherRoot},
		}
	}
	return []lie{
		{"another artifact", func(g, other *given) { g.artifact = other.artifact }, "provided artifact digests do not match", "provided artifact digests do not match"},
		{"another statement", func(g, other *given) { envelope(g.bundle)["payload"] = envelope(other.bundle)["payload"] }, "payload hash .* does not match envelope payload hash", otherRoot},
		{"the signature", func(g, _ *given) {
			sig := envelope(g.bundle)["signatures"].([]any)[0].(object)
			sig["sig"] = flip(sig["sig"])
		}, "transparency log signature does not match", otherRoot},
	}
}

// ofKeys are those about who signed, by key.
func ofKeys() []lie {
	return []lie{
		{"another key is expected", func(g, other *given) { g.key = other.key }, otherSigner, otherRoot},
	}
}

// ofCertificates are those about who signed, by certificate, and when.
func ofCertificates() []lie {
	return []lie{
		{"another identity is expected", func(g, _ *given) { g.identity = stranger }, `expected SAN value "` + stranger + `"`, `expected SAN value "` + stranger + `"`},
		{"another's certificate", func(g, other *given) { materialOf(g.bundle)["certificate"] = materialOf(other.bundle)["certificate"] }, otherSigner, otherRoot},
		{"another's certificate for the key", func(g, _ *given) {
			cert := must1(g.authority.issueTo(stranger, g.key.GetPublicKey()))
			g.identity, materialOf(g.bundle)["certificate"] = stranger, object{"rawBytes": cert.Raw}
		}, otherSigner, otherRoot},
		{"another authority of the certificate is trusted", func(g, other *given) { g.root["certificateAuthorities"] = other.root["certificateAuthorities"] }, leafError, leafError},
		{"no timestamp", func(g, _ *given) { delete(materialOf(g.bundle), "timestampVerificationData") }, stampError, stampError},
		{"the timestamp", func(g, _ *given) {
			der := must1(base64.StdEncoding.DecodeString(stamp(g.bundle)["signedTimestamp"].(string)))
			der[len(der)-1] ^= 1 // of the signature
			stamp(g.bundle)["signedTimestamp"] = der
		}, stampError + ".*signature", stampError + ".*signature"},
		{"another's timestamp", func(g, other *given) { stamp(g.bundle)["signedTimestamp"] = stamp(other.bundle)["signedTimestamp"] }, stampError + ".*hashed messages don't match", stampError + ".*hashed messages don't match"},
		{"a timestamp of before the certificate", func(g, _ *given) { stamp(g.bundle)["signedTimestamp"] = g.stampOf(time.Now().Add(-30 * time.Minute)) }, leafError, leafError},
		{"another authority of timestamps is trusted", func(g, other *given) { g.root["timestampAuthorities"] = other.root["timestampAuthorities"] }, stampError + ".*No certificate for signer", stampError + ".*No certificate for signer"},
		{"a time before the certificate", ofEntry(func(e object) { e["integratedTime"] = "1704067201" }), badPromise, "integrated time outside certificate validity"},
	}
}

const stranger = "somebody@example.com"

func message(bundle object) object  { return bundle["messageSignature"].(object) }
func envelope(bundle object) object { return bundle["dsseEnvelope"].(object) }

// materialOf is what a bundle shows of who signed, and when.
func materialOf(bundle object) object { return bundle["verificationMaterial"].(object) }

func stamp(bundle object) object {
	data := materialOf(bundle)["timestampVerificationData"].(object)
	return data["rfc3161Timestamps"].([]any)[0].(object)
}

func liesAbout(api uint32, what string, certified bool) []lie {
	list := append(lies(), ofContent(what)...)
	if certified {
		list = append(list, ofCertificates()...)
	} else {
		list = append(list, ofKeys()...)
	}
	if api == 1 {
		return append(list, promised()...)
	}
	return append(list, unpromised()...)
}

// larger adds one to a checkpoint's tree size.
func larger(entry object) {
	checkpoint := proof(entry)["checkpoint"].(object)
	lines := strings.Split(checkpoint["envelope"].(string), "\n")
	lines[1] = strconv.Itoa(must1(strconv.Atoi(lines[1])) + 1)
	checkpoint["envelope"] = strings.Join(lines, "\n")
}

// sealed has another key, of the log's kind, sign the checkpoint in the place
// of the log, by its own id or by the log's.
func sealed(entry object, asLog bool) {
	checkpoint := proof(entry)["checkpoint"].(object)
	text, lines, _ := strings.Cut(checkpoint["envelope"].(string), "\n\n")
	line, rest, _ := strings.Cut(lines, "\n")
	name, old := line[len("— "):strings.LastIndexByte(line, ' ')], line[strings.LastIndexByte(line, ' ')+1:]
	id, sig := signNote(name, text+"\n", entry["inclusionPromise"] != nil)
	if asLog {
		id = must1(base64.StdEncoding.DecodeString(old))[:4]
	}
	line = "— " + name + " " + base64.StdEncoding.EncodeToString(append(id, sig...))
	checkpoint["envelope"] = text + "\n\n" + line + "\n" + rest
}

// signNote signs with a new key, as Rekor v1 or v2. SPEC: c2sp.org/signed-note;
// Rekor v1's id of an ECDSA key is the hash of its SubjectPublicKeyInfo.
func signNote(name, text string, v1 bool) (id, sig []byte) {
	if v1 {
		key := newKey()
		sum, digest := sha256.Sum256(must1(x509.MarshalPKIXPublicKey(key.Public()))), sha256.Sum256([]byte(text))
		return sum[:4], must1(ecdsa.SignASN1(rand.Reader, key, digest[:]))
	}
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(append([]byte(name+"\n\x01"), pub...))
	return sum[:4], ed25519.Sign(key, []byte(text))
}
