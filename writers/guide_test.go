package writers

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestGuide has the policies of docs/writers.md read.
func TestGuide(t *testing.T) {
	guide, err := os.ReadFile("../docs/writers.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(guide), -1)
	if len(blocks) != 2 {
		t.Fatalf("%d policies", len(blocks))
	}
	for _, b := range blocks {
		parse(t, b[1])
	}
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(doc), "for editors.\n//\n")
	example, _, _ = strings.Cut(example, "//\n// # Principals")
	example = strings.ReplaceAll(strings.ReplaceAll(example, "//\t", ""), "9f86d081884c7d65…", strings.Repeat("0", 64))
	if p := parse(t, example); len(p.rules) != 3 {
		t.Errorf("the package comment has %d rules", len(p.rules))
	}
}
