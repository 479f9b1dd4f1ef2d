package stream

import (
	"context"
	"errors"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// executor carries out the engine's commands, each that waits in a goroutine
// of its own. Its fields belong to whoever holds Subscription.step.
type executor struct {
	s        *Subscription
	filters  []watchFilter
	org, typ msg.Opt[msg.ID]
	watches  map[attempt]context.CancelFunc
	lists    map[uint64]context.CancelFunc // of each shard, the latest
	// adopting are first cursors to be stored, while storing those before.
	adopting []checkpoint.Entry
	storing  bool
	readers  readers
}

// attempt names one try to watch a link, and what comes of it.
type attempt struct {
	link  engine.Link
	epoch uint64
}

func newExecutor(s *Subscription) *executor {
	x := &executor{s: s, watches: make(map[attempt]context.CancelFunc), lists: make(map[uint64]context.CancelFunc)}
	x.readers.jobs = make(chan job, s.opts.Readers)
	x.follow(s.Scope())
	return x
}

// follow takes the filters of a scope for what is opened and listed from now on.
func (x *executor) follow(scope Scope) {
	x.filters = scope.watches()
	x.org, x.typ = scope.listFilter()
}

// execute carries out one command; false once nothing may follow.
func (x *executor) execute(c *engine.Command) bool {
	switch c.Kind {
	case engine.Discover:
		x.spawn(x.discover)
	case engine.Open:
		x.open(attempt{c.Link, c.Epoch}, c.Follower)
	case engine.Close:
		if cancel, ok := x.watches[attempt{c.Link, c.Epoch}]; ok {
			cancel()
		}
	case engine.List:
		x.list(c.Shard, c.Epoch, c.Node, c.Cursor)
	case engine.Load:
		x.load(c.ID, c.Keys)
	case engine.Read:
		x.read(c)
	case engine.Adopt:
		x.adopt(c.Entries)
	case engine.Begin:
		x.spawn(x.begin)
	case engine.CheckLeader:
		node, word := c.Node, c.Leader
		x.spawn(func(ctx context.Context) { x.checkLeader(ctx, node, word) })
	case engine.Deliver:
		x.s.box.put(public(c.Changes), c.Bytes)
	case engine.SetState:
		x.s.announce(*c)
	case engine.Stop:
		x.s.end(c.Err)
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

// patience bounds the search for a leader, so that a state tells the cause soon
// when there is none. It is looked for again.
const patience = 3 * time.Second

func (x *executor) discover(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	n, err := x.s.src.Shards(ctx)
	x.s.feed(func(e *engine.Engine, now time.Time) {
		if err != nil {
			e.DiscoverFailed(now, classify(err))
			return
		}
		e.ShardsKnown(now, n)
	})
}

// list asks for a page at node, or at whichever leads.
func (x *executor) list(shard, epoch uint64, node string, cursor msg.Opt[uint64]) {
	req := &msg.ListAggregatesRequest{Shard: shard, Org: x.org, Type: x.typ, Cursor: cursor}
	if cancel, ok := x.lists[shard]; ok {
		cancel() // of an earlier epoch, if it still runs
	}
	ctx, cancel := context.WithCancel(x.s.ctx)
	x.lists[shard] = cancel
	x.spawn(func(context.Context) {
		defer cancel()
		var page *msg.ListAggregatesResponse
		node, leads, err := x.atLeader(ctx, node, func(node string) (err error) {
			page, err = x.s.src.ListAggregatesPage(ctx, node, req)
			return err
		})
		x.s.feed(func(e *engine.Engine, now time.Time) {
			switch {
			case err != nil:
				e.ListFailed(now, shard, epoch, classify(err))
			case leads != pool.Leading:
				e.ListFailed(now, shard, epoch, notLeading(leads))
			default:
				e.Listed(now, shard, epoch, node, page.Aggregates, page.NextCursor)
			}
		})
	})
}

// atLeader asks the leader something that must be its word: a node that leads
// after it has answered has answered as the leader. Whoever was deposed goes on
// answering, ever older things, without a sign of it. err is that of ask, if it
// asked.
func (x *executor) atLeader(ctx context.Context, node string, ask func(node string) error) (asked string, leads pool.Leadership, err error) {
	if node == "" {
		if node, err = x.leader(ctx); err != nil {
			return "", pool.LeadershipUnknown, err
		}
	}
	err = ask(node)
	var refusal *msg.ServerError
	if err != nil && !errors.As(err, &refusal) {
		return node, pool.LeadershipUnknown, err
	}
	leads, silent := x.s.src.Leads(ctx, node)
	if silent != nil {
		leads = pool.LeadershipUnknown
		if err == nil {
			err = silent
		}
	}
	return node, leads, err
}

// notLeading is the failure of a question that only the leader can answer, asked
// of a node that follows, or does not tell.
func notLeading(leads pool.Leadership) engine.Failure {
	if leads == pool.Following {
		return engine.Failure{Kind: engine.Deposed, Err: engine.ErrDeposed}
	}
	return engine.Failure{Kind: engine.Deposed, Err: engine.ErrLeadershipUnknown}
}

func (x *executor) leader(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return x.s.src.Leader(ctx)
}

// witness is a source that remembers what others asked.
type witness interface {
	LedLately(node string, within time.Duration) (leads pool.Leadership, known bool)
}

// checkLeader asks a node whether it leads, unless somebody did lately and its word
// is not wanted.
func (x *executor) checkLeader(ctx context.Context, node string, word bool) {
	leads, known := pool.LeadershipUnknown, false
	if w, ok := x.s.src.(witness); ok && !word {
		leads, known = w.LedLately(node, x.s.opts.Probe/2)
	}
	if !known {
		var err error
		if leads, err = x.s.src.Leads(ctx, node); err != nil {
			return // no word either way
		}
	}
	x.s.feed(func(e *engine.Engine, now time.Time) { e.LeaderChecked(now, node, engine.Leadership(leads), word) })
}

func (x *executor) load(id uint64, keys []msg.Key) {
	x.handOver(func(ctx context.Context) job {
		cursors, err := x.s.opts.Store.Load(ctx, x.s.owner.Name, keys)
		return x.s.feedBy(nil, func(e *engine.Engine, now time.Time) {
			if err != nil {
				e.LoadFailed(now, id, classifyStore(err))
				return
			}
			e.Loaded(now, id, cursors)
		})
	})
}

// read reads at the node named, or at the leader, as its word if that is wanted.
func (x *executor) read(c *engine.Command) {
	id, wanted, node := c.ID, c.Leader, c.Node
	req := &msg.ReadRequest{Key: c.Key, Filters: msg.ReadFilters{From: c.From, To: c.To}}
	x.handOver(func(ctx context.Context) job {
		var page *msg.ReadResponse
		ask := func(node string) (err error) {
			page, err = x.s.src.Read(ctx, node, req)
			return err
		}
		leads, err := pool.LeadershipUnknown, error(nil)
		switch {
		case wanted:
			node, leads, err = x.atLeader(ctx, "", ask)
		case node == "":
			if node, err = x.leader(ctx); err == nil {
				err = ask(node)
			}
		default:
			err = ask(node)
		}
		return x.s.feedBy(nil, func(e *engine.Engine, now time.Time) {
			switch {
			case err != nil:
				f := classify(err)
				f.Authoritative, f.Node = leads == pool.Leading, node
				e.ReadFailed(now, id, f)
			case wanted && leads != pool.Leading:
				e.ReadFailed(now, id, notLeading(leads))
			default:
				e.PageRead(now, id, engine.Page{Batches: page.Batches, Next: page.NextVersion, Authoritative: leads == pool.Leading, Node: node})
			}
		})
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
