package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// rig drives an engine by hand: a specification says what comes in and what the
// engine asks for in turn. Look-ups are answered from stored at once and not
// shown, unless byHand is set.
type rig struct {
	t      *testing.T
	e      *engine.Engine
	now    time.Time
	stored map[msg.Key]checkpoint.Cursor
	byHand bool

	shown     []string // commands not yet asserted
	reads     map[msg.Key]uint64
	leader    map[msg.Key]bool // the read under way wants the leader's word
	fresh     map[msg.Key]bool // it asks the node itself
	loads     []engine.Command
	nodes     map[msg.Key]string     // the read under way is for
	check     uint64                 // the look for what a follower lacks that is under way
	links     map[engine.Link]uint64 // epochs
	before    map[engine.Link]uint64 // epochs of the watches before those
	lists     map[uint64]uint64      // epochs of list requests
	delivered []engine.Change        // not yet committed
	bytes     int64                  // not yet consumed
}

var (
	a, b, c, d = keyNumber(0), keyNumber(1), keyNumber(2), keyNumber(3)
	errTest    = errors.New("test")
)

// newRig returns an engine whose reads ask for 8 versions at a time, as long as
// batches count for 1 KiB each.
func newRig(t *testing.T, change ...func(*engine.Options)) *rig {
	t.Helper()
	opts := engine.Options{
		Contains: func(msg.Key) bool { return true }, Parts: 1, Readers: 2, Buffer: 32 << 10, MaxLanes: 1000,
		Liveness: 15 * time.Second, Healthy: 10 * time.Second, NewBackoff: func() engine.Backoff { return new(doubling) },
	}
	for _, f := range change {
		f(&opts)
	}
	return &rig{
		t: t, e: engine.New(opts), now: time.Unix(1_700_000_000, 0), stored: make(map[msg.Key]checkpoint.Cursor),
		reads: make(map[msg.Key]uint64), leader: make(map[msg.Key]bool), fresh: make(map[msg.Key]bool), links: make(map[engine.Link]uint64), lists: make(map[uint64]uint64),
		nodes: make(map[msg.Key]string), before: make(map[engine.Link]uint64),
	}
}

// doubling waits 1 s, 2 s, 4 s and so on.
type doubling struct{ next time.Duration }

func (b *doubling) NextBackOff() time.Duration { b.next = max(2*b.next, time.Second); return b.next }
func (b *doubling) Reset()                     { b.next = 0 }

// collect notes what the engine asks for.
func (r *rig) collect() {
	commands := slices.Clone(r.e.Commands())
	for i := range commands {
		cmd := commands[i]
		switch cmd.Kind {
		case engine.Open:
			r.before[cmd.Link], r.links[cmd.Link] = r.links[cmd.Link], cmd.Epoch
		case engine.List:
			r.lists[cmd.Shard] = cmd.Epoch
		case engine.Read:
			if r.e.Purpose(cmd.ID) == "none" {
				r.check = cmd.ID
				r.shown = append(r.shown, fmt.Sprintf("look for %s %d at %s", name(cmd.Key), cmd.From, cmd.Node))
				continue
			}
			r.reads[cmd.Key], r.leader[cmd.Key], r.nodes[cmd.Key] = cmd.ID, cmd.Leader, cmd.Node
			r.fresh[cmd.Key] = cmd.Fresh
		case engine.Deliver:
			r.delivered = append(r.delivered, cmd.Changes...)
			r.bytes += cmd.Bytes
		case engine.Load:
			r.loads = append(r.loads, cmd)
			if !r.byHand {
				r.load()
				continue
			}
		}
		r.shown = append(r.shown, render(&cmd))
	}
}

// want asserts what the engine asked for since the last want, in order.
func (r *rig) want(commands ...string) {
	r.t.Helper()
	if !slices.Equal(r.shown, commands) {
		r.t.Fatalf("the engine asked for\n\t%q\nnot for\n\t%q", r.shown, commands)
	}
	r.shown = nil
}

// skip forgets what the engine asked for.
func (r *rig) skip() { r.shown = nil }

// live starts a subscription of so many empty shards and brings it to Live.
func (r *rig) live(shards uint64) {
	r.t.Helper()
	r.subscribe(shards)
	for shard := range shards {
		r.list(shard)
	}
	if n := len(r.shown); n == 0 || r.shown[n-1] != "live" {
		r.t.Fatalf("not live after %q", r.shown)
	}
	r.skip()
}

