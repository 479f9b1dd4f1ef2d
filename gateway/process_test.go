package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"testing"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/checkpoint/logstore"
	"github.com/celeriant/celeriant-go/gateway"
)

// processEnvironment makes the test binary a gateway of the node that it names.
const processEnvironment = "CELERIANT_TEST_GATEWAY_OF"

// gatewayProcess serves until its input ends, which it does with the test at the latest.
// Gateways of one node share the positions of names, which the node keeps.
func gatewayProcess(node string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	store, err := celeriant.Connect(node)
	fail(err)
	positions, err := logstore.Open(context.Background(), store.Pool(), logstore.Options{})
	fail(err)
	server, err := gateway.NewServer(store, gateway.Options{Checkpoints: positions})
	fail(err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	fail(err)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Println(listener.Addr())
	fail(server.Serve(listener))
}

// process is a gateway that is a process of its own.
type process struct {
	command *exec.Cmd
	input   io.Closer
	address string
}

func startProcess(node string) (*process, error) {
	p := &process{command: exec.Command(os.Args[0])}
	p.command.Env = append(os.Environ(), processEnvironment+"="+node)
	p.command.Stderr = os.Stderr
	input, err := p.command.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.input = input
	output, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	if _, err := fmt.Fscanln(output, &p.address); err != nil {
		p.kill()
		return nil, fmt.Errorf("the gateway does not say where it listens: %w", err)
	}
	return p, nil
}

// kill ends the process without warning.
func (p *process) kill() {
	_ = p.command.Process.Kill()
	_ = p.command.Wait()
	_ = p.input.Close()
}

// A gateway that is a process of its own serves, and is gone once it is killed.
func TestAGatewayProcessServes(t *testing.T) {
	w := newWorld(t, gateway.Options{})
	p, err := startProcess(w.node.Addr())
	if err != nil {
		t.Fatal(err)
	}
	w.address = p.address
	w.write(1, "a")
	r := w.mustOpen(clientHeld())
	r.changes(1, noPositions)
	p.kill()
	if err := r.end(); err == nil || w.context().Err() != nil {
		t.Errorf("the stream ended with %v", err)
	}
	if conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", p.address); err == nil {
		_ = conn.Close()
		t.Error("the gateway still listens")
	}
}
