package conn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

const (
	// dialStagger is how long one address of a host has before the next one is tried
	// beside it.
	dialStagger = 250 * time.Millisecond
	// maxDialed bounds how many addresses of a host are tried.
	maxDialed = 8
)

// socket opens the socket, with the user's dialer if there is one.
func (x *opening) socket(ctx context.Context) (nc net.Conn, err error) {
	if x.config.Dial == nil {
		return x.dialHost(ctx)
	}
	x.step = "dialling " + x.config.Address
	x.outside(func() { nc, err = x.config.Dial(ctx, "tcp", x.config.Address) })
	switch {
	case err != nil:
		return nil, err
	case nc == nil:
		return nil, errors.New("the dialer returns neither a connection nor an error")
	}
	return nc, nil
}

// dialHost resolves the host and dials its addresses.
func (x *opening) dialHost(ctx context.Context) (net.Conn, error) {
	targets, err := x.resolve(ctx)
	if err != nil {
		return nil, err
	}
	return x.race(ctx, targets)
}

// race dials addresses, each after a moment beside those before it, so that a dead one
// costs nothing but that moment. The first connection wins.
func (x *opening) race(ctx context.Context, targets []string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		nc  net.Conn
		err error
	}
	results := make(chan result, len(targets))
	var failures []error
	next := time.NewTimer(0)
	defer next.Stop()
	for tried, open := 0, 0; ; {
		select {
		case <-next.C:
			target := targets[tried]
			tried, open = tried+1, open+1
			x.step = "dialling " + strings.Join(targets[:tried], ", ")
			go func() {
				nc, err := x.dialOne(ctx, "tcp", target)
				results <- result{nc, err}
			}()
			if tried < len(targets) {
				next.Reset(dialStagger)
			}
		case r := <-results:
			open--
			if r.err == nil {
				go func() {
					for range open { // those that come too late
						if late := <-results; late.err == nil {
							late.nc.Close()
						}
					}
				}()
				return r.nc, nil
			}
			failures = append(failures, r.err)
			if tried < len(targets) {
				next.Reset(0)
			} else if open == 0 {
				return nil, errors.Join(failures...)
			}
		}
	}
}

// resolve returns the addresses of the host that are worth dialling.
func (x *opening) resolve(ctx context.Context) ([]string, error) {
	host, port, err := net.SplitHostPort(x.config.Address)
	if err != nil {
		return nil, err
	}
	ips := make([]netip.Addr, 0, 1)
	if ip, err := netip.ParseAddr(host); err == nil {
		ips = append(ips, ip)
	} else {
		x.step = "resolving " + host
		if ips, err = net.DefaultResolver.LookupNetIP(ctx, "ip", host); err != nil {
			return nil, err
		}
	}
	var targets []string
	for _, ip := range ips {
		if ip = ip.Unmap(); len(targets) < maxDialed && (x.config.AllowIP == nil || x.config.AllowIP(ip)) {
			targets = append(targets, net.JoinHostPort(ip.String(), port))
		}
	}
	if len(targets) == 0 {
		return nil, fmt.Errorf("%q resolves to %v, none of which a node may name", host, ips)
	}
	return targets, nil
}

// remote is the other end of a socket, for people.
func remote(nc net.Conn) string {
	if addr := nc.RemoteAddr(); addr != nil {
		return addr.String()
	}
	return "the node"
}
