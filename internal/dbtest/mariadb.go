package dbtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// MariaDB is a MariaDB server on the loopback interface.
type MariaDB struct {
	Process
	// Source is the server's without a database, for github.com/go-sql-driver/mysql.
	Source string
	folder string
}

// StartMariaDB starts a server with further arguments, on a new folder.
func StartMariaDB(args ...string) (m *MariaDB, err error) {
	install, err1 := exec.LookPath("mariadb-install-db")
	serve, err2 := exec.LookPath("mariadbd")
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("MariaDB was not found: %w", err)
	}
	dir, err := os.MkdirTemp("/tmp", "celeriant-maria")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	account, err := serverAccount(dir, syscall.SIGTERM)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	make := exec.Command(install, "--no-defaults", "--datadir="+data, "--tmpdir="+dir, "--auth-root-authentication-method=normal", "--skip-test-db")
	make.Dir, make.SysProcAttr = dir, account
	if out, err := make.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", install, err, out)
	}
	m = &MariaDB{folder: dir}
	err = startAtFreePort(func(port string) error {
		m.Source = "root@tcp(127.0.0.1:" + port + ")/"
		m.Process = Process{ready: "ready for connections", end: syscall.SIGTERM, command: func() *exec.Cmd {
			c := exec.Command(serve, append([]string{"--no-defaults", "--datadir=" + data, "--tmpdir=" + dir, "--socket=" + filepath.Join(dir, "socket"),
				"--bind-address=127.0.0.1", "--port=" + port, "--pid-file=" + filepath.Join(dir, "pid"), "--skip-log-error",
				"--innodb-buffer-pool-size=64M"}, args...)...)
			c.Dir, c.SysProcAttr = dir, account
			return c
		}}
		return m.Start()
	})
	return m, err
}

// Close ends the server and removes its files.
func (m *MariaDB) Close() error { return errors.Join(m.Stop(), os.RemoveAll(m.folder)) }
