//go:build redis

package redisstore_test

import (
	"context"
	"errors"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/redisstore"
	"github.com/redis/go-redis/v9"
)

type tx = redisstore.Tx

// world is a store, an owner, and what its next change is.
type world struct {
	*testing.T
	store *redisstore.Store
	owner checkpoint.Owner
	next  []checkpoint.Entry
	redis *redis.Client
	o     redisstore.Options
}

func newWorld(t *testing.T) *world {
	client := sharedClient(t)
	o := redisstore.Options{Prefix: prefix()}
	s := open(t, client, o)
	w := &world{t, s, acquire(t, s), to(1, 1), client, o}
	w.next[0].Compare = true
	return w
}

func (w *world) transact(apply func(ctx context.Context, t *tx) error) error {
	return w.store.Transact(w.Context(), w.owner, w.next, apply)
}

func (w *world) advance() {
	w.next[0].From = w.next[0].Cursor
	w.next[0].Cursor.Version++
}

func (w *world) failsIn(step checkpoint.Step, err error) {
	w.Helper()
	var failed *checkpoint.TransactionError
	if !errors.As(err, &failed) || failed.Step != step {
		w.Fatalf("%v, want a failure while %s", err, step)
	}
}

func (w *world) hash(key string, want map[string]string) {
	w.Helper()
	got, err := w.redis.HGetAll(w.Context(), w.store.Key("orders", key)).Result()
	if err != nil || len(got) != len(want) {
		w.Fatalf("%s is %v, %v, want %v", key, got, err, want)
	}
	for f, v := range want {
		if got[f] != v {
			w.Fatalf("%s is %v, want %v", key, got, want)
		}
	}
}

func count(ctx context.Context, t *tx) error {
	_, err := t.HIncrBy(ctx, "counts", "events", 1)
	return err
}

