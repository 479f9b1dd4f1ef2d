package main

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/rebuild"
	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
	"github.com/celeriant/celeriant-go/examples/internal/program"
	"github.com/celeriant/celeriant-go/internal/quick"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
)

// rebuilderDir is the environment variable that turns the test program into a process of
// version 2, which says where it is and waits there for leave to go on.
const rebuilderDir, rebuilderNode, rebuilderCutsOver = "PROJECTION_TEST_DIR", "PROJECTION_TEST_NODE", "PROJECTION_TEST_CUTOVER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(rebuilderDir); dir != "" {
		fmt.Fprintln(os.Stderr, rebuildStepwise(context.Background(), dir, os.Getenv(rebuilderNode), os.Getenv(rebuilderCutsOver) != ""))
		os.Exit(1)
	}
	quick.LeaveOut("TestKilledWhileItIsRebuilt")
	os.Exit(m.Run())
}

// steps says each step on standard output, and goes on with a line of standard input.
type steps struct {
	mu    sync.Mutex
	leave *bufio.Reader
}

func (s *steps) step(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Println(text)
	if _, err := s.leave.ReadString('\n'); err != nil {
		os.Exit(1) // the test is gone
	}
}

// stepwise is the store of positions of a process that takes steps.
type stepwise struct {
	*sqlstore.Store
	steps *steps
}

func (s stepwise) Acquire(ctx context.Context, c checkpoint.Claim) (checkpoint.Owner, error) {
	s.steps.step("claiming")
	owner, err := s.Store.Acquire(ctx, c)
	s.steps.step("claimed")
	return owner, err
}

func (s stepwise) Apply(ctx context.Context, name string, m checkpoint.Mutation) error {
	s.steps.step("changing records")
	err := s.Store.Apply(ctx, name, m)
	s.steps.step("changed records")
	return err
}

func (s stepwise) SaveTx(ctx context.Context, tx *sql.Tx, owner checkpoint.Owner, entries []checkpoint.Entry) error {
	s.steps.step("saving cursors")
	err := s.Store.SaveTx(ctx, tx, owner, entries)
	s.steps.step("saved cursors")
	return err
}

// rebuildStepwise runs version 2 until it is killed, and has it take the place of
// version 1 if that is wanted.
func rebuildStepwise(ctx context.Context, dir, node string, cutsOver bool) error {
	p, err := open(ctx, dir, 2)
	if err != nil {
		return err
	}
	client, err := celeriant.Connect(node)
	if err != nil {
		return err
	}
	store := stepwise{Store: p.store, steps: &steps{leave: bufio.NewReader(os.Stdin)}}
	if cutsOver {
		go func() {
			if _, err := rebuild.CutOver(ctx, store, p.name, "test"); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}()
	}
	apply := func(ctx context.Context, tx *sql.Tx, changes []celeriant.Change) error {
		err := p.apply(ctx, tx, changes)
		store.steps.step("applied")
		return err
	}
	return operators.Project(ctx, client.Watch(celeriant.Types(org, orderType), celeriant.WithName(p.name),
		celeriant.WithCheckpoints(store), celeriant.WithRebuildOf(p.before)), p.db, apply, operators.WithLimits(operators.Limits{Changes: 3}))
}

// rebuilder is such a process.
type rebuilder struct {
	cmd   *exec.Cmd
	leave io.WriteCloser
	steps *bufio.Scanner
	said  strings.Builder
}

func startRebuilder(t *testing.T, dir, node string, cutsOver bool) *rebuilder {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // one that stands still fails the test
	t.Cleanup(cancel)
	r := &rebuilder{cmd: exec.CommandContext(ctx, os.Args[0])}
	r.cmd.Env = append(os.Environ(), rebuilderDir+"="+dir, rebuilderNode+"="+node)
	if cutsOver {
		r.cmd.Env = append(r.cmd.Env, rebuilderCutsOver+"=1")
	}
	r.cmd.Stderr = &r.said
	out, err := r.cmd.StdoutPipe()
	if err == nil {
		r.leave, err = r.cmd.StdinPipe()
	}
	if err == nil {
		err = r.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	r.steps = bufio.NewScanner(out)
	return r
}

// next waits for the next step.
func (r *rebuilder) next(t *testing.T) string {
	t.Helper()
	if !r.steps.Scan() {
		err := r.cmd.Wait()
		t.Fatalf("version 2 ended by itself: %v: %s", err, &r.said)
	}
	return r.steps.Text()
}

func (r *rebuilder) goOn(t *testing.T) {
	t.Helper()
	if _, err := io.WriteString(r.leave, "\n"); err != nil {
		t.Fatal(err)
	}
}

// killAt lets it take some steps, kills it at the next one, and returns that one.
func (r *rebuilder) killAt(t *testing.T, steps int) (step string) {
	t.Helper()
	defer r.kill()
	for range steps {
		r.next(t)
		r.goOn(t)
	}
	return r.next(t)
}

func (r *rebuilder) kill() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
}

