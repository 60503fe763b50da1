package oracle

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func testRekordV1(t *testing.T, all []keyV1) {
	k := keyOfDetails(t, all, "PKIX_ECDSA_P256_SHA_256")
	good := k.rekord(t, "artifact")
	right := sha256Hex([]byte("artifact"))
	ssh := []string{"signature", "format"}
	for _, c := range []struct {
		name, strict string
		value        any
		path         []string
	}{
		{"the right hash", "", obj{"algorithm": "sha256", "value": right}, []string{"data", "hash"}},
		{"another's hash", "", obj{"algorithm": "sha256", "value": sha256Hex(nil)}, []string{"data", "hash"}},
		{"the hash in capitals", "", obj{"algorithm": "sha256", "value": strings.ToUpper(right)}, []string{"data", "hash"}},
		{"a hash without a value", "", obj{"algorithm": "sha256"}, []string{"data", "hash"}},
		{"a hash without an algorithm", "", obj{"value": right}, []string{"data", "hash"}},
		{"another algorithm", "", obj{"algorithm": "sha512", "value": right}, []string{"data", "hash"}},
		{"a hash that is null", "", json.RawMessage("null"), []string{"data", "hash"}},
		{"a hash that is a string", "it is not a JSON object", right, []string{"data", "hash"}},
		{"no content", "", nil, []string{"data", "content"}},
		{"an empty content", "", "", []string{"data", "content"}},
		{"content in lines", "", "YXJ0\nZmFjdA==", []string{"data", "content"}},
		{"another content", "", "eA==", []string{"data", "content"}},
		{"no data", "", nil, []string{"data"}},
		{"no format", "", nil, ssh},
		{"pgp", "", "pgp", ssh},
		{"an unknown format", "", "x", ssh},
		{"no signature", "", nil, []string{"signature", "content"}},
		{"no key", "", nil, []string{"signature", "publicKey"}},
		{"a URL too", "spec.data.url", "http://127.0.0.1/", []string{"data", "url"}},
		{"a URL of the signature too", "spec.signature.url", "http://127.0.0.1/", []string{"signature", "url"}},
		{"a URL of the key too", "spec.signature.publicKey.url", "http://127.0.0.1/", []string{"signature", "publicKey", "url"}},
		{"a URL that is null", "", json.RawMessage("null"), []string{"data", "url"}},
		{"a member more", "", true, []string{"data", "more"}},
	} {
		compare(t, c.name, proposal(t, "rekord", "0.0.1", at(t, good, c.value, c.path...)), c.strict)
	}
	only := at(t, at(t, good, nil, "data", "content"), "https://example.org/", "data", "url")
	compare(t, "a URL alone", proposal(t, "rekord", "0.0.1", only), "")
	compare(t, "a megabyte", proposal(t, "rekord", "0.0.1", k.rekord(t, strings.Repeat("x", 1<<20))), "")
}

