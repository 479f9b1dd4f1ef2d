package main_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// interfaceFile lists what users can name, as of the last time that it was written:
// before the first release, since nothing else says what was there.
const interfaceFile = ".ci/interface.txt"

// Every exported name, field and signature that is listed is still there. An incompatible
// change needs a line in CHANGELOG.md; go test ./cmd/celeriant -run Exported -update then
// writes the list anew.
func TestEveryExportedNameIsKept(t *testing.T) {
	now := exported(t)
	path := filepath.Join(root(t), interfaceFile)
	if *update {
		if err := os.WriteFile(path, []byte(strings.Join(now, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	listed := strings.Split(strings.TrimSpace(document(t, interfaceFile)), "\n")
	if len(listed) < 1000 {
		t.Errorf("only %d names are listed", len(listed))
	}
	for _, line := range listed {
		if _, found := slices.BinarySearch(now, line); !found {
			t.Errorf("no longer there, or no longer like this: %s", line)
		}
	}
}

// exported lists the exported declarations of every public package, in order.
func exported(t *testing.T) (all []string) {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", `{{if ne .Name "main"}}{{.ImportPath}}{{"\t"}}{{.Dir}}{{end}}`, library+"/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		path, dir, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok || strings.Contains(path+"/", "/internal/") || strings.Contains(path, "/examples") || strings.HasSuffix(path, "pb") {
			continue
		}
		names, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		short, _ := inLibrary(path)
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range file.Decls {
				for _, text := range declared(t, files, d) {
					all = append(all, "celeriant/"+short+": "+text)
				}
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// declared lists what a declaration exports.
func declared(t *testing.T, files *token.FileSet, d ast.Decl) (all []string) {
	text := func(n ast.Node) string {
		var b bytes.Buffer
		if err := printer.Fprint(&b, files, n); err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(b.String()), " ")
	}
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiver(d))) {
			all = append(all, text(&ast.FuncDecl{Recv: d.Recv, Name: d.Name, Type: withoutNames(d.Type)}))
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.ValueSpec:
				for _, name := range s.Names {
					if name.IsExported() {
						all = append(all, d.Tok.String()+" "+name.Name)
					}
				}
			case *ast.TypeSpec:
				if !s.Name.IsExported() {
					continue
				}
				var members *ast.FieldList
				switch kind := s.Type.(type) {
				case *ast.StructType:
					members = kind.Fields
					all = append(all, "type "+s.Name.Name+" struct")
				case *ast.InterfaceType:
					members = kind.Methods
					all = append(all, "type "+s.Name.Name+" interface")
				default:
					all = append(all, "type "+text(&ast.TypeSpec{Name: s.Name, TypeParams: s.TypeParams, Assign: s.Assign, Type: s.Type}))
					continue
				}
				for _, m := range members.List {
					for _, name := range m.Names {
						if name.IsExported() {
							all = append(all, "type "+s.Name.Name+": "+name.Name+" "+text(withoutNames(m.Type)))
						}
					}
					if len(m.Names) == 0 {
						all = append(all, "type "+s.Name.Name+": "+text(m.Type))
					}
				}
			}
		}
	}
	return all
}

// withoutNames returns the type of a function without the names of its parameters, which
// are free to change, and any other type as it is.
func withoutNames[T ast.Expr](e T) T {
	f, ok := any(e).(*ast.FuncType)
	if !ok {
		return e
	}
	bare := func(list *ast.FieldList) *ast.FieldList {
		if list == nil {
			return nil
		}
		all := new(ast.FieldList)
		for _, field := range list.List {
			for range max(len(field.Names), 1) {
				all.List = append(all.List, &ast.Field{Type: field.Type})
			}
		}
		return all
	}
	return any(&ast.FuncType{TypeParams: f.TypeParams, Params: bare(f.Params), Results: bare(f.Results)}).(T)
}

// receiver returns the name of a method's type.
func receiver(d *ast.FuncDecl) string {
	e := d.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}
