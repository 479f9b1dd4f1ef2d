package stream

import (
	"context"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/lease"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// A start from now with leases is one start of the whole group. The first claim of any
// partition notes when it was, in the partition's record, and every other partition
// takes that time over. A partition's start is made by its owner; an owner that ends
// before leaves it to the next one. So that the next one does not begin later than the
// first, only a head that was committed before the start becomes a first cursor. Of an
// aggregate whose head is newer, the last batch before the start is looked for.

// startDrift is by how much the clocks of this process and of the nodes may differ:
// what is not older than the start by more than that is delivered.
const startDrift = 5 * time.Second

// before reports whether a batch was committed before a start, in milliseconds.
func before(start, serverTimestamp uint64) bool {
	return serverTimestamp+uint64(startDrift/time.Millisecond) < start
}

// startsAt is when the subscription starts, in milliseconds, if a part of its scope
// starts now; 0 otherwise.
func (s *Subscription) startsAt(ctx context.Context, now time.Time) (at uint64, err error) {
	if s.opts.Start != FromNow {
		return 0, nil
	}
	if s.made, err = s.opts.started(ctx, s.scope); err != nil || s.scope.Without(s.made).Empty() {
		return 0, err
	}
	return uint64(now.UnixMilli()), nil
}

// startMade reports whether an aggregate without a cursor is new. The caller holds step.
func (m *membership) startMade(key msg.Key) bool {
	c := m.claims[m.partition(key)]
	return c == nil || c.since == 0 || m.s.opts.contains(m.s.made)(key)
}

// noteGroupStart notes that the start is made in all partitions of which changes are
// delivered, and lets the engine go on. A note that is lost costs the next owner the
// same start once more, so nothing waits for the store. The caller holds step.
func (x *executor) noteGroupStart() {
	m := x.s.member
	made := make(map[uint32]*claim)
	for p, c := range m.claims {
		if c.since > 0 && !c.finishing {
			made[p] = c
		}
	}
	x.request(func(context.Context) error {
		m.group.input(func(now lease.Instant) {
			for p := range made {
				m.group.process.Started(now, m.id, p)
			}
		})
		return nil
	}, func(error) {
		x.s.feed(func(e *engine.Engine, now time.Time) {
			for _, c := range made {
				c.since = 0
			}
			e.Begun(now, m.startMade)
		})
	})
}

// firstCursors returns those of the first cursors that lie before the start. Of the
// others' aggregates it stores an earlier one, and has them go on from there.
func (x *executor) firstCursors(ctx context.Context, entries []checkpoint.Entry) (first []checkpoint.Entry, err error) {
	for _, e := range entries {
		since := x.s.member.since(e.Key)
		if since == 0 || e.Cursor.Deleted || before(since, e.Cursor.Anchor.ServerTimestamp) {
			first = append(first, e)
		} else if err = x.startEarlier(ctx, e, since); err != nil {
			return nil, err
		}
	}
	return first, nil
}

// since is when the start of an aggregate's partition is, 0 if it is made or the
// partition is not owned.
func (m *membership) since(key msg.Key) uint64 {
	m.s.step.Lock()
	defer m.s.step.Unlock()
	if c := m.claims[m.partition(key)]; c != nil {
		return c.since
	}
	return 0
}

// startEarlier stores the cursor of the last batch before the start, if there is one,
// and has the aggregate go on from there.
func (x *executor) startEarlier(ctx context.Context, e checkpoint.Entry, since uint64) error {
	s, m := x.s, x.s.member
	cursor, err := x.lastBefore(ctx, e, since)
	if err != nil {
		return err
	}
	if !cursor.IsZero() {
		err = m.commitFirst(ctx, checkpoint.Entry{Key: e.Key, Cursor: cursor})
		if err != nil {
			return err
		}
	}
	s.feed(func(engine *engine.Engine, now time.Time) {
		if engine.Delivered(e.Key) != e.Cursor {
			return // it was lost or put on hold meanwhile, and loads its cursor later
		}
		engine.Hold(now, []msg.Key{e.Key})
		engine.Release(now, []msg.Key{e.Key})
	})
	return nil
}

// commitFirst stores a first cursor behind the engine's back. One that is stored
// already, or of a partition that is lost, is left as it is.
func (m *membership) commitFirst(ctx context.Context, e checkpoint.Entry) error {
	m.s.step.Lock()
	c := m.claims[m.partition(e.Key)]
	m.s.step.Unlock()
	if c == nil {
		return nil
	}
	mutation := checkpoint.Mutation{Owners: []checkpoint.Owner{c.owner}, Entries: []checkpoint.Entry{e}}
	return m.s.persist(ctx, func() error {
		err := m.apply(ctx, m.s.opts.Store.(checkpoint.RecordStore), mutation)
		if _, fenced := m.fenced(err); fenced {
			return nil
		}
		if _, _, behind := withoutRegression(mutation.Entries, err); behind {
			return nil
		}
		return err
	})
}

// lastBefore reads an aggregate up to the first batch that does not lie before the
// start. Batches that a node does not show are the engine's to judge: the cursor stays
// in front of them. A node that does not answer is asked again, as long as the partition
// is owned.
func (x *executor) lastBefore(ctx context.Context, e checkpoint.Entry, since uint64) (last checkpoint.Cursor, err error) {
	var pace engine.Backoff
	for from := uint64(1); x.s.member.since(e.Key) != 0; {
		r := &reading{x: x, word: true, req: msg.ReadRequest{Key: e.Key, Filters: msg.ReadFilters{From: from, To: msg.Some(e.Cursor.Version)}}}
		err := r.ask(ctx)
		x.s.nodeAnswered(err, r.req.Key)
		if err != nil {
			if f := classify(err); f.Kind != engine.Unavailable && f.Kind != engine.Deposed {
				return last, nil
			}
			if pace == nil {
				pace = newBackoff()
			}
			if err := pause(ctx, pace.NextBackOff()); err != nil {
				return last, err
			}
			continue
		}
		for i := range r.page.Batches {
			b := &r.page.Batches[i]
			if b.Version < from || !before(since, b.ServerTimestamp) || b.Version <= last.Version {
				return last, nil
			}
			last = checkpoint.Cursor{Life: e.Cursor.Life, Version: b.Version, Anchor: checkpoint.AnchorOf(b)}
		}
		next, more := r.page.NextVersion.Get()
		if !more || next <= from {
			return last, nil
		}
		from = next
	}
	return last, nil
}

// pause waits, or returns why it did not.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
