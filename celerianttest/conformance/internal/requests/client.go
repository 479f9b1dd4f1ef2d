package requests

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/proxy"
	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/world"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/pool/writer"
)

var clientRules = []world.Rule{
	{Name: "single_connection", Check: singleConnection},
	{Name: "single_connection_watches", Check: singleConnectionWatches},
	{Name: "many_at_once", Check: manyAtOnce},
	{Name: "lost_answer_of_an_unconditional_write", Check: lostUnconditional},
	{Name: "lost_answer_of_a_guarded_write", Check: lostGuarded},
	{Name: "requests_cut_at_bytes", Check: requestsCut},
	{Name: "commands_apply_once", Check: commandsApplyOnce},
}

func singleConnection(t *testing.T, w *world.World) {
	o := w.Options()
	if w.Server.Pair() {
		leader, err := w.Pool.Leader(t.Context())
		world.Must(t, err)
		o.Address, o.SeedAddresses = leader, nil
	}
	c, err := pool.Connect(t.Context(), o)
	world.Must(t, err)
	defer func() { world.Must(t, c.Close(context.Background())) }()
	for _, key := range []msg.Key{w.Key(), w.Key(), w.Key(), w.Key()} { // of any shard
		version, err := c.WriteEvents(t.Context(), key, []msg.Event{world.Event(1, "x")}, w.Client, pool.WriteOptions{})
		world.Must(t, err)
		world.Same(t, "version", version, 1)
		_, err = c.WriteEvents(t.Context(), key, []msg.Event{world.Event(1, "x")}, w.Client, pool.WriteOptions{EnforceIdempotency: true})
		world.Refused(t, err, msg.CodeDuplicate)
		page, err := c.Read(t.Context(), &msg.ReadRequest{Key: key, Filters: msg.ReadFilters{From: 1}})
		world.Must(t, err)
		world.Same(t, "batches", len(page.Batches), 1)
	}
	listed := 0
	for _, err := range c.ListAggregates(t.Context(), pool.ListAggregatesOptions{Org: msg.Some(w.Org)}) {
		world.Must(t, err)
		listed++
	}
	world.Same(t, "listed", listed, 4)
}

func singleConnectionWatches(t *testing.T, w *world.World) {
	c, err := pool.Connect(t.Context(), w.Options())
	world.Must(t, err)
	defer func() { world.Must(t, c.Close(context.Background())) }()
	key := w.Key()
	watch, err := c.Watch(t.Context(), &msg.WatchRequest{Aggregates: []msg.ID{key.Aggregate}, Types: []msg.ID{key.Type}, Orgs: []msg.ID{key.Org}})
	world.Must(t, err)
	if _, err := c.Details(t.Context(), key); err == nil {
		t.Error("a request passed on a connection that watches")
	}
	w.Write(t, key, "x")
	var heard []msg.Notification
	for len(heard) < 2 {
		frame, err := watch.Next(t.Context())
		world.Must(t, err)
		heard = append(heard, frame...)
	}
	if want := []msg.Notification{created(key), wrote(key, 1, 1)}; !slices.Equal(heard, want) {
		t.Errorf("heard %v, want %v", heard, want)
	}
}

