package conn

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// An exchange that has expired, or was interrupted, is over although bytes go on to come: the
// socket has a deadline that has passed, and must not be used again. One whose bytes come in
// time is not.
func TestAnExchangeThatIsOverStaysSo(t *testing.T) {
	const timeout = time.Second
	for what, c := range map[string]struct {
		happens func(d *deadline)
		want    bool
	}{
		"nothing for the whole time": {func(*deadline) { time.Sleep(timeout) }, false},
		"an interruption":            {func(d *deadline) { d.interrupt() }, false},
		"bytes in time": {func(d *deadline) {
			time.Sleep(timeout - time.Millisecond)
			d.progress(progressStep)
			time.Sleep(timeout - time.Millisecond)
		}, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			defer theirs.Close()
			defer ours.Close()
			d := new(deadline)
			d.init(ours)
			defer d.release()
			d.begin(timeout)
			c.happens(d)
			synctest.Wait()
			d.progress(progressStep)
			if inTime := d.end(); inTime != c.want {
				t.Errorf("%s: the exchange ended in time: %v", what, inTime)
			}
		})
	}
}
