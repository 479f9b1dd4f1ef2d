package main

import "github.com/spf13/cobra"

// newRoot returns the command that holds all others. Each has a file of its own.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "celeriant",
		Short: "The command-line tool of the Celeriant event store",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
		// run tells about errors, in one form for all commands.
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(newDev(), newVersion())
	return root
}