// Every kind of write is there with the cursor, and not without it.
func TestTransactWrites(t *testing.T) {
	w := newWorld(t)
	all := func(ctx context.Context, t *tx) error {
		t.Set("last", "a")
		t.HSet("counts", "a", "1")
		t.HSet("counts", "b", "2")
		t.HDel("counts", "a")
		t.SAdd("set", "x")
		t.SAdd("set", "y")
		t.SRem("set", "x")
		t.ZAdd("rank", 2.5, "first")
		t.ZAdd("rank", 1, "second")
		t.ZRem("rank", "second")
		sum, err := t.IncrBy(ctx, "sum", 40)
		if err == nil {
			_, err = t.IncrBy(ctx, "sum", sum/20)
		}
		return err
	}
	failure := errors.New("handler")
	err := w.transact(func(ctx context.Context, t *tx) error { return errors.Join(all(ctx, t), failure) })
	if !errors.Is(err, failure) {
		t.Fatal(err)
	}
	w.hash("counts", nil)
	if err := w.transact(all); err != nil {
		t.Fatal(err)
	}
	w.hash("counts", map[string]string{"b": "2"})
	for key, want := range map[string]string{"last": "a", "sum": "42"} {
		if got, err := w.redis.Get(t.Context(), w.store.Key("orders", key)).Result(); err != nil || got != want {
			t.Fatalf("%s is %q, %v", key, got, err)
		}
	}
	if got := w.redis.SMembers(t.Context(), w.store.Key("orders", "set")).Val(); len(got) != 1 || got[0] != "y" {
		t.Fatalf("the set is %v", got)
	}
	if got := w.redis.ZRangeWithScores(t.Context(), w.store.Key("orders", "rank"), 0, -1).Val(); len(got) != 1 || got[0].Score != 2.5 {
		t.Fatalf("the sorted set is %v", got)
	}
	err = w.transact(all)
	if w.failsIn(checkpoint.StepSave, err); !errors.Is(err, checkpoint.ErrApplied) {
		t.Fatalf("the same again: %v", err)
	}
	w.advance()
	err = w.transact(func(ctx context.Context, t *tx) error {
		t.Del("counts")
		if _, there, err := t.HGet(ctx, "counts", "b"); there || err != nil {
			return errors.Join(err, errors.New("what was removed is still there"))
		}
		t.HSet("counts", "c", "3")
		t.Del("last")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.hash("counts", map[string]string{"c": "3"})
}

// Only numbers are added to, and only within 64 bits; what makes no sense fails before
// anything is written.
func TestTransactRefuses(t *testing.T) {
	for name, apply := range map[string]func(ctx context.Context, t *tx) error{
		"an empty value": func(_ context.Context, t *tx) error { t.Set("last", ""); return nil },
		"an empty field": func(_ context.Context, t *tx) error { t.HSet("counts", "", "x"); return nil },
		"text":           func(ctx context.Context, t *tx) error { t.Set("n", "x"); _, err := t.IncrBy(ctx, "n", 1); return err },
		"a large sum": func(ctx context.Context, t *tx) error {
			t.Set("n", "9223372036854775807")
			_, err := t.IncrBy(ctx, "n", 1)
			return err
		},
		"another type": func(_ context.Context, t *tx) error { t.HSet("counts", "a", "1"); t.SAdd("counts", "a"); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if name == "another type" {
				w.redis.HSet(t.Context(), w.store.Key("orders", "counts"), "a", "0")
			}
			err := w.transact(func(ctx context.Context, t *tx) error {
				t.HSet("before", "a", "1")
				return apply(ctx, t)
			})
			var failed *checkpoint.TransactionError
			if err == nil || errors.As(err, &failed) {
				t.Fatalf("%v, want the handler's failure", err)
			}
			w.hash("before", nil)
			if got := stored(t, w.store, 1); got != 0 {
				t.Fatalf("version %d", got)
			}
		})
	}
}

// A value that somebody else changed after the handler read it: nothing is applied, and
// the handler comes again.
func TestTransactReadsAreGuarded(t *testing.T) {
	w := newWorld(t)
	err := w.transact(func(ctx context.Context, tx *tx) error {
		if err := count(ctx, tx); err != nil {
			return err
		}
		return w.redis.HSet(ctx, w.store.Key("orders", "counts"), "events", "7").Err()
	})
	if w.failsIn(checkpoint.StepApplied, err); !w.store.Passing(err) {
		t.Fatalf("%v should pass", err)
	}
	if err := w.transact(count); err != nil {
		t.Fatal(err)
	}
	w.hash("counts", map[string]string{"events": "8"})
}

// The answer of a commit is lost: the inquiry tells, and what it called not stored does
// not come later.
func TestStoredAfterALostAnswer(t *testing.T) {
	w := newWorld(t)
	for _, applied := range []bool{true, false} {
		ctx, cancel := context.WithCancel(t.Context())
		lost := &losing{cancel: cancel, applied: applied}
		client := connect(t, w.redis.Options().Addr)
		client.AddHook(lost)
		w2 := open(t, client, w.o)
		err := w2.Transact(ctx, w.owner, w.next, func(ctx context.Context, t *tx) error {
			defer lost.armed.Store(true)
			return count(ctx, t)
		})
		w.failsIn(checkpoint.StepCommit, err)
		n, err := w.store.Stored(t.Context(), w.owner, w.next)
		if err != nil || (n == 1) != applied {
			t.Fatalf("stored %d, %v, want %v", n, err, applied)
		}
		if !applied {
			// The lost script arrives after all.
			if err := lost.deliver(t.Context(), w.redis); err != nil {
				t.Fatal(err)
			}
			w.hash("counts", map[string]string{"events": "1"})
		}
		w.advance()
	}
}

// A handler that keeps its transaction does nothing with it.
func TestTransactIsOver(t *testing.T) {
	w := newWorld(t)
	var kept *tx
	if err := w.transact(func(_ context.Context, t *tx) error { kept = t; return nil }); err != nil {
		t.Fatal(err)
	}
	kept.Set("late", "x")
	if _, _, err := kept.Get(t.Context(), "late"); err == nil {
		t.Fatal("a transaction that is over reads")
	}
}

// A script that the client sends again, since the first answer was lost, is applied once,
// and its caller hears of success.
func TestRepeatedScriptIsAppliedOnce(t *testing.T) {
	w := newWorld(t)
	client := connect(t, w.redis.Options().Addr)
	var twice repeating
	client.AddHook(&twice)
	w.store = open(t, client, w.o)
	twice.armed.Store(true)
	for range 3 {
		if err := w.transact(count); err != nil {
			t.Fatal(err)
		}
		w.advance()
	}
	twice.armed.Store(false)
	w.hash("counts", map[string]string{"events": "3"})
}
