package journal

import (
	"sync"
	"time"
)

// clock is the log's time as far as this process knows it. The zero clock is the
// process's own.
type clock struct {
	mu sync.Mutex
	at time.Time
	by time.Time
}

// set takes in the time that the log gave a record, and when, by this process's
// clock, its append began.
func (c *clock) set(began, log time.Time) {
	if log.IsZero() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.by = log, began
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at.IsZero() {
		return time.Now()
	}
	return c.at.Add(time.Since(c.by))
}
