package dbtest

import (
	"fmt"
	"os/exec"
	"syscall"
)

// Redis is a Redis or Valkey server on the loopback interface, whose files are in a
// folder of the caller's.
type Redis struct {
	process
	Address string
}

// StartRedis starts a server with further arguments.
func StartRedis(folder string, args ...string) (*Redis, error) {
	binary, err := redisBinary()
	if err != nil {
		return nil, err
	}
	r := new(Redis)
	err = startAtFreePort(func(port string) error {
		r.Address = "127.0.0.1:" + port
		r.process = process{ready: "Ready to accept connections", end: syscall.SIGTERM, command: func() *exec.Cmd {
			serve := exec.Command(binary, append([]string{"--port", port, "--bind", "127.0.0.1", "--dir", folder, "--logfile", "/dev/stderr", "--save", ""}, args...)...)
			serve.Dir = folder
			return serve
		}}
		return r.Start()
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

func redisBinary() (string, error) {
	var err error
	for _, name := range []string{"redis-server", "valkey-server"} {
		var binary string
		if binary, err = exec.LookPath(name); err == nil {
			return binary, nil
		}
	}
	return "", fmt.Errorf("neither redis-server nor valkey-server was found: %w", err)
}
