package operate

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/lease"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
	"github.com/celeriant/celeriant-go/msg"
)

func newCheckpointsRepartition() *cobra.Command {
	var partitions uint32
	c := storeCommand(&cobra.Command{
		Use:   "repartition",
		Short: "Divide a position that processes share into another number of partitions",
		Long: `Divide a position that processes share into another number of partitions. No cursor
moves. Its consumers claim again; those that were started with another number end.`,
		Example: "  celeriant checkpoints repartition --checkpoint sqlite:app.db --name orders --partitions 128",
		Args:    cli.NoArgs,
	}, true, func(c *cobra.Command, store checkpoint.RecordStore, name string, asJSON bool) error {
		if partitions == 0 || partitions > lease.MaxPartitions {
			return cli.Usagef("--partitions is %d: want 1 to %d", partitions, lease.MaxPartitions)
		}
		d, err := lease.Repartition(c.Context(), store, name, partitions, nil)
		if errors.Is(err, checkpoint.ErrDeleted) {
			return fmt.Errorf("%w: %w", err, msg.ErrNotFound)
		}
		if err != nil {
			return err
		}
		if asJSON {
			return json.NewEncoder(c.OutOrStdout()).Encode(struct {
				Name       string `json:"name"`
				Partitions uint32 `json:"partitions"`
				Generation uint64 `json:"generation"`
			}{name, d.Count(), d.Generation})
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s has %d partitions\n", name, d.Count())
		return err
	})
	c.Flags().Uint32Var(&partitions, "partitions", 0, "parts that processes share, rounded up to a multiple of the shards")
	cli.CompleteNothing(c, "partitions")
	return c
}
