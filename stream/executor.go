package stream

import (
	"context"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// executor carries out the engine's commands, each that waits in a goroutine
// of its own. Its fields belong to the loop goroutine.
type executor struct {
	s        *Subscription
	filters  []watchFilter
	org, typ msg.Opt[msg.ID]
	links    map[engine.Link]openLink
}

type openLink struct {
	epoch  uint64
	cancel context.CancelFunc
}

func newExecutor(s *Subscription) *executor {
	x := &executor{s: s, filters: s.scope.watches(), links: make(map[engine.Link]openLink)}
	x.org, x.typ = s.scope.listFilter()
	return x
}

// stop cancels every watch; requests under way end with the subscription's
// context.
func (x *executor) stop() {
	for _, l := range x.links {
		l.cancel()
	}
}

// execute carries out one command; false ends the loop.
func (x *executor) execute(c *engine.Command) bool {
	switch c.Kind {
	case engine.Discover:
		x.spawn(x.discover)
	case engine.Open:
		x.open(c.Link, c.Epoch)
	case engine.Close:
		if l, ok := x.links[c.Link]; ok && l.epoch == c.Epoch {
			l.cancel()
			delete(x.links, c.Link)
		}
	case engine.List:
		shard, epoch, cursor := c.Shard, c.Epoch, c.Cursor
		x.spawn(func(ctx context.Context) { x.list(ctx, shard, epoch, cursor) })
	case engine.Load:
		id, keys := c.ID, c.Keys
		x.spawn(func(ctx context.Context) { x.load(ctx, id, keys) })
	case engine.Read:
		id := c.ID
		req := &msg.ReadRequest{Key: c.Key, Filters: msg.ReadFilters{From: c.From, To: c.To}}
		x.spawn(func(ctx context.Context) { x.read(ctx, id, req) })
	case engine.Deliver:
		x.s.box.put(public(c.Changes), c.Bytes)
	case engine.SetState:
		x.s.announce(*c)
	case engine.Stop:
		x.s.end(c.Err)
		x.s.announce(engine.Command{Phase: engine.Phase(Closed), Err: x.s.Err()})
		return false
	}
	return true
}

func (x *executor) spawn(f func(ctx context.Context)) {
	x.s.work.Add(1)
	go func() {
		defer x.s.work.Done()
		f(x.s.ctx)
	}()
}

func (x *executor) discover(ctx context.Context) {
	n, err := x.s.src.Shards(ctx)
	x.s.feed(func(e *engine.Engine, now time.Time) {
		if err != nil {
			e.DiscoverFailed(now, classify(err))
			return
		}
		e.ShardsKnown(now, n)
	})
}

// open runs one watch until it ends: acknowledgement, frames, loss.
func (x *executor) open(link engine.Link, epoch uint64) {
	ctx, cancel := context.WithCancel(x.s.ctx)
	if old, ok := x.links[link]; ok {
		old.cancel()
	}
	x.links[link] = openLink{epoch: epoch, cancel: cancel}
	req := x.filters[link.Part].request(link.Shard, x.s.opts.Latency)
	x.spawn(func(context.Context) {
		defer cancel()
		err := x.watch(ctx, link, epoch, req)
		x.s.feed(func(e *engine.Engine, now time.Time) { e.Lost(now, link, epoch, classify(err)) })
	})
}

func (x *executor) watch(ctx context.Context, link engine.Link, epoch uint64, req *msg.WatchRequest) error {
	w, err := x.s.src.Watch(ctx, req)
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }()
	x.s.feed(func(e *engine.Engine, now time.Time) { e.Acked(now, link, epoch) })
	for {
		frame, err := w.Next(ctx)
		if err != nil {
			return err
		}
		// The frame is the watch's; the loop folds it before Next is called
		// again, because folded is closed only then.
		folded := make(chan struct{})
		if !x.s.feed(func(e *engine.Engine, now time.Time) {
			e.Frame(now, link, epoch, frame)
			close(folded)
		}) {
			return context.Cause(ctx)
		}
		<-folded
	}
}

func (x *executor) list(ctx context.Context, shard, epoch uint64, cursor msg.Opt[uint64]) {
	page, err := x.s.src.ListAggregatesPage(ctx, &msg.ListAggregatesRequest{Shard: shard, Org: x.org, Type: x.typ, Cursor: cursor})
	x.s.feed(func(e *engine.Engine, now time.Time) {
		if err != nil {
			e.ListFailed(now, shard, epoch, classify(err))
			return
		}
		e.Listed(now, shard, epoch, page.Aggregates, page.NextCursor)
	})
}

func (x *executor) load(ctx context.Context, id uint64, keys []msg.Key) {
	cursors, err := x.s.opts.Store.Load(ctx, x.s.owner.Name, keys)
	x.s.feed(func(e *engine.Engine, now time.Time) {
		if err != nil {
			e.LoadFailed(now, id, classifyStore(err))
			return
		}
		e.Loaded(now, id, cursors)
	})
}

func (x *executor) read(ctx context.Context, id uint64, req *msg.ReadRequest) {
	page, err := x.s.src.Read(ctx, req)
	x.s.feed(func(e *engine.Engine, now time.Time) {
		if err != nil {
			e.ReadFailed(now, id, classify(err))
			return
		}
		// The source reads at the leader: what it does not show does not exist.
		e.PageRead(now, id, engine.Page{Batches: page.Batches, Next: page.NextVersion, Authoritative: true})
	})
}

// committed tells the engine what is stored.
func (s *Subscription) committed(entries []checkpoint.Entry) {
	s.feed(func(e *engine.Engine, now time.Time) { e.Committed(now, entries) })
}

// public turns the engine's changes into the package's.
func public(changes []engine.Change) []Change {
	out := make([]Change, len(changes))
	for i := range changes {
		c := &changes[i]
		out[i] = Change{Kind: Kind(c.Kind), Key: c.Key, Batch: c.Batch, From: c.From, To: c.To, Version: c.Version, Cursor: c.Cursor}
	}
	return out
}
