package pool

import (
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/celeriant/celeriant-go/msg"
)

// mostDiscovered bounds the nodes known by what other nodes have told; the
// configured ones are kept for ever beside them.
const mostDiscovered = 16

// nodes returns the nodes known, the configured ones first, in their order. The
// slice is never changed in place.
func (p *Pool) nodes() []*node { return *p.known.Load() }

// lone reports whether only one node is known, so that there is nothing to choose.
func (p *Pool) lone() bool { return len(p.nodes()) == 1 }

// nodeAt returns the node at address, making it known if need be; nil when the
// pool is closed or there is no room.
func (p *Pool) nodeAt(address string) *node {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.nodes()
	if i := slices.IndexFunc(known, func(n *node) bool { return n.opts.Address == address }); i >= 0 {
		return known[i]
	}
	if p.closing {
		return nil
	}
	fresh := slices.Clone(known)
	if len(known)-p.configured >= mostDiscovered {
		at := p.forgettable(known)
		if at < 0 {
			return nil
		}
		fresh = slices.Delete(fresh, at, at+1)
	}
	n := newNode(p, address)
	p.undrained.Add(1)
	fresh = append(fresh, n)
	p.known.Store(&fresh)
	return n
}

// forgettable retires the discovered node known longest that nobody uses and
// returns its place, or -1.
func (p *Pool) forgettable(known []*node) int {
	leader := p.leaderKnown()
	for i, n := range known {
		if i >= p.configured && n != leader && n.retire() {
			return i
		}
	}
	return -1
}

// hinted returns the node that a not-leader answer names, nil when it names
// none that is worth a try: no address, or an unspecified host, the default of
// a node that was never told its name.
// Protocol section 11.
func (p *Pool) hinted(refusal *msg.ServerError) *node {
	address, ok := refusal.Fields.LeaderAddress.Get()
	if !ok {
		return nil
	}
	if p.opts.MapAddress != nil {
		address = p.opts.MapAddress(address)
	}
	if !dialable(address) {
		return nil
	}
	return p.nodeAt(address)
}

// dialable reports whether an address names a host and a port.
func dialable(address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return false
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		return false
	}
	number, err := strconv.ParseUint(port, 10, 16)
	return err != nil && port != "" || number > 0
}

// retire closes a node that nobody uses; false when somebody does.
func (n *node) retire() bool {
	n.mu.Lock()
	busy := n.slots != len(n.idle) || n.line.length > 0 || n.opening > 0 || len(n.watches) > 0
	if !busy {
		n.retired.Store(true)
	}
	n.mu.Unlock()
	if !busy {
		n.close()
	}
	return !busy
}
