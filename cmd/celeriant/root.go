package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// newRoot returns the command that holds all others. Each has a file of its own.
func newRoot() *cobra.Command {
	root := newGroup("celeriant", "The command-line tool of the Celeriant event store",
		newRead(), newWrite(), newWatch(), newForward(), newDetails(), newList(), newDelete(), newTrim(), newSchema(), newIdentity(), newCheckpoints(), newParked(), newConsumers(), newRebuilds(), newBench(), newDev(), newGateway(), newStatus(), newMan(), newVersion())
	root.Long = root.Short + ".\n\n" + statusHelp
	// run tells about errors, in one form for all commands.
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.Version = versionText()
	root.SetVersionTemplate("{{.Version}}\n")
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error { return setFromEnvironment(c) }
	return root
}

// newGroup returns a command that only holds others. Run by itself it prints its usage to
// standard error: scripts must not take that for an answer.
func newGroup(name, short string, commands ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{
		Use:   name,
		Short: short,
		Args:  usageArgs(cobra.NoArgs),
		// How many letters a misspelt command may differ in.
		SuggestionsMinimumDistance: 2,
		RunE: func(c *cobra.Command, _ []string) error {
			fmt.Fprint(c.ErrOrStderr(), c.UsageString())
			return usagef("a command is required")
		},
	}
	group.AddCommand(commands...)
	return group
}

// misspelt returns an error that names the first word of args that is no command, with the
// commands nearest to it; nil when every word is one. It goes before the flags are parsed:
// the flags of a command that is not known cannot be judged.
func misspelt(root *cobra.Command, args []string) (*cobra.Command, error) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(args...)
	if len(args) > 0 && strings.HasPrefix(args[0], "__") {
		return root, nil // the shell asks for completions
	}
	group, rest, err := root.Find(args)
	if err != nil || !group.HasSubCommands() || len(rest) == 0 || strings.HasPrefix(rest[0], "-") {
		return group, nil
	}
	text := fmt.Sprintf("there is no command %q", rest[0])
	if near := group.SuggestionsFor(rest[0]); len(near) > 0 {
		text += fmt.Sprintf("; did you mean %s?", strings.Join(near, " or "))
	}
	return group, usagef("%s", text)
}
