package operators

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators/internal/schedule"
	"github.com/celeriant/celeriant-go/stream"
)

// heartbeat is how often requests about parked aggregates are looked for.
const heartbeat = 5 * time.Second

// StoppedError refuses to continue a subscription, or a partition, that a verdict of
// Stop has stopped. checkpoint.RequestResume takes that back, and so does another
// handler version, see stream.Options.HandlerVersion.
type StoppedError struct {
	Name string
	checkpoint.Stopped
}

// Error names the change, the process and the reason.
func (e *StoppedError) Error() string {
	return fmt.Sprintf("operators: %q was stopped at %v by %s, at version %d of %v: %s",
		e.Name, e.Since.Format(time.RFC3339), e.By, e.Version, e.Key, e.Stopped.Error)
}

// recordChange is part of a save, under a claim: what is to be stored about one
// aggregate.
type recordChange struct {
	owner     checkpoint.Owner
	partition uint32
	// add puts it into a mutation and may ask the store.
	add func(ctx context.Context, m *checkpoint.Mutation) error
	// park is set for a parking, which the store may refuse.
	park *checkpoint.Parked
	// stored is called under the lock when it is stored.
	stored func()
}

// recordStore returns the store, if it keeps records.
func (r *runner) recordStore() (checkpoint.RecordStore, bool) {
	store, ok := r.sub.Store().(checkpoint.RecordStore)
	return store, ok
}

func (r *runner) canPark() bool {
	_, ok := r.recordStore()
	return ok && r.maxParked > 0
}

// restore takes up what an earlier owner left: what is parked, what fails, and
// whether it stopped.
func (r *runner) restore(ctx context.Context) error {
	store, ok := r.recordStore()
	if !ok {
		return nil
	}
	control, err := r.control(ctx, store)
	if err != nil {
		return fmt.Errorf("operators: reading the records of %q: %w", r.sub.Name(), err)
	}
	for _, s := range control.Stopped {
		if leased(r.sub.Owner()) {
			break // whoever takes a partition looks at it
		}
		if s.Blocks(r.sub.HandlerVersion()) {
			return &StoppedError{Name: r.sub.Name(), Stopped: s}
		}
		r.mu.Lock()
		r.records = append(r.records, recordChange{owner: r.sub.Owner(), partition: s.Partition,
			add: func(ctx context.Context, m *checkpoint.Mutation) error { return r.restart(ctx, store, s, m) }})
		r.mu.Unlock()
	}
	defer r.obey(&control, true)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range control.Failing {
		r.schedule.Restore(f.Key, schedule.Failure{
			Kind: stream.Batch, Life: f.Life, Version: f.Version, Attempts: f.Attempts, First: f.FirstFailure,
			Err: errors.New(f.Error), Recorded: true,
		}, false)
	}
	for _, p := range control.Parked {
		r.schedule.Restore(p.Key, failureOf(&p), true)
	}
	return nil
}

// restart takes a stop back, if nobody has done so since it was read.
func (r *runner) restart(ctx context.Context, store checkpoint.RecordStore, s checkpoint.Stopped, m *checkpoint.Mutation) error {
	control, _, err := checkpoint.LoadControl(ctx, store, r.sub.Name())
	if err != nil {
		return err
	}
	for _, now := range control.Stopped {
		if now.Partition == s.Partition && now.Revision == s.Revision {
			m.Restart(s)
		}
	}
	return nil
}

// control reads the records. A database that is away for a while is waited for.
func (r *runner) control(ctx context.Context, store checkpoint.RecordStore) (checkpoint.Control, error) {
	pace := newPace()
	for {
		control, _, err := checkpoint.LoadControl(ctx, store, r.sub.Name())
		if err == nil || !r.passesStatement(store, err) {
			return control, err
		}
		wait := pace.NextBackOff()
		r.sub.ReportRetry(stream.WhatStore, err, time.Now().Add(wait))
		if !r.sleep(ctx, wait) {
			return control, errors.Join(context.Cause(ctx), err)
		}
	}
}

func failureOf(p *checkpoint.Parked) schedule.Failure {
	return schedule.Failure{
		Kind: kindOf(p.Kind), Life: p.Life, Version: p.Version, Attempts: p.Attempts, First: p.FirstFailure, Last: p.LastFailure,
		Err: errors.New(p.Error), Recorded: true, Parked: true,
	}
}

// kindOf reads the kind of a change that was parked; earlier releases noted none.
func kindOf(text string) stream.Kind {
	for _, k := range []stream.Kind{stream.Deleted, stream.Reset, stream.Truncated, stream.Unreadable} {
		if k.String() == text {
			return k
		}
	}
	return stream.Batch
}

