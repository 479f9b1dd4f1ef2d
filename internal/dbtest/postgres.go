package dbtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Postgres is a PostgreSQL server on the loopback interface.
type Postgres struct {
	Process
	// Source is the server's, for pgx and its database/sql driver.
	Source string

	port    string
	folder  string // of the socket and of the cluster, and of clusters of standbys
	account *syscall.SysProcAttr
}

// FindPostgres returns the source of a PostgreSQL server, for pgx and its
// database/sql driver: the one that CELERIANT_TEST_POSTGRES names, or one that it
// starts. stop is nil for the former, and otherwise ends it.
func FindPostgres() (source string, stop func() error, err error) {
	if source := os.Getenv("CELERIANT_TEST_POSTGRES"); source != "" {
		return source, nil, nil
	}
	p, err := StartPostgres()
	if err != nil {
		return "", nil, err
	}
	return p.Source, p.Close, nil
}

// WithParameter adds a parameter to the source of a PostgreSQL server, whichever form that has.
func WithParameter(source, name, value string) string {
	if !strings.Contains(source, "://") {
		return source + " " + name + "=" + value
	}
	separator := "?"
	if strings.Contains(source, "?") {
		separator = "&"
	}
	return source + separator + name + "=" + value
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

// StartPostgres starts a server with further arguments on a new cluster.
func StartPostgres(args ...string) (p *Postgres, err error) {
	initdb, postgres, ok := findBinaries()
	if !ok {
		return nil, errors.New("PostgreSQL was not found: no CELERIANT_TEST_POSTGRES, no postgres and initdb in PATH or /usr/lib/postgresql/*/bin")
	}
	// A socket's path is short: the folder lies in /tmp, not in $TMPDIR.
	dir, err := os.MkdirTemp("/tmp", "celeriant-pg")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	account, err := serverAccount(dir, syscall.SIGINT)
	if err != nil {
		return nil, err
	}
	cluster := filepath.Join(dir, "cluster")
	make := exec.Command(initdb, "-D", cluster, "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C")
	make.Dir, make.SysProcAttr = dir, account
	if out, err := make.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return servePostgres(postgres, dir, cluster, account, args)
}

// servePostgres serves a cluster.
func servePostgres(binary, dir, cluster string, account *syscall.SysProcAttr, args []string) (*Postgres, error) {
	p := &Postgres{folder: dir, account: account}
	err := startAtFreePort(func(port string) error {
		p.port = port
		p.Source = "postgres://postgres@127.0.0.1:" + port + "/postgres?sslmode=disable"
		p.Process = Process{ready: "ready to accept", end: syscall.SIGINT, command: func() *exec.Cmd {
			serve := exec.Command(binary, append([]string{"-D", cluster, "-k", dir, "-p", port, "-c", "listen_addresses=127.0.0.1",
				"-c", "logging_collector=off", "-c", "log_destination=stderr"}, args...)...)
			serve.Dir, serve.SysProcAttr = dir, account
			return serve
		}}
		return p.Process.Start()
	})
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", binary, err)
	}
	return p, nil
}

// Start starts the server again. After a kill the sessions of before have to end first,
// until when the server refuses to start.
func (p *Postgres) Start() error {
	err := p.Process.Start()
	for deadline := time.Now().Add(startPatience); err != nil && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
		err = p.Process.Start()
	}
	return err
}

// Close ends the server and removes its files, and those of its standbys.
func (p *Postgres) Close() error { return errors.Join(p.Stop(), os.RemoveAll(p.folder)) }
