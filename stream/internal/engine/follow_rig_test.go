package engine_test

import (
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// otherNode is a third name for a node.
const otherNode = "other"

// probing asks the nodes watched every two seconds whether they lead.
func probing(o *engine.Options) { o.Probe = 2 * time.Second }

// following watches at followers that may lag for five seconds.
func following(o *engine.Options) {
	probing(o)
	o.Followers, o.MaxLag = true, 5*time.Second
}

// ackAt acknowledges a shard's newest watch at a node.
func (r *rig) ackAt(shard uint64, node string) {
	r.e.Acked(r.now, link(shard), r.links[link(shard)], node)
	r.collect()
}

func leadership(leads bool) engine.Leadership {
	if leads {
		return engine.Leading
	}
	return engine.Following
}

// says answers CheckLeader with the node's word, said with what it said before.
func (r *rig) says(node string, leads bool) {
	r.e.LeaderChecked(r.now, node, leadership(leads), true)
	r.collect()
}

// hides answers CheckLeader with a node that does not tell.
func (r *rig) hides(node string) {
	r.e.LeaderChecked(r.now, node, engine.LeadershipUnknown, true)
	r.collect()
}

func (r *rig) said(node string, leads bool) {
	r.e.LeaderChecked(r.now, node, leadership(leads), false)
	r.collect()
}

// moves begins to move a live shard from its follower to the leader: the
// follower was promoted.
func moves(r *rig) {
	r.live(1)
	r.says(watchedNode, true)
	r.want("open 0/0 epoch 2 at a follower")
}

// old hands over a frame of the watch before the newest.
func (r *rig) old(notifications ...msg.Notification) {
	r.e.Frame(r.now, link(0), r.before[link(0)], notifications)
	r.collect()
}

// looked answers the look for what the follower lacks.
func (r *rig) looked(batches ...msg.Batch) {
	r.e.PageRead(r.now, r.check, engine.Page{Batches: batches, Node: watchedNode})
	r.collect()
}

// lookFailed answers the same with a failure.
func (r *rig) lookFailed(kind engine.FailureKind) {
	r.e.ReadFailed(r.now, r.check, engine.Failure{Kind: kind, Node: watchedNode, Err: errTest})
	r.collect()
}

// absent answers the read of key like a node that has nothing of it.
func (r *rig) absent(key msg.Key) {
	r.t.Helper()
	r.failWith(key, engine.Failure{Kind: engine.NotFound, Err: errTest})
}

// listFails answers the list request.
func (r *rig) listFails(kind engine.FailureKind) {
	r.e.ListFailed(r.now, 0, r.lists[0], engine.Failure{Kind: kind, Err: errTest})
	r.collect()
}

// listAt answers with a page of a node.
func (r *rig) listAt(node string, next msg.Opt[uint64], items ...msg.AggregateItem) {
	r.e.Listed(r.now, 0, r.lists[0], node, items, next)
	r.collect()
}

// probes lets the interval pass and forgets the questions who leads.
func (r *rig) probes() {
	r.pass(2 * time.Second)
	kept := r.shown[:0]
	for _, command := range r.shown {
		if len(command) < 4 || command[:4] != "does" {
			kept = append(kept, command)
		}
	}
	r.shown = kept
}

// lag is what the statistics say of it.
func (r *rig) lag() time.Duration { return r.e.Stats(r.now).Lag }

// lagging leaves a live shard whose follower does not show version 4 of a, which
// the leader has: the leader's first page told of it three seconds ago.
func lagging(r *rig) {
	r.stored[a] = at(0, in("x", 3))
	r.live(1)
	laggingFrom(r)
}

// laggingFrom is lagging from the moment at which the shard is live.
func laggingFrom(r *rig) {
	r.probes()
	r.want("list 0")
	r.list(0, listed(a, in("x", 4)))
	r.want("read a 3-11")
	r.now = r.now.Add(3 * time.Second)
	r.elsewhere(a, in("x", 3))
	r.want("read a 3-11 at the leader")
	r.page(a, run("x", 3, 4)...)
	r.want("a 0.4")
	r.commit()
}

// timed gives an entry the time of its newest batch.
func timed(item msg.AggregateItem, at uint64) msg.AggregateItem {
	item.MaxServerTimestamp = at
	return item
}
