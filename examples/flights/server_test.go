package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// cutFor bounds the cutting. Undisturbed, the run is over long before. But
// where a list of all aircraft takes longer than the time between two cuts, as
// on a slow machine, no list is ever complete, and the run must end all the same.
const cutFor = 10 * time.Second

// Every connection is cut every 100 ms, those of the writers and those of the
// projection. Nothing is lost, nothing comes twice.
func TestCutConnections(t *testing.T) {
	// A slow machine needs more time between cuts to get any work done.
	for pace := 100 * time.Millisecond; ; pace *= 2 {
		atWork := cutEach(t, pace)
		if atWork >= 5 || t.Failed() {
			return
		}
		if pace > time.Second {
			t.Fatalf("only %d cuts hit work that flowed", atWork)
		}
	}
}

// cutEach cuts every connection at a pace and returns how many cuts hit work
// that flowed.
func cutEach(t *testing.T, pace time.Duration) int {
	t.Helper()
	dir := t.TempDir()
	var cutting sync.WaitGroup
	stop := make(chan struct{})
	hits, atWork := 0, 0
	var out, said bytes.Buffer
	err := run(t.Context(), config{
		dir: dir, ledger: true, json: true, writers: 4, rate: 3000, out: &out, diagnostics: &said,
		onStart: func(node *celerianttest.Node, _ *celeriant.Client, g *goal) {
			cutting.Go(func() {
				every := time.NewTicker(pace)
				defer every.Stop()
				enough := time.NewTimer(cutFor)
				defer enough.Stop()
				for {
					select {
					case <-every.C:
					case <-enough.C:
						return
					case <-stop:
						return
					}
					watches := node.Stats().Watches
					_, p := g.seen()
					if node.CutConnections() > 0 && watches > 0 {
						hits++
						if p.Batches > 0 && p.Batches < weekBatches {
							atWork++
						}
					}
				}
			})
		},
	})
	close(stop)
	cutting.Wait()
	if err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	wantTruth(t, parseTotals(t, out.String()))
	wantLedger(t, dir)
	t.Logf("%d cuts hit the projection, %d of them while batches were being applied", hits, atWork)
	return atWork
}

// shared is a server that others use, too.
type shared struct {
	t    *testing.T
	node *celerianttest.Node
	pool *pool.Pool
}

func newShared(t *testing.T) *shared {
	t.Helper()
	node := celerianttest.Run(t, celerianttest.Options{Shards: 3})
	p, err := pool.New(pool.Options{Address: node.Addr(), RequestTimeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(context.Background()) })
	return &shared{t, node, p}
}

func (s *shared) write(key msg.Key, client msg.ID, seq uint64) {
	s.t.Helper()
	events := []msg.Event{{ClientSeq: seq, Major: 77, Value: []byte("?")}}
	if _, err := s.pool.WriteEvents(context.Background(), key, events, client, pool.WriteOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// Others write to the same aggregates, with types of their own, and to others.
func TestSharedServer(t *testing.T) {
	s := newShared(t)
	stranger := msg.IDFromUint64(99)
	s.write(keyOf("N14228"), stranger, 1)
	s.write(keyOf("N99999"), stranger, 1)
	s.write(msg.Key{Org: airTraffic, Type: stranger, Aggregate: stranger}, stranger, 1)
	for range 2 {
		wantTruth(t, succeed(t, "--dir", t.TempDir(), "--address", s.node.Addr()))
	}
}

// An aircraft that somebody deleted cannot be written again: its client
// sequences are used up. The program says so, and nothing counts twice.
func TestDeletedAircraft(t *testing.T) {
	s, dir := newShared(t), t.TempDir()
	wantTruth(t, succeed(t, "--dir", dir, "--address", s.node.Addr()))
	err := s.pool.DeleteAggregate(t.Context(), keyOf("N730MQ"), writerID, pool.DeleteOptions{AllowRecreate: true})
	if err != nil {
		t.Fatal(err)
	}
	fail(t, []string{"N730MQ", "is not readable"}, "--dir", dir, "--address", s.node.Addr())
}

// Somebody else has used the client id: the sequences that are left do as well.
func TestForeignEventsAreNotTakenForOurs(t *testing.T) {
	s := newShared(t)
	s.write(keyOf("N14228"), writerID, 1)
	s.write(keyOf("N730MQ"), writerID, 1000)
	for range 2 {
		wantTruth(t, succeed(t, "--dir", t.TempDir(), "--address", s.node.Addr()))
	}
}

// The answer to a write is lost: it is sent again, and recognised.
func TestLostAnswers(t *testing.T) {
	s := newShared(t)
	var mu sync.Mutex
	lost := 0
	s.node.Intercept(func(f *celerianttest.Frame) celerianttest.Verdict {
		mu.Lock()
		defer mu.Unlock()
		if _, ok := f.Response.(*msg.WriteResponse); ok && lost < 100 && f.Number%7 == 3 {
			lost++
			return celerianttest.CutBefore()
		}
		return celerianttest.Pass()
	})
	dir := t.TempDir()
	wantTruth(t, succeed(t, "--dir", dir, "--ledger", "--address", s.node.Addr()))
	wantLedger(t, dir)
	if lost != 100 {
		t.Errorf("%d answers were lost, want 100", lost)
	}
}

// A server that is not there is told soon, with its address.
func TestUnreachableServer(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, address := range []string{"127.0.0.1:1", silent.Addr().String()} {
		start := time.Now()
		fail(t, []string{address}, "--dir", t.TempDir(), "--address", address)
		if took := since(start); took > 20*time.Second {
			t.Errorf("it took %v", took)
		}
	}
	fail(t, []string{"nonsense", "host:port"}, "--dir", t.TempDir(), "--address", "nonsense")
}

// Two programs in one folder do not disturb each other.
func TestFolderInUse(t *testing.T) {
	dir := t.TempDir()
	started, release := make(chan struct{}), make(chan struct{})
	ended := make(chan error)
	go func() {
		ended <- run(context.Background(), config{dir: dir, json: true, writers: 1, out: io.Discard, diagnostics: io.Discard,
			onStart: func(*celerianttest.Node, *celeriant.Client, *goal) { close(started); <-release }})
	}()
	<-started
	fail(t, []string{dir, "node"}, "--dir", dir)
	close(release)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
