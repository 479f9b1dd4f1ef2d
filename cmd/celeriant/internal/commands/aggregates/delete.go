package aggregates

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/node"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// NewDelete returns the command delete.
func NewDelete() *cobra.Command {
	c := &cobra.Command{
		Use:   "delete",
		Short: "Delete an aggregate",
		Long: `Delete an aggregate. Without --allow-recreate it is gone for good: no write
can bring it back.`,
		Args: cli.NoArgs,
	}
	key, by, s := cli.BindKey(c), node.BindAuthor(c), node.BindSession(c)
	expected := cli.BindNumber(c, "expected-version", "version the aggregate must have")
	recreate := c.Flags().Bool("allow-recreate", false, "let a later write bring the aggregate back")
	proceed := c.Flags().Bool("continue-versions", false, "let it go on counting then instead of starting at 1; needs --allow-recreate")
	c.RunE = func(c *cobra.Command, _ []string) error {
		k, err := key.Key()
		if err != nil {
			return err
		}
		if *proceed && !*recreate {
			return cli.Usagef("--continue-versions needs --allow-recreate")
		}
		return s.Do(c.Context(), func(client *pool.Pool) error {
			clientID := by.ClientID(s)
			err := client.DeleteAggregate(c.Context(), k, clientID, pool.DeleteOptions{
				UserID: by.User.Given, AllowRecreate: *recreate, AllowSequenceContinuation: *proceed, ExpectedVersion: expected.Given,
			})
			if err != nil {
				return err
			}
			return s.Print(c, changed{Org: k.Org, Type: k.Type, Aggregate: k.Aggregate, ClientID: clientID, Deleted: true}, fmt.Sprintf("deleted %v\n", k))
		})
	}
	return c
}

// changed is the JSON of an acknowledged delete or trim.
type changed struct {
	Org       msg.ID `json:"org"`
	Type      msg.ID `json:"type"`
	Aggregate msg.ID `json:"aggregate"`
	ClientID  msg.ID `json:"client_id"`
	Deleted   bool   `json:"deleted,omitempty"`
	KeepFrom  uint64 `json:"keep_from,omitempty"`
}
