package measure

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/bench"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/node"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

const benchHelp = `

What is printed covers the time behind the warm-up: throughput, the latency of
one operation (quantiles at most 1/64 too high), and the processor time that
this process, not the node, spent per operation. The first failure ends a
bench without figures. Payloads are pseudo-random letters, which compress to
about 60 % where they are long enough to be compressed.`

// benchClient is who the data is written by when nothing is proven.
var benchClient = msg.IDFromUint64s(0xbe_4c, 1)

// workload is one of the functions of package bench.
type workload func(context.Context, *pool.Pool, bench.Options) (*bench.Report, error)

// NewBench returns the command bench.
func NewBench() *cobra.Command {
	group := cli.NewGroup("bench", "Measure a node and this client", newBenchSeed(), newBenchReadAll(), newBenchWrite(), newBenchLive())
	group.Long = "Measure throughput, latencies and the client's processor time." + benchHelp
	return group
}

func newBenchSeed() *cobra.Command {
	c, b := newBenchOf("seed", "Write the data that readall reads", bench.Seed, `Write --aggregates times --batches of --events of --bytes each: organisation 1,
aggregate type 1, aggregates 0 to N-1. An operation is one acknowledged write.
Each write expects the version before its own, so data that is there already is
a conflict (exit status 5). The connections are opened before the measurement;
there is no other warm-up.`)
	b.size(c, 1000, 10, 5)
	b.bytes(c)
	return c
}

func newBenchReadAll() *cobra.Command {
	c, b := newBenchOf("readall", "Read everything that seed has written", bench.ReadAll, `Read every batch of aggregates 0 to N-1 of organisation 1, aggregate type 1,
each connection 16 aggregates at a time, with pages as large as the node makes
them. An operation is one read request; several are under way on a connection, and
the time of one is its share of that of those sent together. Versions must have no gaps, and there
must be as many batches and events as --batches and --events say, if they do.
The warm-up reads the same data.`)
	b.size(c, 1000, 0, 0)
	b.warmup(c)
	return c
}

func newBenchWrite() *cobra.Command {
	c, b := newBenchOf("write", "Write for a time, many writers at once", bench.Write, `Let --writers append batches of --events of --bytes for --seconds, each to an
aggregate of its own, made for this run (organisation 1, type 2), each as soon
as its write before was acknowledged. An operation is one acknowledged write.
Writers beyond --connections wait in line, which is part of the latency.`)
	c.Flags().IntVar(&b.options.Writers, "writers", 16, "writers at once")
	b.events(c, 1)
	b.bytes(c)
	b.warmup(c)
	b.seconds(c)
	return c
}

func newBenchLive() *cobra.Command {
	c, b := newBenchOf("live", "Measure how soon a write is seen by a watch", bench.Live, `Watch one aggregate, made for this run (organisation 1, type 3), write to it and
read it on each notification. An operation is one write that was read; its
latency is the time from the begin of the write to the end of the read, and "ack
to read" the part behind the acknowledgement. One write at a time is on its
way; a write that begins later than --rate asks for is counted as late.`)
	c.Flags().Float64Var(&b.options.Rate, "rate", 100, "writes per second; 0: each when the one before was read")
	b.events(c, 1)
	b.bytes(c)
	b.warmup(c)
	b.seconds(c)
	return c
}

// benchFlags are the options of a workload.
type benchFlags struct {
	options  bench.Options
	duration float64 // seconds
}

func newBenchOf(name, short string, run workload, long string) (*cobra.Command, *benchFlags) {
	c := &cobra.Command{Use: name, Short: short, Long: long + benchHelp, Args: cli.NoArgs}
	b, s := new(benchFlags), node.BindSession(c)
	c.Flags().IntVar(&b.options.Connections, "connections", pool.DefaultMaxConnections, "most connections at once")
	c.RunE = func(c *cobra.Command, _ []string) error {
		b.options.Duration = time.Duration(math.Max(math.Min(b.duration, 1e9), 0) * float64(time.Second))
		b.options.ProtocolVersion = s.Options.ProtocolVersion
		s.Options.MaxConnections = b.options.Connections
		return s.Do(c.Context(), func(client *pool.Pool) error {
			b.options.Address = s.Nodes()
			b.options.ClientID = s.Security.Client.Or(benchClient)
			report, err := run(c.Context(), client, b.options)
			var wrong *bench.OptionError
			if errors.As(err, &wrong) {
				return cli.Usagef("--%w", err)
			}
			if err != nil {
				return err
			}
			return s.Print(c, report, report.String())
		})
	}
	return c, b
}

func (b *benchFlags) size(c *cobra.Command, aggregates, batches, events int) {
	c.Flags().IntVar(&b.options.Aggregates, "aggregates", aggregates, "number of aggregates")
	c.Flags().IntVar(&b.options.Batches, "batches", batches, "batches per aggregate")
	b.events(c, events)
}

func (b *benchFlags) events(c *cobra.Command, n int) {
	c.Flags().IntVar(&b.options.Events, "events", n, "events per batch")
}

func (b *benchFlags) bytes(c *cobra.Command) {
	c.Flags().IntVar(&b.options.Bytes, "bytes", 200, "bytes of payload per event")
}

func (b *benchFlags) warmup(c *cobra.Command) {
	c.Flags().DurationVar(&b.options.Warmup, "warmup", time.Second, "time before the measurement")
}

func (b *benchFlags) seconds(c *cobra.Command) {
	c.Flags().Float64Var(&b.duration, "seconds", 10, "length of the measurement")
}
