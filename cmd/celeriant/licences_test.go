package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// licences are those that a dependency may have, each with a sentence that only its
// text contains.
var licences = []struct{ name, sentence string }{
	{"Apache-2.0", "Apache License Version 2.0, January 2004"},
	{"MIT", "Permission is hereby granted, free of charge, to any person obtaining a copy"},
	{"MPL-2.0", "Mozilla Public License Version 2.0"},
	{"BSD-3-Clause", "may be used to endorse or promote products derived from this software without specific prior written permission"},
	{"BSD-2-Clause", "Redistributions in binary form must reproduce the above copyright notice"},
}

// Every module that goes into a program of ours is listed in docs/licences.md, under the
// licences that its own text names.
func TestLicencesOfDependencies(t *testing.T) {
	list := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Dir}}{{end}}{{end}}", "work")
	list.Dir = "../.."
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	listed := document(t, "docs/licences.md")
	seen := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		path, dir, is := strings.Cut(strings.TrimSpace(line), "\t")
		if !is || seen[path] {
			continue
		}
		seen[path] = true
		if row := fmt.Sprintf("| `%s` | %s |", path, licenceIn(t, dir)); !strings.Contains(listed, row) {
			t.Errorf("docs/licences.md does not list %s", row)
		}
	}
	if len(seen) < 20 {
		t.Errorf("only %d modules were looked at", len(seen))
	}
}

// licenceIn names the licences in the text of a module's folder.
func licenceIn(t *testing.T, dir string) string {
	t.Helper()
	for _, name := range []string{"LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		words := strings.Join(strings.Fields(strings.ReplaceAll(string(text), ">", " ")), " ")
		var found []string
		for _, l := range licences {
			if strings.Contains(words, l.sentence) && !(l.name == "BSD-2-Clause" && slices.Contains(found, "BSD-3-Clause")) {
				found = append(found, l.name)
			}
		}
		if len(found) == 0 {
			t.Errorf("the licence in %s is none of those that a dependency may have", dir)
		}
		return strings.Join(found, ", ")
	}
	t.Errorf("%s has no licence", dir)
	return "none"
}
