package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

// NewGroup returns a command that only holds others. Run by itself it prints its usage to
// standard error: scripts must not take that for an answer.
func NewGroup(name, short string, commands ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{
		Use:   name,
		Short: short,
		Args:  NoArgs,
		// How many letters a misspelt command may differ in.
		SuggestionsMinimumDistance: 2,
		RunE: func(c *cobra.Command, _ []string) error {
			fmt.Fprint(c.ErrOrStderr(), c.UsageString())
			return Usagef("a command is required")
		},
	}
	group.AddCommand(commands...)
	return group
}
