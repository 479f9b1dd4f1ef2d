package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal stops cleanly. From then on signals do what they always
	// do, so that the second one kills.
	context.AfterFunc(ctx, restore)
	os.Exit(program(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// program runs with command-line arguments and returns the exit status.
func program(ctx context.Context, args []string, out, diagnostics io.Writer) int {
	cfg, err := parse(args, diagnostics)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(diagnostics, "flights: %v\n", err)
		return 2
	}
	cfg.out, cfg.diagnostics = out, diagnostics
	switch err := run(ctx, cfg); {
	case err == nil:
		return 0
	case ctx.Err() != nil && errors.Is(err, context.Cause(ctx)):
		fmt.Fprintln(diagnostics, "flights: stopped; run it again to go on")
		return 130
	default:
		fmt.Fprintf(diagnostics, "flights: %v\n", err)
		return 1
	}
}

const usage = `Flights writes a week of real flights as events and projects them into SQLite,
exactly once. Run it again to see that nothing is written or applied twice.

Usage: flights [flags]

`

func parse(args []string, help io.Writer) (config, error) {
	var cfg config
	flags := flag.NewFlagSet("flights", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&cfg.dir, "dir", "flights-data", "`folder` of the read model and of the node's data; made if missing")
	flags.StringVar(&cfg.address, "address", "", "`host:port` of a server to use instead of a node of its own")
	flags.StringVar(&cfg.data, "data", "", "`file` of flights to use instead of the week inside, CSV of the same form, gzipped or not")
	flags.BoolVar(&cfg.json, "json", false, "print the totals as one JSON object instead of tables")
	flags.BoolVar(&cfg.ledger, "ledger", false, "keep a row for each applied batch in the table ledger")
	flags.IntVar(&cfg.writers, "writers", 4, "how many `writers` write at the same time")
	flags.IntVar(&cfg.rate, "rate", 0, "write at most so many `flights` per second; 0 is as fast as it goes")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(help, usage)
		flags.SetOutput(help)
		flags.PrintDefaults()
		return cfg, err
	case err != nil:
		return cfg, fmt.Errorf("%w; --help tells what there is", err)
	case flags.NArg() > 0:
		return cfg, fmt.Errorf("unexpected argument %q; --help tells what there is", flags.Arg(0))
	case cfg.writers < 1 || cfg.writers > 64:
		return cfg, fmt.Errorf("--writers is %d: want 1 to 64", cfg.writers)
	case cfg.rate < 0:
		return cfg, fmt.Errorf("--rate is %d: want 0 or more", cfg.rate)
	case cfg.dir == "":
		return cfg, errors.New("--dir is empty: name a folder")
	}
	return cfg, nil
}
