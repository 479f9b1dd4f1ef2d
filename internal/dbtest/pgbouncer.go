package dbtest

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// StartPgBouncer starts PgBouncer in transaction mode, with few connections, before the
// server of a source as FindPostgres returns it, and returns the source of the same
// database behind it.
func StartPgBouncer(source string) (pooled string, stop func() error, err error) {
	binary, err := exec.LookPath("pgbouncer")
	if err != nil {
		return "", nil, fmt.Errorf("PgBouncer was not found: %w", err)
	}
	u, err := url.Parse(source)
	if err != nil {
		return "", nil, fmt.Errorf("%q is no URL: %w", source, err)
	}
	dir, err := os.MkdirTemp("/tmp", "celeriant-pgb")
	if err != nil {
		return "", nil, err
	}
	var p Process
	err = startAtFreePort(func(port string) error {
		behind := *u
		behind.Host = "127.0.0.1:" + port
		pooled = behind.String()
		var err error
		if p, err = pgBouncer(binary, dir, port, u); err != nil {
			return err
		}
		return p.Start()
	})
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	return pooled, func() error {
		err := p.Stop()
		if errors.As(err, new(*exec.ExitError)) {
			err = nil // how it takes a signal depends on its version
		}
		return errors.Join(err, os.RemoveAll(dir))
	}, nil
}

func pgBouncer(binary, dir, port string, server *url.URL) (Process, error) {
	name := strings.TrimPrefix(server.Path, "/")
	config := filepath.Join(dir, "pgbouncer.ini")
	text := fmt.Sprintf(`[databases]
%s = host=%s port=%s user=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
max_client_conn = 200
`, name, server.Hostname(), server.Port(), server.User.Username(), port)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return Process{}, err
	}
	account, err := serverAccount(dir, syscall.SIGTERM)
	if err != nil {
		return Process{}, err
	}
	return Process{ready: "process up", end: syscall.SIGTERM, command: func() *exec.Cmd {
		serve := exec.Command(binary, config)
		serve.Dir, serve.SysProcAttr = dir, account
		return serve
	}}, nil
}
