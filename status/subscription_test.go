package status

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/await"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/rebuild"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

type told struct {
	name  string
	stats stream.Stats
}

func (t *told) Name() string        { return t.name }
func (t *told) Stats() stream.Stats { return t.stats }

//covers:g22
func TestNumbersOfASubscriptionBecomeASentence(t *testing.T) {
	page := New(Options{Now: func() time.Time { return noon }})
	sub := &told{name: "orders", stats: stream.Stats{State: stream.State{Phase: stream.CatchingUp, Since: ago(time.Minute)}}}
	page.Watch(sub)
	if ready, _ := ptr(page.Snapshot(t.Context())).Ready(0); ready {
		t.Error("a subscription that has not caught up is ready")
	}
	sub.stats.State = stream.State{Phase: stream.Live, Since: ago(time.Minute)}
	sub.stats.Retrying = []stream.Retrying{{What: stream.WhatStore, Since: ago(time.Second), Err: errors.New("refused"), Attempts: 2}}
	s := page.Snapshot(t.Context())
	if got := s.Consumers[0]; got.Level != Attention || !strings.Contains(got.Says, "Not storing since 11:59:59: refused") {
		t.Errorf("a store that refuses is told as %v %q", got.Level, got.Says)
	}
	if ready, reason := s.Ready(0); !ready {
		t.Errorf("a subscription that was live is not ready: %s", reason)
	}
	sub.stats = stream.Stats{State: stream.State{Phase: stream.Closed, Since: noon}, Unhandled: 9, Cause: fmt.Errorf("saving: %w", checkpoint.ErrFenced)}
	if got := page.Snapshot(t.Context()).Consumers[0]; got.Level != Ended || got.State != "fenced" || got.Unhandled != 9 {
		t.Errorf("a fenced subscription is told as %+v", got)
	}
}

func ptr[T any](v T) *T { return &v }

