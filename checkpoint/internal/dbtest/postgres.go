package dbtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// server is a server that was started.
type server struct {
	source string
	stop   func() error
}

// FindPostgres returns the source of a PostgreSQL server, for pgx and its
// database/sql driver: the one that CELERIANT_TEST_POSTGRES names, or one that it
// starts. stop is nil for the former, and otherwise ends it.
func FindPostgres() (source string, stop func() error, err error) {
	if source := os.Getenv("CELERIANT_TEST_POSTGRES"); source != "" {
		return source, nil, nil
	}
	initdb, postgres, ok := findBinaries()
	if !ok {
		return "", nil, errors.New("PostgreSQL was not found: no CELERIANT_TEST_POSTGRES, no postgres and initdb in PATH or /usr/lib/postgresql/*/bin")
	}
	s, err := startPostgres(initdb, postgres)
	if err != nil {
		return "", nil, fmt.Errorf("starting %s: %w", postgres, err)
	}
	return s.source, s.stop, nil
}

func findBinaries() (initdb, postgres string, ok bool) {
	i, err1 := exec.LookPath("initdb")
	p, err2 := exec.LookPath("postgres")
	if err1 == nil && err2 == nil {
		return i, p, true
	}
	folders, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	// The newest version, 9 before 15.
	slices.SortFunc(folders, func(a, b string) int {
		x, _ := strconv.Atoi(filepath.Base(filepath.Dir(a)))
		y, _ := strconv.Atoi(filepath.Base(filepath.Dir(b)))
		return y - x
	})
	for _, f := range folders {
		i, p := filepath.Join(f, "initdb"), filepath.Join(f, "postgres")
		if executable(i) && executable(p) {
			return i, p, true
		}
	}
	return "", "", false
}

// startPostgres makes a cluster in a temporary folder and serves it on the
// loopback interface and a socket in that folder.
func startPostgres(initdb, postgres string) (s server, err error) {
	// A socket's path is short: the folder lies in /tmp, not in $TMPDIR.
	dir, err := os.MkdirTemp("/tmp", "celeriant-pg")
	if err != nil {
		return server{}, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	account, err := serverAccount(dir, syscall.SIGINT)
	if err != nil {
		return server{}, err
	}
	cluster := filepath.Join(dir, "cluster")
	make := exec.Command(initdb, "-D", cluster, "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C")
	make.Dir, make.SysProcAttr = dir, account
	if out, err := make.CombinedOutput(); err != nil {
		return server{}, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	// Until the server has it, a free port may become somebody else's.
	for range 5 {
		if s, err = servePostgres(postgres, dir, cluster, account); err == nil {
			break
		}
	}
	return s, err
}

// servePostgres serves a cluster at a port that was free a moment ago.
func servePostgres(postgres, dir, cluster string, account *syscall.SysProcAttr) (server, error) {
	port, err := freePort()
	if err != nil {
		return server{}, err
	}
	serve := exec.Command(postgres, "-D", cluster, "-k", dir, "-p", port, "-c", "listen_addresses=127.0.0.1",
		"-c", "logging_collector=off", "-c", "log_destination=stderr")
	serve.Dir, serve.SysProcAttr = dir, account
	stop, err := serveUntilReady(serve, "ready to accept connections", syscall.SIGINT)
	if err != nil {
		return server{}, err
	}
	return server{
		source: "postgres://postgres@127.0.0.1:" + port + "/postgres?sslmode=disable",
		stop:   func() error { return errors.Join(stop(), os.RemoveAll(dir)) },
	}, nil
}
