package dbtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	// startPatience is how long a server is waited for until its log says that it is ready.
	startPatience = 60 * time.Second
	// stopPatience is how long a server is waited for that was told to end.
	stopPatience = 20 * time.Second
)

// Process is the process of a server that may end and be started again.
type Process struct {
	command func() *exec.Cmd
	ready   string         // what its log says then
	end     syscall.Signal // ends it in order
	running *exec.Cmd
	ended   chan error
}

// NewProcess returns what starts a server by a command, which is made anew each time. ready
// is what the server writes to its standard error once it serves.
func NewProcess(ready string, end syscall.Signal, command func() *exec.Cmd) *Process {
	return &Process{command: command, ready: ready, end: end}
}

// Start starts the server, on its files and at its port, and returns once it is ready.
func (p *Process) Start() error {
	serve := p.command()
	log, err := serve.StderrPipe()
	if err != nil {
		return err
	}
	if err := serve.Start(); err != nil {
		return err
	}
	up := make(chan struct{})
	ended := make(chan error, 1)
	var said strings.Builder
	go func() {
		lines, announced := bufio.NewScanner(log), false
		for lines.Scan() {
			if announced {
				continue
			}
			said.WriteString(lines.Text() + "\n")
			if strings.Contains(lines.Text(), p.ready) {
				announced = true
				close(up)
			}
		}
		_, _ = io.Copy(io.Discard, log)
		ended <- serve.Wait()
	}()
	p.running, p.ended = serve, ended
	select {
	case <-up:
		return nil
	case err := <-ended:
		return fmt.Errorf("it ended: %w\n%s", err, said.String())
	case <-time.After(startPatience):
		return errors.Join(fmt.Errorf("it is not ready after %v", startPatience), p.Stop())
	}
}

// Stop ends the server in order: its sessions are ended, nothing is lost.
func (p *Process) Stop() error {
	if err := p.running.Process.Signal(p.end); err != nil {
		return err
	}
	select {
	case err := <-p.ended:
		return err
	case <-time.After(stopPatience):
		_ = p.running.Process.Kill()
		return errors.Join(errors.New("it did not stop and was killed"), <-p.ended)
	}
}

// Kill ends the server as a crash does.
func (p *Process) Kill() error {
	if err := p.running.Process.Kill(); err != nil {
		return err
	}
	// Wait reports the end by a signal as an error.
	if err := <-p.ended; err != nil && !errors.As(err, new(*exec.ExitError)) {
		return err
	}
	return nil
}

// startAtFreePort gives the server ports that were free a moment ago, until one of them
// has not become somebody else's.
func startAtFreePort(start func(port string) error) error {
	var err error
	for range 5 {
		var port string
		if port, err = FreePort(); err != nil {
			return err
		}
		if err = start(port); err == nil {
			return nil
		}
	}
	return err
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&0o111 != 0
}

// FreePort returns a port of the loopback interface that nobody has at the moment.
func FreePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}
