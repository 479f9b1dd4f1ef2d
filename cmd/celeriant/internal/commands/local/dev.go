package local

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/schema"
	"github.com/celeriant/celeriant-go/internal/platform"
)

const devHelp = `Run a node for development and tests, with nothing to install.

The node speaks the real protocol, keeps its data in memory or, with
--data-root, in a folder that survives restarts, and checks events against
registered JSON Schema, Avro and Protobuf schemas. It is not a database:
all data must fit into memory. With --pair it runs two nodes, A and B, that
replicate in memory; B listens on the port after A's. They are commanded on
standard input, a command per line, and over HTTP on 127.0.0.1: POST / with the
command as body, GET / for the state.

It prints its address once clients can connect and runs until it is
interrupted (SIGINT, SIGTERM). Its flags are those of the reference server,
where it has the feature; a flag that means nothing here is refused.

` + pairCommands + `
Flags:
  --pair
        run a leader and a follower; not with --data-root
  --control-port PORT
        where --pair takes commands over HTTP (default 0, any free port)
  --json
        print one JSON object on one line instead of text: address, shards,
        routing_rule, reserve_coordinator_shard, data_root, quirks; with --pair
        a, b, control, shards, quirks, and the answer to each command; with TLS
        tls, which is true
  --help
        show this help
` + devTLSHelp

const devExamples = `  celeriant dev                                  # 127.0.0.1:10000, in memory
  celeriant dev --data-root ./data --num-shards 4
  celeriant dev --client-port 0 --json           # for scripts: any free port
  celeriant dev --pair                           # 127.0.0.1:10000 and 10001; type: failover`

// NewDev returns the command that runs the in-process node.
func NewDev() *cobra.Command {
	dev := &cobra.Command{
		Use:     "dev [flags]",
		Short:   "Run a node for development and tests",
		Long:    devHelp + strings.TrimRight(celerianttest.FlagUsage(), "\n"),
		Example: devExamples,
		// celerianttest owns the flags, so that recordings, tests and this
		// command read the reference server's flags alike.
		DisableFlagParsing:    true,
		DisableFlagsInUseLine: true,
		ValidArgsFunction:     completeDevFlags,
		RunE: func(c *cobra.Command, args []string) error {
			args, asJSON := takeSwitch(args, "--json")
			args, paired := takeSwitch(args, "--pair")
			args, controlPort, err := takeValue(args, "--control-port")
			if err != nil {
				return err
			}
			if controlPort != "" && !paired {
				return cli.Usagef("flag --control-port needs --pair")
			}
			args, secured, err := takeTLS(args)
			if err != nil {
				return err
			}
			opts, err := celerianttest.ParseFlags(args)
			if errors.Is(err, flag.ErrHelp) {
				return c.Help()
			}
			if err != nil {
				return cli.Usagef("%w", flagError(c, err))
			}
			opts.TLS = secured
			if paired {
				return servePair(c.Context(), opts, cmp.Or(controlPort, "0"), asJSON, c.InOrStdin(), c.OutOrStdout())
			}
			return serve(c.Context(), opts, asJSON, c.OutOrStdout())
		},
	}
	// The help text lists all flags already; cobra would add its own list.
	dev.Flags().BoolP("help", "h", false, "")
	cobra.CheckErr(dev.Flags().MarkHidden("help"))
	return dev
}

// serve runs a node until ctx ends.
func serve(ctx context.Context, opts celerianttest.Options, asJSON bool, out io.Writer) error {
	opts.Validators = schema.Compilers()
	node, err := celerianttest.Start(opts)
	if platform.AddressInUse(err) {
		return fmt.Errorf("%w; --client-port 0 picks a free port", err)
	}
	if err != nil {
		return err
	}
	if err := announce(out, describe(node, opts), asJSON); err != nil {
		return errors.Join(fmt.Errorf("telling the address: %w", err), node.Close())
	}
	<-ctx.Done()
	return node.Close()
}

// running is what dev tells about its node.
type running struct {
	Address            string `json:"address"`
	Shards             int    `json:"shards"`
	RoutingRule        string `json:"routing_rule"`
	ReserveCoordinator bool   `json:"reserve_coordinator_shard"`
	DataRoot           string `json:"data_root"`
	Quirks             bool   `json:"quirks"`
	TLS                bool   `json:"tls,omitempty"`
}

func describe(node *celerianttest.Node, opts celerianttest.Options) running {
	return running{
		Address:            node.Addr(),
		Shards:             cmp.Or(opts.Shards, 1),
		RoutingRule:        opts.Routing.String(),
		ReserveCoordinator: opts.ReserveCoordinator,
		DataRoot:           opts.DataRoot,
		Quirks:             opts.Quirks,
		TLS:                opts.TLS != nil,
	}
}

func announce(out io.Writer, r running, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(r)
	}
	_, err := fmt.Fprintf(out, "celeriant dev: listening on %s (%s)\n", r.Address, strings.Join(r.traits(), ", "))
	return err
}

// traits describes the node in words.
func (r running) traits() []string {
	shards := fmt.Sprintf("%d shards", r.Shards)
	if r.Shards == 1 {
		shards = "1 shard"
	}
	place := "in memory"
	if r.DataRoot != "" {
		place = "data in " + r.DataRoot
	}
	traits := []string{shards, place}
	if r.TLS {
		traits = append(traits, "TLS only")
	}
	if r.Quirks {
		traits = append(traits, "quirks on")
	}
	return traits
}

// takeSwitch removes every occurrence of a switch and reports whether there
// was one.
func takeSwitch(args []string, name string) ([]string, bool) {
	rest := slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == name })
	return rest, len(rest) < len(args)
}

// takeValue removes a flag and its value, which follows after a space or "=",
// and returns the value, "" if the flag is not there.
func takeValue(args []string, name string) (rest []string, value string, err error) {
	for i := 0; i < len(args); i++ {
		text, follows := strings.CutPrefix(args[i], name+"=")
		switch {
		case follows:
			value = text
		case args[i] != name:
			rest = append(rest, args[i])
		case i+1 == len(args):
			return nil, "", cli.Usagef("flag %s needs a value", name)
		default:
			i++
			value = args[i]
		}
	}
	return rest, value, nil
}

// flagError leaves out which package found the mistake, and names the flags that an unknown
// one resembles.
func flagError(c *cobra.Command, err error) error {
	var wrong *celerianttest.FlagError
	switch {
	case !errors.As(err, &wrong):
		return err
	case !wrong.Unknown:
		return errors.New(wrong.Reason)
	}
	known := documentedFlags(c)
	for i := range known {
		known[i] = strings.TrimPrefix(known[i], "--")
	}
	return errors.New(wrong.Reason + cli.DidYouMean(cli.NearestFlags(wrong.Flag, known)))
}

// completeDevFlags completes a flag's name.
func completeDevFlags(c *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	flags := slices.DeleteFunc(documentedFlags(c), func(flag string) bool { return !strings.HasPrefix(flag, toComplete) })
	return flags, cobra.ShellCompDirectiveNoFileComp
}

// documentedFlags reads the flags, with their dashes, from the help, the one place that
// names them all.
func documentedFlags(c *cobra.Command) (flags []string) {
	for line := range strings.Lines(c.Long) {
		if name, _, _ := strings.Cut(strings.TrimSpace(line), " "); strings.HasPrefix(line, "  --") {
			flags = append(flags, name)
		}
	}
	return flags
}
