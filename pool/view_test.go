package pool_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// A view goes to its node and nowhere else, whatever that answers.
func TestViewOfOneNode(t *testing.T) {
	c := newCluster(t, "b:1", "a:1", "b:1")
	p := open(t, c.options("a:1", "b:1"))
	v, err := p.At("a:1")
	if err != nil || v.Node() != "a:1" {
		t.Fatal(v, err)
	}
	if _, err := v.Details(ctx, key); err != nil {
		t.Error(err)
	}
	if _, err := v.WriteEvents(ctx, key, []msg.Event{{Major: 1}}, me, pool.WriteOptions{}); !errors.Is(err, msg.ErrNotLeader) || msg.Ambiguous(err) {
		t.Error(err)
	}
	if log := c.taken(); !slices.Equal(log, []string{"a:1 details", "a:1 write"}) {
		t.Errorf("%v", log)
	}
	if _, err := p.At("nowhere"); !errors.Is(err, pool.ErrInvalid) {
		t.Error(err)
	}
	leader, err := p.Leader(ctx)
	if leader != "b:1" || err != nil {
		t.Error(leader, err)
	}
}

// A list's cursors go back to the node they came from.
func TestListsStayAtOneNode(t *testing.T) {
	c := newCluster(t, "b:1", "a:1", "b:1", "c:1")
	c.reply = func(_ string, req msg.Request) msg.Response {
		r, ok := req.(*msg.ListOrgsRequest)
		switch {
		case !ok:
			return nil
		case r.Shard > 10:
			return &msg.ErrorResponse{Code: msg.CodeRouting, Message: `{"num_shards":2}`}
		case r.Cursor.Value < 5:
			return &msg.ListOrgsResponse{NextCursor: msg.Some(r.Cursor.Value + 1)}
		}
		return &msg.ListOrgsResponse{}
	}
	for _, followers := range []bool{false, true} {
		opts := c.options("a:1", "b:1", "c:1")
		opts.RouteReadsToFollowers = followers
		p := open(t, opts)
		if _, err := p.Leader(ctx); err != nil {
			t.Fatal(err)
		}
		c.taken()
		for _, err := range p.ListOrgs(ctx) {
			if err != nil {
				t.Fatal(err)
			}
		}
		log := c.taken()
		slices.Sort(log)
		if log = slices.Compact(log); len(log) != 1 || (log[0] == "b:1 list organisations") == followers {
			t.Errorf("followers %v: %v", followers, log)
		}
	}
}

// pairOf starts two nodes in memory and a pool that knows both.
func pairOf(t *testing.T, opts pool.Options) (*celerianttest.Pair, *pool.Pool) {
	t.Helper()
	pair, err := celerianttest.StartPair(celerianttest.PairOptions{Options: celerianttest.Options{InMemory: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pair.Close() })
	if _, err := pair.AwaitLeader(ctx); err != nil {
		t.Fatal(err)
	}
	opts.Address, opts.SeedAddresses, opts.Dial = pair.A().Addr(), []string{pair.B().Addr()}, pair.DialContext
	return pair, open(t, opts)
}

// With a minimum version a read is never older, whatever a follower holds.
func TestReadMin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair, p := pairOf(t, pool.Options{RouteReadsToFollowers: true})
		var version uint64
		write := func() {
			v, err := p.WriteEvents(ctx, key, events(1, nil), me, pool.WriteOptions{})
			if err != nil {
				t.Fatal(err)
			}
			version = v
		}
		newest := func(resp *msg.ReadResponse, err error) uint64 {
			if err != nil || len(resp.Batches) == 0 {
				return 0
			}
			return resp.Batches[len(resp.Batches)-1].Version
		}
		write()
		if err := pair.AwaitSettled(ctx); err != nil {
			t.Fatal(err)
		}
		pair.FreezeLag()
		write()
		if got := newest(p.Read(ctx, &msg.ReadRequest{Key: key})); got != 1 {
			t.Fatalf("the follower is at %d: nothing is tested", got)
		}
		for range 3 {
			if got := newest(p.ReadMin(ctx, &msg.ReadRequest{Key: key}, version)); got != version {
				t.Errorf("at least %d is wanted, got %d", version, got)
			}
		}
		if got := newest(p.AtLeader().Read(ctx, &msg.ReadRequest{Key: key})); got != version {
			t.Errorf("the leader is at %d", got)
		}
		// A window below the minimum proves nothing by itself.
		low := &msg.ReadRequest{Key: key, Filters: msg.ReadFilters{To: msg.Some[uint64](1)}}
		if got := newest(p.ReadMin(ctx, low, version)); got != 1 {
			t.Errorf("the window shows %d", got)
		}
		var behind *pool.BehindError
		if _, err := p.ReadMin(ctx, &msg.ReadRequest{Key: key}, 99); !errors.As(err, &behind) || behind.Newest != version {
			t.Errorf("a version that never was: %v", err)
		}
	})
}

