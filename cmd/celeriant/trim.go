package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

func newTrim() *cobra.Command {
	c := &cobra.Command{
		Use:   "trim",
		Short: "Drop the oldest batches of an aggregate",
		Long: `Drop the batches of an aggregate below --keep-from. At or below the oldest
readable version nothing happens; above the newest it is refused, so that at
least one batch stays.`,
		Args: usageArgs(cobra.NoArgs),
	}
	key, by, s := bindKey(c), bindAuthor(c), bindSession(c)
	keep := bindNumber(c, "keep-from", "lowest version to keep")
	c.RunE = func(c *cobra.Command, _ []string) error {
		k, err := key.key()
		if err != nil {
			return err
		}
		if keep.given.Value == 0 {
			return usagef("--keep-from is required and at least 1")
		}
		return s.do(c.Context(), func(client *pool.Pool) error {
			clientID, from := by.clientID(s), keep.given.Value
			err := client.TrimStart(c.Context(), &msg.TrimStartRequest{Key: k, KeepFrom: from, ClientID: clientID, UserID: by.user.given})
			if err != nil {
				return err
			}
			return s.print(c, changed{Org: k.Org, Type: k.Type, Aggregate: k.Aggregate, ClientID: clientID, KeepFrom: from},
				fmt.Sprintf("trimmed %v, which begins at version %d or later\n", k, from))
		})
	}
	return c
}
