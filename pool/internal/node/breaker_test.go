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

// tripped is a breaker that has just had enough.
func tripped(t *testing.T, now time.Time) *breaker {
	b := &breaker{}
	for range failureThreshold {
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
	if _, err := b.admit(now); !errors.Is(err, conn.ErrConnect) || !errors.Is(err, errRefused) {
		t.Errorf("open, it says %v", err)
	}
	now = now.Add(shortestCooldown)
	if trial, err := b.admit(now); !trial || err != nil {
		t.Errorf("no trial after cooling: %v", err)
	}
	if _, err := b.admit(now); err == nil {
		t.Error("a second trial beside the first")
	}
	b.report(now, false, errRefused, false) // a dial begun before it tripped
	if _, err := b.admit(now.Add(longestCooldown)); err == nil {
		t.Error("what ends beside the trial makes room for a second one")
	}
	now = now.Add(longestCooldown)
	b.report(now, true, context.Canceled, true)
	if trial, err := b.admit(now); !trial || err != nil {
		t.Errorf("a trial that was called off bars the next: %v", err)
	}
	b.report(now, true, errRefused, false)
	if _, err := b.admit(now); err == nil {
		t.Error("a trial that failed lets others through")
	}
	now = now.Add(longestCooldown)
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
func TestCooldown(t *testing.T) {
	for outage := time.Duration(0); outage < time.Hour; outage += 500 * time.Millisecond {
		low, high := cooldown(outage, 0), cooldown(outage, 1)
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
	if _, err := b.admit(now.Add(shortestCooldown)); err != nil {
		t.Errorf("after an hour without a failure: %v", err)
	}
	for range 100 * 60 { // one each second
		now = now.Add(time.Second)
		b.report(now, false, errRefused, false)
	}
	if _, err := b.admit(now.Add(longestCooldown/2 - 1)); err == nil {
		t.Error("cooling does not grow")
	}
}

// A node that was away is found within 100 ms of answering again.
func TestReturningNodeIsFoundSoon(t *testing.T) {
	for _, away := range []time.Duration{500 * time.Millisecond, 3 * time.Second, 10 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			var up atomic.Bool
			dials := 0
			n := newNode(t, settings{dial: func(context.Context, string, string) (net.Conn, error) {
				if dials++; !up.Load() {
					return nil, errRefused
				}
				client, server := net.Pipe()
				t.Cleanup(func() { server.Close() })
				return client, nil
			}})
			time.AfterFunc(away, func() { up.Store(true) })
			began := time.Now()
			for {
				if tryLease(n, context.Background()) == nil {
					break
				}
				time.Sleep(time.Millisecond)
			}
			if late := time.Since(began) - away; late > 101*time.Millisecond {
				t.Errorf("away for %v, found %v later", away, late)
			}
			if most := int(away/(shortestCooldown/2)) + failureThreshold; dials > most+2 {
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
		n := newNode(t, settings{dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			defer dialling.Add(-1)
			if now := dialling.Add(1); now > 1 {
				t.Errorf("%d dials at once", now)
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		for range failureThreshold {
			if err := tryLease(n, context.Background()); !errors.Is(err, conn.ErrConnectTimeout) {
				t.Fatal(err)
			}
		}
		var all sync.WaitGroup
		until := time.Now().Add(20 * time.Second)
		for range 20 {
			all.Go(func() {
				for time.Now().Before(until) {
					if err := tryLease(n, context.Background()); !errors.Is(err, conn.ErrConnect) && !errors.Is(err, conn.ErrConnectTimeout) {
						t.Error(err)
					}
					time.Sleep(50 * time.Millisecond)
				}
			})
		}
		all.Wait()
	})
}

// Dialling asks the breaker and tells it what came of it. A caller who leaves does not
// end the dial.
func TestDialsAreGuarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dials := 0
		n := newNode(t, settings{dial: func(context.Context, string, string) (net.Conn, error) { dials++; return nil, errRefused }})
		for i := range 3 * failureThreshold {
			if err := tryLease(n, context.Background()); !errors.Is(err, conn.ErrConnect) || dials != min(i+1, failureThreshold) {
				t.Errorf("dial %d, %d in all: %v", i, dials, err)
			}
		}
		let := make(chan struct{})
		slow := newNode(t, settings{dial: pipes(t, func(context.Context, int) error { <-let; return nil })})
		for range 3 * failureThreshold {
			short, leave := context.WithTimeout(context.Background(), shortestEvidence)
			if err := tryLease(slow, short); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrPoolTimeout) {
				t.Error(err)
			}
			leave()
		}
		if !slow.Failing() {
			t.Error("that nobody could wait long enough says nothing")
		}
		close(let)
		if err := tryLease(slow, context.Background()); err != nil || slow.Stats().Dials != 1 || slow.Failing() {
			t.Errorf("%d dials, failing %v: %v", slow.Stats().Dials, slow.Failing(), err)
		}
	})
}

// A failure that says nothing against the node does not trip it.
func TestBreakerIgnores(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		left bool
	}{
		"the caller's leaving":      {context.Canceled, true},
		"refused credentials":       {&msg.ServerError{Code: msg.CodeAPIKeyInvalid}, false},
		"credentials not to be had": {conn.ErrCredentials, false},
	} {
		b := &breaker{}
		for range 3 * failureThreshold {
			b.report(time.Now(), false, c.err, c.left)
		}
		if _, err := b.admit(time.Now()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Connections that exist are used while the breaker is open.
func TestBreakerLeavesIdleConnectionsAlone(t *testing.T) {
	n := newNode(t, settings{})
	c := lease(t, n, anyShard)
	n.release(c)
	for range failureThreshold {
		n.breaker.report(time.Now().Add(time.Hour), false, io.EOF, false)
	}
	again := lease(t, n, anyShard)
	if again != c {
		t.Fatal(again)
	}
	if err := tryLease(n, context.Background()); !errors.Is(err, conn.ErrConnect) {
		t.Errorf("dialling: %v", err)
	}
	n.release(again)
}
