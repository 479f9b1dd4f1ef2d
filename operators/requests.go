package operators

import (
	"context"
	"errors"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators/internal/schedule"
	"github.com/celeriant/celeriant-go/stream"
)

// requestable is a consumer that tells when somebody asks for something in the records,
// such as *stream.Subscription.
type requestable interface{ Requests() <-chan struct{} }

// requestsOf returns where a consumer tells of requests; nil if it does not.
func requestsOf(sub stream.Consumer) <-chan struct{} {
	if r, ok := sub.(requestable); ok {
		return r.Requests()
	}
	return nil
}

// asked has requests looked for at once.
func (r *runner) asked() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lookAtRequests, r.requestsAt = true, time.Now()
}

// requestsDueLocked returns when requests are looked for next; zero while nobody has
// signalled one and nothing is parked: of several members each may carry out a release.
func (r *runner) requestsDueLocked(now time.Time) time.Time {
	switch {
	case !r.lookAtRequests && r.schedule.Parked() == 0:
		r.requestsAt = time.Time{}
	case r.requestsAt.IsZero():
		r.requestsAt = now.Add(heartbeat)
	}
	return r.requestsAt
}

// heed carries out what is asked.
func (r *runner) heed(ctx context.Context) error {
	r.mu.Lock()
	r.lookAtRequests, r.requestsAt = false, time.Now().Add(heartbeat)
	earlier := r.schedule.ParkedKeys()
	r.mu.Unlock()
	store, ok := r.recordStore()
	if !ok {
		return nil
	}
	control, _, err := checkpoint.LoadControl(ctx, store, r.sub.Name())
	if err == nil {
		r.obey(&control, false)
		err = r.carryOutRequests(ctx, store, control.Parked)
	}
	if err == nil {
		for i := range control.Parked {
			delete(earlier, control.Parked[i].Key)
		}
		r.noticeReleases(earlier)
		return nil
	}
	if errors.Is(err, checkpoint.ErrFenced) {
		return err
	}
	r.logger.Warn("requests not carried out, looking again", "subscription", r.sub.Name(), "cause", err)
	r.mu.Lock()
	r.lookAtRequests = true
	r.mu.Unlock()
	return nil
}

func (r *runner) carryOutRequests(ctx context.Context, store checkpoint.RecordStore, parked []checkpoint.Parked) error {
	for _, p := range parked {
		if p.Request == nil {
			continue
		}
		if err := r.carryOutRequest(ctx, store, p); err != nil {
			return err
		}
	}
	return nil
}

// obey follows pauses and has aggregates redone, as the records ask. With anew the
// consumer may have forgotten what it was told before.
func (r *runner) obey(control *checkpoint.Control, anew bool) {
	all, keys := false, make(map[msg.Key]bool, len(control.Paused))
	for i := range control.Paused {
		if p := &control.Paused[i]; p.Key == (msg.Key{}) {
			all = true
		} else {
			keys[p.Key] = true
		}
	}
	redo := make(map[msg.Key]checkpoint.Redo, len(control.Redo))
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, asked := range control.Redo {
		redo[asked.Key] = asked
		if known, ok := r.redo[asked.Key]; anew || !ok || known.Revision != asked.Revision {
			r.toRedo = append(r.toRedo, asked.Key)
		}
	}
	r.redo = redo
	if before, some := r.schedule.Paused(); before != all || some != len(keys) {
		info := PausedInfo{All: all, Aggregates: len(keys)}
		r.later(func() {
			r.logger.Info("pauses changed", "subscription", r.sub.Name(), "all", info.All, "aggregates", info.Aggregates)
			tell(&r.settings, r.hooks.Paused, func() PausedInfo { return info })
		})
	}
	r.schedule.SetPaused(all, keys)
	r.interruptLocked()
	r.free.Broadcast()
	signal(r.kick)
}

// redoneLocked records that a request to redo an aggregate was carried out, with the
// change that begins it anew.
func (r *runner) redoneLocked(c *stream.Change) {
	asked, ok := r.redo[c.Key]
	if !ok || c.Kind != stream.Reset && c.Kind != stream.Deleted && !c.Previous.IsZero() {
		return
	}
	delete(r.redo, c.Key)
	r.record(c, func(ctx context.Context, m *checkpoint.Mutation) error {
		store, _ := r.recordStore()
		now, ok, err := checkpoint.LoadRedo(ctx, store, r.sub.Name(), asked.Key)
		if ok && now.Revision == asked.Revision {
			m.Redone(now)
		}
		return err
	})
}

// noticeReleases goes on with aggregates whose records are gone: another member has
// carried out a request.
func (r *runner) noticeReleases(gone map[msg.Key]bool) {
	if len(gone) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for key := range gone {
		r.schedule.Release(key, false)
	}
	r.interruptLocked()
}

// carryOutRequest releases or skips an aggregate that is parked here.
func (r *runner) carryOutRequest(ctx context.Context, store checkpoint.RecordStore, p checkpoint.Parked) error {
	r.mu.Lock()
	h := r.schedule.Held(p.Key)
	if h == nil || h.Phase != schedule.Parked {
		r.mu.Unlock()
		return nil // not this owner's, or at work already
	}
	owner, partition := h.Owner, h.Partition
	r.mu.Unlock()
	owners := []checkpoint.Owner{owner}
	if owner == (checkpoint.Owner{}) {
		// An earlier owner parked the aggregate. Of several members each may carry the
		// request out: the others notice that the record is gone.
		owners = nil
	}
	how := "released"
	if p.Request.Action == checkpoint.ActionSkip {
		how = "skipped"
		// The change is read again, and passed over when it comes: only then is its
		// cursor known. The request stays stored until then.
		r.mu.Lock()
		r.skips[p.Key] = checkpoint.Cursor{Life: p.Life, Version: p.Version}
		r.mu.Unlock()
	} else {
		var m checkpoint.Mutation
		m.Owners = owners
		m.Unpark(p)
		if err := store.Apply(ctx, r.sub.Name(), m); err != nil {
			if _, changed := errors.AsType[*checkpoint.RevisionError](err); changed {
				return nil // another request came: see what it says
			}
			if leased(owner) && errors.Is(err, checkpoint.ErrFenced) {
				r.tellFenced(err)
				r.mu.Lock()
				r.loseLocked(owner, partition, err)
				r.mu.Unlock()
				return nil // the next owner carries it out
			}
			return err
		}
	}
	r.mu.Lock()
	r.schedule.Release(p.Key, how == "skipped")
	r.interruptLocked()
	r.mu.Unlock()
	if how == "skipped" {
		return nil // it is told when it was
	}
	tell(&r.settings, r.hooks.Unparked, func() ParkedInfo {
		return ParkedInfo{Key: p.Key, Version: p.Version, Attempts: p.Attempts, Err: errors.New(p.Error), How: how}
	})
	return nil
}

// skipped passes a change over if that was asked for.
func (r *runner) skipped(j *job) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.skips) == 0 {
		return false
	}
	c := &j.Changes[0]
	at, asked := r.skips[c.Key]
	if !asked {
		return false
	}
	delete(r.skips, c.Key)
	f := schedule.FailureOf(c)
	if f.Life != at.Life || f.Version != at.Version {
		return false // its log is another one by now
	}
	r.recordSkip(c, f)
	r.passOverLocked(j, c)
	return true
}