// record adds to the next save. add must not refer to c, whose memory is used
// again.
func (r *runner) record(c *stream.Change, add func(context.Context, *checkpoint.Mutation) error) bool {
	if _, ok := r.recordStore(); !ok {
		return false
	}
	r.records = append(r.records, recordChange{owner: c.Owner, partition: c.Partition, add: add})
	signal(r.kick)
	return true
}

// recordStop has nobody continue before that is taken back.
func (r *runner) recordStop(c *stream.Change, f schedule.Failure) {
	s := checkpoint.Stopped{
		Partition: c.Partition, Key: c.Key, Version: versionOf(c), Error: checkpoint.ErrorText(f.Err),
		By: process(), Handler: r.sub.HandlerVersion(), Since: f.Last,
	}
	r.record(c, func(_ context.Context, m *checkpoint.Mutation) error { m.Stop(s); return nil })
}

// process names this process, for people.
func process() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return fmt.Sprintf("%s, process %d", host, os.Getpid())
}

// recordPassed notes versions that the cursor goes past without their being
// handled.
func (r *runner) recordPassed(c *stream.Change, from, to uint64, why string) {
	p := checkpoint.Passed{Key: c.Key, Life: c.Cursor.Life, From: from, To: to, Why: why, At: time.Now()}
	r.record(c, func(_ context.Context, m *checkpoint.Mutation) error { m.Pass(p); return nil })
}

func (r *runner) recordSkip(c *stream.Change, _ schedule.Failure) {
	if c.Moves() {
		r.recordPassed(c, versionOf(c), versionOf(c), "skipped")
	}
}

// recordFailing stores that a change has failed for a while.
func (r *runner) recordFailing(c *stream.Change, f schedule.Failure) bool {
	failing := checkpoint.Failing{
		Key: c.Key, Life: f.Life, Version: f.Version, Attempts: f.Attempts, FirstFailure: f.First, Error: checkpoint.ErrorText(f.Err),
	}
	return c.Kind != stream.CaughtUp &&
		r.record(c, func(_ context.Context, m *checkpoint.Mutation) error { m.Fails(failing); return nil })
}

// recordRecovered forgets a failure that is over, and the parking that a change
// has ended.
func (r *runner) recordRecovered(c *stream.Change, f schedule.Failure) {
	switch {
	case f.Parked:
		r.unpark(c)
		info := ParkedInfo{Key: c.Key, Version: f.Version, Attempts: f.Attempts, Err: f.Err, How: "void"}
		if c.Kind == stream.Batch {
			info.How = "skipped"
		}
		r.later(func() { tell(&r.settings, r.hooks.Unparked, func() ParkedInfo { return info }) })
	case f.Recorded:
		key := c.Key
		r.record(c, func(_ context.Context, m *checkpoint.Mutation) error { m.Recovered(key); return nil })
	}
}

// unpark has the record of a parking deleted, whatever was asked meanwhile.
func (r *runner) unpark(c *stream.Change) {
	key := c.Key
	r.record(c, func(ctx context.Context, m *checkpoint.Mutation) error {
		store, _ := r.recordStore()
		p, err := checkpoint.LoadParked(ctx, store, r.sub.Name(), key)
		if errors.Is(err, checkpoint.ErrNotParked) {
			return nil
		}
		if err == nil {
			m.Unpark(p)
		}
		return err
	})
}

// recordParked stores that an aggregate is parked, and the cursors handled before.
func (r *runner) recordParked(c *stream.Change, f schedule.Failure) {
	p := &checkpoint.Parked{
		Key: c.Key, Life: f.Life, Version: f.Version, Cursor: c.Previous, Attempts: f.Attempts,
		FirstFailure: f.First, LastFailure: f.Last, Error: checkpoint.ErrorText(f.Err),
	}
	if f.Kind != stream.Batch {
		p.Kind = f.Kind.String()
	}
	r.records = append(r.records, recordChange{
		owner: c.Owner, partition: c.Partition, park: p,
		add:    func(_ context.Context, m *checkpoint.Mutation) error { m.Park(*p, r.maxParked); return nil },
		stored: func() { r.parkedLocked(p.Key, f) },
	})
}

// parkedLocked notes that a parking is stored.
func (r *runner) parkedLocked(key msg.Key, f schedule.Failure) {
	r.schedule.ParkingStored(key)
	r.requestsAt = earliest(r.requestsAt, time.Now().Add(heartbeat))
	info := ParkedInfo{Key: key, Version: f.Version, Attempts: f.Attempts, Err: f.Err}
	r.later(func() { tell(&r.settings, r.hooks.Parked, func() ParkedInfo { return info }) })
}

// later has the keeper call f without the lock.
func (r *runner) later(f func()) {
	r.calls = append(r.calls, f)
	signal(r.kick)
}
