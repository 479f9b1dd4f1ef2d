package operate

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
	"github.com/celeriant/celeriant-go/msg"
)

const parkedHelp = `A parked aggregate was set aside because its handler failed for good: its cursor is
frozen and nothing of it is handled, while all others go on. These commands ask its
owner for something; the owner, or the next one, carries it out at its next look,
within one heartbeat.`

// NewParked returns the commands about parked aggregates.
func NewParked() *cobra.Command {
	group := cli.NewGroup("parked", "List, show, release and skip parked aggregates",
		newParkedList(), newParkedShow(),
		newParkedRequest("release", "Ask that a parked aggregate is handled again, from its frozen cursor on", checkpoint.ActionRelease),
		newParkedRequest("skip", "Ask that the version at which an aggregate is parked is passed over, and the rest handled", checkpoint.ActionSkip))
	group.Long = group.Short + ".\n\n" + parkedHelp
	return group
}

// parkedLine is a parked aggregate as JSON.
type parkedLine struct {
	Org       msg.ID    `json:"org"`
	Type      msg.ID    `json:"type"`
	Aggregate msg.ID    `json:"aggregate"`
	Life      uint64    `json:"life"`
	Version   uint64    `json:"version"`
	Attempts  int       `json:"attempts"`
	First     time.Time `json:"first_failure"`
	Last      time.Time `json:"last_failure"`
	Error     string    `json:"error"`
	Request   string    `json:"request,omitempty"`
	By        string    `json:"requested_by,omitempty"`
}

func parkedLineOf(p checkpoint.Parked) parkedLine {
	l := parkedLine{
		Org: p.Key.Org, Type: p.Key.Type, Aggregate: p.Key.Aggregate,
		Life: p.Life, Version: p.Version, Attempts: p.Attempts, First: p.FirstFailure, Last: p.LastFailure, Error: p.Error,
	}
	if p.Request != nil {
		l.Request, l.By = string(p.Request.Action), p.Request.By
	}
	return l
}

func (l parkedLine) text(short bool) string {
	key := cli.Key(msg.Key{Org: l.Org, Type: l.Type, Aggregate: l.Aggregate}, short)
	text := fmt.Sprintf("%s  version %d  %d attempts since %s: %s",
		key, l.Version, l.Attempts, l.First.UTC().Format(time.DateTime), l.Error)
	if l.Request != "" {
		text += fmt.Sprintf("  (%s requested by %s)", l.Request, l.By)
	}
	return text
}

func newParkedList() *cobra.Command {
	return storeCommand(&cobra.Command{
		Use:     "list",
		Short:   "List the parked aggregates of one name",
		Example: "  celeriant parked list --checkpoint sqlite:app.db --name orders",
		Args:    cli.NoArgs,
	}, true, func(c *cobra.Command, store checkpoint.RecordStore, name string, asJSON bool) error {
		out := json.NewEncoder(c.OutOrStdout())
		for p, err := range checkpoint.ListParked(c.Context(), store, name) {
			if err == nil && asJSON {
				err = out.Encode(parkedLineOf(p))
			} else if err == nil {
				_, err = fmt.Fprintln(c.OutOrStdout(), parkedLineOf(p).text(cli.Short()))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func newParkedShow() *cobra.Command {
	var key *cli.AggregateKey
	c := storeCommand(&cobra.Command{
		Use:   "show",
		Short: "Show one parked aggregate",
		Args:  cli.NoArgs,
	}, true, func(c *cobra.Command, store checkpoint.RecordStore, name string, asJSON bool) error {
		p, err := loadParked(c, store, name, key)
		if err != nil {
			return err
		}
		if asJSON {
			return json.NewEncoder(c.OutOrStdout()).Encode(parkedLineOf(p))
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), parkedLineOf(p).text(false))
		return err
	})
	key = cli.BindKey(c)
	return c
}

func loadParked(c *cobra.Command, store checkpoint.RecordStore, name string, flags *cli.AggregateKey) (checkpoint.Parked, error) {
	key, err := flags.Key()
	if err != nil {
		return checkpoint.Parked{}, err
	}
	p, err := checkpoint.LoadParked(c.Context(), store, name, key)
	if errors.Is(err, checkpoint.ErrNotParked) {
		return checkpoint.Parked{}, fmt.Errorf("%w: %w", err, msg.ErrNotFound)
	}
	return p, err
}

func newParkedRequest(verb, short string, action checkpoint.ParkedAction) *cobra.Command {
	var key *cli.AggregateKey
	var version *cli.Option[uint64]
	c := storeCommand(&cobra.Command{
		Use:   verb,
		Short: short,
		Long:  short + ".\n\n" + parkedHelp,
		Args:  cli.NoArgs,
	}, true, func(c *cobra.Command, store checkpoint.RecordStore, name string, asJSON bool) error {
		if action == checkpoint.ActionSkip && !version.Given.Set {
			return cli.Usagef("--version is required: it names what is passed over")
		}
		p, err := loadParked(c, store, name, key)
		if err != nil {
			return err
		}
		if want, ok := version.Given.Get(); ok && want != p.Version {
			return fmt.Errorf("the aggregate is parked at version %d, not at %d: %w", p.Version, want, msg.ErrConflict)
		}
		if err := checkpoint.RequestParked(c.Context(), store, name, p, action, requester()); err != nil {
			return err
		}
		if asJSON {
			p.Request = &checkpoint.ParkedRequest{Action: action, By: requester()}
			return json.NewEncoder(c.OutOrStdout()).Encode(parkedLineOf(p))
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "asked the owner to %s %v at version %d\n", verb, p.Key, p.Version)
		return err
	})
	key = cli.BindKey(c)
	version = cli.BindNumber(c, "version", "version at which the aggregate is parked; another one is refused")
	return c
}

// requester names the person who asks, for the record.
func requester() string {
	if u, err := user.Current(); err == nil && checkpoint.CheckName(u.Username) == nil {
		return u.Username + " with celeriant"
	}
	return "celeriant"
}
