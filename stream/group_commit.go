package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/lease"
	"github.com/celeriant/celeriant-go/msg"
)

// commit stores the cursors of partitions that are owned, all of them at once, and
// reports those of others with a [*LostError].
func (m *membership) commit(ctx context.Context, entries []checkpoint.Entry) error {
	s := m.s
	store := s.opts.Store.(checkpoint.RecordStore)
	entries = slices.Clone(entries)
	for i := range entries {
		entries[i].From, entries[i].Compare = checkpoint.Cursor{}, false
	}
	var behind error
	under := m.under(entries)
	var mutation checkpoint.Mutation
	err := s.persist(ctx, func() error {
		for {
			if mutation = under.mutation(); len(mutation.Entries) == 0 {
				return nil
			}
			err := m.apply(ctx, store, mutation)
			if partition, fenced := m.fenced(err); fenced {
				under.fenced(partition)
				continue
			}
			_, key, ok := withoutRegression(mutation.Entries, err)
			if !ok {
				return err
			}
			if behind == nil && !s.hasLeft(key) {
				behind = &behindError{name: s.opts.Name, err: err}
			}
			under.without(key, m.partitionOf(key))
		}
	})
	if err != nil {
		return fmt.Errorf("stream: storing %d cursors of %q: %w", len(mutation.Entries), s.opts.Name, err)
	}
	s.committed(slices.DeleteFunc(entries, func(e checkpoint.Entry) bool { return under.lost[m.partitionOf(e.Key)] }))
	if len(under.lost) > 0 {
		return &LostError{Name: s.opts.Name, Partitions: under.lostPartitions()}
	}
	return behind
}

// partitionOf is partition for who does not hold step.
func (m *membership) partitionOf(key msg.Key) uint32 {
	m.s.step.Lock()
	defer m.s.step.Unlock()
	return m.partition(key)
}

func (m *membership) apply(ctx context.Context, store checkpoint.RecordStore, mutation checkpoint.Mutation) error {
	began := time.Now()
	err := store.Apply(ctx, m.s.opts.Name, mutation)
	m.s.saved(len(mutation.Entries), began, err)
	return err
}

// mutate is Apply. Claims that the mutation does not name are those of its entries.
func (m *membership) mutate(ctx context.Context, store checkpoint.RecordStore, mutation checkpoint.Mutation) error {
	s := m.s
	if len(mutation.Owners) == 0 {
		under := m.under(mutation.Entries)
		if len(under.lost) > 0 {
			return &LostError{Name: s.opts.Name, Partitions: under.lostPartitions()}
		}
		mutation.Owners = under.mutation().Owners
	}
	ctx, cancel := s.committing(ctx)
	defer cancel()
	var lost error
	err := s.persist(ctx, func() error {
		err := m.apply(ctx, store, mutation)
		if partition, fenced := m.fenced(err); fenced {
			lost = &LostError{Name: s.opts.Name, Partitions: []uint32{partition}}
			return nil
		}
		return err
	})
	switch {
	case lost != nil:
		return lost
	case err != nil:
		return fmt.Errorf("stream: changing the checkpoint of %q: %w", s.opts.Name, err)
	}
	s.Committed(mutation.Entries)
	return nil
}

// fenced drops the claim that the store refused, if it refused one of a partition.
func (m *membership) fenced(refusal error) (partition uint32, ok bool) {
	var fenced *checkpoint.FencedError
	if !errors.As(refusal, &fenced) || !fenced.Owner.Leased {
		return 0, false
	}
	owner := fenced.Owner
	m.group.input(func(now lease.Instant) { m.group.process.Fenced(now, owner) })
	m.s.step.Lock()
	defer m.s.step.Unlock()
	if c := m.claims[owner.Partition]; c != nil && c.owner == owner {
		m.drop(owner.Partition)
	}
	return owner.Partition, true
}

// settled reports whether an error of commit says that nothing is left to be stored:
// some cursors are behind what is stored, or of partitions that were lost.
func settled(err error) bool {
	switch err.(type) {
	case *behindError, *LostError:
		return true
	}
	return false
}

// Owns reports whether the claim under which a change was delivered is still the newest that
// this process knows of, and has not run out by the monotonic clock or that on the wall: a
// process that was stopped for longer than its lease finds out here. Ask before each handler
// of a shared subscription; a change whose claim is over must not be handled. Owns is true
// for changes that belong to no aggregate, and without leases.
func (s *Subscription) Owns(change *Change) bool {
	m := s.member
	if m == nil || !change.ofAggregate() {
		return true
	}
	if m.group.expired() {
		m.group.tick()
	}
	s.step.Lock()
	defer s.step.Unlock()
	c := m.claims[change.Partition]
	return c != nil && c.owner == change.Owner
}

// handlerContexts are the contexts of the handlers of one loop, one for each claim: it
// carries the claim and ends with it.
type handlerContexts struct {
	s   *Subscription
	ctx context.Context
	by  map[uint32]handlerContext
}

type handlerContext struct {
	owner checkpoint.Owner
	ctx   context.Context
	end   func()
}

// of returns the context for the handler of a change; false if the change must not be
// handled any more, because its claim has ended.
func (h *handlerContexts) of(change *Change) (context.Context, bool) {
	m := h.s.member
	if m == nil || !change.ofAggregate() {
		return h.ctx, true
	}
	if m.group.expired() {
		m.group.tick()
	}
	h.s.step.Lock()
	c := m.claims[change.Partition]
	h.s.step.Unlock()
	if c == nil || c.owner != change.Owner {
		return nil, false
	}
	known, ok := h.by[change.Partition]
	if ok && known.owner == c.owner {
		return known.ctx, true
	}
	if ok {
		known.end()
	}
	if h.by == nil {
		h.by = make(map[uint32]handlerContext)
	}
	ctx, cancel := context.WithCancelCause(checkpoint.ContextWithOwner(h.ctx, c.owner))
	stop := context.AfterFunc(c.ctx, func() { cancel(context.Cause(c.ctx)) })
	h.by[change.Partition] = handlerContext{owner: c.owner, ctx: ctx, end: func() {
		stop()
		cancel(context.Canceled)
	}}
	return ctx, true
}

func (h *handlerContexts) end() {
	for _, c := range h.by {
		c.end()
	}
}
