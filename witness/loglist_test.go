package witness

import (
	"crypto/mldsa"
	"slices"
	"strings"
	"testing"

	"indelible/checkpoint"
)

func TestParseLogList(t *testing.T) {
	vkey := newTree(t, 0, 1).key.Verifier().String()
	witnessKey, logKey := cosigners(t)[0].Verifier().String(), mldsaVKey(t)
	for _, c := range []struct {
		name, text string
		origins    []string
		skipped    map[int]string // by line
	}{
		{name: "plain", text: "# a comment\n\nlogs/v0\n\nvkey " + vkey + "\n# another\nqpd 86400\ncontact somebody at example.com\n", origins: []string{testOrigin}},
		{name: "an alias", text: "logs/v0\nvkey " + vkey + "\norigin a\nvkey " + vkey + "\norigin b", origins: []string{"a", "b"}},
		{name: "indents, tabs, spaces, CR LF", text: " \tlogs/v0\r\n\t vkey \t" + vkey + " \t\r\n\tqpd 24 \r\n \tcontact sysadmin\r\n \t\r\n", origins: []string{testOrigin}},
		{name: "qpd after contact", text: "logs/v0\nvkey " + vkey + "\ncontact x\nqpd 5\n", origins: []string{testOrigin}},
		{name: "ML-DSA-44 alone", text: "logs/v0\nvkey " + logKey + "\n", origins: []string{"pq.example/log"}},
		{name: "a witness's key", text: "logs/v0\nvkey " + witnessKey + "\norigin x\nvkey " + vkey, origins: []string{testOrigin}, skipped: map[int]string{2: "0x04"}},
		{name: "an unknown word", text: "logs/v0\nvkey " + vkey + "\ncolour blue\ncontact x\n", origins: []string{testOrigin}, skipped: map[int]string{3: "colour"}},
		{name: "no key", text: "logs/v0\nvkey nonsense\nqpd 5\nvkey " + vkey, origins: []string{testOrigin}, skipped: map[int]string{2: "nonsense"}},
		{name: "qpd with a zero", text: "logs/v0\nvkey " + vkey + "\nqpd 05\ncontact x\nvkey " + logKey, origins: []string{"pq.example/log"}, skipped: map[int]string{2: "leading zeros"}},
		{name: "qpd 0", text: "logs/v0\nvkey " + vkey + "\nqpd 0", skipped: map[int]string{2: "qpd"}},
		{name: "qpd 2^31", text: "logs/v0\nvkey " + vkey + "\nqpd 2147483648", skipped: map[int]string{2: "qpd"}},
		{name: "an empty origin", text: "logs/v0\nvkey " + vkey + "\norigin", skipped: map[int]string{2: "1 to 255"}},
		{name: "twice", text: "logs/v0\nvkey " + vkey + "\nvkey " + vkey + "\ncontact second", origins: []string{testOrigin}, skipped: map[int]string{3: "twice"}},
		{name: "before any vkey", text: "logs/v0\nqpd 5\nvkey " + vkey, origins: []string{testOrigin}, skipped: map[int]string{2: "before any vkey"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			logs, skipped, err := ParseLogList([]byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			var origins []string
			for _, l := range logs {
				origins = append(origins, l.Origin)
			}
			if !slices.Equal(origins, c.origins) || len(skipped) != len(c.skipped) {
				t.Errorf("%q, skipped %v", origins, skipped)
			}
			for _, s := range skipped {
				if want, ok := c.skipped[s.Line]; !ok || !strings.Contains(s.Why.Error(), want) {
					t.Errorf("line %d: %v", s.Line, s.Why)
				}
			}
		})
	}
	logs, _, _ := ParseLogList([]byte("logs/v0\nvkey " + vkey + "\nqpd 7\ncontact \t an address\n"))
	if len(logs) != 1 || logs[0].PerDay != 7 || logs[0].Contact != "an address" {
		t.Errorf("%+v", logs)
	}
	for text, says := range map[string]string{"": "does not begin", "\n#\n": "does not begin", "logs/v1\n": "begins with logs/v0", "vkey " + vkey: "begins with logs/v0"} {
		if _, _, err := ParseLogList([]byte(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// mldsaVKey is the key of a log that signs with ML-DSA-44 alone.
func mldsaVKey(t testing.TB) string {
	key, err := mldsa.GenerateKey(mldsa.MLDSA44())
	if err != nil {
		t.Fatal(err)
	}
	v, err := checkpoint.NewVerifier("pq.example/log", key.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	return v.String()
}

func FuzzParseLogList(f *testing.F) {
	f.Add([]byte("logs/v0\nvkey " + newTree(f, 0, 1).key.Verifier().String() + "\nqpd 5\ncontact x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		logs, skipped, err := ParseLogList(data)
		if err != nil {
			return
		}
		seen := make(map[string]bool)
		for _, l := range logs {
			if l.Origin == "" || seen[l.Origin] || len(l.Keys) == 0 || l.PerDay < 0 {
				t.Errorf("%+v", l)
			}
			seen[l.Origin] = true
		}
		again, none, err := ParseLogList(logList(logs))
		if err != nil || len(none) > 0 || !slices.EqualFunc(logs, again, func(a, b Log) bool { return a.Origin == b.Origin && a.PerDay == b.PerDay && a.Contact == b.Contact }) {
			t.Errorf("published: %v, %v, %v; read %+v", again, none, err, logs)
		}
		for _, s := range skipped {
			if s.Line < 1 || s.Why == nil {
				t.Errorf("%+v", s)
			}
		}
	})
}
