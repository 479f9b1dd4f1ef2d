package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/gateway"
	"github.com/celeriant/celeriant-go/gateway/client"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

var errEnough = errors.New("enough")

func short(c *stream.Change) string {
	if c.Kind != stream.Batch {
		return c.Kind.String()
	}
	_, n := c.Key.Aggregate.Uint64s()
	return fmt.Sprintf("%d.%d", n, c.Batch.Version)
}

// ForEach works through a gateway as it does without, and what it stored continues
// in either way.
//
//covers:g20
func TestForEachThroughTheGateway(t *testing.T) {
	w := newWorld(t, gateway.Options{})
	w.write(1, "a", "b")
	store := checkpoint.NewMemory()
	scope := stream.Types(org, typ)
	through := w.client(client.Options{}).Watch(scope, client.WatchOptions{Name: "orders", Store: store})
	consume := func(src operators.Source, n int) (seen []string) {
		ctx, cancel := context.WithCancelCause(w.context())
		defer cancel(nil)
		err := operators.ForEach(ctx, src, func(_ context.Context, c stream.Change) error {
			if c.Kind != stream.CaughtUp {
				seen = append(seen, short(&c))
			}
			if len(seen) == n {
				cancel(errEnough)
			}
			return nil
		})
		if !errors.Is(err, errEnough) {
			t.Fatal(err)
		}
		return seen
	}
	if seen := consume(through, 2); !slices.Equal(seen, []string{"1.1", "1.2"}) {
		t.Errorf("first %v", seen)
	}
	w.write(1, "c")
	if seen := consume(through, 1); !slices.Equal(seen, []string{"1.3"}) {
		t.Errorf("then %v", seen)
	}
	w.write(1, "d")
	direct := w.store.Watch(scope, celeriantOptions("orders", store)...)
	if seen := consume(direct, 1); !slices.Equal(seen, []string{"1.4"}) {
		t.Errorf("directly %v", seen)
	}
	w.write(1, "e")
	if seen := consume(through, 1); !slices.Equal(seen, []string{"1.5"}) {
		t.Errorf("through again %v", seen)
	}
}

// The credit of a subscription bounds what is delivered and not committed, and
// committing gives it back.
func TestCommitGivesCreditBack(t *testing.T) {
	w := newWorld(t, gateway.Options{})
	for n := range uint64(10) {
		w.write(n+1, "a", "b", "c")
	}
	sub := subscribe(t, w, client.WatchOptions{Changes: 2})
	seen := 0
	for seen < 30 {
		changes, err := sub.Next(w.context())
		if err != nil {
			t.Fatal(err)
		}
		for i := range changes {
			if changes[i].Kind == stream.Batch {
				seen++
			}
		}
		if len(changes) > 2 {
			t.Errorf("%d changes at once", len(changes))
		}
		if err := sub.Commit(w.context(), stream.Entries(changes)); err != nil {
			t.Fatal(err)
		}
	}
}

func subscribe(t *testing.T, w *world, opts client.WatchOptions) *client.Subscription {
	t.Helper()
	sub, err := w.client(client.Options{}).Watch(stream.Types(org, typ), opts).Subscribe(w.context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeIn(t, sub.Close) })
	return sub
}

// A newer owner of the same checkpoint fences the older one, as it does without a
// gateway.
func TestANewerOwnerFencesTheOlder(t *testing.T) {
	w := newWorld(t, gateway.Options{})
	w.write(1, "a")
	store := checkpoint.NewMemory()
	older := subscribe(t, w, client.WatchOptions{Name: "orders", Store: store})
	changes, err := older.Next(w.context())
	if err != nil {
		t.Fatal(err)
	}
	newer := subscribe(t, w, client.WatchOptions{Name: "orders", Store: store})
	again, err := newer.Next(w.context())
	if err != nil {
		t.Fatal(err)
	}
	if err := newer.Commit(w.context(), stream.Entries(again)); err != nil {
		t.Fatal(err)
	}
	if err := older.Commit(w.context(), stream.Entries(changes)); !errors.Is(err, checkpoint.ErrFenced) {
		t.Errorf("the older owner's commit: %v", err)
	}
	<-older.Done()
	if !errors.Is(older.Err(), checkpoint.ErrFenced) {
		t.Errorf("the older owner ended with %v", older.Err())
	}
}
