package stream

import (
	"fmt"
	"time"
)

// Bounds of the intervals of Options: below them a subscription would do nothing but
// ask, or take every silence between two heartbeats for a loss.
const (
	minLiveness  = 6 * time.Second
	minReconcile = time.Second
	minMaxLag    = 100 * time.Millisecond
	minProbe     = 100 * time.Millisecond
)

// checkIntervals refuses intervals that make no sense. Intervals that are switched
// off are 0 by now.
func (o Options) checkIntervals() error {
	for _, i := range []struct {
		option    string
		value     time.Duration
		least     time.Duration
		switchOff bool
	}{
		{"Liveness", o.Liveness, minLiveness, false},
		{"Reconcile", o.Reconcile, minReconcile, true},
		{"MaxLag", o.MaxLag, minMaxLag, false},
		{"Probe", o.Probe, minProbe, true},
	} {
		switch {
		case i.value >= i.least, i.switchOff && i.value == 0:
		case i.switchOff:
			return fmt.Errorf("stream: option %s is %v: want at least %v, or a negative time for never", i.option, i.value, i.least)
		default:
			return fmt.Errorf("stream: option %s is %v: want at least %v", i.option, i.value, i.least)
		}
	}
	return nil
}
