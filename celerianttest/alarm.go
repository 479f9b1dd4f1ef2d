package celerianttest

import (
	"sync"
	"time"
)

// alarm runs a function under a lock, some time after it was set. Its methods
// are called with the lock held.
type alarm struct {
	armed bool
	due   time.Time
	timer *time.Timer
}

// newAlarm returns an alarm that is not set.
func newAlarm(mu *sync.Mutex, ring func()) *alarm {
	a := &alarm{}
	a.timer = time.AfterFunc(time.Hour, func() {
		mu.Lock()
		defer mu.Unlock()
		// One that was set anew while this call waited for the lock rings later.
		if a.armed && !time.Now().Before(a.due) {
			a.armed = false
			ring()
		}
	})
	a.timer.Stop()
	return a
}

// set makes the alarm ring after d, whatever it was set to.
func (a *alarm) set(d time.Duration) {
	a.armed, a.due = true, time.Now().Add(d)
	a.timer.Reset(d)
}

// keep sets the alarm if it is wanted and not set, and stops it if it is not wanted.
func (a *alarm) keep(wanted bool, d time.Duration) {
	switch {
	case !wanted:
		a.stop()
	case !a.armed:
		a.set(d)
	}
}

func (a *alarm) stop() {
	a.armed = false
	a.timer.Stop()
}