func testDSSEV1(t *testing.T, all []keyV1) {
	k, l, m := all[0], all[1], all[2]
	if k.name == l.name || !strings.HasPrefix(l.name, k.name) {
		t.Fatalf("%s and %s are not one key", k.name, l.name)
	}
	one := envelope(t, "payload", k)
	text := jsonOf(t, one)
	sig := one["signatures"].([]any)[0].(obj)["sig"].(string)
	signed := func(keys ...keyV1) string { return jsonOf(t, envelope(t, "payload", keys...)) }
	replaced := func(old, new string) string {
		if !strings.Contains(text, old) {
			t.Fatalf("no %q in %s", old, text)
		}
		return strings.Replace(text, old, new, 1)
	}
	var every []keyV1 // a key, or its certificate, of each algorithm
	for i := 0; i < len(all); i += 2 {
		every = append(every, all[i+i/2%2])
	}
	reversed := slices.Clone(every)
	slices.Reverse(reversed)
	odd := at(t, one, b64([]byte("\xfb\xff\xfe")), "payload")
	for _, c := range []struct {
		name, strict string
		spec         obj
	}{
		{"every algorithm", "", dsseSpec(signed(every...), texts(every...)...)},
		{"the verifiers in another order", "", dsseSpec(signed(every...), texts(reversed...)...)},
		{"a verifier is missing", "", dsseSpec(signed(every...), texts(every[1:]...)...)},
		{"a verifier before that is not needed", "", dsseSpec(text, m.text, k.text)},
		{"a verifier after that is not needed", "leave it out", dsseSpec(text, k.text, m.text)},
		{"a verifier after that is none", "verifiers[1]", dsseSpec(text, k.text, []byte("none"))},
		{"a verifier twice", "same key", dsseSpec(text, k.text, k.text)},
		{"a key and its certificate", "same key", dsseSpec(text, k.text, l.text)},
		{"a certificate and its key", "same key", dsseSpec(text, l.text, k.text)},
		{"two signatures by a key", "", dsseSpec(signed(every[0], every[0]), every[0].text)},
		{"a signature twice", "is there twice", dsseSpec(replaced(`[{"keyid":"","sig":"`+sig+`"}`, `[{"sig":"`+sig+`"},{"sig":"`+sig+`"}`), k.text)},
		{"no verifiers", "", dsseSpec(text)},
		{"no signatures", "", dsseSpec(replaced(`[{"keyid":"","sig":"`+sig+`"}]`, "[]"), k.text)},
		{"a keyid", "", dsseSpec(replaced(`"keyid":""`, `"keyid":"any"`), k.text)},
		{"no keyid", "", dsseSpec(replaced(`"keyid":"",`, ``), k.text)},
		{"a member more", "", dsseSpec(replaced(`"keyid":""`, `"cert":["x",1]`), k.text)},
		{"white space", "", dsseSpec(strings.ReplaceAll(text, ",", ",\n\t"), k.text)},
		{"members in capitals", "must be spelt", dsseSpec(replaced(`"payload"`, `"Payload"`), k.text)},
		{"a member twice", "is there twice", dsseSpec(replaced(`{"payload"`, `{"payload":"","payload"`), k.text)},
		{"another payload", "", dsseSpec(jsonOf(t, odd), k.text)},
		{"payload without padding", "", dsseSpec(replaced(`"cGF5bG9hZA=="`, `"cGF5bG9hZA"`), k.text)},
		{"payload in lines", "line break", dsseSpec(replaced(`"cGF5bG9hZA=="`, `"cGF5\nbG9hZA=="`), k.text)},
		{"sig in lines", "line break", dsseSpec(replaced(sig, sig[:8]+`\n`+sig[8:]), k.text)},
		{"no sig", "", dsseSpec(replaced(sig, ""), k.text)},
		{"another payloadType", "", dsseSpec(replaced("in-toto", "in_toto"), k.text)},
		{"not JSON", "", dsseSpec("{", k.text)},
		{"empty", "", dsseSpec("", k.text)},
		{"more after", "", dsseSpec(text+"{}", k.text)},
		{"a line break after", "", dsseSpec(text+"\n", k.text)},
		{"the canonical form", "", obj{"envelopeHash": obj{"algorithm": "sha256", "value": sha256Hex(nil)}, "payloadHash": obj{"algorithm": "sha256", "value": sha256Hex(nil)}, "signatures": []any{obj{"signature": sig, "verifier": b64(k.text)}}}},
		{"no content", "", obj{}},
		{"verifiers that are no list", "", obj{"proposedContent": obj{"envelope": text, "verifiers": b64(k.text)}}},
		{"a verifier that is a number", "", obj{"proposedContent": obj{"envelope": text, "verifiers": []any{1}}}},
		{"a verifier not in base64", "", obj{"proposedContent": obj{"envelope": text, "verifiers": []any{string(k.text)}}}},
		{"an envelope that is an object", "", obj{"proposedContent": obj{"envelope": one, "verifiers": []any{b64(k.text)}}}},
	} {
		compare(t, c.name, proposal(t, "dsse", "0.0.1", c.spec), c.strict)
	}
	testAlphabets(t, k)
	testEmpty(t, k)
	testMany(t)
}

