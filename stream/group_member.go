package stream

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/lease"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// handOver bounds how long a partition that was asked for is kept for what is being
// handled of it.
const handOver = 5 * time.Minute

// heldOver is how long a partition that was asked for is kept once nothing of it is left
// but aggregates on hold: what was handled of them before is stored meanwhile, and that
// they are parked.
const heldOver = 2 * time.Second

// membership is the part of a subscription that holds leases. Its fields below step
// are guarded by Subscription.step.
type membership struct {
	s     *Subscription
	group *leaseGroup
	id    string
	gone  chan struct{} // closed when nothing is held any more
	// startsAt is when a start from now was wanted, in milliseconds; 0 for none.
	startsAt uint64

	// step:
	definition lease.Definition
	claims     map[uint32]*claim
	// former are partitions that were owned before their present claim.
	former map[uint32]bool
	began  bool
}

// claim is one partition that is owned.
type claim struct {
	owner checkpoint.Owner
	// ctx ends with the lease; what is handled under the claim ends with it.
	ctx    context.Context
	cancel context.CancelCauseFunc
	// since is the time of a start from now that is still to be made; 0 for none.
	since uint64
	// finishing: nothing more is delivered; unfinished are the aggregates of which
	// something was delivered and is not committed.
	finishing  bool
	unfinished map[msg.Key]checkpoint.Cursor
	late       *time.Timer
}

// LostError says that cursors of some partitions were not stored, because they are
// owned by somebody else, or by nobody, and that all others were stored. Their next
// owner handles again what was handled of them, unless its effects were stored
// together with the cursors. The error ends nothing.
type LostError struct {
	Name       string
	Partitions []uint32
}

// Error names the subscription and its partitions.
func (e *LostError) Error() string {
	return fmt.Sprintf("stream: partitions %v of %q are no longer owned here: their cursors are not stored, all others are",
		lease.NewSet(e.Partitions...), e.Name)
}

// ErrLeaseEnded is why the context of a handler ended: the partition is not owned any
// more.
var ErrLeaseEnded = fmt.Errorf("stream: the lease of the partition ended")

func newMembership(s *Subscription, d lease.Definition) *membership {
	label := s.opts.Member
	if label == "" {
		label, _ = os.Hostname()
	}
	return &membership{s: s, id: label + "/" + checkpoint.NewToken().String(), gone: make(chan struct{}),
		definition: d, claims: make(map[uint32]*claim), former: make(map[uint32]bool)}
}

// join makes the subscription a member.
func (m *membership) join(store checkpoint.RecordStore, want lease.Definition) error {
	return joinLeases(store, m.s.opts.LeaseTTL, m, lease.Membership{
		ID: m.id, Label: m.s.opts.Member, Name: m.s.opts.Name, Definition: m.definition, Want: want,
		FromNow: m.startsAt,
	})
}

// leave gives up what is held, and returns once that is stored or known to be useless,
// or ctx ends.
func (m *membership) leave(ctx context.Context) {
	m.group.input(func(now lease.Instant) { m.group.process.Leave(now, m.id) })
	select {
	case <-m.gone:
	case <-ctx.Done(): // the leases run out
	}
	m.group.left(m.id)
	m.s.step.Lock()
	defer m.s.step.Unlock()
	for _, c := range m.claims {
		c.end()
	}
	clear(m.claims)
}

func (c *claim) end() {
	c.cancel(ErrLeaseEnded)
	if c.late != nil {
		c.late.Stop()
	}
}

// drop ends a claim. The caller holds step.
func (m *membership) drop(partition uint32) {
	m.claims[partition].end()
	delete(m.claims, partition)
	m.former[partition] = true
}

// partition returns the partition of an aggregate. The caller holds step.
func (m *membership) partition(key msg.Key) uint32 { return m.definition.Of(key) }

// shards are the shards of a cluster of so many that can hold a partition. A cluster
// with as many shards as the definition counts, or one more for a reserved shard, is
// taken for the one that was found when it was made. The caller holds step.
func (m *membership) shards(partition uint32, shards uint64) []uint64 {
	d := &m.definition
	rule := lease.Rule{Shards: shards, Routing: d.Routing}
	switch d.Classes {
	case shards:
		rule.Known = d.Followed
	case shards - 1:
		rule.Known, rule.Reserved = d.Followed, true
	}
	return d.Shards(partition, rule)
}

