package dbtest

import (
	"errors"
	"fmt"
	"os/exec"
	"syscall"
)

// Redis is a Redis or Valkey server on the loopback interface, whose files are in a
// folder of the caller's.
type Redis struct {
	Address string
	folder  string
	port    string
	args    []string
	stop    func() error
	process *exec.Cmd
}

// StartRedis starts a server with further arguments.
func StartRedis(folder string, args ...string) (*Redis, error) {
	r := &Redis{folder: folder, args: args}
	var err error
	// Until the server has it, a free port may become somebody else's.
	for range 5 {
		if r.port, err = freePort(); err != nil {
			return nil, err
		}
		r.Address = "127.0.0.1:" + r.port
		if err = r.Start(); err == nil {
			return r, nil
		}
	}
	return nil, err
}

// Start starts it again, on its files and at its port.
func (r *Redis) Start() error {
	var binary string
	var err error
	for _, name := range []string{"redis-server", "valkey-server"} {
		if binary, err = exec.LookPath(name); err == nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("neither redis-server nor valkey-server was found: %w", err)
	}
	args := append([]string{"--port", r.port, "--bind", "127.0.0.1", "--dir", r.folder, "--logfile", "/dev/stderr", "--save", ""}, r.args...)
	r.process = exec.Command(binary, args...)
	r.process.Dir = r.folder
	r.stop, err = serveUntilReady(r.process, "Ready to accept connections", syscall.SIGTERM)
	return err
}

// Stop ends the server in order.
func (r *Redis) Stop() error { return r.stop() }

// Kill ends the server as a crash does.
func (r *Redis) Kill() error {
	if err := r.process.Process.Kill(); err != nil {
		return err
	}
	// Wait reports the end by a signal as an error.
	var exit *exec.ExitError
	if err := r.stop(); err != nil && !errors.As(err, &exit) {
		return err
	}
	return nil
}
