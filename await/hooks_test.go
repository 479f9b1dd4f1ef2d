package await_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/await"
	"github.com/celeriant/celeriant-go/msg"
)

// The hook is told of each wait how it ended and how long it took, in the waiter's
// context; a wait that was refused never began.
func TestHookIsToldOfEachWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.handled(1, 2)
		type place struct{}
		var told []await.Ended
		waiters := await.New(w, w, await.Within(func(name string, _ msg.Key) bool { return name == "orders" }),
			await.WithHooks(await.Hooks{Ended: func(ctx context.Context, e await.Ended) {
				if ctx.Value(place{}) != "here" {
					t.Error("the hook has another context than the waiter")
				}
				told = append(told, e)
			}}))
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), place{}, "here"), 3*time.Second)
		defer cancel()
		if err := waiters.Await(ctx, "others", keyOf(1), 2); !errors.Is(err, await.ErrOutOfScope) || len(told) != 0 {
			t.Errorf("refused with %v, and %d waits are told of", err, len(told))
		}
		if err := waiters.Await(ctx, "orders", keyOf(1), 2); err != nil {
			t.Fatal(err)
		}
		late := waiters.Await(ctx, "orders", keyOf(1), 3)
		if len(told) != 2 {
			t.Fatalf("told of %d waits", len(told))
		}
		if e := told[0]; e.Name != "orders" || e.Key != keyOf(1) || e.Version != 2 || e.Err != nil || e.Duration >= time.Second {
			t.Errorf("the wait that succeeded: %+v", e)
		}
		if e := told[1]; e.Version != 3 || e.Err != late || e.Duration < 2*time.Second {
			t.Errorf("the wait that was late with %v: %+v", late, e)
		}
		if waits := await.Waits(w); len(waits) != 0 {
			t.Errorf("at the end there wait %v", waits)
		}
	})
}