// delivering are the partitions of which changes are delivered. The caller holds step.
func (m *membership) delivering() []uint32 {
	var out []uint32
	for p, c := range m.claims {
		if !c.finishing {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

// claimed gives a change the claim under which it is delivered. CaughtUp, which is of
// all that are owned, has one of them. The caller holds step.
func (m *membership) claimed(change *Change) {
	switch {
	case change.ofAggregate():
		change.Partition = m.partition(change.Key)
	case len(m.claims) > 0:
		change.Partition = slices.Min(slices.Collect(maps.Keys(m.claims)))
	}
	if c := m.claims[change.Partition]; c != nil {
		change.Owner = c.owner
	}
}

// gained has the changes of partitions delivered from now on.
func (m *membership) gained(gained []lease.Claimed) {
	m.s.feed(func(e *engine.Engine, now time.Time) {
		changes := make([]Change, len(gained))
		for i, g := range gained {
			c := &claim{owner: g.Owner}
			if g.Start != nil && !g.Start.Made && m.startsAt > 0 {
				c.since = g.Start.Since
			}
			c.ctx, c.cancel = context.WithCancelCause(checkpoint.ContextWithOwner(context.Background(), g.Owner))
			m.claims[g.Partition] = c
			changes[i] = Change{Kind: Gained, Partition: g.Partition, Owner: g.Owner}
		}
		m.s.tellPartitions(changes)
		m.s.takeOver(len(gained), now)
		if !m.began {
			m.began = true
			e.Start(now)
		}
		e.SetOwned(now, m.delivering())
	})
}

// revoke stops the delivery of partitions that are given away. Their Lost comes once
// what was delivered of them is committed.
func (m *membership) revoke(partitions lease.Set) {
	var done []uint32
	m.s.feed(func(e *engine.Engine, now time.Time) {
		leaves := func(key msg.Key) bool { return partitions.Has(m.partition(key)) }
		unfinished := e.Uncommitted(leaves)
		for _, change := range m.s.box.drop(leaves) {
			// Only what the consumer took of an aggregate will be committed.
			if last, ok := unfinished[change.Key]; ok && change.Previous.Compare(last.Stored) <= 0 {
				delete(unfinished, change.Key)
			} else if ok {
				last.Delivered = change.Previous
				unfinished[change.Key] = last
			}
		}
		for _, p := range partitions {
			if c := m.claims[p]; c != nil {
				c.finishing, c.unfinished = true, make(map[msg.Key]checkpoint.Cursor)
			}
		}
		for key, last := range unfinished {
			if c := m.claims[m.partition(key)]; c != nil {
				c.unfinished[key] = last.Delivered
			}
		}
		e.SetOwned(now, m.delivering())
		for _, p := range partitions {
			c := m.claims[p]
			switch {
			case c == nil:
			case len(c.unfinished) == 0:
				done = append(done, p)
			default:
				c.late = time.AfterFunc(handOver, func() { m.finished([]uint32{p}) })
			}
		}
	})
	if len(done) > 0 {
		// The group's lock is held here.
		m.group.work.Add(1)
		go func() {
			defer m.group.work.Done()
			m.finished(done)
		}()
	}
}

// held has the partitions that are given away not wait for aggregates on hold: what was
// delivered of them is forgotten, so that no commit of it will come. The caller holds
// step.
func (m *membership) held(keys []msg.Key) {
	for _, key := range keys {
		p := m.partition(key)
		c := m.claims[p]
		if c == nil || !c.finishing {
			continue
		}
		if _, waits := c.unfinished[key]; !waits {
			continue
		}
		if delete(c.unfinished, key); len(c.unfinished) == 0 {
			c.late.Reset(heldOver)
		}
	}
}

// finished gives partitions away: nothing of them is being handled any more.
func (m *membership) finished(partitions []uint32) {
	m.s.step.Lock()
	var changes []Change
	for _, p := range partitions {
		if c := m.claims[p]; c != nil && c.finishing {
			changes = append(changes, Change{Kind: Lost, Partition: p, Owner: c.owner, Reason: Revoked})
			m.drop(p)
		}
	}
	m.s.tellPartitions(changes)
	m.s.step.Unlock()
	m.group.input(func(now lease.Instant) {
		for _, p := range partitions {
			m.group.process.Finished(now, m.id, p)
		}
	})
}

// lost ends the delivery of partitions at once.
func (m *membership) lost(partitions lease.Set, reason Reason) {
	m.s.feed(func(e *engine.Engine, now time.Time) {
		m.s.box.restrict(func(key msg.Key) bool { return !partitions.Has(m.partition(key)) })
		changes := make([]Change, 0, len(partitions))
		for _, p := range partitions {
			c := m.claims[p]
			if c == nil {
				continue
			}
			changes = append(changes, Change{Kind: Lost, Partition: p, Owner: c.owner, Reason: reason})
			m.drop(p)
		}
		m.s.tellPartitions(changes)
		e.SetOwned(now, m.delivering())
	})
}

// redefine follows another definition. Nothing is held then.
func (m *membership) redefine(d lease.Definition) {
	m.s.feed(func(*engine.Engine, time.Time) { m.definition = d })
	m.s.logger.Info("partitions defined anew, claiming again", "generation", d.Generation, "partitions", d.Count())
}

// tellPartitions delivers Gained and Lost. The caller holds step.
func (s *Subscription) tellPartitions(changes []Change) {
	if len(changes) == 0 {
		return
	}
	s.box.put(changes, 0)
	s.delivered(changes)
	for _, c := range changes {
		s.logger.Info("partition "+c.Kind.String(), "partition", c.Partition, "reason", c.Reason)
	}
}

// committed notes what is stored of partitions that are given away, and returns those
// that are finished. The caller holds step.
func (m *membership) committed(entries []checkpoint.Entry) (finished []uint32) {
	for _, e := range entries {
		p := m.partition(e.Key)
		c := m.claims[p]
		if c == nil || !c.finishing || len(c.unfinished) == 0 {
			continue
		}
		if last, ok := c.unfinished[e.Key]; ok && e.Cursor.Compare(last) >= 0 {
			if delete(c.unfinished, e.Key); len(c.unfinished) == 0 {
				finished = append(finished, p)
			}
		}
	}
	return finished
}

// savingUnder is what is to be saved under which claims, worked out once: a claim that
// is made while it is saved is not the one under which anything of it was delivered.
type savingUnder struct {
	entries map[uint32][]checkpoint.Entry // by partition
	owners  map[uint32]checkpoint.Owner
	lost    map[uint32]bool
}

// under finds the claims of entries. Entries that were delivered under an earlier claim
// of a partition than the present one are lost: what follows their cursors is
// delivered again.
func (m *membership) under(entries []checkpoint.Entry) *savingUnder {
	m.s.step.Lock()
	defer m.s.step.Unlock()
	out := &savingUnder{entries: make(map[uint32][]checkpoint.Entry), owners: make(map[uint32]checkpoint.Owner), lost: make(map[uint32]bool)}
	for _, e := range entries {
		p := m.partition(e.Key)
		c := m.claims[p]
		if c == nil || m.former[p] && !c.finishing && m.s.engine.Delivered(e.Key).Compare(e.Cursor) < 0 {
			out.lost[p] = true
			continue
		}
		out.owners[p] = c.owner
		out.entries[p] = append(out.entries[p], e)
	}
	return out
}

// mutation is what can be saved of it.
func (u *savingUnder) mutation() (m checkpoint.Mutation) {
	for _, p := range slices.Sorted(maps.Keys(u.entries)) {
		m.Owners = append(m.Owners, u.owners[p])
		m.Entries = append(m.Entries, u.entries[p]...)
	}
	return m
}

// fenced gives a partition up.
func (u *savingUnder) fenced(partition uint32) {
	u.lost[partition] = true
	delete(u.entries, partition)
}

// without leaves one aggregate out.
func (u *savingUnder) without(key msg.Key, partition uint32) {
	u.entries[partition] = slices.DeleteFunc(u.entries[partition], func(e checkpoint.Entry) bool { return e.Key == key })
	if len(u.entries[partition]) == 0 {
		delete(u.entries, partition)
	}
}

func (u *savingUnder) lostPartitions() []uint32 { return slices.Sorted(maps.Keys(u.lost)) }

// summary is what others are told of this member's work. The group's lock is held.
func (m *membership) summary() lease.Summary {
	stats := m.s.Stats()
	out := lease.Summary{State: stats.State.Phase.String(), Unhandled: stats.Unhandled, Parked: stats.Parked + stats.Unreadable}
	if oldest := stats.OldestPending; !oldest.IsZero() {
		out.Oldest = uint64(max(0, oldest.UnixMilli()))
	}
	if len(stats.Retrying) > 0 {
		r := stats.Retrying[0]
		out.Error, out.Since = checkpoint.ErrorText(r.Err), r.Since.UnixMilli()
	}
	return out
}
