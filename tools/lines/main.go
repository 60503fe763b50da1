// Command lines measures the size of the repository's Go code: lines of code, packages, folders, the longest chain of
// imports, and how long the functions are. A line counts if it has a token that is not a comment. Tests, generated files
// and testdata do not count; every module does, so moving code saves nothing.
//
//	cd tools && go run ./lines              # one line, for .ci/run
//	cd tools && go run ./lines -table       # a table in Markdown, a row for each folder of the root
//	cd tools && go run ./lines -root DIR    # of another checkout
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"io"
	"io/fs"
	"log"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// short is the maximum length of a short function, in lines of code.
const short = 40

func main() {
	log.SetFlags(0)
	root := flag.String("root", "..", "folder of the repository")
	table := flag.Bool("table", false, "print a table with a row for each folder")
	flag.Parse()
	m, err := measure(os.DirFS(*root))
	if err != nil {
		log.Fatalln("lines:", err)
	}
	if *table {
		m.writeTable(os.Stdout)
		return
	}
	fmt.Println(m)
}

// size is what measure found.
type size struct {
	folders   map[string]int      // lines of code by folder of the root; "" is the root itself
	roots     int                 // folders of the root, hidden ones left out
	packages  map[string][]string // of the root's module: what each imports of the others
	functions []int               // lines of code of each function
}

// measure reads all Go files of a repository.
func measure(repo fs.FS) (*size, error) {
	m := &size{folders: map[string]int{}, packages: map[string][]string{}}
	modules := map[string]string{} // the module's path by its folder
	err := fs.WalkDir(repo, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && ignored(d.Name()):
			return fs.SkipDir
		case d.IsDir():
			return m.enter(repo, name, modules)
		case strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go"):
			return m.add(repo, name, modules)
		}
		return nil
	})
	return m, err
}

// ignored reports whether a folder has no code of ours. As the go command does, it leaves out names that begin with a dot.
func ignored(folder string) bool {
	return strings.HasPrefix(folder, ".") || strings.HasPrefix(folder, "_") || folder == "testdata" || folder == "node_modules"
}

// enter notes a folder, and the module that begins there.
func (m *size) enter(repo fs.FS, name string, modules map[string]string) error {
	if name != "." && !strings.Contains(name, "/") {
		m.roots++
	}
	data, err := fs.ReadFile(repo, path.Join(name, "go.mod"))
	if errors.Is(err, fs.ErrNotExist) {
		modules[name] = modules[path.Dir(name)]
		return nil
	}
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		if module, ok := strings.CutPrefix(line, "module "); ok {
			modules[name] = strings.TrimSpace(module)
			return nil
		}
	}
	return fmt.Errorf("%s/go.mod: it has no module line", name)
}

// add measures a file.
func (m *size) add(repo fs.FS, name string, modules map[string]string) error {
	src, err := fs.ReadFile(repo, name)
	if err != nil {
		return err
	}
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	if ast.IsGenerated(f) {
		return nil
	}
	lines := codeLines(src)
	folder, _, below := strings.Cut(name, "/")
	if !below {
		folder = ""
	}
	m.folders[folder] += len(lines)
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok {
			from, _ := slices.BinarySearch(lines, files.Position(fn.Pos()).Line)
			to, _ := slices.BinarySearch(lines, files.Position(fn.End()).Line+1)
			m.functions = append(m.functions, to-from)
		}
	}
	dir := path.Dir(name)
	if module := modules["."]; modules[dir] == module {
		m.addImports(dir, module, f.Imports)
	}
	return nil
}

// addImports notes what a package of a module imports of the same module.
func (m *size) addImports(dir, module string, imports []*ast.ImportSpec) {
	list := m.packages[dir]
	for _, i := range imports {
		imported, _ := strconv.Unquote(i.Path.Value)
		if ours, ok := strings.CutPrefix(imported, module+"/"); ok && !slices.Contains(list, ours) {
			list = append(list, ours)
		}
	}
	m.packages[dir] = list
}

// codeLines returns the numbers of the lines with a token that is not a comment, in order. A string of several lines counts
// as that many.
func codeLines(src []byte) []int {
	file := token.NewFileSet().AddFile("", -1, len(src))
	var s scanner.Scanner
	s.Init(file, src, nil, 0)
	var lines []int
	for {
		pos, tok, text := s.Scan()
		if tok == token.EOF {
			return lines
		}
		if tok == token.SEMICOLON && text == "\n" {
			continue // the scanner's own, at the end of a line
		}
		line := file.Line(pos)
		for i := range strings.Count(text, "\n") + 1 {
			if n := len(lines); n == 0 || lines[n-1] < line+i {
				lines = append(lines, line+i)
			}
		}
	}
}

// chain returns a longest chain of imports between the root module's packages, from the importer down.
func (m *size) chain() []string {
	longest := map[string][]string{}
	var from func(p string) []string
	from = func(p string) []string {
		if c, ok := longest[p]; ok {
			return c
		}
		var below []string
		for _, next := range slices.Sorted(slices.Values(m.packages[p])) {
			if c := from(next); len(c) > len(below) {
				below = c
			}
		}
		longest[p] = append([]string{p}, below...)
		return longest[p]
	}
	var chain []string
	for _, p := range slices.Sorted(maps.Keys(m.packages)) {
		if c := from(p); len(c) > len(chain) {
			chain = c
		}
	}
	return chain
}

func (m *size) total() (n int) {
	for _, lines := range m.folders {
		n += lines
	}
	return n
}

// shortShare is the percentage of functions that are short.
func (m *size) shortShare() float64 {
	n := 0
	for _, lines := range m.functions {
		if lines <= short {
			n++
		}
	}
	return 100 * float64(n) / float64(max(1, len(m.functions)))
}

func (m *size) String() string {
	return fmt.Sprintf("%d lines of code, %d packages, %d root folders, import chain %d, %d functions of which %.1f %% have up to %d lines",
		m.total(), len(m.packages), m.roots, len(m.chain()), len(m.functions), m.shortShare(), short)
}

func (m *size) writeTable(w io.Writer) {
	fmt.Fprintf(w, "| folder | lines of code |\n|---|---|\n")
	names := slices.SortedFunc(maps.Keys(m.folders), func(a, b string) int {
		return cmp.Or(cmp.Compare(m.folders[b], m.folders[a]), cmp.Compare(a, b))
	})
	for _, name := range names {
		fmt.Fprintf(w, "| `%s` | %d |\n", cmp.Or(name, "."), m.folders[name])
	}
	fmt.Fprintf(w, "\n%s.\n\nLongest chain of imports: `%s`.\n", m, strings.Join(m.chain(), " > "))
}
