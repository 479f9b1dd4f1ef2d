package operators

import (
	"context"
	"errors"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators/internal/schedule"
)

// requestsDueLocked returns when requests about parked aggregates are looked for
// next; zero while nothing is parked.
func (r *runner) requestsDueLocked(now time.Time) time.Time {
	if r.schedule.Parked() == 0 {
		r.requestsAt = time.Time{}
	} else if r.requestsAt.IsZero() {
		r.requestsAt = now.Add(heartbeat)
	}
	return r.requestsAt
}

// heed carries out what is asked about parked aggregates.
func (r *runner) heed(ctx context.Context) error {
	r.mu.Lock()
	r.requestsAt = time.Now().Add(heartbeat)
	r.mu.Unlock()
	store, ok := r.recordStore()
	if !ok {
		return nil
	}
	r.mu.Lock()
	earlier := r.schedule.ParkedKeys()
	r.mu.Unlock()
	defer r.noticeReleases(earlier)
	for p, err := range checkpoint.ListParked(ctx, store, r.sub.Name()) {
		delete(earlier, p.Key)
		if err != nil {
			clear(earlier) // what was not read is not missing
		}
		if err == nil && p.Request != nil {
			err = r.carryOutRequest(ctx, store, p)
		}
		if err == nil {
			continue
		}
		if errors.Is(err, checkpoint.ErrFenced) {
			return err
		}
		// It is asked again at the next heartbeat.
		r.logger.Warn("requests about parked aggregates not carried out", "subscription", r.sub.Name(), "cause", err)
		return nil
	}
	return nil
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
		// It was parked by an earlier owner. Of several members each may carry it out:
		// the others notice that the record is gone.
		owners = nil
	}
	how := "released"
	if p.Request.Action == checkpoint.Skip {
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
