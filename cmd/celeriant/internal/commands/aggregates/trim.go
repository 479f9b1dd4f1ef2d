package aggregates

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/node"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// NewTrim returns the command trim.
func NewTrim() *cobra.Command {
	c := &cobra.Command{
		Use:   "trim",
		Short: "Drop the oldest batches of an aggregate",
		Long: `Drop the batches of an aggregate below --keep-from. At or below the oldest
readable version nothing happens; above the newest it is refused, so that at
least one batch stays.`,
		Args: cli.NoArgs,
	}
	key, by, s := cli.BindKey(c), node.BindAuthor(c), node.BindSession(c)
	keep := cli.BindNumber(c, "keep-from", "lowest version to keep")
	c.RunE = func(c *cobra.Command, _ []string) error {
		k, err := key.Key()
		if err != nil {
			return err
		}
		if keep.Given.Value == 0 {
			return cli.Usagef("--keep-from is required and at least 1")
		}
		return s.Do(c.Context(), func(client *pool.Pool) error {
			clientID, from := by.ClientID(s), keep.Given.Value
			err := client.TrimStart(c.Context(), &msg.TrimStartRequest{Key: k, KeepFrom: from, ClientID: clientID, UserID: by.User.Given})
			if err != nil {
				return err
			}
			return s.Print(c, changed{Org: k.Org, Type: k.Type, Aggregate: k.Aggregate, ClientID: clientID, KeepFrom: from},
				fmt.Sprintf("trimmed %v, which begins at version %d or later\n", k, from))
		})
	}
	return c
}
