package operators_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

// pipe is a subscription made by hand: what is sent is pulled.
type pipe chan []stream.Change

var errEnd = errors.New("the end")

func (p pipe) Next(ctx context.Context) ([]stream.Change, error) {
	select {
	case c, ok := <-p:
		if !ok {
			return nil, errEnd
		}
		return c, nil
	default:
	}
	select {
	case c, ok := <-p:
		if !ok {
			return nil, errEnd
		}
		return c, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// batchOf is a batch of one event for each payload.
func batchOf(key, version uint64, payloads ...string) stream.Change {
	c := stream.Change{Kind: stream.Batch, Key: keyOf(key), Batch: msg.Batch{Version: version}, Cursor: checkpoint.Cursor{Version: version}}
	for _, p := range payloads {
		c.Batch.Events = append(c.Batch.Events, msg.Event{Major: 1, Value: []byte(p)})
	}
	return c
}

func full(p ...[]stream.Change) pipe {
	out := make(pipe, len(p)+16)
	for _, c := range p {
		out <- c
	}
	return out
}

func payloads(c stream.Change) ([]string, error) {
	var out []string
	for _, e := range c.Batch.Events {
		out = append(out, string(e.Value))
	}
	return out, nil
}

// pulled is a slice in short: its items, and "key.version" of its entries.
func pulled(s operators.Slice[string]) string {
	text := fmt.Sprint(s.Items)
	for _, e := range s.Entries() {
		_, n := e.Key.Aggregate.Uint64s()
		text += fmt.Sprintf(" %d.%d", n, e.Cursor.Version)
	}
	return text
}

func wantPulls(t *testing.T, flow operators.Flow[string], want ...string) {
	t.Helper()
	for i, w := range want {
		s, err := flow.Next(t.Context())
		if err != nil {
			t.Fatalf("pull %d: %v", i, err)
		}
		if got := pulled(s); got != w {
			t.Errorf("pull %d: got %q, want %q", i, got, w)
		}
	}
}

func TestBatchJoinsWhatWaitsAndCutsAtTheLimit(t *testing.T) {
	p := full([]stream.Change{batchOf(1, 1, "a"), batchOf(2, 1, "b")}, []stream.Change{batchOf(1, 2, "c"), batchOf(3, 1, "d"), batchOf(2, 2, "e")})
	flow := operators.Batch(operators.Expand(operators.Changes(p), payloads), operators.Limits{Changes: 3})
	wantPulls(t, flow, "[a b c] 1.2 2.1", "[d e] 3.1 2.2")
}

func TestBatchCountsBytes(t *testing.T) {
	p := full([]stream.Change{batchOf(1, 1, "aaaa"), batchOf(2, 1, "bbbb"), batchOf(3, 1, "cc"), batchOf(4, 1, "0123456789abcdef"), batchOf(5, 1, "d")})
	flow := operators.Batch(operators.Expand(operators.Changes(p), payloads), operators.Limits{Bytes: 10})
	wantPulls(t, flow, "[aaaa bbbb cc] 1.1 2.1 3.1", "[0123456789abcdef] 4.1", "[d] 5.1")
	// A change that would exceed the limit begins the next slice.
	p <- []stream.Change{batchOf(1, 1, "aaaaaa"), batchOf(2, 1, "bbbbbb"), batchOf(3, 1, "c")}
	wantPulls(t, flow, "[aaaaaa] 1.1", "[bbbbbb c] 2.1 3.1")
}

// All items of a change are in one slice, however many there are.
//
//covers:g4
func TestBatchNeverSplitsAChange(t *testing.T) {
	p := full([]stream.Change{batchOf(1, 1, "a", "b", "c"), batchOf(1, 2, "d", "e"), batchOf(1, 3, "f")})
	flow := operators.Batch(operators.Expand(operators.Changes(p), payloads), operators.Limits{Changes: 1})
	wantPulls(t, flow, "[a b c] 1.1", "[d e] 1.2", "[f] 1.3")
}

func TestPositionsOutliveTheirItems(t *testing.T) {
	p := full([]stream.Change{batchOf(1, 1, "a", "no"), batchOf(2, 1, "no")}, []stream.Change{batchOf(3, 1, "no")}, []stream.Change{batchOf(4, 1, "no", "b"), batchOf(2, 2, "no")})
	wanted := operators.Filter(operators.Expand(operators.Changes(p), payloads), func(s string) bool { return s != "no" })
	wantPulls(t, operators.Batch(wanted, operators.Limits{Changes: 3}), "[a] 1.1 2.1 3.1", "[b] 4.1 2.2")
}

func TestBatchWaitsForMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := make(pipe)
		go func() {
			for i := range uint64(5) {
				p <- []stream.Change{batchOf(1, i+1, fmt.Sprint(i))}
				time.Sleep(400 * time.Millisecond)
			}
		}()
		flow := operators.Batch(operators.Expand(operators.Changes(p), payloads), operators.Limits{Wait: time.Second})
		start := time.Now()
		wantPulls(t, flow, "[0 1 2] 1.3")
		if took := time.Since(start); took != time.Second {
			t.Errorf("the slice was held open for %v", took)
		}
		wantPulls(t, flow, "[3 4] 1.5")
		// The slice began when its first change came.
		if took := time.Since(start); took != 2200*time.Millisecond {
			t.Errorf("the second slice came after %v", took)
		}
	})
}

func TestCaughtUpIsNotDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := full([]stream.Change{batchOf(1, 1, "a"), {Kind: stream.CaughtUp}, batchOf(1, 2, "b")})
		flow := operators.Batch(operators.Expand(operators.Changes(p), payloads), operators.Limits{Wait: time.Hour})
		start := time.Now()
		s, err := flow.Next(t.Context())
		if err != nil || pulled(s) != "[a] 1.1" || s.Marks[1].Kind != stream.CaughtUp || time.Since(start) != 0 {
			t.Errorf("got %v, %v after %v", s, err, time.Since(start))
		}
		wantPulls(t, flow, "[b] 1.2")
	})
}

func TestCancelledPullLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := full([]stream.Change{batchOf(1, 1, "a")})
		flow := operators.Batch(operators.Expand(operators.Changes(p), payloads), operators.Limits{Changes: 2, Wait: time.Hour})
		cause := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, cause)
		defer cancel()
		if s, err := flow.Next(ctx); !errors.Is(err, cause) {
			t.Fatalf("got %v, %v", s, err)
		}
		p <- []stream.Change{batchOf(1, 2, "b")}
		wantPulls(t, flow, "[a b] 1.2")
	})
}

func TestTheEndComesAfterWhatPrecedesIt(t *testing.T) {
	p := full([]stream.Change{batchOf(1, 1, "a")})
	close(p)
	flow := operators.Batch(operators.Expand(operators.Changes(p), payloads), operators.Limits{Wait: time.Hour})
	wantPulls(t, flow, "[a] 1.1")
	for range 2 {
		if _, err := flow.Next(t.Context()); !errors.Is(err, errEnd) {
			t.Errorf("got %v", err)
		}
	}
}

func TestFailedExpansionHandsOutWhatPrecedesIt(t *testing.T) {
	bad := errors.New("bad")
	p := full([]stream.Change{batchOf(1, 1, "a"), batchOf(1, 2, "b"), batchOf(1, 3, "c")})
	flow := operators.Expand(operators.Changes(p), func(c stream.Change) ([]string, error) {
		if c.Batch.Version == 2 {
			return nil, bad
		}
		return payloads(c)
	})
	wantPulls(t, flow, "[a] 1.1")
	for range 2 {
		if _, err := flow.Next(t.Context()); !errors.Is(err, bad) {
			t.Errorf("got %v", err)
		}
	}
}

// Batch asks a subscription with a context that is done for what is waiting, and so
// relies on this part of the subscription's contract.
func TestSubscriptionsAnswerADoneContextWithWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, checkpoint.NewMemory())
		w.write(1, "a")
		sub, err := w.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close(context.Background())
		synctest.Wait()
		done, cancel := context.WithCancel(t.Context())
		cancel()
		if changes, err := sub.Next(done); err != nil || describe(changes[0]) != "1.1" {
			t.Errorf("got %v, %v", changes, err)
		}
	})
}

// For every chain, items and positions are those of one plain pass.
func TestChainsKeepItemsAndPositions(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var feed pipe = make(chan []stream.Change, 64)
		var items []string
		final := map[msg.Key]uint64{}
		for n := range 1 + rng.IntN(30) {
			var slice []stream.Change
			for range 1 + rng.IntN(6) {
				key, version := uint64(rng.IntN(5)), uint64(n+1)
				var texts []string
				for i := range rng.IntN(4) {
					text := fmt.Sprintf("%d.%d.%d", key, version, i)
					texts = append(texts, text)
					if text[len(text)-1] != '1' {
						items = append(items, text)
					}
				}
				slice = append(slice, batchOf(key, version, texts...))
				final[keyOf(key)] = version
			}
			feed <- slice
		}
		close(feed)
		limits := operators.Limits{Changes: 1 + rng.IntN(8), Bytes: 1 + rng.IntN(60)}
		flow := operators.Batch(operators.Expand(operators.Batch(operators.Changes(feed), operators.Limits{Changes: 1 + rng.IntN(8)}), payloads), limits)
		flow = operators.Filter(flow, func(s string) bool { return s[len(s)-1] != '1' })
		var got []string
		stored := map[msg.Key]uint64{}
		for {
			s, err := flow.Next(t.Context())
			if err != nil {
				break
			}
			if len(s.Marks) == 0 || len(s.Marks) > limits.Changes || s.Marks[len(s.Marks)-1].End != len(s.Items) {
				t.Fatalf("seed %d: slice of %d items, marks %v", seed, len(s.Items), s.Marks)
			}
			got = append(got, s.Items...)
			for _, e := range s.Entries() {
				stored[e.Key] = e.Cursor.Version
			}
		}
		if !slices.Equal(got, items) || !reflect.DeepEqual(stored, final) {
			t.Fatalf("seed %d: got %v, %v, want %v, %v", seed, got, stored, items, final)
		}
	}
}
