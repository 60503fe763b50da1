package checkpoint

import (
	"crypto/elliptic"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	formats "github.com/transparency-dev/formats/witness"
)

// keys are the vkeys that the policies below are written with.
func policyKeys(t testing.TB) *strings.Replacer {
	t.Helper()
	pairs := []string{
		"LOG", logSigner(t, testOrigin, 1).Verifier().String(),
		"LEG", ecdsaSigner(t, testOrigin, elliptic.P256()).Verifier().String(),
		"L04", newWitness(t, testOrigin, CosignatureV1Ed25519, 50).v.String(),
		"L06", newWitness(t, testOrigin, CosignatureV1MLDSA44, 1).v.String(),
		"RENAMED", newWitness(t, "another.example", CosignatureV1Ed25519, 101).v.String(),
		"PLAIN", logSigner(t, "w1.example", 101).Verifier().String(),
		"ALIAS", logSigner(t, "alias.example", 1).Verifier().String(),
	}
	for i := range byte(4) {
		alg := CosignatureV1Ed25519
		if i == 3 {
			alg = CosignatureV1MLDSA44
		}
		pairs = append(pairs, fmt.Sprintf("KEY%d", i+1), newWitness(t, fmt.Sprintf("w%d.example", i+1), alg, 101+i).v.String())
	}
	return strings.NewReplacer(pairs...)
}

const threeWitnesses = "witness a KEY1\nwitness b KEY2\nwitness c KEY3\n"

