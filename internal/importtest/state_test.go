package importtest

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"slices"
	"strings"
	"testing"
)

// TestNoState: nothing happens when a package is linked in, and none remembers
// anything but what its callers hold.
func TestNoState(t *testing.T) {
	for _, p := range packages(t) {
		for _, problem := range p.state() {
			t.Error(problem)
		}
	}
}

func TestStateIsFound(t *testing.T) {
	for code, want := range map[string]string{
		`func init() {}`:                                             "init function",
		`var cache = map[string]int{}`:                               "package-level variable cache",
		`var Default int`:                                            "package-level variable Default",
		`var mu sync.Mutex`:                                          "package-level variable mu",
		`var sizes = [...]int{f()}; func f() int`:                    "package-level variable sizes",
		`var Sizes = [...]int{1}`:                                    "package-level variable Sizes",
		`var a, errB = 1, errors.New("")`:                            "package-level variable a",
		`var errA = errors.New(""); func f() { errA = nil }`:         "changes package-level variable errA",
		`var a = [...]int{1}; func f() { a[0]++ }`:                   "changes package-level variable a",
		`var a = [...]int{1}; func f() *int { return &a[0] }`:        "changes package-level variable a",
		`import "io"; func f() { io.EOF = nil }`:                     "changes package-level variable io.EOF",
		`var _ fmt.Stringer = (*t)(nil)`:                             "",
		`var errA = errors.New("")`:                                  "",
		`var ( ErrA = errors.New(""); ErrB = fmt.Errorf("") )`:       "",
		`var a = [...]int{1, -2}; func f() { a := 1; a = 2; _ = a }`: "",
		"//go:embed x\nvar a string":                                 "",
		`type t struct{}; func (t) init() {}`:                        "",
	} {
		p := pkg{path: "p", fset: token.NewFileSet()}
		f, err := parser.ParseFile(p.fset, "p.go", "package p\n"+code, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		p.files = []file{{"p.go", f}}
		got := strings.Join(p.state(), "; ")
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s\nfound %q, not %q", code, got, want)
		}
	}
}

// state says what init functions, variables that could hold state, and changes
// of variables a package has. Generated code is not ours to judge.
func (p pkg) state() []string {
	var found []string
	report := func(n ast.Node, what string) {
		found = append(found, p.fset.Position(n.Pos()).String()+": "+what)
	}
	var own []*ast.File
	for _, f := range p.files {
		if ast.IsGenerated(f.File) {
			continue
		}
		own = append(own, f.File)
		for _, d := range f.Decls {
			declared(d, report)
		}
	}
	changed(p.fset, own, report)
	return found
}

// declared reports init functions, and variables that are neither sentinel
// errors nor constants that the language has no constants for.
func declared(d ast.Decl, report func(ast.Node, string)) {
	if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
		report(f, "init function")
	}
	g, ok := d.(*ast.GenDecl)
	if !ok || g.Tok != token.VAR {
		return
	}
	for _, s := range g.Specs {
		spec := s.(*ast.ValueSpec)
		for i, name := range spec.Names {
			if name.Name != "_" && !embedded(g) && !(i < len(spec.Values) && constant(name.Name, spec.Values[i])) {
				report(name, "package-level variable "+name.Name)
			}
		}
	}
}

// embedded: the go command fills it.
func embedded(g *ast.GenDecl) bool {
	return g.Doc != nil && slices.ContainsFunc(g.Doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

func constant(name string, value ast.Expr) bool {
	switch v := value.(type) {
	case *ast.CallExpr:
		f := types.ExprString(v.Fun)
		return (f == "errors.New" || f == "fmt.Errorf") && (strings.HasPrefix(name, "Err") || strings.HasPrefix(name, "err"))
	case *ast.CompositeLit:
		array, ok := v.Type.(*ast.ArrayType)
		return ok && array.Len != nil && !ast.IsExported(name) && !slices.ContainsFunc(v.Elts, func(e ast.Expr) bool { return !literal(e) })
	}
	return false
}

func literal(e ast.Expr) bool {
	if sign, ok := e.(*ast.UnaryExpr); ok {
		e = sign.X
	}
	_, ok := e.(*ast.BasicLit)
	return ok
}

// changed reports where package-level variables are assigned to, or could be
// through a pointer taken of them. What is imported is not loaded: it
// is enough to know which names are variables of this package and which are
// those of another.
func changed(fset *token.FileSet, files []*ast.File, report func(ast.Node, string)) {
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	unloaded := types.Config{Importer: noImporter{}, Error: func(error) {}}
	checked, _ := unloaded.Check("p", fset, files, info) // what it complains of is what was not loaded
	check := func(e ast.Expr) {
		if global(e, info, checked.Scope()) {
			report(e, "changes package-level variable "+types.ExprString(e))
		}
	}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			for _, e := range targets(n) {
				check(e)
			}
			return true
		})
	}
}

// targets returns what a node changes, or makes changeable.
func targets(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.AssignStmt:
		return n.Lhs
	case *ast.IncDecStmt:
		return []ast.Expr{n.X}
	case *ast.RangeStmt:
		return []ast.Expr{n.Key, n.Value}
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			return []ast.Expr{n.X}
		}
	}
	return nil
}

// global reports whether an expression is a package-level variable, or a part
// of one.
func global(e ast.Expr, info *types.Info, scope *types.Scope) bool {
	switch e := e.(type) {
	case *ast.Ident:
		v, ok := info.Uses[e].(*types.Var)
		return ok && v.Parent() == scope
	case *ast.SelectorExpr:
		if x, ok := e.X.(*ast.Ident); ok {
			if _, ok := info.Uses[x].(*types.PkgName); ok {
				return true
			}
		}
		return global(e.X, info, scope)
	case *ast.IndexExpr:
		return global(e.X, info, scope)
	case *ast.StarExpr:
		return global(e.X, info, scope)
	case *ast.ParenExpr:
		return global(e.X, info, scope)
	}
	return false
}

type noImporter struct{}

func (noImporter) Import(string) (*types.Package, error) { return nil, errors.New("not loaded") }
