package checkpoint

import (
	"strings"
	"testing"
)

// warnings are those of a policy of these lines.
func warnings(t *testing.T, lines string, logs ...Verifier) string {
	t.Helper()
	p, err := ParsePolicy([]byte(lines))
	if err != nil {
		t.Fatalf("%s%v", lines, err)
	}
	return strings.Join(p.Warnings(logs...), "\n")
}

// TestLogAsItsOwnWitness: what a log cosigns of itself proves nothing, and the
// policy is valid all the same.
func TestLogAsItsOwnWitness(t *testing.T) {
	log, another := logSigner(t, testOrigin, 1).Verifier(), newWitness(t, "w1.example", CosignatureV1MLDSA44, 1).v
	mldsa := newWitness(t, testOrigin, CosignatureV1MLDSA44, 50).v
	sameBytes, err := newVerifier("w2.example", CosignatureV1Ed25519, log.key)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		lines, want string
		logs        []Verifier
	}{
		"another":                  {"log " + log.String() + "\nwitness w " + another.String() + "\nquorum w\n", "", nil},
		"another, no log line":     {"witness w " + another.String() + "\nquorum w\n", "", []Verifier{log, mldsa}},
		"both keys in log lines":   {"log " + log.String() + "\nlog " + mldsa.String() + "\nwitness self " + mldsa.String() + "\nquorum self\n", `witness "self" has the key of log "` + testOrigin + `": it is the log`, nil},
		"the log's other key":      {"log " + log.String() + "\nwitness self " + mldsa.String() + "\nquorum self\n", `witness "self" has a key of the log's own name, "` + testOrigin + `"`, nil},
		"known from elsewhere":     {"witness self " + mldsa.String() + "\nquorum self\n", `witness "self" has the key of log`, []Verifier{log, mldsa}},
		"the log's key as a 0x04":  {"log " + log.String() + "\nwitness w " + sameBytes.String() + "\nquorum w\n", `witness "w" has the key of log`, nil},
		"a log of a policy of two": {"log " + log.String() + "\nwitness w " + another.String() + "\nwitness self " + mldsa.String() + "\ngroup g any w self\nquorum g\n", `witness "self" has a key of the log's`, nil},
	} {
		got := warnings(t, test.lines, test.logs...)
		if test.want == "" && got != "" || !strings.Contains(got, test.want) || strings.Count(got, "\n") > 0 {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// TestOneServerInTwoSpellings: this machine has three names, and each scheme a
// port that need not be written.
func TestOneServerInTwoSpellings(t *testing.T) {
	a, b := newWitness(t, "w1.example", CosignatureV1Ed25519, 1).v, newWitness(t, "w2.example", CosignatureV1Ed25519, 2).v
	for _, test := range []struct {
		a, b string
		one  bool
	}{
		{"http://127.0.0.1:7001", "http://localhost:7001", true},
		{"http://[::1]:7001/", "http://localhost:7001", true},
		{"http://[::1]:7001/w", "http://127.0.0.1:7001/w/", true},
		{"https://w.example:443", "https://W.example/", true},
		{"http://w.example", "http://w.example:80", true},
		{"https://w.example", "https://w.example", true},
		{"http://localhost:7001", "http://localhost:7002", false},
		{"https://w.example:80", "https://w.example", false},
		{"http://w.example", "https://w.example", false},
		{"https://w.example/a", "https://w.example/b", false},
		{"https://w.example", "https://v.example", false},
		{"http://127.0.0.1:7001", "http://127.0.0.2:7001", false},
		{"http://[::1", "http://[::1]", false},
	} {
		got := warnings(t, "witness a "+a.String()+" "+test.a+"\nwitness b "+b.String()+" "+test.b+"\nquorum none\n")
		if test.one != strings.HasPrefix(got, `witnesses "a" and "b" have `) || test.one != (got != "") {
			t.Errorf("%s and %s: %q", test.a, test.b, got)
		}
	}
}
