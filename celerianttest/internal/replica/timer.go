package replica

import (
	"sync"
	"time"
)

// Timer runs a function under a lock, some time after it was set. Its methods
// are called with the lock held.
type Timer struct {
	armed bool
	due   time.Time
	timer *time.Timer
}

// NewTimer returns a timer that is not set.
func NewTimer(mu *sync.Mutex, call func()) *Timer {
	a := &Timer{}
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

// Set makes it call its function after d, whatever it was set to.
func (a *Timer) Set(d time.Duration) {
	a.armed, a.due = true, time.Now().Add(d)
	a.timer.Reset(d)
}

// Keep sets the timer if it is wanted and not set, and stops it if it is not wanted.
func (a *Timer) Keep(wanted bool, d time.Duration) {
	switch {
	case !wanted:
		a.Stop()
	case !a.armed:
		a.Set(d)
	}
}

// Stop makes it call nothing until it is set again.
func (a *Timer) Stop() {
	a.armed = false
	a.timer.Stop()
}
