package operate

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/rebuild"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
	"github.com/celeriant/celeriant-go/msg"
)

const rebuildsHelp = `A rebuild is a new version of a consumer that handles the history beside the old one. It
is building until the cut-over, draining until it stands where the old one was fenced, and
current from then on. Its running processes carry a cut-over out; a step that was killed
halfway may be repeated.`

// NewRebuilds returns the commands about new versions of consumers that are built beside
// the old ones.
func NewRebuilds() *cobra.Command {
	group := cli.NewGroup("rebuilds", "List and show rebuilds of consumers, cut over to one, or take one back",
		newRebuildsList(), newRebuildsShow(),
		newRebuildsStep("cutover", "Put a rebuild in the place of the consumer that it was built beside",
			"The processes of the old version end, and are not to be started again.", rebuild.CutOver),
		newRebuildsStep("rollback", "Take a rebuild back, current or not",
			"One that is not current is given up. Of a current one the old version becomes the rebuild:\nstart its processes again, and cut over to it once it has caught up.", rebuild.Rollback),
		newRebuildsStep("abandon", "Give up a rebuild that is not current; the old version goes on",
			"The processes of the rebuild end.", rebuild.Abort),
		newRebuildsRemove())
	group.Long = group.Short + ".\n\n" + rebuildsHelp
	return group
}

// rebuildLine is one rebuild as JSON.
type rebuildLine struct {
	Name    string        `json:"name"`
	From    string        `json:"from"`
	State   rebuild.State `json:"state"`
	By      string        `json:"by,omitempty"`
	Began   time.Time     `json:"began"`
	Since   time.Time     `json:"since"`
	Removed bool          `json:"removed,omitempty"`
	// Progress is the last one that a process of the rebuild has stored.
	Progress *rebuildProgress `json:"progress,omitempty"`
	// Drained is how many partitions are done with the cut-over that is under way.
	Drained int `json:"drained_partitions,omitempty"`
	// Parked holds the cut-over up.
	Parked int `json:"parked,omitempty"`
}

type rebuildProgress struct {
	At         time.Time `json:"at"`
	Aggregates int       `json:"aggregates"`
	Reached    int       `json:"reached"`
	Versions   uint64    `json:"versions"`
	Handled    uint64    `json:"handled"`
	// Rest is in seconds, at the rate of the last measurement.
	Rest *float64 `json:"rest_seconds,omitempty"`
}

func describeRebuild(ctx context.Context, store checkpoint.RecordStore, r rebuild.Rebuild) (rebuildLine, error) {
	l := rebuildLine{Name: r.Name, From: r.From, State: r.State, By: r.By, Began: r.Began, Since: r.Since, Removed: r.Removed}
	if !r.Gated() {
		return l, nil
	}
	p, ok, err := rebuild.LoadProgress(ctx, store, r.Name)
	if err != nil {
		return l, err
	}
	if ok {
		l.Progress = &rebuildProgress{At: p.At, Aggregates: p.Aggregates, Reached: p.Reached, Versions: p.Versions, Handled: p.Handled}
		if rest, known := p.Estimate(); known {
			seconds := rest.Seconds()
			l.Progress.Rest = &seconds
		}
	}
	control, _, err := checkpoint.LoadControl(ctx, store, r.Name)
	if err != nil {
		return l, err
	}
	l.Parked = len(control.Parked)
	if r.State == rebuild.Draining {
		done, err := rebuild.DoneParts(ctx, store, r.Name, r.Token)
		if err != nil {
			return l, err
		}
		l.Drained = len(done)
	}
	return l, nil
}

