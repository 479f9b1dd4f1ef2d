//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package conn

import (
	"net"
	"syscall"
)

// socketProbe peeks at a socket. The probe goes through Control, which unlike Read
// needs no deadline.
type socketProbe struct {
	raw  syscall.RawConn
	peek func(fd uintptr)
	byte [1]byte
	idle bool
}

func newSocketProbe(nc net.Conn) probe {
	socket, ok := nc.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	p := &socketProbe{raw: raw}
	p.peek = func(fd uintptr) {
		_, _, err := syscall.Recvfrom(int(fd), p.byte[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		p.idle = err == syscall.EAGAIN || err == syscall.EINTR
	}
	return p
}

func (p *socketProbe) usable() bool {
	p.idle = false
	return p.raw.Control(p.peek) == nil && p.idle
}
