// Command celeriant is the command-line tool of the library. The tool reads,
// writes and administers aggregates, measures nodes, and runs the in-process
// node as a program of its own:
//
//	celeriant dev --data-root ./data
//	celeriant read --org 1 --type 1 --aggregate 7 --json
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
)

func main() {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	// The first signal asks for a clean end. From then on signals have their
	// usual effect again, so that the second one ends a tool that is stuck.
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run executes one command line and returns the exit status. run prints an error to
// stderr, with a hint at the help when the command line is at fault.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	command, err := misspelt(root, args)
	if err == nil {
		command, err = root.ExecuteContextC(ctx)
	}
	if err == nil {
		return cli.StatusOK
	}
	fmt.Fprintf(stderr, "%s: %v\n", command.CommandPath(), err)
	if cli.ExitStatus(err) == cli.StatusUsage {
		fmt.Fprintf(stderr, "See: %s --help\n", command.CommandPath())
	}
	return cli.ExitStatus(err)
}
