package celerianttest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"

	"github.com/celeriant/celeriant-go/celerianttest/internal/disk"
	"github.com/celeriant/celeriant-go/celerianttest/internal/memnet"
	"github.com/celeriant/celeriant-go/celerianttest/internal/replica"
	"github.com/celeriant/celeriant-go/celerianttest/internal/route"
	"github.com/celeriant/celeriant-go/celerianttest/internal/server"
	"github.com/celeriant/celeriant-go/celerianttest/internal/shard"
	"github.com/celeriant/celeriant-go/internal/wire"
)

// ErrClosed is returned by operations on a node that was closed.
var ErrClosed = errors.New("celerianttest: the node is closed")

// Node is one node that speaks the client protocol. All methods are safe for
// concurrent use.
type Node struct {
	opts    Options
	server  server.Server
	folder  *disk.Folder    // nil when everything is kept in memory
	partner replica.Partner // nil for a node on its own

	life    sync.Mutex  // guards what follows: starting and ending runs
	current *server.Run // nil while the node is down
	addr    net.Addr
	closed  bool
}

// Start starts a node. Start fails with an [*OptionError] for options that
// cannot be used, and when the address or the data folder cannot be had.
func Start(o Options) (*Node, error) { return start(o, replica.Role{Accepts: true}, nil) }

func start(o Options, first replica.Role, with replica.Partner) (*Node, error) {
	opts, err := o.complete()
	if err != nil {
		return nil, err
	}
	n := &Node{opts: opts, partner: with}
	n.server.Limits = server.Limits{
		MaxRequestSize: opts.MaxRequestSize, MaxResponseSize: opts.MaxResponseSize, IdleTimeout: opts.IdleTimeout, MaxLatency: opts.MaxLatency,
		Heartbeat: opts.Heartbeat, RequireIdentity: opts.RequireIdentity, Quirks: opts.Quirks, Seed: opts.Seed,
	}
	n.server.Clock, n.server.TLS = opts.Clock.Now, server.TLSConfig(opts.TLS)
	n.server.Router = route.Router{Shards: uint64(opts.Shards), Rule: opts.Routing, Reserve: opts.ReserveCoordinator}
	n.server.Role.Store(&first)
	if err := n.open(); err != nil {
		n.release()
		return nil, err
	}
	n.life.Lock()
	defer n.life.Unlock()
	if err := n.listen(opts.Address); err != nil {
		n.release()
		return nil, err
	}
	return n, nil
}

// open makes the shards, filled from the data folder if there is one.
func (n *Node) open() error {
	if !n.opts.NoCompression {
		coder, err := wire.NewCoder(n.opts.Dictionary)
		if err != nil {
			return &OptionError{"Dictionary", err.Error()}
		}
		n.server.Coder = coder
	}
	for i := range n.opts.Shards {
		n.server.Replicas = append(n.server.Replicas, n.newReplica(i))
	}
	if n.opts.DataRoot != "" {
		if err := n.openFolder(); err != nil {
			return err
		}
	}
	if n.opts.APIKeys.any() {
		n.server.Access = n.opts.APIKeys.level
	}
	return nil
}

func (n *Node) openFolder() error {
	o := &n.opts
	folder, err := disk.OpenFolder(o.DataRoot, disk.NewSettings(o.Shards, o.Routing, o.ReserveCoordinator))
	var unfit *disk.Mismatch
	if errors.As(err, &unfit) {
		return &OptionError{"DataRoot", unfit.Reason}
	}
	if err != nil {
		return err
	}
	n.folder = folder
	if !o.APIKeys.any() {
		if o.APIKeys, err = readAPIKeys(o.DataRoot); err != nil {
			return err
		}
	}
	for i, r := range n.server.Replicas {
		if r.File, err = disk.OpenLog(folder.LogPath(i), o.Sync, r.Shard.Apply); err != nil {
			return err
		}
		r.Stored = r.Shard.Tail()
		r.Shard.Commit(r.Stored)
		r.Shard.Restart()
	}
	return nil
}

func (n *Node) newReplica(index int) *replica.Replica {
	o := &n.opts
	r := &replica.Replica{
		Index: index, Role: &n.server.Role, Partner: n.partner, Delay: o.CommitDelay, MaxUndelivered: o.MaxUndelivered, MaxWatchers: o.MaxWatchSubscribers,
		Watchers: make(map[*replica.Subscriber]struct{}),
		Shard: shard.New(shard.Options{
			Index: index, ListPageSize: o.ListPageSize, MaxResponseSize: uint64(o.MaxResponseSize),
			SegmentBytes: o.SegmentBytes, MaxSchemaSize: o.MaxSchemaSize, Quirks: o.Quirks, Validators: o.Validators,
			Rand: rand.New(rand.NewPCG(o.Seed, uint64(index))),
		}),
	}
	if o.ReadLag > 0 {
		r.ReadLag = replica.NewReadLag(r, o.ReadLag, rand.New(rand.NewPCG(o.Seed, 'l'<<32|uint64(index))))
	}
	return r
}

