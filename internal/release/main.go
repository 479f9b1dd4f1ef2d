package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/mod/semver"
)

type (
	readCloser = io.ReadCloser
	noClose    struct{ io.Reader }
)

func (noClose) Close() error { return nil }

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run ./internal/release vX.Y.Z, from the root of the repository")
		os.Exit(2)
	}
	if err := release(".", os.Args[1], os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "release: %v\n", err)
		os.Exit(1)
	}
}

// release makes both commits and the tags in the repository at root.
func release(root, version string, out io.Writer) error {
	repository := git{root}
	if err := check(repository, version); err != nil {
		return err
	}
	order, err := modules(root)
	if err != nil {
		return err
	}
	var sums []string
	for _, m := range order {
		own, err := rewrite(root, m, version, sums)
		if err != nil {
			return err
		}
		sums = append(sums, own...)
	}
	if _, err := repository.run("commit", "--quiet", "--all", "--message", "release: "+version+", with modules that require each other by version"); err != nil {
		return err
	}
	for _, m := range order {
		if _, err := repository.run("tag", "--annotate", "--message", m.path+" "+version, m.tag(version)); err != nil {
			return err
		}
		fmt.Fprintf(out, "tagged %s\n", m.tag(version))
	}
	// The files of the commit before the release have the replace lines.
	if _, err := repository.run("checkout", "--quiet", "HEAD~1", "--", "."); err != nil {
		return err
	}
	if _, err := repository.run("commit", "--quiet", "--all", "--message", "release: return to development, with modules that replace each other by folder"); err != nil {
		return err
	}
	fmt.Fprintf(out, "made %s; push it with: git push origin HEAD --tags\n", version)
	return nil
}

// check refuses what cannot become a release.
func check(repository git, version string) error {
	if !semver.IsValid(version) || semver.Canonical(version) != version {
		return fmt.Errorf("%q is no semantic version with a leading v, such as v0.3.0", version)
	}
	if semver.Major(version) != "v0" && semver.Major(version) != "v1" {
		return fmt.Errorf("%s needs another module path: %s/%s", version, library, semver.Major(version))
	}
	changed, err := repository.run("status", "--porcelain")
	if err != nil {
		return err
	}
	if changed != "" {
		return errors.New("the working tree has changes; commit them first")
	}
	tags, err := repository.run("tag", "--list", "v*")
	if err != nil {
		return err
	}
	for tag := range strings.Lines(tags) {
		if tag = strings.TrimSpace(tag); semver.Compare(tag, version) >= 0 {
			return fmt.Errorf("%s does not come after %s", version, tag)
		}
	}
	changes, err := os.ReadFile(filepath.Join(repository.root, "CHANGELOG.md"))
	if err != nil {
		return err
	}
	if !strings.Contains(string(changes), "\n## "+strings.TrimPrefix(version, "v")) {
		return fmt.Errorf("CHANGELOG.md has no section %q", "## "+strings.TrimPrefix(version, "v"))
	}
	return nil
}

// git runs git in a repository.
type git struct{ root string }

func (g git) run(args ...string) (string, error) {
	c := exec.Command("git", args...)
	c.Dir = g.root
	var failure strings.Builder
	c.Stderr = &failure
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(failure.String()))
	}
	return string(out), nil
}