func TestParsePolicy(t *testing.T) {
	keys := policyKeys(t)
	for name, test := range map[string]struct {
		policy string
		want   string // quorum, counts of logs, witnesses, groups, URLs
	}{
		"none":             {"log LOG\nquorum none\n", "none 1 0 0 []"},
		"no log":           {"quorum none\n", "none 0 0 0 []"},
		"two logs":         {"log LOG https://a.example/ \nlog LEG\nlog L06\nquorum none\n", "none 3 0 0 [https://a.example/]"},
		"witness":          {"log LOG\nwitness a KEY1\nquorum a\n", "a 1 1 0 []"},
		"ML-DSA witness":   {"log LOG\nwitness a KEY4\nquorum a\n", "a 1 1 0 []"},
		"group":            {threeWitnesses + "group g 2 a b c\nquorum g\n", "g 0 3 1 []"},
		"all":              {threeWitnesses + "group g all a b c\nquorum g\n", "g 0 3 1 []"},
		"nested":           {threeWitnesses + "group g any a b\ngroup h all g c\nquorum h\n", "h 0 3 2 []"},
		"unused":           {threeWitnesses + "group g any a\nquorum b\n", "b 0 3 1 []"},
		"lines behind":     {"witness a KEY1\nquorum a\nlog LOG\nwitness b KEY2\n", "a 1 2 0 []"},
		"blanks":           {" \t\n\n\tlog\t \tLOG  \n  # log x\n#\nquorum none \t\n", "none 1 0 0 []"},
		"hash is data":     {"log LOG #x\nwitness a#b KEY1 #x\nwitness # KEY2 x#\nquorum #\n", "# 1 2 0 [#x #x x#]"},
		"opaque octets":    {"witness \xff\u00a0 KEY1 \x80\ngroup \u212a any \xff\u00a0\nquorum \u212a\n", "\u212a 0 1 1 [\x80]"},
		"keywords as name": {"witness all KEY1\nwitness witness KEY2\ngroup any 2 all witness\nquorum any\n", "any 0 2 1 []"},
		"log and witness":  {"log L06\nwitness a L06\nquorum a\n", "a 1 1 0 []"},
	} {
		p, err := ParsePolicy([]byte(keys.Replace(test.policy)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := summary(p); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func summary(p *Policy) string {
	urls := []string{}
	for _, l := range p.Logs {
		urls = append(urls, l.URL)
	}
	for _, w := range p.Witnesses {
		urls = append(urls, w.URL)
	}
	urls = strings.Fields(strings.Join(urls, " "))
	return fmt.Sprintf("%s %d %d %d %s", p.Quorum, len(p.Logs), len(p.Witnesses), len(p.Groups), urls)
}

func TestPolicyWarnings(t *testing.T) {
	keys := policyKeys(t)
	same := newWitness(t, "w1.example", CosignatureV1Ed25519, 99).v.String()
	for policy, want := range map[string]string{
		threeWitnesses: "",
		"witness a KEY1 https://a.example\nwitness b KEY2 https://b.example/\n": "",
		"witness a KEY1\nwitness b KEY2\n":                                      "",
		"witness a KEY1 https://w.example\nwitness b KEY2 https://w.example/\n": `witnesses "a" and "b" have one URL, "https://w.example/"`,
		"witness a KEY1\nwitness b " + same + "\n":                              `witnesses "a" and "b" have keys of one name, "w1.example"`,
		"witness a KEY1 u:x\nwitness b KEY2\nwitness c " + same + " u:x\n":      `witnesses "a" and "c" have keys of one name`,
		"witness a KEY1 u:x\nwitness b KEY2 u:x\nwitness c KEY3 u:x\n":          `"a" and "b" have one URL "a" and "c" have one URL "b" and "c" have one URL`,
	} {
		p, err := ParsePolicy([]byte(keys.Replace(policy + "quorum none\n")))
		if err != nil {
			t.Fatal(err)
		}
		got, rest := p.Warnings(), strings.Split(want, ` "`)
		if want == "" && len(got) > 0 {
			t.Errorf("%s: %q", policy, got)
		}
		for _, part := range rest {
			if !strings.Contains(strings.Join(got, "\n"), part) {
				t.Errorf("%s: %q does not say %s", policy, got, want)
			}
		}
	}
}

func TestParsePolicyRefuses(t *testing.T) {
	keys := policyKeys(t)
	for name, test := range map[string][2]string{
		"empty":                   {"", "no quorum line"},
		"no quorum":               {"log LOG\n", "no quorum line"},
		"two quorums":             {"quorum none\nquorum none\n", "second quorum"},
		"quorum of two":           {threeWitnesses + "quorum a b\n", "quorum has 2"},
		"quorum of none at all":   {"quorum\n", "quorum has 0"},
		"quorum before":           {"quorum a\nwitness a KEY1\n", "line above"},
		"quorum undefined":        {threeWitnesses + "quorum x\n", "line above"},
		"quorum names a log":      {"log LOG\nquorum " + testOrigin + "\n", "line above"},
		"no final newline":        {"quorum none", "does not end in a newline"},
		"carriage return":         {"log LOG\r\nquorum none\r\n", "0x0d"},
		"vertical tab":            {"log\vLOG\nquorum none\n", "0x0b"},
		"form feed":               {"log LOG\f\nquorum none\n", "0x0c"},
		"NUL":                     {"# \x00\nquorum none\n", "0x00"},
		"DEL":                     {"# \x7f\nquorum none\n", "0x7f"},
		"NBSP between":            {"quorum\u00a0none\n", "a line starts with"},
		"NBSP before":             {"\u00a0quorum none\n", "a line starts with"},
		"upper case":              {"Quorum none\n", "a line starts with"},
		"unknown keyword":         {"monitor a\nquorum none\n", "a line starts with"},
		"comment behind":          {"quorum none # all\n", "quorum has 3"},
		"log without key":         {"log\nquorum none\n", "log has 0"},
		"log with two URLs":       {"log LOG a b\nquorum none\n", "log has 3"},
		"log key damaged":         {"log LOGx\nquorum none\n", "not base64"},
		"log key of witness":      {"log L04\nquorum none\n", "0x04"},
		"log twice":               {"log LOG\nlog LOG\nquorum none\n", "same public key"},
		"log twice, other name":   {"log LOG\nlog ALIAS\nquorum none\n", "same public key"},
		"witness without key":     {"witness a\nquorum none\n", "witness has 1"},
		"witness with two URLs":   {"witness a KEY1 b c\nquorum none\n", "witness has 4"},
		"witness of a log's type": {"witness a PLAIN\nquorum none\n", "0x01"},
		"same key, two names":     {"witness a KEY1\nwitness b KEY1\nquorum none\n", "same public key"},
		"same key, two key names": {"witness a KEY1\nwitness b RENAMED\nquorum none\n", "same public key"},
		"same key, two types":     {"witness a KEY1\nwitness b PLAIN\nquorum none\n", "same public key"},
		"witness none":            {"witness none KEY1\nquorum none\n", "reserved"},
		"group none":              {threeWitnesses + "group none any a\nquorum none\n", "reserved"},
		"member none":             {threeWitnesses + "group g any none\nquorum g\n", "line above"},
		"witness defined twice":   {"witness a KEY1\nwitness a KEY2\nquorum a\n", "defined twice"},
		"group as witness":        {threeWitnesses + "group a any b\nquorum a\n", "defined twice"},
		"witness as group":        {"witness a KEY1\ngroup g any a\nwitness g KEY2\nquorum g\n", "defined twice"},
		"no members":              {threeWitnesses + "group g any\nquorum g\n", "group has 2"},
		"k = 0":                   {threeWitnesses + "group g 0 a b\nquorum g\n", "1 to 2"},
		"k > n":                   {threeWitnesses + "group g 3 a b\nquorum g\n", "1 to 2"},
		"k = 258":                 {threeWitnesses + "group g 258 a b\nquorum g\n", "1 to 2"},
		"k = 2^64+1":              {threeWitnesses + "group g 18446744073709551617 a b\nquorum g\n", "1 to 2"},
		"007":                     {threeWitnesses + "group g 007 a b\nquorum g\n", "1 to 2"},
		"01":                      {threeWitnesses + "group g 01 a b\nquorum g\n", "1 to 2"},
		"+1":                      {threeWitnesses + "group g +1 a b\nquorum g\n", "1 to 2"},
		"-1":                      {threeWitnesses + "group g -1 a b\nquorum g\n", "1 to 2"},
		"0x1":                     {threeWitnesses + "group g 0x1 a b\nquorum g\n", "1 to 2"},
		"ANY":                     {threeWitnesses + "group g ANY a b\nquorum g\n", "1 to 2"},
		"member of itself":        {threeWitnesses + "group g any g\nquorum g\n", "line above"},
		"member of a later line":  {"group g any a\nwitness a KEY1\nquorum g\n", "line above"},
		"member twice in a group": {threeWitnesses + "group g 2 a a\nquorum g\n", "counts once"},
		"member of two groups":    {threeWitnesses + "group g any a b\ngroup h any b c\nquorum h\n", "counts once"},
		"group in two groups":     {threeWitnesses + "group g any a\ngroup h any g\ngroup i any g\nquorum i\n", "counts once"},
		"too large":               {"#" + strings.Repeat("x", maxPolicySize) + "\nquorum none\n", "at most"},
	} {
		_, err := ParsePolicy([]byte(keys.Replace(test[0])))
		if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), test[1]) {
			t.Errorf("%s: error %v does not say %q", name, err, test[1])
		}
	}
}

func TestPolicyNamesTheLine(t *testing.T) {
	_, err := ParsePolicy([]byte("# a comment\n\nquorum x\n"))
	if err == nil || !strings.Contains(err.Error(), "policy line 3") {
		t.Errorf("error %v", err)
	}
}

// SPEC: tlog-policy: support at least 32 logs, witnesses and groups. Here of
// the size of ML-DSA keys, and as deep as can be.
func TestPolicyLimits(t *testing.T) {
	var b strings.Builder
	signers := []Signer{logSigner(t, testOrigin, 1)}
	fmt.Fprintf(&b, "log %s\n", logSigner(t, testOrigin, 1).Verifier())
	for i := range byte(40) {
		fmt.Fprintf(&b, "log %s\n", newWitness(t, testOrigin, CosignatureV1MLDSA44, 50+i).v)
		w := newWitness(t, fmt.Sprintf("w%d.example", i), CosignatureV1MLDSA44, 100+i)
		fmt.Fprintf(&b, "witness w%d %s\n", i, w.v)
		if i == 0 {
			b.WriteString("group g0 any w0\n")
		} else {
			fmt.Fprintf(&b, "group g%d all g%d w%d\n", i, i-1, i)
		}
		if i < 30 {
			signers = append(signers, w)
		}
	}
	for quorum, ok := range map[string]bool{"g29": true, "g30": false} {
		p, err := ParsePolicy([]byte(b.String() + "quorum " + quorum + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Open(mustSign(t, sample(5), signers...)); (err == nil) != ok {
			t.Errorf("quorum %s: %v", quorum, err)
		}
	}
}

func TestPolicyOpen(t *testing.T) {
	p, err := ParsePolicy([]byte(policyKeys(t).Replace("log LOG\n" + threeWitnesses + "witness d KEY4\ngroup g 2 a b c\ngroup h all g d\nquorum h\n")))
	if err != nil {
		t.Fatal(err)
	}
	log := logSigner(t, testOrigin, 1)
	w := [4]witness{}
	for i := range byte(4) {
		w[i] = newWitness(t, fmt.Sprintf("w%d.example", i+1), p.Witnesses[i].Key.Algorithm(), 101+i)
	}
	o, err := p.Open(mustSign(t, sample(5), log, w[0], w[2], w[3]))
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, cosigned := range p.Cosigned(o) {
		at, _ := o.Timestamp(cosigned.Key)
		names = append(names, fmt.Sprint(cosigned.Name, at))
	}
	if got := strings.Join(names, " "); got != "a1700000101 c1700000103 d1700000104" {
		t.Errorf("cosigned by %s", got)
	}
	_, err = p.Open(mustSign(t, sample(5), log, w[0], w[1], w[2]))
	if !errors.Is(err, ErrUnverified) || !strings.Contains(err.Error(), `"h"`) || !strings.Contains(err.Error(), "[a b c]") {
		t.Errorf("without d: %v", err)
	}
	if _, err := p.Open(mustSign(t, sample(5), logSigner(t, testOrigin, 2), w[0], w[2], w[3])); !errors.Is(err, ErrUnverified) {
		t.Errorf("without the log: %v", err)
	}
}

// Random policies, and checkpoints cosigned by random witnesses: formats
// evaluates them by another road, and must agree.
func TestPolicyDifferential(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	met := 0
	for range 400 {
		text, signers := randomPolicy(t, random)
		p, err := ParsePolicy([]byte(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		f, err := formats.ParsePolicy([]byte(text))
		if err != nil {
			t.Fatalf("formats: %v\n%s", err, text)
		}
		signed := mustSign(t, sample(5), append(signers, logSigner(t, testOrigin, 1))...)
		_, err = p.Open(signed)
		if (err == nil) != f.Satisfied(signed) {
			t.Fatalf("%v, but formats says %v\n%s\n%s", err, f.Satisfied(signed), text, signed)
		}
		if err == nil {
			met++
		}
	}
	if met < 50 || met > 350 {
		t.Errorf("%d of 400 quorums met: the test says little", met)
	}
}

// randomPolicy returns a policy, and the witnesses that happen to cosign.
func randomPolicy(t *testing.T, random *rand.Rand) (string, []Signer) {
	var b strings.Builder
	var signers []Signer
	fmt.Fprintf(&b, "log %s\n", logSigner(t, testOrigin, 1).Verifier())
	free := []string{} // names that are no member yet
	for i := range byte(1 + random.IntN(6)) {
		w := newWitness(t, fmt.Sprintf("w%d.example", i), CosignatureV1Ed25519, 100+i)
		name := fmt.Sprintf("w%d", i)
		fmt.Fprintf(&b, "witness %s %s https://%s/\n", name, w.v, name)
		free = append(free, name)
		if random.IntN(3) > 0 {
			signers = append(signers, w)
		}
	}
	for i := range random.IntN(4) {
		random.Shuffle(len(free), func(i, j int) { free[i], free[j] = free[j], free[i] })
		n := 1 + random.IntN(len(free))
		k := []string{"any", "all", fmt.Sprint(1 + random.IntN(n))}[random.IntN(3)]
		fmt.Fprintf(&b, "group g%d %s %s\n", i, k, strings.Join(free[:n], " "))
		free = append(free[n:], fmt.Sprintf("g%d", i))
	}
	fmt.Fprintf(&b, "quorum %s\n", append(free, "none")[random.IntN(len(free)+1)])
	return b.String(), signers
}

func FuzzParsePolicy(f *testing.F) {
	keys := policyKeys(f)
	f.Add([]byte(keys.Replace("log LOG u\n# c\n" + threeWitnesses + "group g 2 a b c\n\tquorum  g\n")))
	f.Add([]byte(keys.Replace("witness \xff KEY4 #\ngroup g all \xff\nquorum g\n")))
	f.Add([]byte("quorum none\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParsePolicy(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("error %v", err)
			}
			return
		}
		again, err := ParsePolicy([]byte(printPolicy(p)))
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Errorf("%v: %+v, again %+v", err, p, again)
		}
	})
}

func printPolicy(p *Policy) string {
	var b strings.Builder
	for _, l := range p.Logs {
		fmt.Fprintf(&b, "log %s %s\n", l.Key, l.URL)
	}
	for _, w := range p.Witnesses {
		fmt.Fprintf(&b, "witness %s %s %s\n", w.Name, w.Key, w.URL)
	}
	for _, g := range p.Groups {
		fmt.Fprintf(&b, "group %s %d %s\n", g.Name, g.Threshold, strings.Join(g.Members, " "))
	}
	return b.String() + "quorum " + p.Quorum + "\n"
}
