package main

import "github.com/spf13/cobra"

// newRoot returns the command that holds all others. Each has a file of its own.
func newRoot() *cobra.Command {
	root := newGroup("celeriant", "The command-line tool of the Celeriant event store",
		newRead(), newWrite(), newWatch(), newDetails(), newList(), newDelete(), newTrim(), newSchema(), newIdentity(), newBench(), newDev(), newVersion())
	root.Long = root.Short + ".\n\n" + statusHelp
	// run tells about errors, in one form for all commands.
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	return root
}

// newGroup returns a command that only holds others.
func newGroup(name, short string, commands ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{
		Use:   name,
		Short: short,
		Args:  usageArgs(cobra.NoArgs),
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	group.AddCommand(commands...)
	return group
}