func TestPageOfARunningSubscription(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	p, err := pool.New(pool.Options{Address: node.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	key := msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(3)}
	events := []msg.Event{{Major: 1, Value: []byte("x")}}
	if _, err := p.WriteEvents(t.Context(), key, events, msg.IDFromUint64(4), pool.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	sub, err := stream.Open(t.Context(), stream.FromPool(p), stream.Everything(), stream.Options{Name: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close(context.Background())
	for c, err := range sub.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if c.Kind == stream.CaughtUp {
			break
		}
	}
	page := New(Options{})
	page.Watch(sub)
	page.WatchPool(p)
	server := httptest.NewServer(page)
	defer server.Close()
	code, text, _ := get(t, server.URL+"/")
	if code != http.StatusOK || !strings.Contains(text, "orders") || !strings.Contains(text, node.Addr()) {
		t.Errorf("code %d, the page does not show the subscription and the node", code)
	}
	if shards := page.Snapshot(t.Context()).Consumers[0].Shards; len(shards) != 1 || shards[0].Node != node.Addr() || shards[0].Opened != 1 || time.Since(shards[0].Heartbeat) > time.Minute {
		t.Errorf("shards %+v", shards)
	}
	if err := sub.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, text, _ := get(t, server.URL+"/readyz"); !strings.Contains(text, "orders has ended") {
		t.Errorf("after the end it says %q", text)
	}
}

func TestStoreTellsWhatIsParkedAndTakesRequests(t *testing.T) {
	store := checkpoint.NewMemory()
	owner, err := store.Acquire(t.Context(), checkpoint.Claim{Name: "orders", Scope: "everything"})
	if err != nil {
		t.Fatal(err)
	}
	key := msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(3)}
	m := checkpoint.Mutation{Owners: []checkpoint.Owner{owner}}
	m.Park(checkpoint.Parked{Key: key, Version: 7, Attempts: 2, FirstFailure: ago(time.Hour), LastFailure: ago(time.Minute), Error: "refused"}, 10)
	if err := store.Apply(t.Context(), "orders", m); err != nil {
		t.Fatal(err)
	}
	now := noon
	page := New(Options{Now: func() time.Time { return now }})
	page.WatchStore(store, "orders")
	shown := page.Snapshot(t.Context()).Parked
	if len(shown) != 1 || shown[0].Version != 7 || shown[0].Error != "refused" || shown[0].Request != "" {
		t.Fatalf("parked are %+v", shown)
	}
	do := StoreActions(store)
	seen := shown[0]
	action := Action{Name: "release", Consumer: "orders", Key: seen.Key, Life: seen.Life, Version: seen.Version, Attempts: 1, Reason: "mended"}
	if err := do.Do(t.Context(), action); !errors.Is(err, checkpoint.ErrNotParked) {
		t.Errorf("a release of what has changed: %v", err)
	}
	action.Attempts = seen.Attempts
	if err := do.Do(t.Context(), action); err != nil {
		t.Fatal(err)
	}
	if got := page.Snapshot(t.Context()).Parked; got[0].Request != "" {
		t.Error("the store was asked again within five seconds")
	}
	now = now.Add(storeEvery)
	if got := page.Snapshot(t.Context()).Parked; got[0].Request != string(checkpoint.ActionRelease) {
		t.Errorf("after the request parked are %+v", got)
	}
	for _, a := range []Action{{Name: "redo", Consumer: "orders", Reason: "x"}, {Name: "redo", Consumer: "orders", Key: "1/2", Reason: "x"}} {
		if err := do.Do(t.Context(), a); err == nil {
			t.Errorf("%+v was carried out", a)
		}
	}
	for _, a := range []Action{{Name: "pause", Consumer: "orders", Reason: "a deployment"}, {Name: "pause", Consumer: "orders", Key: seen.Key, Reason: "x"}} {
		if err := do.Do(t.Context(), a); err != nil {
			t.Errorf("%+v: %v", a, err)
		}
	}
	if control, _, err := checkpoint.LoadControl(t.Context(), store, "orders"); err != nil || len(control.Paused) != 2 || !strings.Contains(control.Paused[0].By, "a deployment") {
		t.Errorf("after the pauses there are %+v, %v", control.Paused, err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	now = now.Add(storeEvery)
	if got := page.Snapshot(t.Context()).Parked; len(got) != 1 {
		t.Error("a store that does not answer took its last answer away")
	}
}

// member is a subscription that is shared, and a rebuild.
type member struct{ told }

func (m *member) Owned() []uint32 { return []uint32{2, 5} }
func (m *member) Watches() []stream.Watched {
	return []stream.Watched{{Shard: 0, Node: "10.0.0.1:10000", Leads: true, Heard: noon, Opened: 3}, {Shard: 1, Node: "10.0.0.2:10000"}}
}

func (m *member) Rebuild() (stream.Rebuild, bool) {
	return stream.Rebuild{From: "orders", State: rebuild.Building, Progress: rebuild.Progress{Versions: 100, Handled: 40, Rate: 2}}, true
}

// The page concludes from the buffer which side brakes: a full one means the consumer.
func TestBufferTellsWhoBrakes(t *testing.T) {
	for buffered, want := range map[int64]string{0: "the node brakes", 900: "the consumer brakes"} {
		page := New(Options{})
		page.Watch(&told{name: "orders", stats: stream.Stats{State: stream.State{Phase: stream.CatchingUp}, Buffered: buffered, Buffer: 1000}})
		if got := page.Snapshot(t.Context()).Consumers[0].Proof; !strings.HasPrefix(got, want) {
			t.Errorf("with %d of 1000 bytes: %q", buffered, got)
		}
	}
}

func TestMemberTellsPartitionsWatchesAndItsRebuild(t *testing.T) {
	now := noon
	page := New(Options{Process: "web-1", Now: func() time.Time { return now }})
	page.Watch(&member{told{name: "orders/2", stats: stream.Stats{State: stream.State{Phase: stream.Live}, Lag: 3 * time.Second}}})
	source := &fixed{}
	source.rest.Partitions = []Partitions{{Consumer: "orders/2", Owners: []string{"web-7", "", "", "", "", "web-1"}}}
	page.sources = append([]Source{source}, page.sources...)
	s := page.Snapshot(t.Context())
	if p := s.Partitions[0]; !slices.Equal(p.Mine, []uint32{2, 5}) || !slices.Equal(p.Owners, []string{"web-7", "", "web-1", "", "", "web-1"}) {
		t.Errorf("partitions %+v", p)
	}
	if source.rest.Partitions[0].Owners[2] != "" {
		t.Error("the source's own answer was changed")
	}
	if want := (Rebuild{Name: "orders/2, after orders", State: "building", Done: 40, Remaining: 60, Estimate: 30 * time.Second}); len(s.Rebuilds) != 1 || s.Rebuilds[0] != want {
		t.Errorf("rebuilds %+v", s.Rebuilds)
	}
	c := s.Consumers[0]
	if len(c.Shards) != 2 || c.Shards[0].Role != "leader" || c.Shards[1].Role != "" || !strings.HasPrefix(c.Says, "Follower 10.0.0.2:10000 is 3.0 s behind") {
		t.Errorf("%q, shards %+v", c.Says, c.Shards)
	}
}

// The page shows the waits for a consumer, by name, while they last.
func TestWaitsAreShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := checkpoint.NewMemory()
		page := New(Options{})
		page.WatchStore(store, "orders")
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		for range 3 {
			go func() {
				_ = await.New(store, nobody{}).Await(ctx, "orders", msg.Key{Aggregate: msg.IDFromUint64(1)}, 1)
			}()
		}
		time.Sleep(2 * time.Second)
		if waits := page.Snapshot(t.Context()).Waits; len(waits) != 1 || waits[0].Waiting != 3 || !waits[0].Oldest.Equal(began) {
			t.Errorf("waits %+v", waits)
		}
		cancel()
		synctest.Wait()
		if waits := page.Snapshot(t.Context()).Waits; len(waits) != 0 {
			t.Errorf("after the end: %+v", waits)
		}
	})
}

// nobody is a leader that is not asked.
type nobody struct{}

func (nobody) Read(context.Context, *msg.ReadRequest) (*msg.ReadResponse, error) {
	return nil, errors.New("asked")
}
