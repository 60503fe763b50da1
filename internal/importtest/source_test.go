package importtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// root is the module's folder, module its path.
const (
	root   = "../.."
	module = "indelible"
)

// file is one file of Go that is not a test, for whatever system.
type file struct {
	name string // below root
	*ast.File
}

// pkg is a folder's files. Its path is that below the module's.
type pkg struct {
	path  string
	fset  *token.FileSet
	files []file
}

// packages reads the module's packages: every file but the tests, whatever its
// build constraints, so that code for another system counts as well.
func packages(t *testing.T) []pkg {
	t.Helper()
	var found []pkg
	err := filepath.WalkDir(root, func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if dir != root && elsewhere(dir) {
			return filepath.SkipDir
		}
		p, err := read(dir)
		if len(p.files) > 0 {
			found = append(found, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 10 {
		t.Fatalf("%d packages below %s: this is not the module", len(found), root)
	}
	return found
}

// elsewhere: what the go command does not count among the module's packages.
func elsewhere(dir string) bool {
	name := filepath.Base(dir)
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil || name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}

func read(dir string) (pkg, error) {
	below, err := filepath.Rel(root, dir)
	if err != nil {
		return pkg{}, err
	}
	p := pkg{path: filepath.ToSlash(below), fset: token.NewFileSet()}
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return pkg{}, err
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(p.fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return pkg{}, err
		}
		p.files = append(p.files, file{path.Join(p.path, filepath.Base(name)), f})
	}
	return p, nil
}

func (f file) imports(t *testing.T) []string {
	t.Helper()
	var paths []string
	for _, spec := range f.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
		paths = append(paths, imported)
	}
	return paths
}

// matches reports whether one of the patterns is the path, or ends in /* and
// has the path below it.
func matches(importPath string, patterns []string) bool {
	for _, pattern := range patterns {
		if parent, ok := strings.CutSuffix(pattern, "*"); ok && strings.HasPrefix(importPath, parent) || importPath == pattern {
			return true
		}
	}
	return false
}
