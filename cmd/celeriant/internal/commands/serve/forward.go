package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/time/rate"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/forward"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/monitor"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/node"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/stores"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

const forwardHelp = `Post every event of what is followed to an HTTP service, as it is committed, in order
within each aggregate. Each event is one request:

  {"id","org","type","aggregate","version","index","major","minor","event_id",
   "timestamp","value"}

id is the same each time the event is posted and equals the header Idempotency-Key;
index counts from 0 within the batch; timestamp is the event's own, in milliseconds;
event_id is there where the writer gave one. value is the payload as it is where it is
JSON in valid UTF-8, otherwise value_base64 stands in its place. With --batch the events
of a batch are one request, an array of these.

What the service answers decides:

  2xx                       the event is handled
  408, 425, 429, 5xx, 3xx   tried again, after Retry-After where it is given
  no answer, a time-out     tried again
  any other 4xx             the aggregate is parked: its later events wait, all other
                            aggregates go on; see "celeriant parked"

An event can be posted more than once, when an answer or the process is lost. A service
that must not act twice remembers the ids.

A recreated aggregate continues: its old events are not posted again. With --lifecycle
{"kind":"deleted"}, "reset", "truncated" and "unreadable" are posted, too, with the
aggregate.

With --key-file each request has the header
  Celeriant-Signature: t=SECONDS,v1=HEX
where HEX is the HMAC-SHA256, under the file's content, of SECONDS, a dot and the body.

Several instances of one --name share the aggregates, and take over from each other,
with --checkpoint in a database. --partitions counts when the name is used first. With
--from now they begin when the first of them did, five seconds allowed for its clock.

Positions, attempts and parked aggregates are kept in --checkpoint under --name; the URL is
no part of them, and may change. The scope and --from are those of "celeriant watch". A
signal ends the command with status 0 once the requests under way are answered.

` + monitor.Help

// minLeaseTTL is the shortest lease that stores and clocks can keep.
const minLeaseTTL = 3 * time.Second

type forwardFlags struct {
	checkpoint *stores.CheckpointFlags
	status     *monitor.Flags
	to         string
	from       string
	batch      bool
	lifecycle  bool
	workers    int
	rate       float64
	timeout    time.Duration
	partitions uint32
	leaseTTL   time.Duration
	member     string
	keyFile    string
	authFile   string

	url           *url.URL
	key           []byte
	authorization string
}

// NewForward returns the command forward.
func NewForward() *cobra.Command {
	c := &cobra.Command{
		Use:     "forward",
		Short:   "Post every event to an HTTP service, in order within each aggregate",
		Long:    forwardHelp,
		Example: "  celeriant forward --org 1 --type 2 --to http://127.0.0.1:8080/orders --checkpoint sqlite:forward.db --name orders",
		Args:    cli.NoArgs,
	}
	scope := node.BindScope(c)
	f := forwardFlags{checkpoint: stores.BindCheckpoint(c), status: monitor.Bind(c)}
	flags := c.Flags()
	flags.StringVar(&f.to, "to", "", "URL to post to")
	flags.StringVar(&f.from, "from", "beginning", "where to begin without a position: beginning, or now")
	flags.BoolVar(&f.batch, "batch", false, "post the events of a batch in one request, as an array")
	flags.BoolVar(&f.lifecycle, "lifecycle", false, "post deleted, reset, truncated and unreadable, too")
	flags.IntVar(&f.workers, "workers", 16, "requests under way at once, each of another aggregate")
	flags.Float64Var(&f.rate, "rate", 0, "requests or batches per second, at most (default: no limit)")
	flags.DurationVar(&f.timeout, "timeout", 10*time.Second, "longest time for one request and its answer")
	flags.Uint32Var(&f.partitions, "partitions", 0, "parts that instances share, when the name is used first (default: 64)")
	flags.DurationVar(&f.leaseTTL, "lease-ttl", 15*time.Second, "how long other instances wait for one that is silent")
	flags.StringVar(&f.member, "member", "", "name of this instance, the same in each run: it takes its former place at once")
	flags.StringVar(&f.keyFile, "key-file", "", "file of the key that signs requests")
	flags.StringVar(&f.authFile, "authorization-file", "", "file of the header Authorization, such as a bearer token")
	cli.CompleteOnly(c, "from", "beginning", "now")
	for _, name := range []string{"to", "workers", "rate", "timeout", "partitions", "lease-ttl", "member"} {
		cli.CompleteNothing(c, name)
	}
	s := node.BindSession(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		follow, err := scope.Scope()
		if err == nil {
			err = f.check()
		}
		if err != nil {
			return err
		}
		watched, err := f.status.Open(nil)
		if err != nil {
			return err
		}
		watched.Pool(&s.Options)
		err = s.Do(c.Context(), func(client *pool.Pool) error { return f.forward(c, s, client, follow, watched) })
		return errors.Join(err, watched.Close())
	}
	return c
}

