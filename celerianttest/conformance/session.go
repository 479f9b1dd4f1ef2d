package conformance

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// session is what one case subscribes through: a pool behind a proxy.
type session struct {
	pool   *pool.Pool
	proxy  *proxy
	source stream.Source
}

func (w *world) session(t *testing.T) session {
	t.Helper()
	p, x := w.rough(t, func(o *pool.Options) { o.RequestTimeout, o.FailoverBudget = 2*time.Second, 2*time.Second })
	return session{p, x, stream.FromPool(p)}
}

// shared is a session whose subscriptions share connections and reads.
func (w *world) shared(t *testing.T) (session, *stream.Shared) {
	t.Helper()
	s := w.session(t)
	shared := share(t, s.source)
	s.source = shared
	return s, shared
}

// share closes what it makes at the end of the test.
func share(t *testing.T, source stream.Source) *stream.Shared {
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

// open starts a subscription that is closed at the end of the test at the latest.
func (s session) open(t *testing.T, scope stream.Scope, o stream.Options) *stream.Subscription {
	t.Helper()
	if o.OnState == nil {
		start := time.Now()
		o.OnState = func(state stream.State) { t.Logf("%6d ms: %v", time.Since(start).Milliseconds(), state) }
	}
	sub, err := stream.Open(t.Context(), s.source, scope, o)
	done(t, err)
	t.Cleanup(func() { closed(t, sub) })
	return sub
}

func closed(t *testing.T, sub *stream.Subscription) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := sub.Close(ctx); err != nil {
		t.Error(err)
	}
}

// take handles and stores changes until last says so of one of them, with it.
func take(t *testing.T, sub *stream.Subscription, last func(stream.Change) bool) []stream.Change {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all []stream.Change
	for {
		changes, err := sub.Next(ctx)
		if err != nil {
			t.Fatalf("after %q: %v; %+v", tell(all), err, sub.Stats())
		}
		all = append(all, changes...)
		done(t, sub.Commit(ctx, stream.Entries(changes)))
		if slices.ContainsFunc(changes, last) {
			return all
		}
	}
}

func caughtUp(c stream.Change) bool { return c.Kind == stream.CaughtUp }

// showing is true of the batch with a payload.
func showing(value string) func(stream.Change) bool {
	return func(c stream.Change) bool { return c.Kind == stream.Batch && string(c.Batch.Events[0].Value) == value }
}

// tell describes changes of one aggregate.
func tell(changes []stream.Change) []string {
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

func wantTold(t *testing.T, what string, changes []stream.Change, want ...string) {
	t.Helper()
	if got := tell(changes); !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// byKey parts changes by aggregate.
func byKey(changes []stream.Change) map[msg.Key][]stream.Change {
	all := make(map[msg.Key][]stream.Change)
	for _, c := range changes {
		if c.Kind != stream.CaughtUp {
			all[c.Key] = append(all[c.Key], c)
		}
	}
	return all
}

func (w *world) types() stream.Scope { return stream.Types(w.org, w.typ) }
