package dbtest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// Redis is a Redis or Valkey server on the loopback interface, whose files are in a
// folder of the caller's.
type Redis struct {
	Process
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
		r.Process = Process{ready: "Ready to accept connections", end: syscall.SIGTERM, command: func() *exec.Cmd {
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

// StartSentinel starts a Sentinel alone, which watches a primary under a name and replaces
// it after half a second without an answer.
func StartSentinel(folder, name, primary string) (*Redis, error) {
	binary, err := redisBinary()
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(primary)
	if err != nil {
		return nil, err
	}
	r := new(Redis)
	config := filepath.Join(folder, "sentinel.conf") // which the server rewrites
	err = startAtFreePort(func(own string) error {
		r.Address = "127.0.0.1:" + own
		text := fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\nsentinel monitor %s %s %s 1\nsentinel down-after-milliseconds %[3]s 500\nsentinel failover-timeout %[3]s 5000\n",
			own, folder, name, host, port)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			return err
		}
		r.Process = Process{ready: "+monitor", end: syscall.SIGTERM, command: func() *exec.Cmd {
			return exec.Command(binary, config, "--sentinel", "--logfile", "/dev/stderr")
		}}
		return r.Start()
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}
