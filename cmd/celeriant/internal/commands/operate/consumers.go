package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
	"github.com/celeriant/celeriant-go/msg"
)

// NewConsumers returns the commands about what consumers noted in a store, and what is
// asked of them there.
func NewConsumers() *cobra.Command {
	return cli.NewGroup("consumers", "List, show, pause and resume consumers, or let one redo an aggregate",
		newConsumersList(), newConsumersShow(), newConsumersPause(), newConsumersResume(), newConsumersRedo())
}

// consumerLine is one consumer as JSON.
type consumerLine struct {
	Name    string        `json:"name"`
	Scope   string        `json:"scope"`
	Paused  bool          `json:"paused"`
	Held    int           `json:"paused_aggregates"`
	Stopped []stoppedLine `json:"stopped"`
	Parked  int           `json:"parked"`
	Failing int           `json:"failing"`
	Redo    int           `json:"redo"`
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
		Parked: len(control.Parked), Failing: len(control.Failing), Redo: len(control.Redo),
	}
	for _, p := range control.Paused {
		if p.Key == (msg.Key{}) {
			l.Paused = true
		} else {
			l.Held++
		}
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
	case l.Paused:
		return "paused"
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
	_, err := fmt.Fprintf(out, "%s  %s  %d parked, %d failing, %d paused aggregates\n", l.Name, l.state(), l.Parked, l.Failing, l.Held)
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
		Short:   "List the consumers in a checkpoint store, with what is stopped, paused and parked",
		Example: "  celeriant consumers list --checkpoint sqlite:app.db",
		Args:    cli.NoArgs,
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
		Short: "Show one consumer: what is stopped, paused, parked and failing",
		Args:  cli.NoArgs,
	}, true, printConsumer)
}

// keyRequest makes a command that asks something about one aggregate, or about the whole
// consumer where that is allowed.
func keyRequest(use, short string, whole bool, ask func(ctx context.Context, store checkpoint.RecordStore, name string, keys []msg.Key) error) *cobra.Command {
	var key *cli.AggregateKey
	c := storeCommand(&cobra.Command{Use: use, Short: short, Args: cli.NoArgs}, true,
		func(c *cobra.Command, store checkpoint.RecordStore, name string, asJSON bool) error {
			var keys []msg.Key
			if !whole || key.Given() {
				k, err := key.Key()
				if err != nil {
					return err
				}
				keys = append(keys, k)
			}
			if _, err := describeConsumer(c.Context(), store, name); err != nil {
				return err
			}
			if err := ask(c.Context(), store, name, keys); err != nil {
				return err
			}
			return printConsumer(c, store, name, asJSON)
		})
	key = cli.BindKey(c)
	return c
}

func newConsumersPause() *cobra.Command {
	return keyRequest("pause", "Ask that nothing more is handled: of one aggregate, or of the whole consumer", true,
		func(ctx context.Context, store checkpoint.RecordStore, name string, keys []msg.Key) error {
			return checkpoint.RequestPause(ctx, store, name, requester(), keys...)
		})
}

func newConsumersResume() *cobra.Command {
	return keyRequest("resume", "Lift the pause of one aggregate, or that of the whole consumer and restart what stopped", true,
		func(ctx context.Context, store checkpoint.RecordStore, name string, keys []msg.Key) error {
			return checkpoint.RequestResume(ctx, store, name, keys...)
		})
}

func newConsumersRedo() *cobra.Command {
	return keyRequest("redo", "Ask that one aggregate is handled from its start again", false,
		func(ctx context.Context, store checkpoint.RecordStore, name string, keys []msg.Key) error {
			err := checkpoint.RequestRedo(ctx, store, name, keys[0], requester())
			if errors.Is(err, checkpoint.ErrNothingToRedo) {
				return fmt.Errorf("%w: %w", err, msg.ErrNotFound)
			}
			return err
		})
}