// listen begins a run. The caller holds life.
func (n *Node) listen(address string) error {
	r := server.NewRun(&n.server)
	if n.opts.InMemory {
		r.Memory = memnet.Listen(memnet.Addr(address), memoryBuffer)
		n.addr = r.Memory.Addr()
	} else {
		tcp, err := net.Listen("tcp", address)
		if err != nil {
			r.End()
			return fmt.Errorf("celerianttest: listening on %s: %w", address, err)
		}
		r.Tcp, n.addr = tcp, tcp.Addr()
		r.Memory = memnet.Listen(memnet.Addr(tcp.Addr().String()), memoryBuffer)
	}
	n.current = r
	r.Serve()
	return nil
}

// memoryBuffer is how many unread bytes an in-memory connection holds in each
// direction, about what a loopback TCP connection does.
const memoryBuffer = 256 << 10

// Addr returns the address clients connect to, the same across restarts. With
// Options.InMemory it is only a name.
func (n *Node) Addr() string {
	n.life.Lock()
	defer n.life.Unlock()
	return n.addr.String()
}

// Dial connects to the node through memory, whatever Addr is. A node that is
// down refuses with syscall.ECONNREFUSED. With Options.TLS the handshake is
// the caller's to make, as it is after a TCP dial.
func (n *Node) Dial(ctx context.Context) (net.Conn, error) {
	n.life.Lock()
	r := n.current
	n.life.Unlock()
	if r == nil {
		return nil, &net.OpError{Op: "dial", Net: memnet.Network, Addr: memnet.Addr(n.opts.Address), Err: syscall.ECONNREFUSED}
	}
	return r.Memory.Dial(ctx)
}

// DialContext is Dial in the form client libraries take a dialler in. Network
// and address are ignored.
func (n *Node) DialContext(ctx context.Context, _, _ string) (net.Conn, error) { return n.Dial(ctx) }

// Kill takes the node down at once: all sockets drop, nothing listens. Acknowledged
// changes are kept, and [Node.Restart] brings it back. Killing a node
// that is down does nothing.
func (n *Node) Kill() {
	n.life.Lock()
	defer n.life.Unlock()
	n.kill()
}

func (n *Node) kill() {
	if n.current == nil {
		return
	}
	n.current.End()
	n.current = nil
}

// Restart kills the node, if it is up, and starts it again on the same data
// and the same address. With Quirks its memory is as cold as that of a
// restarted reference server.
func (n *Node) Restart() error {
	n.life.Lock()
	defer n.life.Unlock()
	if n.closed {
		return ErrClosed
	}
	n.kill()
	for _, r := range n.server.Replicas {
		if err := r.Restart(); err != nil {
			return err
		}
	}
	return n.listen(n.addr.String())
}

// Close kills the node for good and releases its files. Closing it again does nothing.
func (n *Node) Close() error {
	n.life.Lock()
	defer n.life.Unlock()
	if n.closed {
		return nil
	}
	n.closed = true
	n.kill()
	return n.release()
}

func (n *Node) release() error {
	var errs []error
	for _, r := range n.server.Replicas {
		r.ShowNow()
		if r.File != nil {
			errs = append(errs, r.File.Close())
		}
	}
	if n.folder != nil {
		errs = append(errs, n.folder.Close())
	}
	if n.server.Coder != nil {
		n.server.Coder.Close()
	}
	return errors.Join(errs...)
}

// CutConnections ends every connection that is open and returns how many. The
// node goes on accepting new ones.
func (n *Node) CutConnections() int {
	n.life.Lock()
	defer n.life.Unlock()
	if n.current == nil {
		return 0
	}
	cut := n.current.Cut()
	n.server.Counters.Cuts.Add(int64(cut))
	return cut
}

// Pause makes the node do nothing until [Node.Resume], like a process that is
// stopped: it accepts connections and takes in what sockets hold, but executes
// and answers nothing, and sends no heartbeats. An answer being written at
// that moment may still arrive.
func (n *Node) Pause() { n.server.Paused.Close() }

// Resume ends a pause; what arrived meanwhile is executed and answered.
func (n *Node) Resume() { n.server.Paused.Open() }

// Stats returns a snapshot of the node's counters.
func (n *Node) Stats() Stats { return snapshot(&n.server.Counters) }

// TB is the part of testing.TB that Run needs.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// Run starts a node for a test and closes it at the end of the test. Run fails
// the test when the node cannot be started.
func Run(t TB, o Options) *Node {
	t.Helper()
	n, err := Start(o)
	if err != nil {
		t.Fatalf("starting a node: %v", err)
		return nil
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Fatalf("closing the node: %v", err)
		}
	})
	return n
}
