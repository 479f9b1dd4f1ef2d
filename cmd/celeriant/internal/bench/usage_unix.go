//go:build unix

package bench

import (
	"syscall"
	"time"
)

// usageNow returns the processor time the process has used.
func usageNow() (u usage, known bool) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return usage{}, false
	}
	return usage{user: time.Duration(r.Utime.Nano()), system: time.Duration(r.Stime.Nano())}, true
}
