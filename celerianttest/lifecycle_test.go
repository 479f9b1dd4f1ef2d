package celerianttest_test

import (
	"context"
	"errors"
	"net"
	"reflect"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// inBubble runs a test with an in-memory node in virtual time.
func inBubble(t *testing.T, opts celerianttest.Options, test func(*testing.T, *celerianttest.Node)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		opts.InMemory = true
		test(t, celerianttest.Run(t, opts))
	})
}

// The name of a node in memory can be given to whoever takes addresses.
func TestNameInMemory(t *testing.T) {
	inBubble(t, celerianttest.Options{}, func(t *testing.T, node *celerianttest.Node) {
		p, err := pool.New(pool.Options{Address: node.Addr(), Dial: node.DialContext})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = p.Close(context.Background()) }()
		view, err := p.At(node.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := view.Shards(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestZeroOptions(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	host, _, err := net.SplitHostPort(node.Addr())
	if err != nil || host != "127.0.0.1" {
		t.Fatalf("address %q", node.Addr())
	}
	for _, p := range []*peer{dialTCP(t, node), dial(t, node)} {
		p.send(writeTo(key(1), event(1, "x")))
		if resp, ok := p.recv().(*msg.WriteResponse); !ok || !resp.MaxVersion.Set {
			t.Fatalf("a write was answered with %+v", resp)
		}
	}
}

func TestEachFrameIsAnsweredInItsOwnVersion(t *testing.T) {
	p := dial(t, celerianttest.Run(t, celerianttest.Options{}))
	for i, v := range []wire.Version{wire.V3, wire.V2, wire.V2, wire.V3} {
		p.version = v
		p.send(writeTo(key(1), event(1, "x")))
		h, resp, err := p.receive()
		if err != nil || h.Version != v || !reflect.DeepEqual(resp, written(uint64(i+1))) {
			t.Fatalf("version %d answered in %d: %+v, %v", v, h.Version, resp, err)
		}
	}
}

func TestRequestsOfOneBurstAreAnsweredInOrder(t *testing.T) {
	p := dialTCP(t, celerianttest.Run(t, celerianttest.Options{}))
	var burst []byte
	for i := range uint64(50) {
		req := writeTo(key(1), event(i+1, "x"))
		req.SetCorrelation(msg.Some(id(i)))
		burst = append(burst, frameOf(t, wire.V3, req)...)
	}
	p.write(burst)
	for i := range uint64(50) {
		want := written(i + 1)
		want.CorrelationID = msg.Some(id(i))
		p.want(want)
	}
}

func TestRestartKeepsDataAndAddress(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	address := node.Addr()
	before, watcher := dialTCP(t, node), watching(dial(t, node), 1)
	before.send(writeTo(key(1), event(1, "kept")))
	before.want(written(1))
	watcher.wantNotifications(created(key(1)), wrote(key(1), 1, 1))
	if err := node.Restart(); err != nil {
		t.Fatal(err)
	}
	before.eof()
	watcher.eof()
	if node.Addr() != address {
		t.Fatalf("address %s became %s", address, node.Addr())
	}
	after := dialTCP(t, node)
	if resp := after.call(readFrom(key(1), 1)).(*msg.ReadResponse); len(resp.Batches) != 1 {
		t.Fatalf("after a restart: %+v", resp)
	}
	watching(dial(t, node), 1)
	after.send(writeTo(key(1), event(2, "more")))
	after.want(written(2))
}

func TestKilledNodeRefusesUntilRestarted(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	p := dialTCP(t, node)
	node.Kill()
	node.Kill()
	p.eof()
	if _, err := net.Dial("tcp", node.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("dialling a killed node: %v", err)
	}
	if _, err := node.Dial(context.Background()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("dialling a killed node through memory: %v", err)
	}
	if node.CutConnections() != 0 {
		t.Fatal("a killed node has connections")
	}
	if err := node.Restart(); err != nil {
		t.Fatal(err)
	}
	dialTCP(t, node).call(readFrom(key(1), 1))
}

func TestClosedNodeStaysClosed(t *testing.T) {
	node, err := celerianttest.Start(celerianttest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := node.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := node.Restart(); !errors.Is(err, celerianttest.ErrClosed) {
		t.Fatalf("restarting a closed node: %v", err)
	}
}

func TestAddressInUse(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	if _, err := celerianttest.Start(celerianttest.Options{Address: node.Addr()}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("starting on a taken address: %v", err)
	}
}

func TestCutConnections(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	peers := []*peer{dialTCP(t, node), dial(t, node), watching(dial(t, node), 1)}
	for _, p := range peers[:2] {
		p.call(readFrom(key(1), 1))
	}
	if got := node.CutConnections(); got != 3 {
		t.Fatalf("cut %d connections, want 3", got)
	}
	for _, p := range peers {
		p.eof()
	}
	dialTCP(t, node).call(readFrom(key(1), 1))
	if got := node.Stats().Cuts; got != 3 {
		t.Fatalf("%d cuts counted, want 3", got)
	}
}

func TestPausedNodeTakesInAndStaysSilent(t *testing.T) {
	inBubble(t, celerianttest.Options{}, func(t *testing.T, node *celerianttest.Node) {
		before, watcher := dial(t, node), watching(dial(t, node), 1)
		node.Pause()
		late := dial(t, node)
		before.send(writeTo(key(1), event(1, "x")))
		late.send(writeTo(key(1), event(2, "y")))
		synctest.Wait()
		node.Pause() // pausing twice is pausing once
		// Longer than the idle time-out and several heartbeats.
		watcher.silent(time.Minute)
		before.silent(time.Second)
		late.silent(time.Second)
		node.Resume()
		resumed := uint64(time.Now().UnixMilli())
		before.recv()
		late.recv()
		for _, b := range before.call(readFrom(key(1), 1)).(*msg.ReadResponse).Batches {
			if b.ServerTimestamp < resumed {
				t.Errorf("version %d was written during the pause", b.Version)
			}
		}
		// The heartbeat that is overdue may come first.
		next := watcher.recv().(*msg.WatchResponse)
		if len(next.Notifications) == 0 {
			next = watcher.recv().(*msg.WatchResponse)
		}
		if !slices.Equal(next.Notifications, []msg.Notification{created(key(1))}) {
			t.Fatalf("%+v", next)
		}
		watcher.wantNotifications(wrote(key(1), 1, 1), wrote(key(1), 2, 2))
	})
}

func TestPauseDoesNotCountAsIdleTime(t *testing.T) {
	inBubble(t, celerianttest.Options{IdleTimeout: 10 * time.Second}, func(t *testing.T, node *celerianttest.Node) {
		p := dial(t, node)
		node.Pause()
		time.Sleep(time.Minute)
		node.Resume()
		time.Sleep(9 * time.Second)
		p.send(readFrom(key(1), 1))
		p.wantError(msg.CodeReadNotFound)
	})
}

func TestKillEndsAPausedNode(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	p := dial(t, node)
	node.Pause()
	p.send(readFrom(key(1), 1))
	node.Kill()
	p.eof()
}

func TestStats(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	p := dial(t, node)
	p.call(writeTo(key(1), event(1, "x")))
	p.call(readFrom(key(1), 1))
	p.call(readFrom(key(1), 1))
	w := watching(dial(t, node), 1)
	s := node.Stats()
	want := map[msg.RequestType]uint64{msg.TypeWriteRequest: 1, msg.TypeReadRequest: 2, msg.TypeWatchRequest: 1}
	if s.Connections != 2 || s.Accepted != 2 || s.Watches != 1 || !reflect.DeepEqual(s.Requests, want) || s.FramesIn != 4 || s.FramesOut != 4 {
		t.Fatalf("%+v", s)
	}
	p.close()
	w.close()
	for s.Connections > 0 {
		time.Sleep(time.Millisecond) // the node notices on its own time
		s = node.Stats()
	}
	if s.Watches != 0 || s.Accepted != 2 || s.BytesIn == 0 || s.BytesOut == 0 {
		t.Fatalf("%+v", s)
	}
}

func TestOptionsThatCannotBeUsed(t *testing.T) {
	tests := map[string]celerianttest.Options{
		"Shards":          {Shards: -1},
		"MaxResponseSize": {MaxResponseSize: 1000},
		"Routing":         {Routing: 3},
		"Sync":            {Sync: true},
		"APIKeys":         {APIKeys: celerianttest.APIKeys{PrimaryRO: "abc"}},
		"IdleTimeout":     {IdleTimeout: -time.Second},
		"CommitDelay":     {CommitDelay: -1},
		"Dictionary":      {Dictionary: []byte{}},
	}
	for option, opts := range tests {
		_, err := celerianttest.Start(opts)
		var wrong *celerianttest.OptionError
		if !errors.As(err, &wrong) || wrong.Option != option {
			t.Errorf("%s: %v", option, err)
		}
	}
}
