package aggregates

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/node"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// NewDetails returns the command details.
func NewDetails() *cobra.Command {
	c := &cobra.Command{
		Use:   "details",
		Short: "Print the state of an aggregate, deleted or not",
		Args:  cli.NoArgs,
	}
	key, s := cli.BindKey(c), node.BindSession(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		k, err := key.Key()
		if err != nil {
			return err
		}
		return s.Do(c.Context(), func(client *pool.Pool) error {
			d, err := client.Details(c.Context(), k)
			if err != nil {
				return err
			}
			state := stateOf(k, d)
			return s.Print(c, state, state.String())
		})
	}
	return c
}

// aggregateState is the JSON of an aggregate's details.
type aggregateState struct {
	Org                       msg.ID  `json:"org"`
	Type                      msg.ID  `json:"type"`
	Aggregate                 msg.ID  `json:"aggregate"`
	MinVersion                uint64  `json:"min_version"`
	MaxVersion                uint64  `json:"max_version"`
	MaxEventSeq               uint64  `json:"max_event_seq"`
	Deleted                   bool    `json:"deleted"`
	AllowRecreate             bool    `json:"allow_recreate"`
	AllowSequenceContinuation bool    `json:"allow_sequence_continuation"`
	LastServerTimestamp       uint64  `json:"last_server_timestamp"`
	LastClientID              msg.ID  `json:"last_client_id"`
	LastUserID                *msg.ID `json:"last_user_id,omitempty"`
}

func stateOf(key msg.Key, d *msg.DetailsResponse) aggregateState {
	state := aggregateState{
		Org: key.Org, Type: key.Type, Aggregate: key.Aggregate,
		MinVersion: d.MinVersion, MaxVersion: d.MaxVersion, MaxEventSeq: d.MaxEventSeq, Deleted: d.Deleted,
		AllowRecreate: d.AllowRecreate, AllowSequenceContinuation: d.AllowSequenceContinuation,
		LastServerTimestamp: d.LastServerTimestamp, LastClientID: d.LastClientID,
	}
	if d.LastUserID.Set {
		state.LastUserID = &d.LastUserID.Value
	}
	return state
}

func (s aggregateState) String() string {
	var text strings.Builder
	row := func(name string, value any) { fmt.Fprintf(&text, "%-28s %v\n", name, value) }
	row("aggregate", msg.Key{Org: s.Org, Type: s.Type, Aggregate: s.Aggregate})
	row("min version", s.MinVersion)
	row("max version", s.MaxVersion)
	row("max event sequence", s.MaxEventSeq)
	row("deleted", s.Deleted)
	if s.Deleted {
		row("allow recreate", s.AllowRecreate)
		row("allow sequence continuation", s.AllowSequenceContinuation)
	}
	row("last server timestamp", s.LastServerTimestamp)
	row("last client id", s.LastClientID)
	if s.LastUserID != nil {
		row("last user id", *s.LastUserID)
	}
	return text.String()
}
