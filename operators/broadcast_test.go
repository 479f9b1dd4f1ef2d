package operators_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

// A reader that does not read holds nobody up; it is told what it missed, and goes on
// behind that.
func TestBroadcast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, checkpoint.NewMemory())
		b := operators.NewBroadcast(operators.Limits{Changes: 3})
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		quick, slow := b.Reader(), b.Reader()
		go func() { ended <- b.Run(ctx, w) }()
		synctest.Wait()
		var got []string
		read := func() {
			synctest.Wait()
			changes, lagged, err := quick.Next(t.Context())
			if err != nil || lagged != nil {
				t.Errorf("the quick one: %v, %v", lagged, err)
			}
			for _, c := range changes {
				got = append(got, describe(c))
			}
		}
		read() // caught up
		for v := range 5 {
			w.write(1, "x")
			read()
			if v%2 == 0 {
				w.write(2, "y")
				read()
			}
		}
		if want := []string{"caught up", "1.1", "2.1", "1.2", "1.3", "2.2", "1.4", "1.5", "2.3"}; !slices.Equal(got, want) {
			t.Errorf("the quick one got %v", got)
		}
		changes, lagged, err := slow.Next(t.Context())
		if err != nil || lagged != nil || len(changes) != 3 || describe(changes[2]) != "2.1" {
			t.Errorf("the slow one got %v, %v, %v", changes, lagged, err)
		}
		_, lagged, err = slow.Next(t.Context())
		if err != nil || lagged == nil || lagged.Changes != 6 || lagged.More ||
			!slices.Equal(lagged.Missed, []operators.Missed{{Key: keyOf(1), From: 2, To: 5}, {Key: keyOf(2), From: 2, To: 3}}) {
			t.Errorf("the slow one missed %+v, %v", lagged, err)
		}
		w.write(2, "z")
		if changes, _, err := slow.Next(t.Context()); err != nil || len(changes) != 1 || describe(changes[0]) != "2.4" {
			t.Errorf("then %v, %v", changes, err)
		}
		slow.Close()
		if b.Readers() != 1 {
			t.Errorf("%d readers", b.Readers())
		}
		cancel(errStop)
		<-ended
		read()
		if _, _, err := quick.Next(t.Context()); !errors.Is(err, errStop) {
			t.Errorf("at the end: %v", err)
		}
	})
}

// Of what waits only the newest of each aggregate is kept, and what voids it; every
// position is.
func TestLatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := slicesOf{
			{batchOf(1, 1), batchOf(2, 1), batchOf(1, 2)},
			{{Kind: stream.Deleted, Key: keyOf(2)}, batchOf(2, 1), batchOf(2, 2), {Kind: stream.CaughtUp}},
		}
		flow := operators.Latest(operators.Changes(&source), operators.Limits{Wait: time.Second})
		s, err := flow.Next(t.Context())
		var got []string
		for _, c := range s.Items {
			got = append(got, describe(c))
		}
		if want := []string{"1.2", "2 deleted", "2.2", "caught up"}; err != nil || !slices.Equal(got, want) || len(s.Marks) != 7 {
			t.Errorf("got %v, %v, %d marks", got, err, len(s.Marks))
		}
	})
}

// Many readers of one subscription.
func ExampleBroadcast() {
	b := operators.NewBroadcast(operators.Limits{Changes: 100})
	reader := b.Reader() // one for each browser
	defer reader.Close()
	// go b.Run(ctx, client.Watch(scope))

	show := func(ctx context.Context) error {
		for {
			changes, lagged, err := reader.Next(ctx)
			switch {
			case err != nil:
				return err
			case lagged != nil:
				fmt.Println("reload", len(lagged.Missed), "aggregates")
			}
			for _, c := range changes {
				fmt.Println(&c)
			}
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	fmt.Println(show(ctx))
	// Output: context canceled
}