// subscribe starts a subscription and acknowledges every watch.
func (r *rig) subscribe(shards uint64) {
	r.e.Start(r.now)
	r.collect()
	r.e.ShardsKnown(r.now, shards)
	r.collect()
	for shard := range shards {
		r.ack(shard)
	}
}

// vanish has nodes show nothing at the cursor for as long as that is doubted, and forgets
// the looks at it.
func (r *rig) vanish(key msg.Key) {
	r.t.Helper()
	for range 10 {
		r.shown = nil
		if r.page(key); slices.Contains(r.shown, name(key)+" reset") {
			return
		}
		r.pass(200 * time.Millisecond)
	}
	r.t.Fatalf("%s is looked for in vain for ever", name(key))
}

func link(shard uint64) engine.Link { return engine.Link{Shard: shard} }

func (r *rig) ack(shard uint64) {
	r.e.Acked(r.now, link(shard), r.links[link(shard)], watchedNode)
	r.collect()
}

func (r *rig) lose(shard uint64) {
	r.e.Lost(r.now, link(shard), r.links[link(shard)], engine.Failure{Err: errTest})
	r.collect()
}

// list answers with the last page.
func (r *rig) list(shard uint64, items ...msg.AggregateItem) {
	r.e.Listed(r.now, shard, r.lists[shard], leaderNode, items, msg.None[uint64]())
	r.collect()
}

// listMore answers with a page that is not the last one.
func (r *rig) listMore(shard, next uint64, items ...msg.AggregateItem) {
	r.e.Listed(r.now, shard, r.lists[shard], leaderNode, items, msg.Some(next))
	r.collect()
}

// load answers the oldest look-up from stored.
func (r *rig) load() {
	cmd := r.loads[0]
	cursors := make([]checkpoint.Cursor, len(cmd.Keys))
	for i, key := range cmd.Keys {
		cursors[i] = r.stored[key]
	}
	r.answer(cursors)
}

// answer answers the oldest look-up.
func (r *rig) answer(cursors []checkpoint.Cursor) {
	cmd := r.loads[0]
	r.loads = r.loads[1:]
	r.e.Loaded(r.now, cmd.ID, cursors)
	r.collect()
}

func (r *rig) frame(notifications ...msg.Notification) { r.frameOn(0, notifications...) }

func (r *rig) frameOn(shard uint64, notifications ...msg.Notification) {
	r.e.Frame(r.now, link(shard), r.links[link(shard)], notifications)
	r.collect()
}

// page answers the read of key with a whole page from the leader.
func (r *rig) page(key msg.Key, batches ...msg.Batch) {
	r.answerRead(key, engine.Page{Batches: batches, Authoritative: true})
}

// pageNext answers with a page that names the next version.
func (r *rig) pageNext(key msg.Key, next uint64, batches ...msg.Batch) {
	r.answerRead(key, engine.Page{Batches: batches, Next: msg.Some(next), Authoritative: true})
}

// elsewhere answers with a page from a node that is not the leader.
func (r *rig) elsewhere(key msg.Key, batches ...msg.Batch) {
	r.answerRead(key, engine.Page{Batches: batches})
}

func (r *rig) answerRead(key msg.Key, p engine.Page) {
	r.t.Helper()
	id, ok := r.reads[key]
	if !ok {
		r.t.Fatalf("no read of %s is under way", name(key))
	}
	delete(r.reads, key)
	p.Node = r.asked(key)
	r.e.PageRead(r.now, id, p)
	r.collect()
}

// The nodes of the rig.
const watchedNode, leaderNode = "watched", "leader"

// asked is the node the read of key was for.
func (r *rig) asked(key msg.Key) string {
	switch {
	case r.leader[key]:
		return leaderNode
	case r.nodes[key] != "":
		return r.nodes[key]
	}
	return watchedNode
}

// fail answers the read of key with a failure the leader vouches for.
func (r *rig) fail(key msg.Key, kind engine.FailureKind) {
	r.t.Helper()
	r.failWith(key, engine.Failure{Kind: kind, Authoritative: true, Err: errTest})
}

// below answers the read of key with the trim floor.
func (r *rig) below(key msg.Key, floor uint64) {
	r.t.Helper()
	r.failWith(key, engine.Failure{Kind: engine.BelowFloor, Minimum: floor, Authoritative: true, Err: errTest})
}

func (r *rig) failWith(key msg.Key, f engine.Failure) {
	r.t.Helper()
	id, ok := r.reads[key]
	if !ok {
		r.t.Fatalf("no read of %s is under way", name(key))
	}
	delete(r.reads, key)
	f.Node = r.asked(key)
	r.e.ReadFailed(r.now, id, f)
	r.collect()
}

