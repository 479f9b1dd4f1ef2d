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
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	// Until PgBouncer has it, a free port may become somebody else's.
	for range 5 {
		var end func() error
		if pooled, end, err = servePgBouncer(binary, dir, u); err == nil {
			return pooled, func() error {
				err := end()
				if errors.As(err, new(*exec.ExitError)) {
					err = nil // how it takes a signal depends on its version
				}
				return errors.Join(err, os.RemoveAll(dir))
			}, nil
		}
	}
	return "", nil, err
}

func servePgBouncer(binary, dir string, server *url.URL) (pooled string, stop func() error, err error) {
	port, err := freePort()
	if err != nil {
		return "", nil, err
	}
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
		return "", nil, err
	}
	account, err := serverAccount(dir, syscall.SIGTERM)
	if err != nil {
		return "", nil, err
	}
	serve := exec.Command(binary, config)
	serve.Dir, serve.SysProcAttr = dir, account
	stop, err = serveUntilReady(serve, "process up", syscall.SIGTERM)
	behind := *server
	behind.Host = "127.0.0.1:" + port
	return behind.String(), stop, err
}
