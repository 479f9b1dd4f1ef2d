package main_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// riddle is a sentence whose subject is not named.
var riddle = regexp.MustCompile(`(?:^|[.:;?]\s+|\n\n)((?:What|Who|Whoever|Whatever|Whose|It|They|Those|These (?:is|are|was|were|has|have|can|must|may|do)|This (?:is|was|has|can|must|may|does)) [a-z][^.]*)`)

// The documentation of every public package names the subject of each sentence.
func TestEveryDocumentedSentenceHasASubject(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{if ne .Name "main"}}{{.ImportPath}}{{"\t"}}{{.Dir}}{{end}}`, library+"/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		path, dir, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok || strings.Contains(path, "/internal/") {
			continue
		}
		names, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, ".pb.go") {
				continue
			}
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, name, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				for _, doc := range docsOf(n) {
					seen++
					for _, m := range riddle.FindAllStringSubmatch(doc.text, -1) {
						if doc.name != "What" {
							t.Errorf("%v: the subject is not named: %s", files.Position(n.Pos()), strings.Join(strings.Fields(m[1]), " "))
						}
					}
				}
				_, function := n.(*ast.BlockStmt)
				return !function
			})
		}
	}
	if seen < 1000 {
		t.Errorf("only %d comments were read", seen)
	}
}

// documented is a comment on something that users see.
type documented struct{ name, text string }

func docsOf(n ast.Node) (all []documented) {
	add := func(doc *ast.CommentGroup, names ...*ast.Ident) {
		for _, name := range names {
			if doc != nil && name.IsExported() {
				all = append(all, documented{name.Name, doc.Text()})
				return
			}
		}
	}
	switch n := n.(type) {
	case *ast.File:
		if n.Doc != nil {
			all = append(all, documented{n.Name.Name, n.Doc.Text()})
		}
	case *ast.FuncDecl:
		add(n.Doc, n.Name)
	case *ast.GenDecl:
		for _, s := range n.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				add(n.Doc, s.Name)
				add(s.Doc, s.Name)
			case *ast.ValueSpec:
				add(n.Doc, s.Names...)
				add(s.Doc, s.Names...)
			}
		}
	case *ast.Field:
		add(n.Doc, n.Names...)
	}
	return all
}
