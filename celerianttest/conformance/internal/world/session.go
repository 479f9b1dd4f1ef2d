package world

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/proxy"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// Rough returns a pool behind a proxy.
func (w *World) Rough(t *testing.T, shape func(*pool.Options)) (*pool.Pool, *proxy.Proxy) {
	t.Helper()
	x := proxy.New(t)
	o := w.Options()
	o.Dial = x.Dial
	if shape != nil {
		shape(&o)
	}
	return NewPool(t, o), x
}

// Session is what one case subscribes through: a pool behind a proxy.
type Session struct {
	Pool   *pool.Pool
	Proxy  *proxy.Proxy
	source stream.Source
}

// Session opens a session of the world.
func (w *World) Session(t *testing.T) Session {
	t.Helper()
	p, x := w.Rough(t, func(o *pool.Options) { o.RequestTimeout, o.FailoverBudget = 2*time.Second, 2*time.Second })
	return Session{p, x, stream.FromPool(p)}
}

// Shared is a session whose subscriptions share connections and reads.
func (w *World) Shared(t *testing.T) (Session, *stream.Shared) {
	t.Helper()
	s := w.Session(t)
	shared := Share(t, s.source)
	s.source = shared
	return s, shared
}

// Share closes what it makes at the end of the test.
func Share(t *testing.T, source stream.Source) *stream.Shared {
	shared := stream.Share(source)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := shared.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return shared
}

// Open starts a subscription that is closed at the end of the test at the latest.
func (s Session) Open(t *testing.T, scope stream.Scope, o stream.Options) *stream.Subscription {
	t.Helper()
	if o.OnState == nil {
		start := time.Now()
		o.OnState = func(state stream.State) { t.Logf("%6d ms: %v", time.Since(start).Milliseconds(), state) }
	}
	sub, err := stream.Open(t.Context(), s.source, scope, o)
	Must(t, err)
	t.Cleanup(func() { Closed(t, sub) })
	return sub
}

// Closed closes a subscription, which may be closed already.
func Closed(t *testing.T, sub *stream.Subscription) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := sub.Close(ctx); err != nil {
		t.Error(err)
	}
}

// Take handles and stores changes until last says so of one of them, with it.
func Take(t *testing.T, sub *stream.Subscription, last func(stream.Change) bool) []stream.Change {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all []stream.Change
	for {
		changes, err := sub.Next(ctx)
		if err != nil {
			t.Fatalf("after %q: %v; %+v", Tell(all), err, sub.Stats())
		}
		all = append(all, changes...)
		Must(t, sub.Commit(ctx, stream.Entries(changes)))
		if slices.ContainsFunc(changes, last) {
			return all
		}
	}
}

// CaughtUp reports whether a change tells that the subscription has caught up.
func CaughtUp(c stream.Change) bool { return c.Kind == stream.CaughtUp }

// Showing is true of the batch with a payload.
func Showing(value string) func(stream.Change) bool {
	return func(c stream.Change) bool { return c.Kind == stream.Batch && string(c.Batch.Events[0].Value) == value }
}

// Tell describes changes of one aggregate.
func Tell(changes []stream.Change) []string {
	var all []string
	for _, c := range changes {
		switch c.Kind {
		case stream.Batch:
			all = append(all, string(c.Batch.Events[0].Value))
		case stream.Truncated:
			all = append(all, fmt.Sprintf("truncated %d-%d", c.From, c.To))
		case stream.Unreadable:
			all = append(all, fmt.Sprintf("unreadable %d", c.Version))
		case stream.CaughtUp:
		default:
			all = append(all, c.Kind.String())
		}
	}
	return all
}

// WantTold compares changes of one aggregate, as Tell describes them, and goes on.
func WantTold(t *testing.T, what string, changes []stream.Change, want ...string) {
	t.Helper()
	if got := Tell(changes); !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// ByKey parts changes by aggregate.
func ByKey(changes []stream.Change) map[msg.Key][]stream.Change {
	all := make(map[msg.Key][]stream.Change)
	for _, c := range changes {
		if c.Kind != stream.CaughtUp {
			all[c.Key] = append(all[c.Key], c)
		}
	}
	return all
}

// Types is the scope of the aggregates that Key returns.
func (w *World) Types() stream.Scope { return stream.Types(w.Org, w.Type) }
