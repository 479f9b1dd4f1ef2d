package operators_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

// injecting is a consumer that delivers further changes ahead of its own.
type injecting struct {
	stream.Consumer
	ahead chan []stream.Change
}

func (i *injecting) Next(ctx context.Context) ([]stream.Change, error) {
	changes, err := i.Consumer.Next(ctx)
	select {
	case first := <-i.ahead:
		changes = append(first, changes...)
	default:
	}
	return changes, err
}

type injectingSource struct {
	*world
	ahead chan []stream.Change
}

func (s injectingSource) Open(ctx context.Context) (stream.Consumer, error) {
	c, err := s.world.Open(ctx)
	return &injecting{Consumer: c, ahead: s.ahead}, err
}

// Aggregates that an earlier owner of a partition has parked are not handled by the next one, and
// go on once anybody has released them.
//
//covers:g16
func TestAGainedPartitionComesWithWhatIsParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := checkpoint.NewMemory()
		w := newWorld(t, store)
		src := injectingSource{world: w, ahead: make(chan []stream.Change, 1)}
		h := &handling{}
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- operators.ForEach(ctx, src, h.handle) }()
		synctest.Wait()

		var m checkpoint.Mutation
		m.Park(checkpoint.Parked{Key: keyOf(1), Version: 1}, 0)
		if err := store.Apply(t.Context(), "test", m); err != nil {
			t.Fatal(err)
		}
		src.ahead <- []stream.Change{{Kind: stream.Gained, Partition: 7}}
		w.write(1, "a")
		w.write(2, "b")
		time.Sleep(time.Second)
		synctest.Wait()
		if got := h.list(); !slices.Equal(got, []string{"caught up", "2.1"}) {
			t.Errorf("handled %v", got)
		}
		parked := w.parked(store)
		m = checkpoint.Mutation{}
		m.Unpark(parked[0])
		if err := store.Apply(t.Context(), "test", m); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if got := h.of(1); !slices.Equal(got, []string{"1.1"}) {
			t.Errorf("after the release %v", got)
		}
		cancel(errStop)
		<-ended
	})
}
