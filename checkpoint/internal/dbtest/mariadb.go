package dbtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// StartMariaDB starts a MariaDB server and returns its source without a database,
// for github.com/go-sql-driver/mysql, and what ends it.
func StartMariaDB() (source string, stop func() error, err error) {
	s, err := startMariaDB()
	return s.source, s.stop, err
}

// startMariaDB makes a data folder in a temporary one and serves it.
func startMariaDB() (s server, err error) {
	install, err1 := exec.LookPath("mariadb-install-db")
	serve, err2 := exec.LookPath("mariadbd")
	if err := errors.Join(err1, err2); err != nil {
		return s, fmt.Errorf("MariaDB was not found: %w", err)
	}
	dir, err := os.MkdirTemp("/tmp", "celeriant-maria")
	if err != nil {
		return s, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	account, err := serverAccount(dir, syscall.SIGTERM)
	if err != nil {
		return s, err
	}
	data := filepath.Join(dir, "data")
	make := exec.Command(install, "--no-defaults", "--datadir="+data, "--tmpdir="+dir, "--auth-root-authentication-method=normal", "--skip-test-db")
	make.Dir, make.SysProcAttr = dir, account
	if out, err := make.CombinedOutput(); err != nil {
		return s, fmt.Errorf("%s: %w\n%s", install, err, out)
	}
	// Until the server has it, a free port may become somebody else's.
	for range 5 {
		if s, err = serveMariaDB(serve, dir, data, account); err == nil {
			break
		}
	}
	return s, err
}

func serveMariaDB(binary, dir, data string, account *syscall.SysProcAttr) (server, error) {
	port, err := freePort()
	if err != nil {
		return server{}, err
	}
	serve := exec.Command(binary, "--no-defaults", "--datadir="+data, "--tmpdir="+dir, "--socket="+filepath.Join(dir, "socket"),
		"--bind-address=127.0.0.1", "--port="+port, "--pid-file="+filepath.Join(dir, "pid"), "--skip-log-error",
		"--innodb-buffer-pool-size=64M")
	serve.Dir, serve.SysProcAttr = dir, account
	stop, err := serveUntilReady(serve, "ready for connections", syscall.SIGTERM)
	if err != nil {
		return server{}, err
	}
	return server{
		source: "root@tcp(127.0.0.1:" + port + ")/",
		stop:   func() error { return errors.Join(stop(), os.RemoveAll(dir)) },
	}, nil
}