// testAlphabets writes payloads and signatures in URL-safe base64.
func testAlphabets(t *testing.T, k keyV1) {
	for range 20 {
		env := envelope(t, "\xfb\xff\xfe payload", k)
		payload, err := base64.StdEncoding.DecodeString(env["payload"].(string))
		if err != nil {
			t.Fatal(err)
		}
		env["payload"] = base64.URLEncoding.EncodeToString(payload)
		compare(t, "payload in URL-safe base64", proposal(t, "dsse", "0.0.1", dsseSpec(jsonOf(t, env), k.text)), "")
		compare(t, "intoto, payload in URL-safe base64", proposal(t, "intoto", "0.0.2", intotoSpec(t, env, k)), "")
		sig := env["signatures"].([]any)[0].(obj)
		url := strings.NewReplacer("+", "-", "/", "_").Replace(sig["sig"].(string))
		if url == sig["sig"] {
			continue
		}
		env["payload"], sig["sig"] = b64(payload), url
		compare(t, "sig in URL-safe base64", proposal(t, "dsse", "0.0.1", dsseSpec(jsonOf(t, env), k.text)), "URL-safe base64")
		compare(t, "intoto, sig in URL-safe base64", proposal(t, "intoto", "0.0.2", intotoSpec(t, env, k)), "standard base64")
		return
	}
	t.Error("no signature had a letter that differs")
}

// testEmpty signs what is empty.
func testEmpty(t *testing.T, k keyV1) {
	compare(t, "an empty payload", proposal(t, "dsse", "0.0.1", dsseSpec(jsonOf(t, envelope(t, "", k)), k.text)), "")
	compare(t, "intoto, an empty payload", proposal(t, "intoto", "0.0.2", intotoSpec(t, envelope(t, "", k), k)), "")
	none := obj{"payload": "", "payloadType": "", "signatures": []any{obj{"sig": b64(k.whole(t, []byte("DSSEv1 0  0 ")))}}}
	compare(t, "an empty payloadType", proposal(t, "dsse", "0.0.1", dsseSpec(jsonOf(t, none), k.text)), "no payloadType")
	delete(none, "payload")
	none["payloadType"] = "t"
	none["signatures"] = []any{obj{"sig": b64(k.whole(t, []byte("DSSEv1 1 t 0 ")))}}
	compare(t, "no payload", proposal(t, "dsse", "0.0.1", dsseSpec(jsonOf(t, none), k.text)), "no payload")
}

// testMany signs with many keys.
func testMany(t *testing.T) {
	var keys []keyV1
	for range 11 {
		keys = append(keys, newKeyV1(t))
	}
	for n, strict := range map[int]string{10: "", 11: "at most 10"} {
		env := envelope(t, "payload", keys[:n]...)
		compare(t, "many", proposal(t, "dsse", "0.0.1", dsseSpec(jsonOf(t, env), texts(keys[:n]...)...)), strict)
		compare(t, "intoto, many", proposal(t, "intoto", "0.0.2", intotoSpec(t, env, keys[:n]...)), strict)
	}
}

