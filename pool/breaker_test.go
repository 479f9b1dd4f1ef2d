package pool

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
)

var errRefused = errors.New("refused by the network")

// tripped is a breaker that has just had enough.
func tripped(t *testing.T, now time.Time) *breaker {
	b := &breaker{}
	for range breakerPatience {
		if trial, err := b.admit(now); trial || err != nil {
			t.Fatal(trial, err)
		}
		b.report(now, false, errRefused, false)
	}
	return b
}

func TestBreaker(t *testing.T) {
	now := time.Now()
	b := tripped(t, now)
	if _, err := b.admit(now); !errors.Is(err, ErrConnect) || !errors.Is(err, errRefused) {
		t.Errorf("open, it says %v", err)
	}
	now = now.Add(shortestCooling)
	if trial, err := b.admit(now); !trial || err != nil {
		t.Errorf("no trial after cooling: %v", err)
	}
	if _, err := b.admit(now); err == nil {
		t.Error("a second trial beside the first")
	}
	b.report(now, false, errRefused, false) // a dial begun before it tripped
	if _, err := b.admit(now.Add(longestCooling)); err == nil {
		t.Error("what ends beside the trial makes room for a second one")
	}
	now = now.Add(longestCooling)
	b.report(now, true, context.Canceled, true)
	if trial, err := b.admit(now); !trial || err != nil {
		t.Errorf("a trial that was called off bars the next: %v", err)
	}
	b.report(now, true, errRefused, false)
	if _, err := b.admit(now); err == nil {
		t.Error("a trial that failed lets others through")
	}
	now = now.Add(longestCooling)
	if _, err := b.admit(now); err != nil {
		t.Fatal(err)
	}
	b.report(now, true, nil, false)
	b.report(now, false, errRefused, false)
	for range 2 {
		if trial, err := b.admit(now); trial || err != nil {
			t.Errorf("success does not close it: %v", err)
		}
	}
}

// A wait is at most a hundredth of the outage, within bounds: 100 ms for the
// first ten seconds.
func TestCooling(t *testing.T) {
	for outage := time.Duration(0); outage < time.Hour; outage += 500 * time.Millisecond {
		low, high := cooling(outage, 0), cooling(outage, 1)
		want := min(max(outage/100, 50*time.Millisecond), 2*time.Second)
		if high != want || low != want/2 || outage <= 10*time.Second && high > 100*time.Millisecond {
			t.Errorf("%v into an outage: %v to %v", outage, low, high)
		}
	}
}

// Failures that lie far apart are not one outage, whose end would be waited
// for as patiently.
func TestOutagesAreToldApart(t *testing.T) {
	now := time.Now()
	b := tripped(t, now)
	now = now.Add(time.Hour)
	b.report(now, false, errRefused, false)
	if _, err := b.admit(now.Add(shortestCooling)); err != nil {
		t.Errorf("after an hour without a failure: %v", err)
	}
	for range 100 * 60 { // one each second
		now = now.Add(time.Second)
		b.report(now, false, errRefused, false)
	}
	if _, err := b.admit(now.Add(longestCooling/2 - 1)); err == nil {
		t.Error("cooling does not grow")
	}
}

// A node that was away is found within 100 ms of answering again.
func TestReturningNodeIsFoundSoon(t *testing.T) {
	for _, away := range []time.Duration{500 * time.Millisecond, 3 * time.Second, 10 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			var up atomic.Bool
			dials := 0
			n := dialledBy(t, func(context.Context, string, string) (net.Conn, error) {
				if dials++; !up.Load() {
					return nil, errRefused
				}
				client, server := net.Pipe()
				t.Cleanup(func() { server.Close() })
				return client, nil
			})
			time.AfterFunc(away, func() { up.Store(true) })
			began := time.Now()
			for {
				if c, err := n.acquire(context.Background(), false); err == nil {
					n.release(c)
					break
				}
				time.Sleep(time.Millisecond)
			}
			if late := time.Since(began) - away; late > 101*time.Millisecond {
				t.Errorf("away for %v, found %v later", away, late)
			}
			if most := int(away/(shortestCooling/2)) + breakerPatience; dials > most+2 {
				t.Errorf("%d dials within %v, at most %d", dials, away, most)
			}
		})
	}
}

// Of an address where nothing answers at all one dial at a time is enough,
// however many callers there are.
func TestSilentAddressIsDialledByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dialling atomic.Int32
		n := dialledBy(t, func(ctx context.Context, _, _ string) (net.Conn, error) {
			defer dialling.Add(-1)
			if now := dialling.Add(1); now > 1 {
				t.Errorf("%d dials at once", now)
			}
			<-ctx.Done()
			return nil, ctx.Err()
		})
		for range breakerPatience {
			if _, err := n.acquire(context.Background(), false); !errors.Is(err, ErrConnectTimeout) {
				t.Fatal(err)
			}
		}
		var all sync.WaitGroup
		until := time.Now().Add(20 * time.Second)
		for range 20 {
			all.Go(func() {
				for time.Now().Before(until) {
					if _, err := n.acquire(context.Background(), false); !errors.Is(err, ErrConnect) && !errors.Is(err, ErrConnectTimeout) {
						t.Error(err)
					}
					time.Sleep(50 * time.Millisecond)
				}
			})
		}
		all.Wait()
	})
}

// dialledBy is the node of a pool that dials so.
func dialledBy(t *testing.T, dial DialFunc) *node {
	p, err := New(Options{Address: "n:1", DisableCompression: true, Dial: dial})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(context.Background()) })
	return p.nodes()[0]
}

// Dialling asks the breaker and tells it what came of it; that a caller has
// left does not count, be it in the middle of a dial.
func TestDialsAreGuarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dials := 0
		n := dialledBy(t, nil)
		for range 3 * breakerPatience {
			over, leave := context.WithCancel(context.Background())
			n.opts.Dial = func(context.Context, string, string) (net.Conn, error) { leave(); return nil, over.Err() }
			if _, err := n.acquire(over, false); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		n.opts.Dial = func(context.Context, string, string) (net.Conn, error) { dials++; return nil, errRefused }
		for i := range 3 * breakerPatience {
			if _, err := n.acquire(context.Background(), false); !errors.Is(err, ErrConnect) || dials != min(i+1, breakerPatience) {
				t.Errorf("dial %d, %d in all: %v", i, dials, err)
			}
		}
	})
}

// What says nothing against the node does not trip it.
func TestBreakerIgnores(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		left bool
	}{
		"the caller's leaving":      {context.Canceled, true},
		"refused credentials":       {&msg.ServerError{Code: msg.CodeAPIKeyInvalid}, false},
		"credentials not to be had": {ErrCredentials, false},
	} {
		b := &breaker{}
		for range 3 * breakerPatience {
			b.report(time.Now(), false, c.err, c.left)
		}
		if _, err := b.admit(time.Now()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Connections that exist are used while the breaker is open.
func TestBreakerLeavesIdleConnectionsAlone(t *testing.T) {
	n := nodeOnListener(t)
	c, err := n.acquire(context.Background(), false)
	if err != nil {
		t.Fatal(err)
	}
	n.release(c)
	for range breakerPatience {
		n.breaker.report(time.Now().Add(time.Hour), false, io.EOF, false)
	}
	again, err := n.acquire(context.Background(), false)
	if err != nil || again != c {
		t.Fatal(again, err)
	}
	if _, err := n.acquire(context.Background(), false); !errors.Is(err, ErrConnect) {
		t.Errorf("dialling: %v", err)
	}
	n.release(again)
}
