package bench

import "time"

// usage is processor time.
type usage struct{ user, system time.Duration }

// clock is the beginning, then the length of a measurement.
type clock struct {
	began   time.Time
	before  usage
	known   bool
	elapsed time.Duration
	spent   usage
}

func startClock() *clock {
	c := new(clock)
	c.before, c.known = usageNow()
	c.began = time.Now()
	return c
}

func (c *clock) stop() {
	c.elapsed = time.Since(c.began)
	now, known := usageNow()
	c.known = c.known && known
	c.spent = usage{now.user - c.before.user, now.system - c.before.system}
}
