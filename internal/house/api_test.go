package house

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write api.txt anew")

// TestAPI keeps api.txt the exported surface, one line an identifier, so that
// growth is seen in review:
//
//	go test ./internal/house -run API -update
func TestAPI(t *testing.T) {
	var lines []string
	for _, pkg := range []string{"consent", "consent/fhir", "envelope", "keyring", "keyring/dirstore", "keyring/keyringtest", "keyring/sqlstore", "pseudo"} {
		lines = append(lines, surface(t, pkg)...)
	}
	got := strings.Join(lines, "\n") + "\n"
	const file = "../../api.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the exported surface differs from api.txt:\n%s", diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")))
	}
}

// TestEveryExportIsDocumented wants a comment on every line of the surface.
func TestEveryExportIsDocumented(t *testing.T) {
	for _, pkg := range []string{"consent", "consent/fhir", "envelope", "keyring", "keyring/dirstore", "keyring/keyringtest", "keyring/sqlstore", "pseudo"} {
		for _, line := range undocumented(t, pkg) {
			t.Errorf("pkg %s: no doc comment: %s", pkg, line)
		}
	}
}

func diff(want, got []string) string {
	var b strings.Builder
	for _, l := range want {
		if !slices.Contains(got, l) {
			fmt.Fprintf(&b, "- %s\n", l)
		}
	}
	for _, l := range got {
		if !slices.Contains(want, l) {
			fmt.Fprintf(&b, "+ %s\n", l)
		}
	}
	return b.String()
}

func parse(t *testing.T, pkg string) (*token.FileSet, []*ast.File) {
	t.Helper()
	fset := token.NewFileSet()
	var files []*ast.File
	dir := filepath.Join("../..", pkg)
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && p != dir {
			if d != nil && d.IsDir() && p != dir {
				return fs.SkipDir
			}
			return err
		}
		if strings.HasSuffix(p, ".go") && !strings.HasSuffix(p, "_test.go") {
			f, err := parser.ParseFile(fset, p, nil, parser.ParseComments)
			if err != nil {
				return err
			}
			files = append(files, f)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return fset, files
}

func surface(t *testing.T, pkg string) []string {
	fset, files := parse(t, pkg)
	var lines []string
	add := func(format string, args ...any) {
		lines = append(lines, fmt.Sprintf("pkg %s, ", pkg)+fmt.Sprintf(format, args...))
	}
	for _, f := range files {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if exported(d) {
					add("%s", oneLine(fset, &ast.FuncDecl{Recv: d.Recv, Name: d.Name, Type: d.Type}))
				}
			case *ast.GenDecl:
				generic(fset, d, add)
			}
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

func generic(fset *token.FileSet, d *ast.GenDecl, add func(string, ...any)) {
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.ValueSpec:
			for _, n := range s.Names {
				if n.IsExported() {
					add("%s %s", d.Tok, n.Name)
				}
			}
		case *ast.TypeSpec:
			if !s.Name.IsExported() {
				continue
			}
			switch x := s.Type.(type) {
			case *ast.StructType:
				add("type %s struct", s.Name.Name)
				for _, f := range x.Fields.List {
					for _, n := range f.Names {
						if n.IsExported() {
							add("type %s struct, %s %s", s.Name.Name, n.Name, oneLine(fset, f.Type))
						}
					}
				}
			case *ast.InterfaceType:
				add("type %s interface", s.Name.Name)
				for _, m := range x.Methods.List {
					for _, n := range m.Names {
						add("type %s interface, %s%s", s.Name.Name, n.Name, strings.TrimPrefix(oneLine(fset, m.Type), "func"))
					}
				}
			default:
				add("type %s %s", s.Name.Name, oneLine(fset, s.Type))
			}
		}
	}
}

func undocumented(t *testing.T, pkg string) []string {
	fset, files := parse(t, pkg)
	var lines []string
	for _, f := range files {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if exported(d) && d.Doc == nil {
					lines = append(lines, oneLine(fset, &ast.FuncDecl{Recv: d.Recv, Name: d.Name, Type: d.Type}))
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					switch s := s.(type) {
					case *ast.ValueSpec:
						if s.Names[0].IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
							lines = append(lines, s.Names[0].Name)
						}
					case *ast.TypeSpec:
						if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
							lines = append(lines, s.Name.Name)
						}
					}
				}
			}
		}
	}
	return lines
}

// exported reports whether d is an exported function or an exported method of
// an exported type.
func exported(d *ast.FuncDecl) bool {
	if !d.Name.IsExported() {
		return false
	}
	if d.Recv == nil {
		return true
	}
	typ := d.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}

func oneLine(fset *token.FileSet, node any) string {
	var b bytes.Buffer
	if err := printer.Fprint(&b, fset, node); err != nil {
		return err.Error()
	}
	return strings.Join(strings.Fields(b.String()), " ")
}