// shown returns what the table of a version in a folder shows.
func shown(t *testing.T, dir string, version int) map[string]order {
	t.Helper()
	p, err := open(t.Context(), dir, version)
	if err != nil {
		t.Fatal(err)
	}
	defer p.db.Close()
	web := httptest.NewServer(p.routes(nil, nil))
	defer web.Close()
	return ordersAt(t, web.URL+"/orders")
}

// total counts the items of all orders.
func total(orders map[string]order) (n int64) {
	for _, o := range orders {
		n += o.Items
	}
	return n
}

// Version 2 is killed at one step after another while it is built and while it takes the
// place of version 1, and writers go on. In the end it shows what a version shows that
// handled the whole history undisturbed.
//
//covers:g19 killed
func TestKilledWhileItIsRebuilt(t *testing.T) {
	t.Parallel() // it waits more than it works
	node := celerianttest.Run(t, celerianttest.Options{Shards: 2})
	dir := t.TempDir()
	start := func(dir string) (*program.Function, string) {
		p := program.Run(t, func(ctx context.Context, out io.Writer) error {
			return run(ctx, node.Addr(), dir, "127.0.0.1:0", 1, out)
		})
		return p, p.Await(t, "orders at ")
	}
	first, url := start(dir)
	client, err := celeriant.Connect(node.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(context.Background())
	items := uint64(0)
	// A process that is killed at its n-th step has n changes to handle, so that it gets there.
	write := func(n int) {
		t.Helper()
		for range n {
			items++
			item, err := orderEvents.New(ItemAdded{Item: "book", Cents: int64(items)})
			if err != nil {
				t.Fatal(err)
			}
			item.ClientSeq = items
			key := msg.Key{Org: org, Type: orderType, Aggregate: msg.IDFromUint64(items % 5)}
			if _, err := client.WriteEvents(t.Context(), key, []msg.Event{item}, writerID); err != nil {
				t.Fatal(err)
			}
		}
	}
	p, err := open(t.Context(), dir, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer p.db.Close()
	at := make(map[string]int)
	for steps := range 9 {
		write(1 + steps)
		program.Until(t, "version 1 shows everything", func() bool { return total(ordersAt(t, url)) == int64(items) }) // which bounds version 2
		at[startRebuilder(t, dir, node.Addr(), false).killAt(t, steps)]++
	}
	for steps, current := 0, false; !current; steps++ {
		write(1 + steps)
		at["cutting over, "+startRebuilder(t, dir, node.Addr(), true).killAt(t, steps)]++
		r, err := rebuild.Load(t.Context(), p.store, p.name)
		if err != nil {
			t.Fatal(err)
		}
		at[string(r.State)]++
		current = r.State == rebuild.Current
	}
	t.Logf("killed %v", at)
	_ = first.End(t)

	last := startRebuilder(t, dir, node.Addr(), false)
	defer last.kill()
	go func() {
		for last.steps.Scan() {
			_, _ = io.WriteString(last.leave, "\n")
		}
	}()
	undisturbed := t.TempDir()
	other, otherURL := start(undisturbed)
	defer other.Stop(t)
	program.Until(t, "everything is shown undisturbed", func() bool { return total(ordersAt(t, otherURL)) >= int64(items) })
	program.Until(t, "everything is shown", func() bool { return total(shown(t, dir, 2)) >= int64(items) })
	if got, want := shown(t, dir, 2), ordersAt(t, otherURL); !maps.Equal(got, want) {
		t.Errorf("the rebuilt version shows %v, want %v", got, want)
	}
}