// A killed leader costs a pause, and every write is there once.
func TestFailoverOfThePair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair, p := pairOf(t, pool.Options{})
		for seq := uint64(1); seq <= 30; seq++ {
			if seq%10 == 5 {
				dead := pair.Leader()
				if err := pair.Kill(dead); err != nil {
					t.Fatal(err)
				}
				time.AfterFunc(4*time.Second, func() {
					if err := pair.Restart(dead); err != nil {
						t.Error(err)
					}
				})
			}
			_, err := p.WriteEvents(ctx, key, []msg.Event{{ClientSeq: seq, Major: 1}}, me, pool.WriteOptions{EnforceIdempotency: true})
			if err != nil && !errors.Is(err, msg.ErrDuplicate) {
				t.Fatalf("write %d: %v", seq, err)
			}
			if seq%10 == 7 {
				time.Sleep(10 * time.Second) // the pair is whole again
			}
		}
		want := uint64(0)
		for b, err := range p.ReadAll(ctx, key, msg.ReadFilters{}) {
			if err != nil {
				t.Fatal(err)
			}
			if want++; b.Events[0].ClientSeq != want {
				t.Errorf("batch %d holds sequence %d", b.Version, b.Events[0].ClientSeq)
			}
		}
		if want != 30 {
			t.Errorf("%d of 30 are there", want)
		}
	})
}

// A leader that is paused is left for its successor, and what it would still
// serve is not read.
func TestPausedLeaderIsNotReadFrom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair, p := pairOf(t, pool.Options{})
		if _, err := p.WriteEvents(ctx, key, events(1, nil), me, pool.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		old := pair.Leader()
		if err := pair.Pause(old); err != nil {
			t.Fatal(err)
		}
		guard := pool.WriteOptions{ExpectedVersion: msg.Some[uint64](1)}
		if v, err := p.WriteEvents(ctx, key, events(1, nil), me, guard); err != nil || v != 2 {
			t.Fatal(v, err)
		}
		if err := pair.Resume(old); err != nil {
			t.Fatal(err)
		}
		if d, err := p.Details(ctx, key); err != nil || d.MaxVersion != 2 {
			t.Errorf("%+v, %v", d, err)
		}
	})
}

// A view of a node that had to make room for others is a view of it still.
func TestViewOutlivesItsNode(t *testing.T) {
	c := newCluster(t, "a:1", "a:1", "old:1")
	p := open(t, c.options("a:1"))
	v, err := p.At("old:1")
	if err != nil {
		t.Fatal(err)
	}
	crowd := func() {
		for port := range 20 {
			if _, err := p.At(fmt.Sprintf("other:%d", port+1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	crowd()
	for _, n := range p.Stats().Nodes {
		if n.Address == "old:1" {
			t.Fatal("it is known: nothing is tested")
		}
	}
	for range 2 {
		if _, err := v.Details(ctx, key); err != nil || v.Node() != "old:1" {
			t.Error(v.Node(), err)
		}
	}
	wantLog(t, c, "old:1 details", "old:1 details")
	crowd()
	if err := p.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Details(ctx, key); !errors.Is(err, pool.ErrClosed) {
		t.Errorf("behind the end: %v", err)
	}
}
