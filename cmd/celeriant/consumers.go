package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// newConsumers returns the commands about what consumers noted in a store.
func newConsumers() *cobra.Command {
	return newGroup("consumers", "List and show consumers, and restart what stopped",
		newConsumersList(), newConsumersShow(), newConsumersResume())
}

// consumerLine is one consumer as JSON.
type consumerLine struct {
	Name    string        `json:"name"`
	Scope   string        `json:"scope"`
	Stopped []stoppedLine `json:"stopped"`
	Parked  int           `json:"parked"`
	Failing int           `json:"failing"`
	// OldestParked is since when the first parked aggregate fails.
	OldestParked time.Time `json:"oldest_parked,omitzero"`
}

type stoppedLine struct {
	Partition uint32    `json:"partition"`
	Key       string    `json:"key"`
	Version   uint64    `json:"version"`
	Error     string    `json:"error"`
	By        string    `json:"by"`
	Handler   string    `json:"handler,omitempty"`
	Since     time.Time `json:"since"`
}

func describeConsumer(ctx context.Context, store checkpoint.RecordStore, name string) (consumerLine, error) {
	o, err := store.Describe(ctx, name)
	if err != nil {
		return consumerLine{}, err
	}
	if !o.Claimed {
		return consumerLine{}, fmt.Errorf("there is no consumer named %q: %w", name, msg.ErrNotFound)
	}
	control, _, err := checkpoint.LoadControl(ctx, store, name)
	if err != nil {
		return consumerLine{}, err
	}
	l := consumerLine{
		Name: name, Scope: o.Scope, Stopped: []stoppedLine{},
		Parked: len(control.Parked), Failing: len(control.Failing),
	}
	for _, s := range control.Stopped {
		l.Stopped = append(l.Stopped, stoppedLine{s.Partition, s.Key.String(), s.Version, s.Error, s.By, s.Handler, s.Since})
	}
	for _, p := range control.Parked {
		if l.OldestParked.IsZero() || p.FirstFailure.Before(l.OldestParked) {
			l.OldestParked = p.FirstFailure
		}
	}
	return l, nil
}

// state is the consumer's condition in a word.
func (l consumerLine) state() string {
	switch {
	case len(l.Stopped) > 0:
		return "stopped"
	case l.Parked > 0:
		return "parked aggregates"
	case l.Failing > 0:
		return "failing"
	}
	return "fine"
}

func (l consumerLine) write(out io.Writer) error {
	_, err := fmt.Fprintf(out, "%s  %s  %d parked, %d failing\n", l.Name, l.state(), l.Parked, l.Failing)
	for _, s := range l.Stopped {
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "  partition %d stopped since %s by %s, at %s version %d: %s\n",
			s.Partition, s.Since.UTC().Format(time.DateTime), s.By, s.Key, s.Version, s.Error)
	}
	return err
}

func newConsumersList() *cobra.Command {
	return storeCommand(&cobra.Command{
		Use:     "list",
		Short:   "List the consumers in a checkpoint store, with what is stopped, parked and failing",
		Example: "  celeriant consumers list --checkpoint sqlite:app.db",
		Args:    usageArgs(cobra.NoArgs),
	}, false, func(c *cobra.Command, store checkpoint.RecordStore, _ string, asJSON bool) error {
		for name, err := range store.Names(c.Context()) {
			if err != nil {
				return err
			}
			if err := printConsumer(c, store, name, asJSON); err != nil {
				return err
			}
		}
		return nil
	})
}

func printConsumer(c *cobra.Command, store checkpoint.RecordStore, name string, asJSON bool) error {
	l, err := describeConsumer(c.Context(), store, name)
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(c.OutOrStdout()).Encode(l)
	}
	return l.write(c.OutOrStdout())
}

func newConsumersShow() *cobra.Command {
	return storeCommand(&cobra.Command{
		Use:   "show",
		Short: "Show one consumer: what is stopped, parked and failing",
		Args:  usageArgs(cobra.NoArgs),
	}, true, printConsumer)
}

func newConsumersResume() *cobra.Command {
	return storeCommand(&cobra.Command{
		Use:   "resume",
		Short: "Restart the partitions of one consumer that a handler's failure stopped",
		Args:  usageArgs(cobra.NoArgs),
	}, true, func(c *cobra.Command, store checkpoint.RecordStore, name string, asJSON bool) error {
		if err := checkpoint.RequestResume(c.Context(), store, name); err != nil {
			return err
		}
		return printConsumer(c, store, name, asJSON)
	})
}
