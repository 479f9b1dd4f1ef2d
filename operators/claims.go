package operators

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators/internal/schedule"
	"github.com/celeriant/celeriant-go/stream"
)

// claim is the context of the handlers of one claim.
type claim struct {
	owner  checkpoint.Owner
	ctx    context.Context
	cancel context.CancelCauseFunc
}

// LostError is the cause of a handler's context that ended because its partition
// is another consumer's.
type LostError struct {
	Partition uint32
	Reason    stream.Reason
}

// Error names the partition and the reason.
func (e *LostError) Error() string {
	return "operators: " + (&stream.Change{Kind: stream.Lost, Partition: e.Partition, Reason: e.Reason}).String()
}

// claimLocked returns the context of a claim.
func (r *runner) claimLocked(owner checkpoint.Owner, partition uint32) context.Context {
	c := r.claims[partition]
	if c != nil && c.owner == owner {
		return c.ctx
	}
	if c != nil {
		c.cancel(context.Canceled)
	}
	ctx, cancel := context.WithCancelCause(checkpoint.ContextWithOwner(r.work, owner))
	r.claims[partition] = &claim{owner: owner, ctx: ctx, cancel: cancel}
	return ctx
}

// gained reads what the earlier owners of partitions have parked, before a change of
// them can be handled, and reports false if the runner ended meanwhile.
func (r *runner) gained(changes []stream.Change) bool {
	store, ok := r.recordStore()
	if !ok || !slices.ContainsFunc(changes, func(c stream.Change) bool { return c.Kind == stream.Gained }) {
		return true
	}
	r.mu.Lock()
	earlier := r.schedule.ParkedKeys()
	r.mu.Unlock()
	control, err := r.control(r.stop, store)
	if err != nil {
		r.end(fmt.Errorf("operators: reading the records of %q: %w", r.sub.Name(), err))
		return false
	}
	parked := make(map[msg.Key]schedule.Failure, len(control.Parked))
	for i := range control.Parked {
		parked[control.Parked[i].Key] = failureOf(&control.Parked[i])
	}
	r.mu.Lock()
	r.schedule.Reconcile(parked, earlier)
	r.mu.Unlock()
	r.obey(&control, true)
	r.mu.Lock()
	orders := r.ordersLocked()
	r.mu.Unlock()
	r.carryOutOrders(orders)
	return true
}

// tellPartitions calls a hook for each partition of a slice that was gained, or lost.
func (r *runner) tellPartitions(kind stream.Kind, hook func(PartitionInfo), changes []stream.Change) {
	if hook == nil {
		return
	}
	for i := range changes {
		if c := &changes[i]; c.Kind == kind {
			tell(&r.settings, hook, func() PartitionInfo { return PartitionInfo{Partition: c.Partition, Owner: c.Owner, Reason: c.Reason} })
		}
	}
}

// leased reports whether a claim is of one partition only.
func leased(o checkpoint.Owner) bool { return o.Leased }

// partition notes that a partition was gained or lost.
func (r *runner) partition(c *stream.Change) {
	if c.Kind == stream.Gained {
		// The stored state of the partition was read before, see gained.
		r.owned[c.Partition] = c.Owner
		delete(r.over, c.Partition)
		return
	}
	delete(r.owned, c.Partition)
	r.loseLocked(c.Owner, c.Partition, &LostError{Partition: c.Partition, Reason: c.Reason})
}

// loseLocked drops everything of a partition under a claim that is over, and ends the
// contexts of its handlers. Until the partition is gained again nothing more of it is
// handled: the consumer may not know yet, and what it delivers under that claim follows
// what was dropped. A claim that has been replaced already takes nothing from the next.
func (r *runner) loseLocked(owner checkpoint.Owner, partition uint32, cause error) {
	if now, gained := r.owned[partition]; gained && now != owner {
		return
	}
	delete(r.owned, partition)
	r.over[partition] = owner
	r.schedule.Lose(partition)
	kept := r.records[:0]
	for _, rec := range r.records {
		if rec.partition != partition {
			kept = append(kept, rec)
		}
	}
	r.records = kept
	if c := r.claims[partition]; c != nil {
		c.cancel(cause)
		delete(r.claims, partition)
	}
	r.free.Broadcast()
}

// claimant is a consumer that knows whether a claim has run out, such as
// *stream.Subscription.
type claimant interface {
	Owns(c *stream.Change) bool
}

// expired drops a task whose claim has run out since it was pulled: this process may have
// been stopped meanwhile, and another one handles these changes.
func (r *runner) expired(j *job) bool {
	c := &j.Changes[0]
	consumer, knows := r.sub.(claimant)
	if !knows || !leased(c.Owner) || consumer.Owns(c) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.loseLocked(c.Owner, c.Partition, &LostError{Partition: c.Partition, Reason: stream.Expired})
	return true
}

// overLocked reports whether a change was delivered under a claim that is over.
func (r *runner) overLocked(c *stream.Change) bool {
	if len(r.over) == 0 || c.Kind == stream.CaughtUp {
		return false
	}
	owner, over := r.over[c.Partition]
	return over && owner == c.Owner
}

// caughtUpLocked has a CaughtUp, which is of all that is owned, handled under another
// claim if its own one is over, and reports false if there is none.
func (r *runner) caughtUpLocked(c *stream.Change) bool {
	now, gained := r.owned[c.Partition]
	before, over := r.over[c.Partition]
	if now == c.Owner || !gained && !(over && before == c.Owner) {
		return true
	}
	if len(r.owned) == 0 {
		return false
	}
	c.Partition = slices.Min(slices.Collect(maps.Keys(r.owned)))
	c.Owner = r.owned[c.Partition]
	return true
}

// fenceTold is a consumer that may not know of a refusal that somebody else has had from
// the checkpoint store, such as *stream.Subscription.
type fenceTold interface{ Fenced(refusal error) }

// tellFenced tells the consumer of a claim that the store has refused, so that it stops
// delivering under it. The caller does not hold the lock.
func (r *runner) tellFenced(refusal error) {
	if consumer, ok := r.sub.(fenceTold); ok && errors.Is(refusal, checkpoint.ErrFenced) {
		consumer.Fenced(refusal)
	}
}

// lostLocked reports whether the outcome of a change concerns nobody here.
func (r *runner) lostLocked(j *job, c *stream.Change) bool {
	return r.schedule.Lost(&j.Task, c)
}
