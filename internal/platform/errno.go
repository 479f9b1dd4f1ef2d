// Package platform holds what differs between operating systems and is easily taken
// for the same: error numbers and names of databases. The decisions are pure, so
// that each is tested on every system.
package platform

import (
	"errors"
	"runtime"
	"slices"
	"syscall"
)

// Windows numbers these failures otherwise than the constants of package syscall,
// which are invented there.
const (
	wsaEADDRINUSE   = syscall.Errno(10048)
	errorBrokenPipe = syscall.Errno(109)
	errorNoData     = syscall.Errno(232) // the pipe is being closed
)

// AddressInUse reports whether listening failed because the port is taken.
func AddressInUse(err error) bool { return addressInUse(err, runtime.GOOS) }

// BrokenPipe reports whether writing failed because the reader has gone.
func BrokenPipe(err error) bool { return brokenPipe(err, runtime.GOOS) }

func addressInUse(err error, goos string) bool {
	return is(err, goos, syscall.EADDRINUSE, wsaEADDRINUSE)
}

func brokenPipe(err error, goos string) bool {
	return is(err, goos, syscall.EPIPE, errorBrokenPipe, errorNoData)
}

// is reports whether err holds the error number of Unix or, on Windows, one of its.
func is(err error, goos string, unix syscall.Errno, windows ...syscall.Errno) bool {
	if errors.Is(err, unix) {
		return true
	}
	var number syscall.Errno
	return goos == "windows" && errors.As(err, &number) && slices.Contains(windows, number)
}
