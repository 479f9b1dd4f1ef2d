package aggregates

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/monitor"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/node"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/stores"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

const watchHelp = `Print every change of what is followed, old ones first, and go on with new ones
as they are committed, until interrupted.

Without --org, --type and --aggregate everything is followed. Each may be
repeated, and takes several values separated by commas:

  --org 1 --org 2                     two organisations
  --org 1 --type 2,3                  two aggregate types of organisation 1
  --type 1/2,4/2                      type 2 of organisation 1, and of organisation 4
  --org 1 --type 2 --aggregate 7,8    two aggregates
  --aggregate 1/2/7,1/3/9             the same with paths

A type is followed within an organisation and an aggregate within a type: what a
value leaves out is completed by the flags for it, with each of their values.

Changes of one aggregate are printed in their order; between aggregates there is
none. With --json each change is one line:

  {"kind":"batch","org","type","aggregate","version","server_timestamp",
   "client_id","user_id","events":[...]}     as read prints it
  {"kind":"deleted","org","type","aggregate"}
  {"kind":"reset",...}                       as deleted: its log is another one
  {"kind":"truncated",...,"from","to"}       trimmed before it could be printed
  {"kind":"unreadable",...,"version"}        the node cannot deliver this batch
  {"kind":"caught_up"}                       all committed before was printed

After deleted and reset, what was printed of the aggregate before is void.

With --from now, what was there before is left out. What counts is when the first
watch of a --name has caught up, or a watch without --checkpoint.

With --checkpoint the next watch of that --name continues behind the last line
that was written, wherever this one was: a position is stored when its line has
been written to standard output. After an end by a signal, by a reader that has
gone, or by a failing write, nothing is repeated and nothing left out. After a
kill the last lines may come again, at most 512, at most those of a second. A
file: store is for one watch at a time; with sqlite: several can share one.

Lost connections, elections and unreachable nodes are waited out. States are told
on standard error, as JSON with --json, together with the number of changes
printed, of aggregates that have more to read, and how old the last batch was
when it was printed (by the clocks of this machine and the node's). The command
ends with status 0 on SIGINT, SIGTERM and SIGHUP, and when its reader goes.

` + monitor.Help

type watchFlags struct {
	checkpoint *stores.CheckpointFlags
	status     *monitor.Flags
	from       string
	follower   bool
	latency    time.Duration
	brief      bool
	progress   bool
}

// NewWatch returns the command watch.
func NewWatch() *cobra.Command {
	c := &cobra.Command{
		Use:   "watch",
		Short: "Print every change, old and new, as it is committed",
		Long:  watchHelp,
		Example: `  celeriant watch --org 1 --type 1
  celeriant watch --org 1 --json --checkpoint file:./position | consumer`,
		Args: cli.NoArgs,
	}
	scope := node.BindScope(c)
	f := watchFlags{checkpoint: stores.BindCheckpoint(c), status: monitor.Bind(c)}
	flags := c.Flags()
	flags.StringVar(&f.from, "from", "beginning", "where to begin without a position: beginning, or now")
	flags.BoolVar(&f.follower, "follower", false, "watch and read at a follower while one keeps up; needs --seed to know one")
	flags.DurationVar(&f.latency, "latency", 0, "let the node collect changes for so long before it tells of them, 2s at most as a rule")
	flags.BoolVar(&f.brief, "brief", false, "only count the events of a batch; has no effect with --json")
	flags.BoolVar(&f.progress, "progress", cli.IsTerminal(os.Stderr) && !cli.IsTerminal(os.Stdout), "tell the progress every second on standard error")
	cli.CompleteOnly(c, "from", "beginning", "now")
	cli.CompleteNothing(c, "latency")
	s := node.BindSession(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		follow, err := scope.Scope()
		if err == nil {
			err = f.check(s)
		}
		if err != nil {
			return err
		}
		if s.JSON && !c.Flags().Changed("progress") {
			f.progress = false // for a program, and it has not asked
		}
		watched, err := f.status.Open(nil)
		if err != nil {
			return err
		}
		watched.Pool(&s.Options)
		err = s.Do(c.Context(), func(client *pool.Pool) error { return f.watch(c, s, client, follow, watched) })
		return errors.Join(err, watched.Close())
	}
	return c
}

func (f *watchFlags) check(s *node.Session) error {
	_, known := node.Starts[f.from]
	switch {
	case !known:
		return cli.Usagef("--from is %q, want beginning or now", f.from)
	case f.follower && len(s.Options.SeedAddresses) == 0:
		return cli.Usagef("--follower needs --seed: of a single node it is not known who follows")
	case f.latency < 0:
		return cli.Usagef("--latency is %v, want 0 or more", f.latency)
	}
	return errors.Join(f.checkpoint.Check(), f.status.Check())
}

// watch follows the scope until the context of the command ends.
func (f *watchFlags) watch(c *cobra.Command, s *node.Session, client *pool.Pool, scope stream.Scope, watched *monitor.Monitor) (err error) {
	// Writing to a reader that has gone must fail, not kill: what was written
	// before is still to be stored.
	signal.Ignore(syscall.SIGPIPE)
	ctx := c.Context()
	store, err := f.checkpoint.Open(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	r := node.NewReporter(c.ErrOrStderr(), c.CommandPath())
	r.JSON, r.Progress = s.JSON, f.progress
	r.Redraw = f.progress && !s.JSON && cli.IsTerminal(os.Stderr)
	if err := watched.WatchPool(client); err != nil {
		return err
	}
	r.Listening(watched.Address())
	name := f.checkpoint.NameFor(scope)
	sub, err := stream.Open(ctx, stream.FromPool(client), scope, stream.Options{
		Name:       name,
		Hooks:      watched.Stream(name),
		Store:      store,
		AdoptScope: f.checkpoint.Adopt,
		Start:      node.Starts[f.from],
		Followers:  f.follower,
		Latency:    f.latency,
		OnState:    r.Observe,
	})
	if err != nil {
		return err
	}
	r.Stats = sub.Stats
	go r.Run()
	if err := watched.Watch(sub); err != nil {
		r.ReportError(err)
	}
	all := following{sub: sub, out: cli.Printout{To: c.OutOrStdout()}, format: f.format(s.JSON), report: r}
	err = all.run(ctx)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), node.EndGrace)
	defer cancel()
	err = errors.Join(err, sub.Close(closing))
	r.End(err)
	return err
}

func (f *watchFlags) format(json bool) func([]byte, *stream.Change) []byte {
	switch {
	case json:
		return formatJSON
	case f.brief:
		return formatBrief
	}
	return formatText
}