// check refuses what makes no sense and reads the files, before anything is opened.
func (f *forwardFlags) check() (err error) {
	if f.url, err = parseTarget(f.to); err != nil {
		return err
	}
	_, known := node.Starts[f.from]
	switch {
	case !known:
		return cli.Usagef("--from is %q, want beginning or now", f.from)
	case f.checkpoint.Place == "":
		return cli.Usagef("--checkpoint is required: without positions every start would post everything again")
	case f.workers < 1 || f.workers > operators.MaxWorkers:
		return cli.Usagef("--workers is %d, want 1 to %d", f.workers, operators.MaxWorkers)
	case f.rate < 0:
		return cli.Usagef("--rate is %v, want 0 or more", f.rate)
	case f.leaseTTL < minLeaseTTL:
		return cli.Usagef("--lease-ttl is %v, want %v at least", f.leaseTTL, minLeaseTTL)
	case f.timeout <= 0:
		return cli.Usagef("--timeout is %v, want more than 0", f.timeout)
	}
	if f.keyFile != "" {
		if f.key, err = secret(f.keyFile); err != nil {
			return err
		}
	}
	if f.authFile != "" {
		text, err := secret(f.authFile)
		if err != nil {
			return err
		}
		if bytes.ContainsAny(text, "\r\n\x00") {
			return fmt.Errorf("%s has more than one line", f.authFile)
		}
		f.authorization = string(text)
	}
	return errors.Join(f.checkpoint.Check(), f.status.Check())
}

// parseTarget reads the URL of the service. Credentials in it would be printed with errors.
func parseTarget(text string) (*url.URL, error) {
	if text == "" {
		return nil, cli.Usagef("--to is required")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, cli.Usagef("--to is no URL: %v", errors.Unwrap(err))
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, cli.Usagef("--to is no URL of the form http://HOST/PATH or https://HOST/PATH")
	case u.User != nil:
		return nil, cli.Usagef("--to holds credentials; put them into a file and name it with --authorization-file")
	}
	return u, nil
}

// secret reads a file that holds one line.
func secret(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if text = bytes.TrimRight(text, "\r\n"); len(text) == 0 {
		return nil, fmt.Errorf("%s is empty", file)
	}
	return text, nil
}

// opening opens the subscription of a command.
type opening struct {
	source  stream.Source
	scope   stream.Scope
	options stream.Options
	opened  func(*stream.Subscription)
}

// Open implements operators.Source.
func (o *opening) Open(ctx context.Context) (stream.Consumer, error) {
	sub, err := stream.Open(ctx, o.source, o.scope, o.options)
	if err != nil {
		return nil, err
	}
	o.opened(sub)
	return sub, nil
}

// forward posts until the context of the command ends.
func (f *forwardFlags) forward(c *cobra.Command, s *node.Session, client *pool.Pool, scope stream.Scope, watched *monitor.Monitor) (err error) {
	ctx := c.Context()
	if err := watched.WatchPool(client); err != nil {
		return err
	}
	store, err := f.checkpoint.Open(ctx, s)
	if err != nil {
		if ctx.Err() != nil {
			return nil // the end was asked for before anything began
		}
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	r := node.NewReporter(c.ErrOrStderr(), c.CommandPath())
	r.JSON = s.JSON
	r.Listening(watched.Address())
	name := f.checkpoint.NameFor(scope)
	to := forward.New(forward.Options{
		To: f.url, Batch: f.batch, Lifecycle: f.lifecycle, Timeout: f.timeout, Workers: f.workers,
		Key: f.key, Authorization: f.authorization,
	})
	defer to.Close()
	source := &opening{source: stream.FromPool(client), scope: scope, options: stream.Options{
		Name:         name,
		Hooks:        watched.Stream(name),
		Store:        store,
		AdoptScope:   f.checkpoint.Adopt,
		Start:        node.Starts[f.from],
		Continuation: stream.ContinueOnly,
		OnState:      r.Observe,
		Ownership:    stream.Leased,
		Partitions:   f.partitions,
		LeaseTTL:     f.leaseTTL,
		Member:       f.member,
	}}
	reporting := false
	source.opened = func(sub *stream.Subscription) {
		r.Stats, reporting = sub.Stats, true
		go r.Run()
		if err := watched.Watch(sub); err != nil {
			r.ReportError(err)
		}
	}
	handler := func(ctx context.Context, c stream.Change) error {
		err := to.Handle(ctx, c)
		if err == nil {
			r.Count(&c)
		}
		return err
	}
	around := watched.Middleware(name)
	if f.rate > 0 {
		around = append(around, operators.Limit(rate.NewLimiter(rate.Limit(f.rate), 1)))
	}
	err = operators.ForEach(ctx, source, operators.Chain(handler, around...),
		operators.WithWorkers(f.workers),
		operators.WithVerdicts(forward.Verdict),
		operators.WithStopTimeout(f.timeout+node.EndGrace),
		operators.WithHooks(watched.Consumer(name, operators.Hooks{Parked: r.Parked, Paused: r.Paused, Verdict: r.Failed})))
	if ctx.Err() != nil && (errors.Is(err, context.Cause(ctx)) || errors.Is(err, ctx.Err())) {
		err = nil // the end that was asked for
	}
	if reporting {
		r.End(err)
	}
	return err
}
