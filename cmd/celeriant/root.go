package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/commands/aggregates"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/commands/local"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/commands/measure"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/commands/operate"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/commands/serve"
)

// newRoot returns the command that holds all others. Each has a file of its own in
// internal/commands.
func newRoot() *cobra.Command {
	root := cli.NewGroup("celeriant", "The command-line tool of the Celeriant event store",
		aggregates.NewRead(), aggregates.NewWrite(), aggregates.NewWatch(), serve.NewForward(), aggregates.NewDetails(), aggregates.NewList(), aggregates.NewDelete(), aggregates.NewTrim(), aggregates.NewSchema(), local.NewIdentity(), operate.NewCheckpoints(), operate.NewParked(), operate.NewConsumers(), operate.NewRebuilds(), measure.NewBench(), local.NewDev(), serve.NewGateway(), operate.NewStatus(), newMan(), newVersion())
	root.Long = root.Short + ".\n\n" + cli.StatusHelp
	// run tells about errors, in one form for all commands.
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.SetFlagErrorFunc(cli.FlagError)
	root.Version = versionText()
	root.SetVersionTemplate("{{.Version}}\n")
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error { return cli.SetFromEnvironment(c) }
	return root
}

// misspelt returns an error that names the first word of args that is no command, with the
// commands nearest to it; nil when every word is one. The check goes before the flags are
// parsed: the flags of a command that is not known cannot be judged.
func misspelt(root *cobra.Command, args []string) (*cobra.Command, error) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(args...)
	if len(args) > 0 && strings.HasPrefix(args[0], "__") {
		return root, nil // the shell asks for completions
	}
	if len(args) > 0 && args[0] == "help" {
		args = args[1:]
	}
	group, rest, err := root.Find(args)
	if err != nil || !group.HasSubCommands() || len(rest) == 0 || strings.HasPrefix(rest[0], "-") {
		return group, nil
	}
	group.SuggestionsMinimumDistance = 2 // letters; cobra's own groups have none
	return group, cli.Usagef("there is no command %q%s", rest[0], cli.DidYouMean(group.SuggestionsFor(rest[0])))
}
