package simulation_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// unhurried is a source whose requests each begin at an instant of their own, and
// that knows what its watches have heard.
type unhurried struct {
	stream.Source
	sim *sim
	who string
	// dawdles: lists take long, so that more is heard of before them.
	dawdles bool

	mu      sync.Mutex
	watches map[*heedful]time.Time // when each last heard something
	first   map[uint64]time.Time   // when each shard was first asked to be watched, successfully
	told    map[msg.Key]uint64     // the lowest version of each aggregate that was heard of
	flights map[string]*flight
	asking  chan struct{} // taken by who finds out who leads; nil where that takes no search
}

func newUnhurried(s *sim, who string, source stream.Source) *unhurried {
	u := &unhurried{
		Source: source, sim: s, who: who,
		watches: make(map[*heedful]time.Time), first: make(map[uint64]time.Time), told: make(map[msg.Key]uint64), flights: make(map[string]*flight),
	}
	if s.pair != nil && (s.shared == nil || who == sharer) {
		u.asking = make(chan struct{}, 1)
	}
	return u
}

func (u *unhurried) nap(ctx context.Context, what ...any) error {
	return u.sim.when.doze(ctx, time.Microsecond, 40*time.Microsecond, append(what, u.who)...)
}

// lasting is ctx with what something is asked for. Of the source that is shared
// the end of ctx is noticed at an instant of its own: several requests that are
// given up together would go on, and make room for others, in any order.
func (u *unhurried) lasting(ctx context.Context, what string) (_ context.Context, done func()) {
	if u.who != sharer {
		return context.WithValue(ctx, purpose{}, what), func() {}
	}
	alone, give := context.WithCancelCause(context.WithValue(context.WithoutCancel(ctx), purpose{}, what))
	stop := context.AfterFunc(ctx, func() {
		_ = u.nap(context.Background(), what, "given up")
		give(context.Cause(ctx))
	})
	return alone, func() { stop(); give(nil) }
}

func (u *unhurried) Shards(ctx context.Context) (uint64, error) {
	if err := u.nap(ctx, "shards"); err != nil {
		return 0, err
	}
	lasting, done := u.lasting(ctx, "shards")
	defer done()
	err := u.led(lasting, "shards")
	var n uint64
	if err == nil {
		n, err = u.Source.Shards(lasting)
	}
	_ = u.nap(ctx, "shards", err)
	u.sim.log.add(u.who, "shards: %d, %v", n, cause(ctx, err))
	return n, err
}

// Leader is asked for each request on its own, and does not say which: those that
// ask in one instant share one answer, for nothing else tells them apart.
func (u *unhurried) Leader(ctx context.Context) (string, error) {
	return u.jointly(ctx, whoLeads, func(ctx context.Context) (string, error) {
		if err := u.nap(ctx, whoLeads); err != nil {
			return "", err
		}
		return u.oneByOne(ctx, whoLeads)
	})
}

func (u *unhurried) Leads(ctx context.Context, node string) (pool.Leadership, error) {
	what := fmt.Sprintf("does %s lead", node)
	leads, err := u.jointly(ctx, what, func(ctx context.Context) (string, error) {
		if err := u.nap(ctx, what); err != nil {
			return "", err
		}
		leads, err := u.Source.Leads(ctx, node)
		return fmt.Sprint(leads), err
	})
	for _, leadership := range []pool.Leadership{pool.Leading, pool.Following} {
		if leads == leadership.String() {
			return leadership, err
		}
	}
	return pool.LeadershipUnknown, err
}

func (u *unhurried) ListAggregatesPage(ctx context.Context, node string, req *msg.ListAggregatesRequest) (*msg.ListAggregatesResponse, error) {
	what := fmt.Sprintf("list shard %d from %d at %s", req.Shard, req.Cursor.Or(0), node)
	if err := u.nap(ctx, what); err != nil {
		return nil, err
	}
	if u.dawdles && !u.sim.calm.Load() {
		if err := u.sim.when.doze(ctx, time.Microsecond, time.Second, "dawdles", what, u.who); err != nil {
			return nil, err
		}
	}
	lasting, done := u.lasting(ctx, what)
	defer done()
	page, err := u.Source.ListAggregatesPage(lasting, node, req)
	_ = u.nap(ctx, what, err)
	if err != nil {
		u.sim.log.add(u.who, "%s: %v", what, cause(ctx, err))
		return nil, err
	}
	text := ""
	for _, item := range page.Aggregates {
		text += fmt.Sprintf(" %d:%d", number(item.Key), item.MaxVersion)
		if item.Deleted {
			text += "†"
		}
	}
	u.sim.log.add(u.who, "%s:%s, next %v", what, text, page.NextCursor)
	return page, nil
}

