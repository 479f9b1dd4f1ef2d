package node

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
)

// silence is a node whose answers can be switched off.
type silence struct {
	*Node
	all   atomic.Bool // no request is answered
	reads atomic.Bool // no read is answered
}

func newSilence(t *testing.T) *silence {
	s := new(silence)
	s.Node = newNode(t, settings{maxConnections: 8, dial: answering(t, func(_ int, req msg.Request) msg.Response {
		_, reads := req.(*msg.ReadRequest)
		switch {
		case s.all.Load() || reads && s.reads.Load():
			return nil
		case reads:
			resp := new(msg.ReadResponse)
			resp.SetCorrelation(req.Correlation())
			return resp
		}
		return details(req)
	})})
	return s
}

func (s *silence) read() (attempts records, took time.Duration) {
	began := time.Now()
	_, _ = s.Do(context.Background(), &msg.ReadRequest{}, Call{Recorder: &attempts})
	return attempts, time.Since(began)
}

// openAll opens connections by requests side by side.
func (s *silence) openAll(t *testing.T, connections int) {
	var all []*leased
	for range connections {
		all = append(all, lease(t, s.Node, anyShard))
	}
	for _, c := range all {
		s.release(c)
	}
}

// A silent node costs one timeout, also where the connection may be what is dead; one that
// answers on another connection is asked once more, which may take a slow read as long again.
func TestSilentNodeCostsOneTimeout(t *testing.T) {
	for name, c := range map[string]struct {
		silence  func(*silence)
		attempts int
		took     time.Duration
		silent   bool
	}{
		"silent node": {func(s *silence) { s.all.Store(true) }, 1, 2 * time.Second, true},
		"slow read":   {func(s *silence) { s.reads.Store(true) }, 2, 4 * time.Second, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSilence(t)
			if attempts, _ := s.read(); attempts[0].Err != nil {
				t.Fatal(attempts[0].Err)
			}
			c.silence(s)
			attempts, took := s.read()
			last := attempts[len(attempts)-1]
			if len(attempts) != c.attempts || took != c.took || last.NodeSilent != c.silent || !errors.Is(last.Err, conn.ErrRequestTimeout) {
				t.Errorf("%s: %d attempts in %v, the last %+v", name, len(attempts), took, last)
			}
			if attempts[0].Stale == c.silent {
				t.Errorf("%s: the connection is stale: %v", name, attempts[0].Stale)
			}
		})
	}
}

// Reads in a pipeline are told alike.
func TestSilentNodeInAPipeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSilence(t)
		if attempts, _ := s.read(); attempts[0].Err != nil {
			t.Fatal(attempts[0].Err)
		}
		s.all.Store(true)
		reads := []*conn.PageRequest{{Page: new(conn.Page)}, {Page: new(conn.Page)}}
		if a := s.Reads(context.Background(), reads, Call{Recorder: new(records)}); !a[0].NodeSilent || a[0].Stale || a[1].NodeSilent {
			t.Errorf("%+v", a)
		}
	})
}

// All who wait share one question, which is asked when the first is halfway; an answer that
// comes in time asks none.
func TestHealthCheckIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSilence(t)
		s.openAll(t, 8)
		if _, took := s.read(); took != 0 || s.Stats().Dials != 8 {
			t.Fatalf("after %v: %+v", took, s.Stats())
		}
		time.Sleep(5 * time.Second)
		if dials := s.Stats().Dials; dials != 8 {
			t.Errorf("%d dials without need", dials)
		}
		s.all.Store(true)
		var callers sync.WaitGroup
		for range 8 {
			callers.Go(func() {
				if attempts, took := s.read(); len(attempts) != 1 || took != 2*time.Second {
					t.Errorf("%d attempts in %v", len(attempts), took)
				}
			})
		}
		callers.Wait()
		if dials := s.Stats().Dials; dials != 9 {
			t.Errorf("%d dials", dials)
		}
		s.all.Store(false)
		if attempts, took := s.read(); attempts[0].Err != nil || took != 0 {
			t.Errorf("the node answers again: %v after %v", attempts[0].Err, took)
		}
	})
}

// Close ends a health check under way.
func TestCloseEndsAHealthCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSilence(t)
		s.all.Store(true)
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.read()
		}()
		time.Sleep(1500 * time.Millisecond)
		s.Close()
		s.Abort()
		began := time.Now()
		<-s.Drained()
		<-done
		if took := time.Since(began); took != 0 {
			t.Errorf("drained after %v", took)
		}
	})
}

// closable is a connection that its node can close.
type closable struct {
	net.Conn
	closed bool
}

func (c *closable) Read(b []byte) (int, error) {
	if c.closed {
		return 0, io.EOF
	}
	return c.Conn.Read(b)
}

// A connection that its node has closed is noticed before it is used. Behind its last use by
// less than a millisecond it may be noticed by its use, where the request is made again.
func TestClosedConnectionIsNoticed(t *testing.T) {
	for name, c := range map[string]struct {
		req     msg.Request
		unused  time.Duration
		repeats uint64
	}{
		"read at once":       {&msg.DetailsRequest{}, 0, 1},
		"read a moment ago":  {&msg.DetailsRequest{}, justUsed, 0},
		"write at once":      {&msg.TrimStartRequest{}, 0, 0},
		"write a moment ago": {&msg.TrimStartRequest{}, justUsed, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			dial := answering(t, func(_ int, req msg.Request) msg.Response {
				if req.RequestType() == msg.TypeTrimStartRequest {
					resp := new(msg.TrimStartResponse)
					resp.SetCorrelation(req.Correlation())
					return resp
				}
				return details(req)
			})
			var dialled []*closable
			n := newNode(t, settings{dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				nc, err := dial(ctx, network, address)
				dialled = append(dialled, &closable{Conn: nc})
				return dialled[len(dialled)-1], err
			}})
			do := func(req msg.Request) error {
				_, a := n.Do(context.Background(), req, Call{Recorder: new(records)})
				return a.Err
			}
			if err := do(&msg.DetailsRequest{}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(c.unused)
			dialled[0].closed = true
			if err := do(c.req); err != nil || len(dialled) != 2 || n.Stats().Retries != c.repeats {
				t.Errorf("%s: %v, %d dials, %d repetitions", name, err, len(dialled), n.Stats().Retries)
			}
		})
	}
}
