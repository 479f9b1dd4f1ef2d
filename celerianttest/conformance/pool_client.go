package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/pool/writer"
)

var clientRules = []rule{
	{name: "single_connection", check: singleConnection},
	{name: "single_connection_watches", check: singleConnectionWatches},
	{name: "many_at_once", check: manyAtOnce},
	{name: "lost_answer_of_an_unconditional_write", check: lostUnconditional},
	{name: "lost_answer_of_a_guarded_write", check: lostGuarded},
	{name: "requests_cut_at_bytes", check: requestsCut},
	{name: "commands_apply_once", check: commandsApplyOnce},
}

func singleConnection(t *testing.T, w *world) {
	o := w.options()
	if w.target.pair() {
		leader, err := w.pool.Leader(t.Context())
		done(t, err)
		o.Address, o.SeedAddresses = leader, nil
	}
	c, err := pool.Connect(t.Context(), o)
	done(t, err)
	defer func() { done(t, c.Close(context.Background())) }()
	for _, key := range []msg.Key{w.key(), w.key(), w.key(), w.key()} { // of any shard
		version, err := c.WriteEvents(t.Context(), key, []msg.Event{event(1, "x")}, w.client, pool.WriteOptions{})
		done(t, err)
		same(t, "version", version, 1)
		_, err = c.WriteEvents(t.Context(), key, []msg.Event{event(1, "x")}, w.client, pool.WriteOptions{EnforceIdempotency: true})
		refused(t, err, msg.CodeDuplicate)
		page, err := c.Read(t.Context(), &msg.ReadRequest{Key: key, Filters: msg.ReadFilters{From: 1}})
		done(t, err)
		same(t, "batches", len(page.Batches), 1)
	}
	listed := 0
	for _, err := range c.ListAggregates(t.Context(), pool.ListAggregatesOptions{Org: msg.Some(w.org)}) {
		done(t, err)
		listed++
	}
	same(t, "listed", listed, 4)
}

func singleConnectionWatches(t *testing.T, w *world) {
	c, err := pool.Connect(t.Context(), w.options())
	done(t, err)
	defer func() { done(t, c.Close(context.Background())) }()
	key := w.key()
	watch, err := c.Watch(t.Context(), &msg.WatchRequest{Aggregates: []msg.ID{key.Aggregate}, Types: []msg.ID{key.Type}, Orgs: []msg.ID{key.Org}})
	done(t, err)
	if _, err := c.Details(t.Context(), key); err == nil {
		t.Error("a request passed on a connection that watches")
	}
	w.write(t, key, "x")
	var heard []msg.Notification
	for len(heard) < 2 {
		frame, err := watch.Next(t.Context())
		done(t, err)
		heard = append(heard, frame...)
	}
	if want := []msg.Notification{created(key), wrote(key, 1, 1)}; !slices.Equal(heard, want) {
		t.Errorf("heard %v, want %v", heard, want)
	}
}

