package sqlstore_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// memberOf is the environment variable that turns the test program into one of
// several processes that share a projection: dialect, driver, source and node,
// separated by line ends.
const memberOf = "SQLSTORE_TEST_MEMBER"

const memberTTL = 3 * time.Second

var (
	ledgerOrg  = msg.IDFromUint64(71)
	ledgerType = msg.IDFromUint64(72)
)

// ledgerSource opens the shared subscription.
type ledgerSource struct {
	pool  *pool.Pool
	store *sqlstore.Store
}

func (s ledgerSource) Open(ctx context.Context) (stream.Consumer, error) {
	return stream.Open(ctx, stream.FromPool(s.pool), stream.Types(ledgerOrg, ledgerType), stream.Options{
		Name: "ledger", Store: s.store, Ownership: stream.Leased, LeaseTTL: memberTTL, Partitions: 16,
	})
}

// runMember writes each batch into the ledger, until it is killed.
func runMember(settings string) error {
	ctx := context.Background()
	part := strings.Split(settings, "\n")
	db, err := sql.Open(part[1], part[2])
	if err != nil {
		return err
	}
	dialect, insert := sqlstore.SQLite, "INSERT INTO ledger (aggregate, version, pid) VALUES (?, ?, ?)"
	switch part[0] {
	case sqlstore.Postgres.String():
		dialect, insert = sqlstore.Postgres, "INSERT INTO ledger (aggregate, version, pid) VALUES ($1, $2, $3)"
	case sqlstore.MySQL.String():
		dialect = sqlstore.MySQL
	}
	store, err := sqlstore.Open(ctx, db, dialect, sqlstore.Options{Idle: memberTTL / 2})
	if err != nil {
		return err
	}
	p, err := pool.New(pool.Options{Address: part[3]})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	return operators.Project(ctx, ledgerSource{p, store}, db, func(ctx context.Context, tx *sql.Tx, changes []stream.Change) error {
		for _, c := range changes {
			if c.Kind != stream.Batch {
				continue
			}
			_, n := c.Key.Aggregate.Uint64s()
			if _, err := tx.ExecContext(ctx, insert, int64(n), int64(c.Batch.Version), os.Getpid()); err != nil {
				return err
			}
		}
		return nil
	})
}

// memberProcess is a process of the group.
type memberProcess struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

func startMember(t *testing.T, settings string) *memberProcess {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), memberOf+"="+settings)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m := &memberProcess{cmd: cmd, ended: make(chan struct{})}
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("a member says %q: %v", line, err)
	}
	go func() {
		defer close(m.ended)
		_, _ = io.Copy(io.Discard, lines)
		_ = cmd.Wait()
	}()
	t.Cleanup(m.kill)
	return m
}

func (m *memberProcess) kill() {
	_ = m.cmd.Process.Kill()
	<-m.ended
}

// ledger is what was applied: how often each version of each aggregate, and by how
// many processes.
type ledger struct {
	rows, distinct, processes int
}

func readLedger(t *testing.T, db *sql.DB) (l ledger) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err := db.QueryRowContext(ctx, `SELECT count(*), (SELECT count(*) FROM (SELECT DISTINCT aggregate, version FROM ledger) d),
		count(DISTINCT pid) FROM ledger`).Scan(&l.rows, &l.distinct, &l.processes)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Processes share a projection while they are killed, or stopped beyond their TTL and
// woken again. Every batch takes effect exactly once, and no partition waits longer than
// it takes to notice.
//
//covers:g17
func TestLeasesOfProcessesThatDie(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		return // there are no signals to stop a process with
	}
	for _, kind := range databases {
		t.Run(kind.name, func(t *testing.T) {
			d := kind.open(t)
			db, err := sql.Open(d.driver, d.source)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.ExecContext(t.Context(), "CREATE TABLE ledger (aggregate BIGINT, version BIGINT, pid BIGINT)"); err != nil {
				t.Fatal(err)
			}
			node := celerianttest.Run(t, celerianttest.Options{Shards: 4})
			p, err := pool.New(pool.Options{Address: node.Addr()})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close(context.Background())
			settings := strings.Join([]string{d.dialect.String(), d.driver, d.source, node.Addr()}, "\n")

			const aggregates = 40
			written := 0
			write := func() {
				for n := range aggregates {
					key := msg.Key{Org: ledgerOrg, Type: ledgerType, Aggregate: msg.IDFromUint64(uint64(n))}
					if _, err := p.WriteEvents(t.Context(), key, []msg.Event{{ClientSeq: 1, Major: 1, Value: []byte("x")}}, msg.IDFromUint64(1), pool.WriteOptions{}); err != nil {
						t.Fatal(err)
					}
					written++
				}
			}
			// applied waits until all that is written is applied, and returns how long that took.
			applied := func() time.Duration {
				began := time.Now()
				for l := readLedger(t, db); l.distinct < written; l = readLedger(t, db) {
					if time.Since(began) > time.Minute {
						t.Fatalf("%d of %d batches are applied after %v", l.distinct, written, time.Since(began))
					}
					time.Sleep(20 * time.Millisecond)
				}
				return time.Since(began)
			}
			members := []*memberProcess{startMember(t, settings), startMember(t, settings), startMember(t, settings)}
			write()
			applied()
			// A heartbeat and a third of the TTL until all have their share.
			for l := readLedger(t, db); l.processes < len(members); l = readLedger(t, db) {
				write()
				applied()
			}
			rounds := 4
			if testing.Short() {
				rounds = 1
			}
			for round := range rounds {
				victim := members[round%len(members)]
				write()
				if round%2 == 0 {
					victim.kill()
					write()
					t.Logf("after a kill, all is applied in %v", applied())
					members[round%len(members)] = startMember(t, settings)
				} else {
					if err := victim.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
						t.Fatal(err)
					}
					write()
					if d.dialect == sqlstore.SQLite {
						// One that is stopped inside a transaction locks the database for all.
						time.Sleep(2 * memberTTL)
					} else {
						t.Logf("with one stopped, all is applied in %v", applied())
					}
					if err := victim.cmd.Process.Signal(syscall.SIGCONT); err != nil {
						t.Fatal(err)
					}
				}
				write()
				applied()
			}
			// The process that began last has its share, too.
			for l := readLedger(t, db); l.processes < len(members)+1; l = readLedger(t, db) {
				write()
				applied()
			}
			if l := readLedger(t, db); l.rows != written || l.distinct != written || l.processes < len(members)+1 {
				t.Fatalf("%d batches written, applied are %+v", written, l)
			}
		})
	}
}
