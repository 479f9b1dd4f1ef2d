package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
)

// newMan returns the command that writes the manual, one page for each command.
func newMan() *cobra.Command {
	return &cobra.Command{
		Use:     "man FOLDER",
		Short:   "Write the manual pages of every command into a folder",
		Long:    "Write the manual pages of every command, in the format of man, into a folder, which is created.\nOlder pages of the same names are replaced.",
		Example: "  celeriant man ./man && man -l ./man/celeriant-watch.1",
		Args:    cli.UsageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			folder := args[0]
			if err := os.MkdirAll(folder, 0o755); err != nil {
				return fmt.Errorf("making the folder: %w", err)
			}
			root := c.Root()
			root.DisableAutoGenTag = true // cobra's own line says when and by what the page was made
			header := &doc.GenManHeader{Section: "1", Source: "celeriant", Manual: "Celeriant event store"}
			if err := doc.GenManTree(root, header, folder); err != nil {
				return fmt.Errorf("writing the manual: %w", err)
			}
			return nil
		},
	}
}