func manyAtOnce(t *testing.T, w *world) {
	keys := []msg.Key{w.key(), w.key(), w.key()}
	failed := make(chan error)
	const workers, each = 24, 10
	for i := range workers {
		go func() {
			failed <- func() error {
				for range each {
					version, err := w.pool.WriteEvents(t.Context(), keys[i%3], []msg.Event{event(uint64(i), fmt.Sprint(i))}, w.client, pool.WriteOptions{})
					if err != nil {
						return err
					}
					page, err := w.pool.Read(t.Context(), &msg.ReadRequest{Key: keys[i%3], Filters: msg.ReadFilters{From: version, To: msg.Some(version)}})
					if err != nil {
						return err
					}
					if len(page.Batches) != 1 || string(page.Batches[0].Events[0].Value) != fmt.Sprint(i) {
						return fmt.Errorf("version %d, written by %d, reads %v", version, i, page.Batches)
					}
				}
				return nil
			}()
		}()
	}
	for range workers {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	for _, key := range keys {
		same(t, "newest version", w.details(t, key).MaxVersion, workers*each/3)
	}
}

// rough returns a pool behind a proxy.
func (w *world) rough(t *testing.T, shape func(*pool.Options)) (*pool.Pool, *proxy) {
	t.Helper()
	x := newProxy(t)
	o := w.options()
	o.Dial = x.dial
	if shape != nil {
		shape(&o)
	}
	return newPool(t, o), x
}

// onceToClient cuts the first frame of a kind that goes to a client.
func onceToClient(kind uint32, at int, cut *atomic.Int64) func(frame) fate {
	return func(f frame) fate {
		if f.toClient && f.kind == kind && cut.Add(1) == 1 {
			return fate{cut: true, at: at}
		}
		return fate{}
	}
}

func lostUnconditional(t *testing.T, w *world) {
	p, x := w.rough(t, nil)
	key := w.key()
	var cut atomic.Int64
	x.intercept(onceToClient(writeAnswer, 0, &cut))
	_, err := p.WriteEvents(t.Context(), key, []msg.Event{event(1, "x")}, w.client, pool.WriteOptions{})
	if !errors.Is(err, pool.ErrConnectionLost) || !msg.Ambiguous(err) || msg.SafeToRetry(err) {
		t.Errorf("a lost answer gave %v; ambiguous %v, safe to retry %v", err, msg.Ambiguous(err), msg.SafeToRetry(err))
	}
	same(t, "batches", len(w.all(t, key)), 1)
	same(t, "answers seen", cut.Load(), 1)
}

func lostGuarded(t *testing.T, w *world) {
	for name, o := range map[string]pool.WriteOptions{
		"expected version": {ExpectedVersion: msg.Some[uint64](0)},
		"client sequence":  {EnforceIdempotency: true},
	} {
		p, x := w.rough(t, nil)
		key := w.key()
		var cut atomic.Int64
		x.intercept(onceToClient(writeAnswer, 20, &cut))
		_, err := p.WriteEvents(t.Context(), key, []msg.Event{event(1, "x")}, w.client, o)
		if err == nil || !msg.Ambiguous(err) {
			t.Errorf("%s: the echo of the own success gave %v", name, err)
		}
		same(t, name+": batches", len(w.all(t, key)), 1)
		if cut.Load() == 0 {
			t.Errorf("%s: nothing was cut", name)
		}
	}
}

// A request of which the node got a part only was not executed.
func requestsCut(t *testing.T, w *world) {
	key := w.key()
	for at := 0; at < 60; at += 7 {
		p, x := w.rough(t, func(o *pool.Options) { o.DisableCompression = true })
		var cut atomic.Int64
		x.intercept(func(f frame) fate {
			if !f.toClient && f.kind == uint32(msg.TypeWriteRequest) && f.size > 120 && cut.Add(1) == 1 {
				return fate{cut: true, at: at}
			}
			return fate{}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err := p.WriteEvents(ctx, key, []msg.Event{event(1, "a payload of some length, so that it is cut in the middle")}, w.client, pool.WriteOptions{})
		cancel()
		if err == nil || cut.Load() == 0 {
			t.Errorf("cut at %d: %v, %d cuts", at, err, cut.Load())
		}
	}
	_, err := w.pool.Details(t.Context(), key)
	refused(t, err, msg.CodeDetailsNotFound)
}

// Commands through a proxy that cuts every fifth answer apply exactly once.
func commandsApplyOnce(t *testing.T, w *world) {
	p, x := w.rough(t, nil)
	commands, err := writer.New(p, writer.Options{ClientID: w.client, Tries: 20, Pause: time.Millisecond})
	done(t, err)
	answers := 0
	x.intercept(func(f frame) fate {
		if f.toClient && f.kind == writeAnswer {
			if answers++; answers%5 == 2 {
				return fate{cut: true, at: answers % 30}
			}
		}
		return fate{}
	})
	key := w.key()
	const count = 25
	for i := range count {
		for cmd := (writer.Command{Key: key, ID: randomID()}); ; {
			out, err := commands.Append(t.Context(), cmd, []msg.Event{{Major: 1, Value: fmt.Append(nil, i)}})
			if err == nil {
				same(t, "version", out.Version, uint64(i+1))
				break
			}
			if !msg.Ambiguous(err) {
				t.Fatal(err)
			}
		}
	}
	for i, b := range w.all(t, key) {
		same(t, "payload", string(b.Events[0].Value), fmt.Sprint(i))
	}
	same(t, "newest version", w.details(t, key).MaxVersion, count)
	if x.cuts.Load() == 0 {
		t.Error("nothing was cut")
	}
}
