package operators_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

// asked is a consumer of one name at which somebody asks for something: one owner, or
// two members that share it.
type asked struct {
	*world
	handling
	store  *checkpoint.Memory
	cancel context.CancelCauseFunc
	ended  chan error
	runs   int
}

// eachOwnership runs a test with one owner and with two members.
func eachOwnership(t *testing.T, test func(t *testing.T, a *asked)) {
	for _, members := range []int{1, 2} {
		t.Run(fmt.Sprint(members), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := checkpoint.NewMemory()
				a := &asked{world: newWorld(t, store), store: store, runs: members, ended: make(chan error, members)}
				a.start(t)
				test(t, a)
				a.stop()
			})
		})
	}
}

func (a *asked) start(t *testing.T) {
	var ctx context.Context
	ctx, a.cancel = context.WithCancelCause(t.Context())
	var src operators.Source = a.world
	if a.runs > 1 {
		src = sharedSource{a.world, a.store}
	}
	for range a.runs {
		go func() {
			a.ended <- operators.ForEach(ctx, src, a.handle, operators.WithCommitInterval(100*time.Millisecond))
		}()
	}
	a.rest(7 * time.Second)
}

func (a *asked) stop() {
	a.cancel(errStop)
	for range a.runs {
		<-a.ended
	}
}

func (a *asked) rest(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

type sharedSource struct {
	*world
	store *checkpoint.Memory
}

func (s sharedSource) Open(ctx context.Context) (stream.Consumer, error) {
	return stream.Open(ctx, stream.FromPool(s.pool), stream.Types(org, typ),
		stream.Options{Name: "test", Store: s.store, Ownership: stream.Leased, Partitions: 8})
}

// wants asserts what was handled of an aggregate.
func (a *asked) wants(key uint64, want ...string) {
	a.t.Helper()
	if got := a.of(key); !slices.Equal(got, want) {
		a.t.Fatalf("handled %v of aggregate %d, want %v", got, key, want)
	}
}

func (a *asked) pause(keys ...msg.Key) {
	a.t.Helper()
	if err := checkpoint.RequestPause(a.t.Context(), a.store, "test", "ops", keys...); err != nil {
		a.t.Fatal(err)
	}
	a.rest(heartbeat)
}

func (a *asked) resume(keys ...msg.Key) {
	a.t.Helper()
	if err := checkpoint.RequestResume(a.t.Context(), a.store, "test", keys...); err != nil {
		a.t.Fatal(err)
	}
	a.rest(heartbeat)
}

// heartbeat is within what a request is carried out.
const heartbeat = 6 * time.Second

// Of a paused aggregate nothing is handled, of others everything; a pause outlives the
// process, and its end misses nothing.
func TestAPausedAggregateRests(t *testing.T) {
	eachOwnership(t, func(t *testing.T, a *asked) {
		a.write(1, "a")
		a.write(2, "b")
		a.rest(time.Second)
		a.pause(keyOf(1))
		for key := range uint64(8) {
			a.write(1+key, "c")
		}
		a.rest(heartbeat)
		a.wants(1, "1.1")
		a.wants(2, "2.1", "2.2")
		a.wants(8, "8.1")
		a.stop()
		a.start(t)
		a.write(1, "d")
		a.rest(heartbeat)
		a.wants(1, "1.1")
		a.resume(keyOf(1))
		a.wants(1, "1.1", "1.2", "1.3")
		a.wants(2, "2.1", "2.2")
	})
}

// Of a paused subscription nothing is handled, by no member.
func TestAPausedSubscriptionRests(t *testing.T) {
	eachOwnership(t, func(t *testing.T, a *asked) {
		a.write(1, "a")
		a.rest(time.Second)
		a.pause()
		seen := len(a.list())
		for range 3 {
			for key := range uint64(8) {
				a.write(1+key, "c")
			}
			a.rest(heartbeat)
		}
		if got := a.list()[seen:]; len(got) > 0 {
			t.Fatalf("handled while it is paused: %v", got)
		}
		a.stop()
		a.start(t)
		if got := a.list()[seen:]; len(got) > 0 {
			t.Fatalf("handled while it is paused, by the next run: %v", got)
		}
		a.resume()
		a.wants(1, "1.1", "1.2", "1.3", "1.4")
		for key := range uint64(7) {
			a.wants(2+key, fmt.Sprintf("%d.1", 2+key), fmt.Sprintf("%d.2", 2+key), fmt.Sprintf("%d.3", 2+key))
		}
	})
}

// An aggregate that fails when its subscription is paused is not tried again before that
// ends, and then from where it failed.
func TestAPauseOutlivesARetry(t *testing.T) {
	eachOwnership(t, func(t *testing.T, a *asked) {
		attempts := 0
		a.mu.Lock()
		a.fail = func(c stream.Change) error {
			if describe(c) == "1.1" {
				if attempts++; attempts < 1000 {
					return errStop
				}
			}
			return nil
		}
		a.mu.Unlock()
		a.write(1, "a")
		a.write(1, "b")
		a.rest(time.Second)
		a.pause()
		a.mu.Lock()
		before := attempts
		attempts = 999
		a.mu.Unlock()
		a.rest(time.Minute)
		a.mu.Lock()
		if before == 0 || attempts != 999 {
			t.Errorf("%d attempts before the pause, %d in it", before, attempts-999)
		}
		a.mu.Unlock()
		a.resume()
		a.rest(time.Minute)
		a.wants(1, "1.1", "1.2")
	})
}

// A redo delivers a Reset and the history once, whoever owns the aggregate.
func TestARedoIsCarriedOutOnce(t *testing.T) {
	eachOwnership(t, func(t *testing.T, a *asked) {
		for key := range uint64(4) {
			a.write(1+key, "a")
			a.write(1+key, "b")
		}
		a.rest(time.Second)
		for key := range uint64(4) {
			if err := checkpoint.RequestRedo(t.Context(), a.store, "test", keyOf(1+key), "ops"); err != nil {
				t.Fatal(err)
			}
		}
		a.rest(heartbeat)
		a.stop()
		a.start(t)
		for key := range uint64(4) {
			if got, want := a.about(1+key), []string{"1", "2", "reset", "1", "2"}; !slices.Equal(got, want) {
				t.Errorf("handled %v of aggregate %d, want %v", got, 1+key, want)
			}
		}
		control, _, err := checkpoint.LoadControl(t.Context(), a.store, "test")
		if err != nil || len(control.Redo) > 0 {
			t.Errorf("requests left: %v, %v", control.Redo, err)
		}
	})
}

// about returns the versions and kinds of what was seen of one aggregate.
func (a *asked) about(key uint64) (seen []string) {
	for _, s := range a.list() {
		var n uint64
		var rest string
		if _, err := fmt.Sscanf(s, "%d.%s", &n, &rest); err == nil && n == key {
			seen = append(seen, rest)
		} else if _, err := fmt.Sscanf(s, "%d %s", &n, &rest); err == nil && n == key {
			seen = append(seen, rest)
		}
	}
	return seen
}
