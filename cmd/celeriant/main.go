// Command celeriant is the command-line tool of the library. It runs the
// in-process node as a program of its own:
//
//	celeriant dev --data-root ./data
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for a clean end. From then on signals have their
	// usual effect again, so that the second one ends a tool that is stuck.
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run executes one command line and returns the exit status: 0, or 1 after an
// error, which it has told on stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "%s: %v\n", command.CommandPath(), err)
	fmt.Fprintf(stderr, "See: %s --help\n", command.CommandPath())
	return 1
}
