package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	modulepath "golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/zip"
)

// rewrite makes the module fit for users: it requires version of its neighbours, whose
// checksums are sums, and replaces none of them. rewrite returns the module's own
// checksums.
func rewrite(root string, m *module, version string, sums []string) (own []string, err error) {
	file, err := readModFile(root, m)
	if err != nil {
		return nil, err
	}
	for _, need := range m.needs {
		if err := file.AddRequire(need, version); err != nil {
			return nil, fmt.Errorf("module %s: requiring %s: %w", m.folder, need, err)
		}
	}
	for _, r := range slices.Clone(file.Replace) {
		if ours(r.Old.Path) {
			if err := file.DropReplace(r.Old.Path, r.Old.Version); err != nil {
				return nil, fmt.Errorf("module %s: dropping the replacement of %s: %w", m.folder, r.Old.Path, err)
			}
		}
	}
	file.Cleanup()
	folder := filepath.Join(root, filepath.FromSlash(m.folder))
	if err := os.WriteFile(filepath.Join(folder, "go.mod"), modfile.Format(file.Syntax), 0o644); err != nil {
		return nil, fmt.Errorf("module %s: %w", m.folder, err)
	}
	if err := addSums(folder, m, sums); err != nil {
		return nil, fmt.Errorf("module %s: %w", m.folder, err)
	}
	return checksums(root, m, version)
}

// addSums puts the checksums of the neighbours that the module needs into its go.sum.
func addSums(folder string, m *module, sums []string) error {
	name := filepath.Join(folder, "go.sum")
	text, err := os.ReadFile(name)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if modulePath, _, _ := strings.Cut(line, " "); !ours(modulePath) {
			lines = append(lines, line)
		}
	}
	for _, line := range sums {
		if modulePath, _, _ := strings.Cut(line, " "); slices.Contains(m.needs, modulePath) {
			lines = append(lines, line+"\n")
		}
	}
	slices.Sort(lines)
	return os.WriteFile(name, []byte(strings.Join(lines, "")), 0o644)
}

// checksums returns the lines that go.sum holds of a module: of its files, and of its go.mod.
func checksums(root string, m *module, version string) ([]string, error) {
	archive, err := pack(root, m, version)
	if err != nil {
		return nil, err
	}
	temporary, err := os.CreateTemp("", "release-*.zip")
	if err != nil {
		return nil, err
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(archive)
	if closing := temporary.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return nil, err
	}
	files, err := dirhash.HashZip(temporary.Name(), dirhash.Hash1)
	if err != nil {
		return nil, fmt.Errorf("module %s: %w", m.folder, err)
	}
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(m.folder), "go.mod"))
	if err != nil {
		return nil, err
	}
	mod, err := dirhash.Hash1([]string{"go.mod"}, func(string) (readCloser, error) { return noClose{bytes.NewReader(text)}, nil })
	if err != nil {
		return nil, fmt.Errorf("module %s: %w", m.folder, err)
	}
	return []string{
		fmt.Sprintf("%s %s %s", m.path, version, files),
		fmt.Sprintf("%s %s/go.mod %s", m.path, version, mod),
	}, nil
}

// pack returns the module's archive as a module proxy serves it.
func pack(root string, m *module, version string) ([]byte, error) {
	var archive bytes.Buffer
	id := modulepath.Version{Path: m.path, Version: version}
	if err := zip.CreateFromDir(&archive, id, filepath.Join(root, filepath.FromSlash(m.folder))); err != nil {
		return nil, fmt.Errorf("packing module %s: %w", m.folder, err)
	}
	return archive.Bytes(), nil
}