func (l rebuildLine) write(out io.Writer) error {
	text := fmt.Sprintf("%s  %s  of %s, since %s by %s", l.Name, l.State, l.From, l.Since.UTC().Format(time.DateTime), cmp.Or(l.By, "nobody"))
	if l.Removed {
		text += ", which was removed"
	}
	if p := l.Progress; p != nil {
		text += fmt.Sprintf("\n  %d of %d versions handled, %d of %d aggregates reached, at %s",
			p.Handled, p.Versions, p.Reached, p.Aggregates, p.At.UTC().Format(time.DateTime))
		if p.Rest != nil {
			text += fmt.Sprintf(", %v left", time.Duration(*p.Rest*float64(time.Second)).Round(time.Second))
		}
	}
	if l.State == rebuild.Draining {
		text += fmt.Sprintf("\n  %d partitions are drained", l.Drained)
	}
	if l.Parked > 0 {
		text += fmt.Sprintf("\n  %d parked aggregates hold the cut-over up: release or skip them", l.Parked)
	}
	_, err := fmt.Fprintln(out, text)
	return err
}

func printRebuild(c *cobra.Command, store checkpoint.RecordStore, r rebuild.Rebuild, asJSON bool) error {
	l, err := describeRebuild(c.Context(), store, r)
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(c.OutOrStdout()).Encode(l)
	}
	return l.write(c.OutOrStdout())
}

func newRebuildsList() *cobra.Command {
	return storeCommand(&cobra.Command{
		Use:     "list",
		Short:   "List the rebuilds in a checkpoint store, with their states",
		Example: "  celeriant rebuilds list --checkpoint sqlite:app.db",
		Args:    cli.NoArgs,
	}, false, func(c *cobra.Command, store checkpoint.RecordStore, _ string, asJSON bool) error {
		all, err := rebuild.List(c.Context(), store)
		for _, name := range slices.Sorted(maps.Keys(all)) {
			if err = printRebuild(c, store, all[name], asJSON); err != nil {
				break
			}
		}
		return err
	})
}

func newRebuildsShow() *cobra.Command {
	return storeCommand(&cobra.Command{
		Use:   "show",
		Short: "Show one rebuild: its state, how far it is, and what holds it up",
		Args:  cli.NoArgs,
	}, true, func(c *cobra.Command, store checkpoint.RecordStore, name string, asJSON bool) error {
		r, err := rebuild.Load(c.Context(), store, name)
		if err != nil {
			return noRebuild(err)
		}
		return printRebuild(c, store, r, asJSON)
	})
}

// rebuildStep changes the state of the rebuild name.
type rebuildStep func(ctx context.Context, store checkpoint.RecordStore, name, by string) (rebuild.Rebuild, error)

func (step rebuildStep) run(c *cobra.Command, store checkpoint.RecordStore, name string, asJSON bool) error {
	r, err := step(c.Context(), store, name, requester())
	if err != nil {
		return noRebuild(err)
	}
	return printRebuild(c, store, r, asJSON)
}

func newRebuildsStep(use, short, long string, step rebuildStep) *cobra.Command {
	return storeCommand(&cobra.Command{
		Use:     use,
		Short:   short,
		Long:    short + ".\n\n" + long,
		Example: fmt.Sprintf("  celeriant rebuilds %s --checkpoint sqlite:app.db --name orders@2", use),
		Args:    cli.NoArgs,
	}, true, step.run)
}

func newRebuildsRemove() *cobra.Command {
	var sure bool
	c := storeCommand(&cobra.Command{
		Use:   "remove",
		Short: "Delete the positions of the consumer whose place a current rebuild has taken",
		Args:  cli.NoArgs,
	}, true, func(c *cobra.Command, store checkpoint.RecordStore, name string, asJSON bool) error {
		if !sure {
			return cli.Usagef("%q could not be rolled back any more; add --yes", name)
		}
		return rebuildStep(rebuild.Remove).run(c, store, name, asJSON)
	})
	c.Flags().BoolVar(&sure, "yes", false, "delete them")
	return c
}

// noRebuild sorts the error of a step for the exit status.
func noRebuild(err error) error {
	if errors.Is(err, rebuild.ErrNone) || errors.Is(err, checkpoint.ErrDeleted) {
		return fmt.Errorf("%w: %w", err, msg.ErrNotFound)
	}
	return err
}
