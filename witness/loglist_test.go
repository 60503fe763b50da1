package witness

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseLogList(t *testing.T) {
	vkey := newTree(t, 0, 1).key.Verifier().String()
	logs, err := ParseLogList([]byte("# a comment\n\nlogs/v0\n\nvkey " + vkey + "\n# another\nqpd 86400\ncontact somebody at example.com\n"))
	if err != nil || len(logs) != 1 || logs[0].Origin != testOrigin || logs[0].PerDay != 86400 || logs[0].Contact != "somebody at example.com" {
		t.Fatalf("%+v, %v", logs, err)
	}
	logs, err = ParseLogList([]byte("logs/v0\nvkey " + vkey + "\norigin a\nvkey " + vkey + "\norigin b"))
	if err != nil || len(logs) != 2 || logs[0].Origin != "a" || logs[1].Origin != "b" {
		t.Fatalf("%+v, %v", logs, err)
	}
	cosigner := cosigners(t)[0].Verifier().String()
	for text, says := range map[string]string{
		"":                          "does not begin",
		"logs/v1\n":                 "begins with logs/v0",
		"logs/v0\nqpd 5\n":          "before any vkey",
		"logs/v0\nvkey nonsense\n":  "vkey",
		"logs/v0\nvkey " + cosigner: "a cosigner's",
		fmt.Sprintf("logs/v0\nvkey %s\n", vkey+"x"):       "vkey",
		"logs/v0\nvkey " + vkey + "\nqpd 05\n":            "leading zeros",
		"logs/v0\nvkey " + vkey + "\nqpd 0\n":             "qpd",
		"logs/v0\nvkey " + vkey + "\nqpd 2147483648\n":    "qpd",
		"logs/v0\nvkey " + vkey + "\nqpd 5\nqpd 5\n":      "once",
		"logs/v0\nvkey " + vkey + "\nqpd 5\norigin x\n":   "in the order",
		"logs/v0\nvkey " + vkey + "\nvkey " + vkey + "\n": "there twice",
		"logs/v0\nvkey " + vkey + "\ncolour blue\n":       "unknown",
		"logs/v0\nvkey " + vkey + "\nqpd  5\n":            "one space",
		"logs/v0\nvkey " + vkey + "\ncontact\n":           "one space",
		"logs/v0\nvkey " + vkey + "\r\n":                  "one space",
	} {
		if _, err := ParseLogList([]byte(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParseLogList(f *testing.F) {
	f.Add([]byte("logs/v0\nvkey " + newTree(f, 0, 1).key.Verifier().String() + "\nqpd 5\ncontact x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		logs, err := ParseLogList(data)
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
	})
}
