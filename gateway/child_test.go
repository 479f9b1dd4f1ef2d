package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"testing"
)

// childProcess is the test binary, which runs a part of a benchmark in a process of its own.
type childProcess struct {
	process *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Scanner
}

// startChild starts a child, which ends when its input does.
func startChild(b *testing.B, c *exec.Cmd) *childProcess {
	b.Helper()
	out, err := c.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	in, err := c.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	return &childProcess{c, in, bufio.NewScanner(out)}
}

// await has the child go on until it reports a word.
func (p *childProcess) await(b *testing.B, word string) {
	b.Helper()
	_, _ = fmt.Fprintln(p.in)
	for p.out.Scan() {
		if p.out.Text() == word {
			return
		}
	}
	b.Fatal("the other process ended")
}

func (p *childProcess) stop() {
	_ = p.in.Close()
	_ = p.process.Process.Kill()
	_ = p.process.Wait()
}