func (u *unhurried) Read(ctx context.Context, node string, req *msg.ReadRequest) (*msg.ReadResponse, error) {
	what := fmt.Sprintf("read %d from %d to %d at %s", number(req.Key), req.Filters.From, req.Filters.To.Or(0), node)
	if err := u.nap(ctx, what); err != nil {
		return nil, err
	}
	lasting, done := u.lasting(ctx, what)
	defer done()
	page, err := u.Source.Read(lasting, node, req)
	_ = u.nap(ctx, what, err)
	if err != nil {
		u.sim.log.add(u.who, "%s: %v", what, cause(ctx, err))
		return nil, err
	}
	u.sim.truth.seen(req.Key, page.Batches)
	text := ""
	for i := range page.Batches {
		text += fmt.Sprintf(" %d", page.Batches[i].Version)
	}
	u.sim.log.add(u.who, "%s:%s, next %v", what, text, page.NextVersion)
	return page, nil
}

func (u *unhurried) Watch(ctx context.Context, follower bool, req *msg.WatchRequest) (stream.Watch, error) {
	what := fmt.Sprintf("watch shard %d", req.Shard.Or(0))
	if follower {
		what += " at a follower"
	}
	filter := fmt.Sprint(what, req.Orgs, req.Types, req.Aggregates)
	if err := u.nap(ctx, filter); err != nil {
		return nil, err
	}
	asked := time.Now()
	lasting, done := u.lasting(ctx, filter)
	defer done()
	w, err := u.watch(lasting, filter, follower, req)
	_ = u.nap(ctx, filter, err)
	if err != nil {
		u.sim.log.add(u.who, "%s: %v", what, cause(ctx, err))
		return nil, err
	}
	h := &heedful{Watch: w, source: u, what: what, filter: filter, shard: req.Shard.Or(0), acked: time.Now()}
	u.heard(h)
	u.watched(h.shard, asked)
	u.sim.log.add(u.who, "%s at %s", what, w.Node())
	return h, nil
}

func (u *unhurried) heard(h *heedful) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.watches[h] = time.Now()
}

func (u *unhurried) watch(ctx context.Context, filter string, follower bool, req *msg.WatchRequest) (stream.Watch, error) {
	if !follower {
		if err := u.led(ctx, filter); err != nil {
			return nil, err
		}
	}
	return u.Source.Watch(ctx, follower, req)
}

func (u *unhurried) watched(shard uint64, since time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if at, known := u.first[shard]; !known || since.Before(at) {
		u.first[shard] = since
	}
}

func (u *unhurried) tells(frame []msg.Notification) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i := range frame {
		n := &frame[i]
		from, set := n.From.Get()
		if low, known := u.told[n.Key]; n.Operation == msg.OpWrite && set && (!known || from < low) {
			u.told[n.Key] = from
		}
	}
}

// nodes returns where the open watches are.
func (u *unhurried) nodes() (nodes []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for h := range u.watches {
		nodes = append(nodes, h.Node())
	}
	return nodes
}

// quiet returns the longest silence of an open watch.
func (u *unhurried) quiet() (longest time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, at := range u.watches {
		longest = max(longest, time.Since(at))
	}
	return longest
}

// cause is the log's text for a failure. A request that its owner cancelled, by closing
// the subscription, ends by a cancelled context whose cause is set twice in one
// instant; which of the two is first is left out.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errGivenUp
	}
	return err
}

var errGivenUp = errors.New("given up by its owner")

// heedful is a watch that says what it hears.
type heedful struct {
	stream.Watch
	source *unhurried
	what   string
	filter string
	shard  uint64
	acked  time.Time
}

// acknowledged returns when the open watches on each shard were acknowledged, the
// earliest of each.
func (u *unhurried) acknowledged() map[uint64]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	at := make(map[uint64]time.Time)
	for h := range u.watches {
		if known, ok := at[h.shard]; !ok || h.acked.Before(known) {
			at[h.shard] = h.acked
		}
	}
	return at
}

func (h *heedful) Next(ctx context.Context) ([]msg.Notification, error) {
	frame, err := h.Watch.Next(ctx)
	if err != nil {
		_ = h.source.nap(ctx, h.filter, err)
		h.source.forget(h)
		h.source.sim.log.add(h.source.who, "%s: %v", h.what, cause(ctx, err))
		return nil, err
	}
	if h.source.sim.shared != nil {
		// Frames that arrive together are handed on one by one: how many of them a
		// subscriber finds together is anybody's guess otherwise. And subscribers that
		// hear of something together go on one by one.
		if err := h.source.nap(ctx, h.filter, len(frame)); err != nil {
			return nil, err
		}
	}
	h.source.heard(h)
	h.source.tells(frame)
	text := ""
	for i := range frame {
		n := &frame[i]
		text += fmt.Sprintf(" %d:%d(%d-%d)", number(n.Key), n.Operation, n.From.Or(0), n.To.Or(n.KeepFrom.Or(0)))
	}
	h.source.sim.log.add(h.source.who, "%s hears%s", h.what, text)
	return frame, nil
}

func (h *heedful) Close() error {
	h.source.forget(h)
	return h.Watch.Close()
}

func (u *unhurried) forget(h *heedful) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.watches, h)
}
