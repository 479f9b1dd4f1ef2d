package storefaults

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// Group are processes that share a subscription, each of them the test program as
// ServeMember runs it.
type Group struct {
	// Settings are handed to the members.
	Settings string
	// Read reads what was applied, exactly once; nil means that the members write
	// the file of the ledger, at least once.
	Read func(ctx context.Context) (Applied, error)
	// LocksAll tells that a member that is stopped inside a transaction stops all.
	LocksAll bool
	// Rounds is how often a member is killed or stopped, in turn.
	Rounds int
}

// Run lets the members share a subscription while they are killed, or stopped beyond
// their TTL and woken again. Every batch takes effect, each aggregate's in their order, and
// no partition waits longer than it takes to notice.
func (g Group) Run(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		return // there are no signals to stop a process with
	}
	node := celerianttest.Run(t, celerianttest.Options{Shards: 4})
	client, err := pool.New(pool.Options{Address: node.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(context.Background())
	r := &run{T: t, Group: g, pool: client, member: Member{Settings: g.Settings, Node: node.Addr(), Ledger: filepath.Join(t.TempDir(), "ledger")}}
	if err := os.WriteFile(r.member.Ledger, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	members := []*memberProcess{r.start(), r.start(), r.start()}
	r.write()
	r.applied()
	r.shared(len(members))
	for round := range g.Rounds {
		i := round % len(members)
		r.write()
		if round%2 == 0 {
			members[i].kill()
			r.write()
			t.Logf("after a kill, all is applied in %v", r.applied())
			members[i] = r.start()
		} else {
			r.stopped(members[i])
		}
		r.write()
		r.applied()
	}
	// The process that began last has its share, too.
	r.shared(len(members) + 1)
	if a := r.read(); a.Versions != r.written || a.Processes < len(members)+1 || a.Entries < a.Versions || g.Read != nil && a.Entries != a.Versions {
		t.Fatalf("%d batches written, applied are %+v", r.written, a)
	}
}

// run is a run of a group.
type run struct {
	*testing.T
	Group
	pool    *pool.Pool
	member  Member
	written int
}

// write writes another batch of each aggregate.
func (r *run) write() {
	r.Helper()
	const aggregates = 40
	for n := range aggregates {
		key := msg.Key{Org: ledgerOrg, Type: ledgerType, Aggregate: msg.IDFromUint64(uint64(n))}
		if _, err := r.pool.WriteEvents(r.Context(), key, []msg.Event{{ClientSeq: 1, Major: 1, Value: []byte("x")}}, msg.IDFromUint64(1), pool.WriteOptions{}); err != nil {
			r.Fatal(err)
		}
		r.written++
	}
}

func (r *run) read() Applied {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	var a Applied
	var err error
	if r.Read == nil {
		a, err = readLedger(r.member.Ledger)
	} else {
		a, err = r.Read(ctx)
	}
	if err != nil {
		r.Fatal(err)
	}
	return a
}

// applied waits until all that is written is applied, and returns how long that took.
func (r *run) applied() time.Duration {
	r.Helper()
	began := time.Now()
	for a := r.read(); a.Versions < r.written; a = r.read() {
		if time.Since(began) > patience {
			r.Fatalf("%d of %d batches are applied after %v", a.Versions, r.written, time.Since(began))
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(began)
}

// shared writes until so many processes have had a share, which takes a heartbeat and a
// third of the TTL.
func (r *run) shared(processes int) {
	r.Helper()
	for r.read().Processes < processes {
		r.write()
		r.applied()
	}
}

// stopped stops a member beyond its TTL and wakes it.
func (r *run) stopped(m *memberProcess) {
	r.Helper()
	if err := suspend(m.cmd.Process); err != nil {
		r.Fatal(err)
	}
	r.write()
	if r.LocksAll {
		time.Sleep(2 * MemberTTL)
	} else {
		r.Logf("with one stopped, all is applied in %v", r.applied())
	}
	if err := wake(m.cmd.Process); err != nil {
		r.Fatal(err)
	}
}

// memberProcess is a process of the group.
type memberProcess struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

func (r *run) start() *memberProcess {
	r.Helper()
	settings, err := json.Marshal(r.member)
	if err != nil {
		r.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), memberOf+"="+string(settings))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.Fatal(err)
	}
	m := &memberProcess{cmd: cmd, ended: make(chan struct{})}
	lines := bufio.NewReader(out)
	said, failed := lines.ReadString('\n')
	go func() {
		defer close(m.ended)
		_, _ = io.Copy(io.Discard, lines)
		_ = cmd.Wait()
	}()
	r.Cleanup(m.kill)
	if failed != nil || said != ready+"\n" {
		r.Fatalf("a member says %q: %v", said, failed)
	}
	return m
}

func (m *memberProcess) kill() {
	_ = m.cmd.Process.Kill()
	<-m.ended
}
