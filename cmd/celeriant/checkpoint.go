package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/stream"
)

// checkpointFlags say where positions are kept.
type checkpointFlags struct {
	place, name string
	adopt       bool
}

func bindCheckpoint(c *cobra.Command) *checkpointFlags {
	f := new(checkpointFlags)
	flags := c.Flags()
	bindPlace(c, &f.place)
	flags.StringVar(&f.name, "name", "", "name of the position among others in the same place (default: what is followed)")
	flags.BoolVar(&f.adopt, "adopt-scope", false, "continue a position that was made following something else")
	completeNothing(c, "name")
	return f
}

// check refuses what makes no sense, before anything is opened.
func (f *checkpointFlags) check() error {
	switch {
	case f.place == "" && f.name != "":
		return usagef("--name needs --checkpoint")
	case f.place == "" && f.adopt:
		return usagef("--adopt-scope needs --checkpoint")
	case f.place == "":
		return nil
	}
	if err := checkPlace(f.place); err != nil || f.name == "" {
		return err
	}
	if err := checkpoint.CheckName(f.name); err != nil {
		return &usageError{err}
	}
	return nil
}

// open opens the store; without one that was asked for, one that forgets.
func (f *checkpointFlags) open(ctx context.Context, s *session) (checkpoint.Store, error) {
	if f.place == "" {
		return checkpoint.NewMemory(), nil
	}
	return openStore(ctx, f.place, s.opts)
}

// nameFor is the name that a position of the scope is kept under.
func (f *checkpointFlags) nameFor(scope stream.Scope) string {
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
