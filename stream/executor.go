package stream

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// executor carries out the engine's commands, each that waits in a goroutine
// of its own. Its fields belong to whoever holds Subscription.step.
type executor struct {
	s          *Subscription
	filters    []watchFilter
	org, typ   msg.Opt[msg.ID]
	watches    map[attempt]*watching
	lists      map[uint64]context.CancelFunc // of each shard, the latest
	looks      turns                         // of lists that look for what is new
	reconciles reconciles
	// adopting are first cursors to be stored, while storing those before.
	adopting  []checkpoint.Entry
	storing   bool
	readers   readers
	agreement *agreement
}

// attempt names one try to watch a link, and what comes of it.
type attempt struct {
	link  engine.Link
	epoch uint64
}

func newExecutor(s *Subscription) *executor {
	x := &executor{
		s: s, watches: make(map[attempt]*watching), lists: make(map[uint64]context.CancelFunc), reconciles: make(reconciles),
		agreement: newAgreement(s.src),
	}
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
		x.discover()
	case engine.Open:
		x.open(attempt{c.Link, c.Epoch}, c.Follower)
	case engine.Close:
		if w, ok := x.watches[attempt{c.Link, c.Epoch}]; ok {
			w.leave()
		}
	case engine.List:
		if x.s.opts.Hooks.Reconciled != nil {
			x.reconciles.asked(c, time.Now())
		}
		x.list(c.Shard, c.Epoch, c.Node, c.Cursor, c.Look)
	case engine.Load:
		x.load(c.ID, c.Keys)
	case engine.Read:
		x.read(c)
	case engine.Adopt:
		x.adopt(c.Entries)
	case engine.Begin:
		if x.s.member != nil {
			x.noteGroupStart()
		} else {
			x.noteStart(x.s.Scope())
		}
	case engine.CheckLeader:
		x.checkLeader(c.Node, c.Leader)
	case engine.Deliver:
		changes := x.s.public(c.Changes)
		x.s.delivered(changes)
		x.s.box.put(changes, c.Bytes)
	case engine.SetState:
		x.s.announce(State{Phase: Phase(c.Phase), Shard: c.Shard, Cause: c.Err})
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
// when there is none. A search that fails is repeated.
const patience = 3 * time.Second

func (x *executor) discover() {
	var n uint64
	x.request(func(ctx context.Context) (err error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		n, err = x.s.src.Shards(ctx)
		return err
	}, func(err error) {
		x.s.nodeAnswered(err, discovery{})
		x.s.feed(func(e *engine.Engine, now time.Time) {
			if err != nil {
				e.DiscoverFailed(now, classify(err))
				return
			}
			e.ShardsKnown(now, n)
		})
	})
}

// list asks for a page at node, or at whichever leads. One that looks for what is new
// waits for its turn.
func (x *executor) list(shard, epoch uint64, node string, cursor msg.Opt[uint64], look bool) {
	req := &msg.ListAggregatesRequest{Shard: shard, Org: x.org, Type: x.typ, Cursor: cursor}
	if cancel, ok := x.lists[shard]; ok {
		cancel() // of an earlier epoch, if it still runs
	}
	ctx, cancel := context.WithCancel(x.s.ctx)
	x.lists[shard] = cancel
	var page *msg.ListAggregatesResponse
	ask := func() {
		x.request(func(context.Context) (err error) {
			began := time.Now()
			node, page, err = x.leadersPage(ctx, node, req)
			x.s.listed(shard, node, page, began, err)
			return err
		}, func(err error) {
			if ctx.Err() == nil {
				x.s.nodeAnswered(err, listing(shard))
			}
			x.s.feed(func(e *engine.Engine, now time.Time) {
				if look {
					x.looks.leave()
				}
				if ctx.Err() == nil {
					delete(x.lists, shard)
					if err == nil {
						x.reconciled(shard, page, now)
					}
				}
				cancel()
				if err != nil {
					e.ListFailed(now, shard, epoch, classify(err))
					return
				}
				if x.agreement.needed() {
					e.LeaderHidden(now)
				}
				e.Listed(now, shard, epoch, node, page.Aggregates, page.NextCursor)
			})
		})
	}
	if look {
		x.looks.enter(ask)
	} else {
		ask()
	}
}

// reconciled has the end of a list told, if page is its last one.
func (x *executor) reconciled(shard uint64, page *msg.ListAggregatesResponse, now time.Time) {
	if done, ended := x.reconciles.answered(shard, len(page.Aggregates), !page.NextCursor.Set, now); ended {
		x.s.callbacks.add(func() { x.s.opts.Hooks.Reconciled(done) })
	}
}

// leadersPage asks for a page of a list as the leader shows it: at the node that has
// given its cursor, or at whichever leads. A list that all nodes agree on begins at
// the one that is ahead, and goes on there: the node shows no less as time goes by.
func (x *executor) leadersPage(ctx context.Context, node string, req *msg.ListAggregatesRequest) (string, *msg.ListAggregatesResponse, error) {
	if x.agreement.needed() {
		if req.Cursor.Set {
			page, err := x.s.src.ListAggregatesPage(ctx, node, req)
			return node, page, err
		}
		return x.agreement.page(ctx, req)
	}
	var page *msg.ListAggregatesResponse
	node, leads, err := x.atLeader(ctx, node, func(ctx context.Context, node string) (err error) {
		page, err = x.s.src.ListAggregatesPage(ctx, node, req)
		return err
	})
	switch {
	case err != nil:
		return node, nil, err
	case leads != pool.LeadershipUnknown || !x.agreement.needed():
		return node, page, mustLead(leads)
	case req.Cursor.Set:
		return node, page, nil
	}
	return x.agreement.page(ctx, req)
}

// atLeader asks the leader something that must be its word: a node that leads
// after it has answered has answered as the leader. A node that was deposed
// goes on answering, ever older things, without a sign. err is that of ask, if it
// asked.
func (x *executor) atLeader(ctx context.Context, node string, ask func(ctx context.Context, node string) error) (asked string, leads pool.Leadership, err error) {
	if node == "" {
		if node, err = x.leader(ctx); err != nil {
			return "", pool.LeadershipUnknown, err
		}
	}
	err = ask(ctx, node)
	var refusal *msg.ServerError
	if err != nil && !errors.As(err, &refusal) {
		return node, pool.LeadershipUnknown, err
	}
	leads, silent := x.s.src.Leads(ctx, node)
	switch {
	case silent == nil && leads == pool.LeadershipUnknown:
		x.agreement.noteHidden()
	case silent != nil:
		leads = pool.LeadershipUnknown
		if err == nil {
			err = silent
		}
	}
	return node, leads, err
}

// mustLead is the failure of a question that only the leader can answer, asked of a
// node that follows, or does not tell.
func mustLead(leads pool.Leadership) error {
	switch leads {
	case pool.Leading:
		return nil
	case pool.Following:
		return engine.ErrDeposed
	}
	return engine.ErrLeadershipUnknown
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
func (x *executor) checkLeader(node string, word bool) {
	leads, known := pool.LeadershipUnknown, false
	x.request(func(ctx context.Context) (err error) {
		if w, ok := x.s.src.(witness); ok && !word {
			leads, known = w.LedLately(node, x.s.opts.Probe/2)
		}
		if !known {
			leads, err = x.s.src.Leads(ctx, node)
		}
		return err
	}, func(err error) {
		x.s.nodeAnswered(err, leading(node))
		if err == nil { // otherwise it is no word either way
			x.s.feed(func(e *engine.Engine, now time.Time) { e.LeaderChecked(now, node, engine.Leadership(leads), word) })
		}
	})
}

// public turns the engine's changes into the package's.
func (s *Subscription) public(changes []engine.Change) []Change {
	out := make([]Change, len(changes))
	for i := range changes {
		c := &changes[i]
		out[i] = Change{
			Kind: Kind(c.Kind), Key: c.Key, Batch: c.Batch, From: c.From, To: c.To, Version: c.Version,
			Cursor: c.Cursor, Previous: c.Previous, Owner: s.owner,
		}
		if s.member != nil {
			s.member.claimed(&out[i])
		}
	}
	if s.member != nil {
		// Without a claim nothing can be caught up with.
		out = slices.DeleteFunc(out, func(c Change) bool { return c.Owner == checkpoint.Owner{} })
	}
	return out
}
