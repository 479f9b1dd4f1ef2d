package stores

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/node"
	"github.com/celeriant/celeriant-go/stream"
)

// CheckpointFlags say where positions are kept.
type CheckpointFlags struct {
	Place, name string
	Adopt       bool
}

// BindCheckpoint adds the flags that say where a position is kept.
func BindCheckpoint(c *cobra.Command) *CheckpointFlags {
	f := new(CheckpointFlags)
	flags := c.Flags()
	BindPlace(c, &f.Place)
	flags.StringVar(&f.name, "name", "", "name of the position among others in the same place (default: what is followed)")
	flags.BoolVar(&f.Adopt, "adopt-scope", false, "continue a position that was made following something else")
	cli.CompleteNothing(c, "name")
	return f
}

// Check refuses what makes no sense, before anything is opened.
func (f *CheckpointFlags) Check() error {
	switch {
	case f.Place == "" && f.name != "":
		return cli.Usagef("--name needs --checkpoint")
	case f.Place == "" && f.Adopt:
		return cli.Usagef("--adopt-scope needs --checkpoint")
	case f.Place == "":
		return nil
	}
	if err := CheckPlace(f.Place); err != nil || f.name == "" {
		return err
	}
	if err := checkpoint.CheckName(f.name); err != nil {
		return cli.Usagef("%w", err)
	}
	return nil
}

// Open opens the store; without one that was asked for, one that forgets.
func (f *CheckpointFlags) Open(ctx context.Context, s *node.Session) (checkpoint.Store, error) {
	if f.Place == "" {
		return checkpoint.NewMemory(), nil
	}
	return OpenStore(ctx, f.Place, s.Options)
}

// NameFor is the name that a position of the scope is kept under.
func (f *CheckpointFlags) NameFor(scope stream.Scope) string {
	if f.name != "" {
		return f.name
	}
	text := scope.String()
	if len(text) <= checkpoint.MaxName {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return "sha256 " + hex.EncodeToString(sum[:])
}