// pass lets time go by, waking the engine when it wants to be woken. Every
// acknowledged watch hears a heartbeat each five seconds, unless it is silent.
func (r *rig) pass(d time.Duration, silent ...uint64) {
	for end := r.now.Add(d); r.now.Before(end); {
		next := r.now.Add(5 * time.Second)
		if next.After(end) {
			next = end
		}
		for woken := 0; ; woken++ {
			wake, ok := r.e.NextWake(r.now)
			if !ok || wake.After(next) {
				break
			}
			if woken > 10_000 {
				r.t.Fatalf("the engine wants to be woken again and again at %v", wake)
			}
			if wake.After(r.now) {
				r.now = wake
			}
			r.e.Tick(r.now)
			r.collect()
		}
		r.now = next
		for shard := range uint64(len(r.links)) {
			if !slices.Contains(silent, shard) {
				r.frameOn(shard)
				r.e.Frame(r.now, link(shard), r.before[link(shard)], nil) // while it moves
				r.collect()
			}
		}
	}
}

// doubted answers again as often as the engine doubts an answer, and leaves the
// last one's consequences to be asserted.
func (r *rig) doubted(answer func()) {
	for range 4 {
		r.pass(3 * time.Second)
		r.skip()
		answer()
	}
}

// commit lets the consumer take and store everything delivered.
func (r *rig) commit() {
	var entries []checkpoint.Entry
	for i := range r.delivered {
		change := &r.delivered[i]
		if change.Kind != engine.CaughtUp && change.Kind != engine.Unreadable {
			r.stored[change.Key] = change.Cursor
			entries = append(entries, checkpoint.Entry{Key: change.Key, Cursor: change.Cursor})
		}
	}
	r.delivered = nil
	bytes := r.bytes
	r.bytes = 0
	r.e.Consumed(r.now, bytes)
	r.e.Committed(r.now, entries)
	r.collect()
}

// in makes the batch of a version; letters tell lives apart. The batch counts
// for 1 KiB of buffer.
func in(life string, version uint64) msg.Batch {
	value := make([]byte, 1024-128-112)
	copy(value, life)
	return msg.Batch{Version: version, ServerTimestamp: 1000*uint64(life[0]) + version, Events: []msg.Event{{EventSeq: version, Major: 1, Value: value}}}
}

// run makes the batches from one version to another.
func run(life string, from, to uint64) []msg.Batch {
	var batches []msg.Batch
	for v := from; v <= to; v++ {
		batches = append(batches, in(life, v))
	}
	return batches
}

// at is the cursor that stands at a batch.
func at(life uint64, batch msg.Batch) checkpoint.Cursor {
	return checkpoint.Cursor{Life: life, Version: batch.Version, Anchor: checkpoint.AnchorOf(&batch)}
}

// gone is the cursor after the aggregate was deleted there.
func gone(cursor checkpoint.Cursor) checkpoint.Cursor { cursor.Deleted = true; return cursor }

func wrote(key msg.Key, from, to uint64) msg.Notification {
	return msg.Notification{Key: key, Operation: msg.OpWrite, From: msg.Some(from), To: msg.Some(to)}
}

func created(key msg.Key) msg.Notification {
	return msg.Notification{Key: key, Operation: msg.OpCreate}
}

func deleted(key msg.Key) msg.Notification {
	return msg.Notification{Key: key, Operation: msg.OpDelete}
}

func trimmed(key msg.Key, keepFrom uint64) msg.Notification {
	return msg.Notification{Key: key, Operation: msg.OpTrimStart, KeepFrom: msg.Some(keepFrom)}
}

// listed is the entry of an aggregate whose newest batch this is.
func listed(key msg.Key, newest msg.Batch) msg.AggregateItem {
	return msg.AggregateItem{Key: key, BatchCount: 1, MinVersion: 1, MaxVersion: newest.Version, MaxServerTimestamp: newest.ServerTimestamp}
}

// listedDeleted is the entry of a deleted aggregate.
func listedDeleted(key msg.Key) msg.AggregateItem { return msg.AggregateItem{Key: key, Deleted: true} }

// rule is one specification.
type rule struct {
	name    string
	options func(*engine.Options)
	script  func(r *rig)
}

func check(t *testing.T, rules []rule) {
	t.Helper()
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			options := rule.options
			if options == nil {
				options = func(*engine.Options) {}
			}
			rule.script(newRig(t, options))
		})
	}
}