func manyAtOnce(t *testing.T, w *world.World) {
	keys := []msg.Key{w.Key(), w.Key(), w.Key()}
	failed := make(chan error)
	const workers, each = 24, 10
	for i := range workers {
		go func() {
			failed <- func() error {
				for range each {
					version, err := w.Pool.WriteEvents(t.Context(), keys[i%3], []msg.Event{world.Event(uint64(i), fmt.Sprint(i))}, w.Client, pool.WriteOptions{})
					if err != nil {
						return err
					}
					page, err := w.Pool.Read(t.Context(), &msg.ReadRequest{Key: keys[i%3], Filters: msg.ReadFilters{From: version, To: msg.Some(version)}})
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
		world.Same(t, "newest version", w.Details(t, key).MaxVersion, workers*each/3)
	}
}

// onceToClient cuts the first frame of a kind that goes to a client.
func onceToClient(kind uint32, at int, cut *atomic.Int64) func(proxy.Frame) proxy.Fate {
	return func(f proxy.Frame) proxy.Fate {
		if f.ToClient && f.Kind == kind && cut.Add(1) == 1 {
			return proxy.Fate{Cut: true, At: at}
		}
		return proxy.Fate{}
	}
}

func lostUnconditional(t *testing.T, w *world.World) {
	p, x := w.Rough(t, nil)
	key := w.Key()
	var cut atomic.Int64
	x.Intercept(onceToClient(proxy.WriteAnswer, 0, &cut))
	_, err := p.WriteEvents(t.Context(), key, []msg.Event{world.Event(1, "x")}, w.Client, pool.WriteOptions{})
	if !errors.Is(err, pool.ErrConnectionLost) || !msg.Ambiguous(err) || msg.SafeToRetry(err) {
		t.Errorf("a lost answer gave %v; ambiguous %v, safe to retry %v", err, msg.Ambiguous(err), msg.SafeToRetry(err))
	}
	world.Same(t, "batches", len(w.All(t, key)), 1)
	world.Same(t, "answers seen", cut.Load(), 1)
}

func lostGuarded(t *testing.T, w *world.World) {
	for name, o := range map[string]pool.WriteOptions{
		"expected version": {ExpectedVersion: msg.Some[uint64](0)},
		"client sequence":  {EnforceIdempotency: true},
	} {
		p, x := w.Rough(t, nil)
		key := w.Key()
		var cut atomic.Int64
		x.Intercept(onceToClient(proxy.WriteAnswer, 20, &cut))
		_, err := p.WriteEvents(t.Context(), key, []msg.Event{world.Event(1, "x")}, w.Client, o)
		if err == nil || !msg.Ambiguous(err) {
			t.Errorf("%s: the echo of the own success gave %v", name, err)
		}
		world.Same(t, name+": batches", len(w.All(t, key)), 1)
		if cut.Load() == 0 {
			t.Errorf("%s: nothing was cut", name)
		}
	}
}

// A request of which the node got a part only was not executed.
func requestsCut(t *testing.T, w *world.World) {
	key := w.Key()
	for at := 0; at < 60; at += 7 {
		p, x := w.Rough(t, func(o *pool.Options) { o.DisableCompression = true })
		var cut atomic.Int64
		x.Intercept(func(f proxy.Frame) proxy.Fate {
			if !f.ToClient && f.Kind == uint32(msg.TypeWriteRequest) && f.Size > 120 && cut.Add(1) == 1 {
				return proxy.Fate{Cut: true, At: at}
			}
			return proxy.Fate{}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err := p.WriteEvents(ctx, key, []msg.Event{world.Event(1, "a payload of some length, so that it is cut in the middle")}, w.Client, pool.WriteOptions{})
		cancel()
		if err == nil || cut.Load() == 0 {
			t.Errorf("cut at %d: %v, %d cuts", at, err, cut.Load())
		}
	}
	_, err := w.Pool.Details(t.Context(), key)
	world.Refused(t, err, msg.CodeDetailsNotFound)
}

// Commands through a proxy that cuts every fifth answer apply exactly once.
func commandsApplyOnce(t *testing.T, w *world.World) {
	p, x := w.Rough(t, nil)
	commands, err := writer.New(p, writer.Options{ClientID: w.Client, Tries: 20, Pause: time.Millisecond})
	world.Must(t, err)
	answers := 0
	x.Intercept(func(f proxy.Frame) proxy.Fate {
		if f.ToClient && f.Kind == proxy.WriteAnswer {
			if answers++; answers%5 == 2 {
				return proxy.Fate{Cut: true, At: answers % 30}
			}
		}
		return proxy.Fate{}
	})
	key := w.Key()
	const count = 25
	for i := range count {
		for cmd := (writer.Command{Key: key, ID: world.RandomID()}); ; {
			out, err := commands.Append(t.Context(), cmd, []msg.Event{{Major: 1, Value: fmt.Append(nil, i)}})
			if err == nil {
				world.Same(t, "version", out.Version, uint64(i+1))
				break
			}
			if !msg.Ambiguous(err) {
				t.Fatal(err)
			}
		}
	}
	for i, b := range w.All(t, key) {
		world.Same(t, "payload", string(b.Events[0].Value), fmt.Sprint(i))
	}
	world.Same(t, "newest version", w.Details(t, key).MaxVersion, count)
	if x.Cuts.Load() == 0 {
		t.Error("nothing was cut")
	}
}
