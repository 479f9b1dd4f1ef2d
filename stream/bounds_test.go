package stream_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// Intervals that make no sense are refused by name, value and limit, before anything is
// claimed or sent.
func TestNonsenseIntervalsAreRefused(t *testing.T) {
	for want, o := range map[string]stream.Options{
		"Liveness is 1ns: want at least 6s":                            {Liveness: 1},
		"Liveness is -1s: want at least 6s":                            {Liveness: -time.Second},
		"Reconcile is 1ns: want at least 1s, or a negative time":       {Reconcile: 1},
		"MaxLag is 1ns: want at least 100ms":                           {MaxLag: 1},
		"MaxLag is -1s: want at least 100ms":                           {MaxLag: -time.Second},
		"Probe is 99ms: want at least 100ms, or a negative time for n": {Probe: 99 * time.Millisecond},
	} {
		store := checkpoint.NewMemory()
		o.Name, o.Store = "orders", store
		_, err := stream.Open(t.Context(), nil, stream.Everything(), o)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("refused with %v, want %q", err, want)
		}
		if held, err := store.Describe(t.Context(), "orders"); err != nil || held.Claimed {
			t.Errorf("%s: the checkpoint is claimed: %v, %v", want, held, err)
		}
	}
}

// A forged cursor is refused at once, and ends nothing.
func TestForgedCursorIsRefused(t *testing.T) {
	w := newWorld(t, celerianttest.Options{}, pool.Options{})
	w.write(keyOf(1), "a")
	s := w.open(stream.Types(org, typ), stream.Options{})
	until(t, s, caughtUp)
	for _, forged := range []checkpoint.Cursor{{Life: 1 << 63, Version: 1}, {Version: ^uint64(0)}} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err := s.Commit(ctx, []checkpoint.Entry{{Key: keyOf(1), Cursor: forged}})
		cancel()
		var refused *checkpoint.CursorError
		if !errors.As(err, &refused) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v: %v", forged, err)
		}
	}
	if err := s.Err(); err != nil {
		t.Errorf("the subscription has ended: %v", err)
	}
	w.write(keyOf(1), "b")
	until(t, s, func(c stream.Change) bool { return c.Kind == stream.Batch })
}
