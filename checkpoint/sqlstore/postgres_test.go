//go:build postgres

package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
	_ "github.com/jackc/pgx/v5/stdlib"
)

func init() { databases = append(databases, kind{"PostgreSQL", postgres, stopPostgres}) }

// server is a PostgreSQL server that tests use, each in a schema of its own.
type server struct {
	source string
	// stop ends a server that the tests started, nil for one they were given.
	stop func() error
}

var (
	postgresServer = sync.OnceValues(findPostgres)
	postgresUsed   atomic.Bool
	schemas        atomic.Int64
)

// postgres returns a new schema of the server.
func postgres(t testing.TB) database {
	t.Helper()
	postgresUsed.Store(true)
	s, err := postgresServer()
	if err != nil {
		t.Fatal(err)
	}
	schema := fmt.Sprintf("celeriant_test_%d_%d", os.Getpid(), schemas.Add(1))
	s.exec(t, "CREATE SCHEMA "+schema)
	t.Cleanup(func() { s.exec(t, "DROP SCHEMA "+schema+" CASCADE") })
	return database{sqlstore.Postgres, "pgx", s.with("search_path", schema)}
}

// with adds a parameter to the source, whichever form that has.
func (s server) with(name, value string) string {
	if !strings.Contains(s.source, "://") {
		return s.source + " " + name + "=" + value
	}
	separator := "?"
	if strings.Contains(s.source, "?") {
		separator = "&"
	}
	return s.source + separator + name + "=" + value
}

func (s server) exec(t testing.TB, statement string) {
	t.Helper()
	db, err := sql.Open("pgx", s.source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	// Not the test's context: it has ended when cleanups run.
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := db.ExecContext(ctx, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// stopPostgres ends the server if the tests started one.
func stopPostgres() {
	if !postgresUsed.Load() {
		return
	}
	if s, err := postgresServer(); err == nil && s.stop != nil {
		if err := s.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping PostgreSQL:", err)
		}
	}
}

func findPostgres() (server, error) {
	if source := os.Getenv("CELERIANT_TEST_POSTGRES"); source != "" {
		return server{source: source}, nil
	}
	initdb, postgres, ok := findBinaries()
	if !ok {
		return server{}, errors.New("PostgreSQL was not found: no CELERIANT_TEST_POSTGRES, no postgres and initdb in PATH or /usr/lib/postgresql/*/bin")
	}
	s, err := startPostgres(initdb, postgres)
	if err != nil {
		return server{}, fmt.Errorf("starting %s: %w", postgres, err)
	}
	return s, nil
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
