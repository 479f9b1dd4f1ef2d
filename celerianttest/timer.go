package celerianttest

import (
	"sync"
	"time"
)

// lockedTimer runs a function under a lock, some time after it was set. Its methods
// are called with the lock held.
type lockedTimer struct {
	armed bool
	due   time.Time
	timer *time.Timer
}

// newLockedTimer returns a timer that is not set.
func newLockedTimer(mu *sync.Mutex, call func()) *lockedTimer {
	a := &lockedTimer{}
	a.timer = time.AfterFunc(time.Hour, func() {
		mu.Lock()
		defer mu.Unlock()
		// One that was set anew while this call waited for the lock is called later.
		if a.armed && !time.Now().Before(a.due) {
			a.armed = false
			call()
		}
	})
	a.timer.Stop()
	return a
}

// set makes it call its function after d, whatever it was set to.
func (a *lockedTimer) set(d time.Duration) {
	a.armed, a.due = true, time.Now().Add(d)
	a.timer.Reset(d)
}

// keep sets the timer if it is wanted and not set, and stops it if it is not wanted.
func (a *lockedTimer) keep(wanted bool, d time.Duration) {
	switch {
	case !wanted:
		a.stop()
	case !a.armed:
		a.set(d)
	}
}

func (a *lockedTimer) stop() {
	a.armed = false
	a.timer.Stop()
}