func testIntoto(t *testing.T, all []keyV1) {
	k, l, m := all[0], all[1], all[2]
	env := envelope(t, "payload", k)
	good := intotoSpec(t, env, k)
	two := intotoSpec(t, envelope(t, "payload", k, m), k, m)
	sig := env["signatures"].([]any)[0].(obj)["sig"].(string)
	signature := func(keyid, sig, key string) []any {
		return []any{obj{"keyid": keyid, "sig": sig, "publicKey": key}}
	}
	in := func(names ...string) []string { return append([]string{"content", "envelope"}, names...) }
	twice := func(b string) string { return b64([]byte(b)) }
	mine := signature("", twice(sig), b64(k.text))[0].(obj)
	sigs := two["content"].(obj)["envelope"].(obj)["signatures"].([]any)
	crossed := []any{at(t, sigs[0].(obj), b64(m.text), "publicKey"), at(t, sigs[1].(obj), b64(k.text), "publicKey")}
	hash := func(algorithm, value any) obj { return obj{"algorithm": algorithm, "value": value} }
	for _, c := range []struct {
		name, strict string
		value        any
		path         []string
	}{
		{"two signatures", "", sigs, in("signatures")},
		{"two in another order", "", []any{sigs[1], sigs[0]}, in("signatures")},
		{"keys crossed", "does not verify", crossed, in("signatures")},
		{"a keyid", "", signature("an id", twice(sig), b64(k.text)), in("signatures")},
		{"a keyid of all sorts", "", signature("<&>\"\\\b\f\n\r\t\x00\x1f\x7f\u0080\u2028\u2029é€😀\ufffd/", twice(sig), b64(k.text)), in("signatures")},
		{"the certificate", "", signature("", twice(sig), b64(l.text)), in("signatures")},
		{"the key in CRLF", "", signature("", twice(sig), b64([]byte(strings.ReplaceAll(string(k.text), "\n", "\r\n")))), in("signatures")},
		{"another's key", "", signature("", twice(sig), b64(m.text)), in("signatures")},
		{"a signature twice", "same key", []any{mine, mine}, in("signatures")},
		{"a sig once in base64", "", signature("", sig, b64(k.text)), in("signatures")},
		{"a sig in lines inside", "stray bits", signature("", twice(sig[:8]+"\n"+sig[8:]), b64(k.text)), in("signatures")},
		{"a sig in lines outside", "", signature("", twice(sig)[:8]+"\n"+twice(sig)[8:], b64(k.text)), in("signatures")},
		{"no sig", "", []any{obj{"publicKey": b64(k.text)}}, in("signatures")},
		{"no key", "", []any{obj{"sig": twice(sig)}}, in("signatures")},
		{"an empty sig", "", signature("", "", b64(k.text)), in("signatures")},
		{"a signature that is null", "", []any{nil}, in("signatures")},
		{"no signatures", "", []any{}, in("signatures")},
		{"signatures null", "", json.RawMessage("null"), in("signatures")},
		{"no payload", "", nil, in("payload")},
		{"a payload once in base64", "", env["payload"], in("payload")},
		{"a payload in lines", "", twice(env["payload"].(string)[:4] + "\n" + env["payload"].(string)[4:]), in("payload")},
		{"another payload", "", twice("eA=="), in("payload")},
		{"no payloadType", "", nil, in("payloadType")},
		{"an empty payloadType", "", "", in("payloadType")},
		{"another payloadType", "", "x", in("payloadType")},
		{"no envelope", "", nil, in()},
		{"no content", "", nil, []string{"content"}},
		{"no hash", "", nil, []string{"content", "hash"}},
		{"another hash", "", hash("sha256", sha256Hex(nil)), []string{"content", "hash"}},
		{"a hash by SHA-512", "", hash("sha512", sha256Hex(nil)), []string{"content", "hash"}},
		{"a hash in capitals", "has capitals", hash("sha256", strings.ToUpper(sha256Hex(nil))), []string{"content", "hash"}},
		{"a hash that is none", "a sha256 digest has 64", hash("sha256", "none"), []string{"content", "hash"}},
		{"a hash without a value", "", hash("sha256", nil), []string{"content", "hash"}},
		{"a payloadHash", "", hash("sha256", sha256Hex(nil)), []string{"content", "payloadHash"}},
	} {
		compare(t, c.name, proposal(t, "intoto", "0.0.2", at(t, good, c.value, c.path...)), c.strict)
	}
	compare(t, "intoto 0.0.1", proposal(t, "intoto", "0.0.1", good), "")
	odd := obj{"payload": "eA==", "payloadType": "<\"\\\u2028\t\x01é😀>", "signatures": []any{}}
	odd["signatures"] = []any{obj{"keyid": "", "sig": b64(k.whole(t, paeOf(odd["payloadType"].(string), "x")))}}
	compare(t, "a payloadType of all sorts", proposal(t, "intoto", "0.0.2", intotoSpec(t, odd, k)), "")
}
