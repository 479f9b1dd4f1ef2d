package main

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// library is the path of the root module; every module of the repository lies below it.
const library = "github.com/celeriant/celeriant-go"

// module is one module of the repository.
type module struct {
	path   string // of the module
	folder string // within the repository, with slashes, "." for the root
	needs  []string
}

// tag is the name that version has for this module.
func (m *module) tag(version string) string {
	if m.folder == "." {
		return version
	}
	return m.folder + "/" + version
}

// released reports whether users can require the module: what lies in an internal folder
// or is an example is for this repository alone.
func (m *module) released() bool {
	return !slices.Contains(strings.Split(m.folder, "/"), "internal") && !strings.HasPrefix(m.folder, "examples")
}

// modules returns the released modules of the workspace in root, each after those it needs.
func modules(root string) ([]*module, error) {
	name := filepath.Join(root, "go.work")
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading the workspace: %w", err)
	}
	work, err := modfile.ParseWork(name, text, nil)
	if err != nil {
		return nil, fmt.Errorf("reading the workspace: %w", err)
	}
	all := make(map[string]*module)
	for _, use := range work.Use {
		m := &module{folder: path.Clean(filepath.ToSlash(use.Path))}
		file, err := readModFile(root, m)
		if err != nil {
			return nil, err
		}
		m.path = file.Module.Mod.Path
		for _, r := range file.Require {
			if ours(r.Mod.Path) {
				m.needs = append(m.needs, r.Mod.Path)
			}
		}
		if m.released() {
			all[m.path] = m
		}
	}
	return inOrder(all)
}

func ours(modulePath string) bool {
	return modulePath == library || strings.HasPrefix(modulePath, library+"/")
}

// inOrder sorts modules so that each comes after those it needs.
func inOrder(all map[string]*module) ([]*module, error) {
	paths := make([]string, 0, len(all))
	for p := range all {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	var order []*module
	state := make(map[string]int) // 1 while its needs are looked at, 2 when done
	var visit func(p string) error
	visit = func(p string) error {
		m := all[p]
		switch {
		case m == nil:
			return fmt.Errorf("a released module needs %s, which is not released", p)
		case state[p] == 1:
			return fmt.Errorf("modules need each other in a circle through %s", p)
		case state[p] == 2:
			return nil
		}
		state[p] = 1
		for _, need := range m.needs {
			if err := visit(need); err != nil {
				return err
			}
		}
		state[p] = 2
		order = append(order, m)
		return nil
	}
	for _, p := range paths {
		if err := visit(p); err != nil {
			return nil, err
		}
	}
	return order, nil
}

func readModFile(root string, m *module) (*modfile.File, error) {
	name := filepath.Join(root, filepath.FromSlash(m.folder), "go.mod")
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading module %s: %w", m.folder, err)
	}
	file, err := modfile.Parse(name, text, nil)
	if err != nil {
		return nil, fmt.Errorf("reading module %s: %w", m.folder, err)
	}
	return file, nil
}
