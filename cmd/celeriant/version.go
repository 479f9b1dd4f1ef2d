package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
)

// newVersion returns the command that tells which build this is.
func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Tell the version of this build and of the protocol",
		Args:  cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), versionText())
			return err
		},
	}
}

// versionText is what "celeriant version" and --version print.
func versionText() string {
	info, _ := debug.ReadBuildInfo() // absent in builds without modules: then nothing is known
	return fmt.Sprintf("celeriant %s (protocol versions 2 and 3, %s, %s/%s)",
		buildVersion(info), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// buildVersion returns the module's version, or the revision it was built
// from, as far as the build recorded them.
func buildVersion(info *debug.BuildInfo) string {
	if info == nil {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	revision, changed := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = " with changes"
		}
	}
	if revision == "" {
		return "development"
	}
	return "development at " + revision + changed
}
