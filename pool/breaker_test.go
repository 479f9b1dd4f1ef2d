package pool

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

func TestBreaker(t *testing.T) {
	failure := errors.New("refused by the network")
	b := &breaker{}
	now := time.Now()
	for range breakerPatience {
		if err := b.admit(now); err != nil {
			t.Fatal(err)
		}
		b.report(now, failure, false)
	}
	if err := b.admit(now); !errors.Is(err, ErrConnect) || !errors.Is(err, failure) {
		t.Errorf("open, it says %v", err)
	}
	now = now.Add(shortestCooling)
	if err := b.admit(now); err != nil {
		t.Errorf("no trial after cooling: %v", err)
	}
	if err := b.admit(now); err == nil {
		t.Error("a second trial beside the first")
	}
	b.report(now, context.Canceled, true)
	if err := b.admit(now); err != nil {
		t.Errorf("a trial that was called off bars the next: %v", err)
	}
	b.report(now, failure, false)
	if err := b.admit(now.Add(shortestCooling / 2)); err == nil {
		t.Error("cooling does not grow")
	}
	now = now.Add(longestCooling)
	if err := b.admit(now); err != nil {
		t.Fatal(err)
	}
	b.report(now, nil, false)
	b.report(now, failure, false)
	for range 2 {
		if err := b.admit(now); err != nil {
			t.Errorf("success does not close it: %v", err)
		}
	}
}

// Dialling asks the breaker and tells it what came of it; that a caller has
// left does not count, be it in the middle of a dial.
func TestDialsAreGuarded(t *testing.T) {
	dials := 0
	refuse := func(context.Context, string, string) (net.Conn, error) {
		dials++
		return nil, errors.New("refused")
	}
	p, err := New(Options{Address: "n:1", Dial: refuse})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	n := p.nodes()[0]
	for range 3 * breakerPatience {
		over, leave := context.WithCancel(context.Background())
		n.opts.Dial = func(context.Context, string, string) (net.Conn, error) { leave(); return nil, over.Err() }
		if _, err := n.acquire(over, false); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	n.opts.Dial = refuse
	for i := range 3 * breakerPatience {
		if _, err := n.acquire(context.Background(), false); !errors.Is(err, ErrConnect) || dials != min(i+1, breakerPatience) {
			t.Errorf("dial %d, %d in all: %v", i, dials, err)
		}
	}
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
			b.report(time.Now(), c.err, c.left)
		}
		if err := b.admit(time.Now()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCooling(t *testing.T) {
	for failures := breakerPatience; failures < 100; failures++ {
		low, high := cooling(failures, 0), cooling(failures, 1)
		if low < shortestCooling/2 || high > longestCooling || high != 2*low {
			t.Errorf("after %d failures: %v to %v", failures, low, high)
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
		n.breaker.report(time.Now(), errors.New("refused"), false)
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
