package main

import (
	"maps"
	"os"
	"testing"
)

// TestGuide: the tour runs all commands of the guide.
func TestGuide(t *testing.T) {
	text, err := os.ReadFile("../../docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	has := map[string]int{}
	for heading, list := range blocks(string(text)) {
		has[heading] = len(list)
	}
	if run := map[string]int{"Install": 4, "SQLite": 1, "Upgrade": 2, "Uninstall": 2}; !maps.Equal(has, run) {
		t.Errorf("the guide has commands %v, and the tour runs %v", has, run)
	}
}
