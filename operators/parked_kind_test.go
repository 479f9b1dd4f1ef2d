package operators_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// A Deleted that was parked is skipped by the next owner, who knows that it was no batch.
func TestSkippingADeletedThatIsParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := checkpoint.NewMemory()
		w := newWorld(t, store)
		w.write(1, "a")
		refused := 0
		h := &handling{fail: func(c stream.Change) error {
			if c.Kind == stream.Deleted {
				refused++
				return errPoison
			}
			return nil
		}}
		c := w.consume(h.handle, at(operators.Park))
		w.delete(1)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		parked := w.parked(store)
		if len(parked) != 1 || parked[0].Kind != "deleted" {
			t.Fatalf("parked %+v", parked)
		}
		c.stop()
		if err := checkpoint.RequestParked(t.Context(), store, "test", parked[0], checkpoint.ActionSkip, "me"); err != nil {
			t.Fatal(err)
		}
		c = w.consume(h.handle, at(operators.Park))
		time.Sleep(7 * time.Second)
		synctest.Wait()
		w.write(1, "b")
		time.Sleep(7 * time.Second)
		synctest.Wait()
		if got := h.changes(); refused != 1 || !slices.Equal(got, []string{"1.1", "1 reset", "1.1"}) && !slices.Equal(got, []string{"1.1", "1.1"}) {
			t.Errorf("refused %d times, handled %v", refused, got)
		}
		if parked := w.parked(store); len(parked) != 0 {
			t.Errorf("still parked: %+v", parked)
		}
		c.stop()
	})
}

func (h *handling) changes() []string {
	return slices.DeleteFunc(h.list(), func(s string) bool { return s == "caught up" })
}

func (w *world) delete(key uint64) {
	w.t.Helper()
	if err := w.pool.DeleteAggregate(w.t.Context(), keyOf(key), clientID, pool.DeleteOptions{AllowRecreate: true}); err != nil {
		w.t.Fatal(err)
	}
}
