package importtest

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestDirection(t *testing.T) {
	rules := rules()
	for _, p := range packages(t) {
		r, ok := rules[p.path]
		if !ok {
			t.Errorf("package %s is not in the rules: say there what it may import, and why", p.path)
			continue
		}
		delete(rules, p.path)
		for _, f := range p.files {
			for _, imported := range f.imports(t) {
				if below, ours := strings.CutPrefix(imported, module+"/"); ours && !slices.Contains(r.allow, below) {
					t.Errorf("%s imports %s, which %s must not (%s)", f.name, imported, p.path, r.why)
				}
			}
		}
	}
	for path := range rules {
		t.Errorf("the rules have a package %s, which is gone", path)
	}
}

func TestOnlyInTests(t *testing.T) {
	for _, p := range packages(t) {
		for _, f := range p.files {
			for _, imported := range f.imports(t) {
				for pattern, excepted := range onlyInTests() {
					if matches(imported, []string{pattern}) && !slices.Contains(excepted, p.path) {
						t.Errorf("%s imports %s, which is for tests", f.name, imported)
					}
				}
			}
		}
	}
}

// TestPure looks at what the pure packages link in. Their own imports are
// looked at in every file, since the build for another system counts too.
func TestPure(t *testing.T) {
	graph := imports(t)
	for _, p := range packages(t) {
		if !slices.Contains(pure(), p.path) {
			continue
		}
		for _, f := range p.files {
			checkPure(t, f.name, f.imports(t))
		}
		for reached, way := range graph.reach(module + "/" + p.path) {
			if !graph[reached].Standard {
				checkPure(t, strings.Join(way, " > "), graph[reached].Imports)
			}
		}
	}
}

func checkPure(t *testing.T, what string, imports []string) {
	t.Helper()
	for _, imported := range imports {
		if matches(imported, impure()) && imported != onlyText {
			t.Errorf("%s imports %s, and is to be pure", what, imported)
		}
	}
}

func TestUnreachable(t *testing.T) {
	graph := imports(t)
	for path, patterns := range unreachable() {
		from := module + "/" + path
		if _, ok := graph[from]; !ok {
			t.Errorf("there is no package %s", path)
		}
		for reached, way := range graph.reach(from) {
			if reached != from && matches(reached, patterns) {
				t.Errorf("%s reaches %s: %s", path, reached, strings.Join(way, " > "))
			}
		}
	}
}

// maxChain is how many of our packages a chain of imports may have. The aim is 7.
const maxChain = 8

// TestChain keeps the layers few: each package of a chain is one more that a reader must know.
func TestChain(t *testing.T) {
	graph := imports(t)
	if chain := graph.longest(); len(chain) > maxChain {
		t.Errorf("the imports have a chain of %d packages; the maximum is %d: %s", len(chain), maxChain, strings.Join(chain, " > "))
	}
	deeper := importGraph{}
	for i := range maxChain + 1 {
		path := module + "/" + strings.Repeat("a", i)
		deeper[path] = node{ImportPath: path, Imports: []string{"fmt", path + "a"}}
	}
	if n := len(deeper.longest()); n != maxChain+1 {
		t.Errorf("of %d packages in a row the longest chain is said to have %d", maxChain+1, n)
	}
}

// longest is a longest chain of imports among our packages.
func (g importGraph) longest() (chain []string) {
	longest := map[string][]string{}
	var from func(path string) []string
	from = func(path string) []string {
		if known, ok := longest[path]; ok {
			return known
		}
		var below []string
		for _, next := range g[path].Imports {
			if _, listed := g[next]; listed && strings.HasPrefix(next, module+"/") {
				if c := from(next); len(c) > len(below) {
					below = c
				}
			}
		}
		longest[path] = append([]string{path}, below...)
		return longest[path]
	}
	for path := range g {
		if strings.HasPrefix(path, module+"/") {
			if c := from(path); len(c) > len(chain) {
				chain = c
			}
		}
	}
	return chain
}

// node is a package as the go command lists it.
type node struct {
	ImportPath string
	Standard   bool
	Imports    []string
}

type importGraph map[string]node

// imports asks the go command for the module's packages and all that they
// import, tests aside.
func imports(t *testing.T) importGraph {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Standard,Imports", "./...")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, &stderr)
	}
	graph := importGraph{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var n node
		if err := d.Decode(&n); errors.Is(err, io.EOF) {
			return graph
		} else if err != nil {
			t.Fatal(err)
		}
		graph[n.ImportPath] = n
	}
}

// reach returns what a package imports in any number of steps, itself
// included, each with a shortest way to it.
func (g importGraph) reach(from string) map[string][]string {
	ways := map[string][]string{from: {from}}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		for _, next := range g[queue[0]].Imports {
			if _, seen := ways[next]; !seen {
				ways[next] = append(slices.Clone(ways[queue[0]]), next)
				queue = append(queue, next)
			}
		}
	}
	return ways
}
