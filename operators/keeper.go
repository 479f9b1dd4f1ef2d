package operators

import (
	"context"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/await"
	"github.com/celeriant/celeriant-go/stream"
)

// keep stores cursors and records, and looks after times.
func (r *runner) keep() {
	finished := false
	defer func() {
		if finished {
			return
		}
		// A hook or a logger ended this goroutine.
		if value := recover(); value != nil {
			r.end(&PanicError{Value: value, Stack: debug.Stack()})
		}
		r.background.Go(r.keep)
	}()
	r.keepUntilStopped()
	finished = true
}

func (r *runner) keepUntilStopped() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	requests := requestsOf(r.sub)
	for r.stop.Err() == nil {
		save, next := r.look()
		r.tellRecovered()
		r.tellParked()
		if r.requestsDue() {
			if err := r.heed(r.stop); err != nil {
				r.end(err)
				return
			}
			continue
		}
		if save {
			if err := r.save(r.stop); err != nil {
				r.end(err)
				return
			}
			continue
		}
		var fired <-chan time.Time
		if !next.IsZero() {
			timer.Reset(time.Until(next))
			fired = timer.C
		}
		select {
		case <-r.kick:
		case <-requests:
			r.asked()
		case <-fired:
		case <-r.stop.Done():
			return
		}
	}
}

// look wakes what is due and tells whether something is to be stored now; if not,
// when to look again.
func (r *runner) look() (save bool, next time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	next = earliest(r.schedule.Wake(now), r.tellHangingLocked(now))
	if r.schedule.HasOrders() {
		r.interruptLocked()
	}
	if r.schedule.Ready() {
		r.free.Broadcast()
	}
	if r.demand.Wait > 0 {
		next = earliest(next, r.schedule.Opens(r.demand))
	}
	due := r.schedule.SaveDue(r.interval)
	switch {
	case len(r.records) > 0,
		!due.IsZero() && !due.After(now),
		r.schedule.Collected() >= max(1, r.limits.Changes/2),
		r.schedule.Collected() > 0 && r.schedule.Resting(),
		r.saving && r.tally.untold && r.schedule.Collected() == 0:
		return true, time.Time{}
	}
	next = earliest(next, due)
	if at := r.requestsDueLocked(now); !at.IsZero() {
		next = earliest(next, at)
	}
	return false, next
}

// tellRecovered ends the trouble with the handler in the subscription's health.
func (r *runner) tellRecovered() {
	r.mu.Lock()
	recovered, calls := r.recovered, r.calls
	r.recovered, r.calls = false, nil
	r.mu.Unlock()
	defer func() { // none is forgotten because one before it does not return
		if len(calls) > 0 || recovered {
			r.mu.Lock()
			r.recovered, r.calls = r.recovered || recovered, append(calls, r.calls...)
			r.mu.Unlock()
		}
	}()
	for len(calls) > 0 {
		call := calls[0]
		calls = calls[1:]
		call()
	}
	if recovered {
		recovered = false
		r.sub.ReportRecovered(stream.WhatHandler)
	}
}

// tellParked has the subscription's health show what is parked.
func (r *runner) tellParked() {
	r.mu.Lock()
	parkings := r.schedule.Parkings()
	if parkings == r.toldParkings {
		r.mu.Unlock()
		return
	}
	parked := slices.Collect(maps.Keys(r.schedule.ParkedKeys()))
	r.mu.Unlock()
	r.sub.ReportParked(parked)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.toldParkings = parkings
}

// requestsDue reports whether it is time to look for requests.
func (r *runner) requestsDue() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.requestsAt.IsZero() && !r.requestsAt.After(time.Now())
}

// earliest returns the sooner of two times; zero is none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// save stores what was handled and what was recorded. A store that fails is tried
// again until ctx ends; what was taken is kept then.
func (r *runner) save(ctx context.Context) error {
	counted, err := r.saveTaken(ctx)
	if err == nil {
		r.report(counted)
	}
	return err
}

// saveTaken stores, one save at a time, and returns what was committed by then.
func (r *runner) saveTaken(ctx context.Context) (tally, error) {
	r.saveTurn.Lock()
	defer r.saveTurn.Unlock()
	r.mu.Lock()
	taken := r.schedule.TakeSave(r.unsaved)
	r.unsaved = nil
	records := r.records
	r.records = nil
	counted := r.counted(len(taken))
	r.mu.Unlock()
	stored := false
	defer func() { // also when a logger ends this goroutine
		if !stored {
			r.mu.Lock()
			r.unsaved, r.records = taken, append(records, r.records...)
			r.mu.Unlock()
		}
	}()
	for _, g := range grouped(taken, records) {
		if err := r.saveGroup(ctx, g); err != nil {
			return tally{}, err
		}
	}
	stored = true
	r.mu.Lock()
	r.schedule.Saved()
	r.free.Broadcast()
	r.interruptIfOrders()
	r.mu.Unlock()
	if len(taken) > 0 {
		await.Committed(r.sub.Store(), r.sub.Name())
	}
	return counted, nil
}

// counted is the tally with the commit that is about to be made.
func (r *runner) counted(cursors int) tally {
	if cursors > 0 {
		r.tally.progress.Commits++
	}
	r.tally.progress.Failing, r.tally.progress.Parked = r.schedule.Failing(), r.schedule.Parked()
	r.tally.untold = false
	return r.tally
}

func (r *runner) interruptIfOrders() {
	if r.schedule.HasOrders() {
		r.interruptLocked()
	}
}
