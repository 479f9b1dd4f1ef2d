package checkpointtest

import (
	"context"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
)

var notifyRules = []Rule{
	{Name: "commits signal", Check: commitsSignal, Needs: notifying},
}

// signalPatience is how long a store that signals late is waited for.
const signalPatience = 30 * time.Second

func commitsSignal(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	b.acquire("other")
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	watch := func(name string) <-chan struct{} {
		t.Helper()
		n, ok := b.store.(checkpoint.Notifier)
		if !ok {
			t.Fatalf("the fixture promises signals, but %T gives none", b.store)
		}
		signals, err := n.Notify(ctx, name)
		if err != nil {
			t.Fatalf("watching %q: %v", name, err)
		}
		if cap(signals) != 1 {
			t.Fatalf("the channel holds %d signals, want 1", cap(signals))
		}
		return signals
	}
	await := func(what string, signals <-chan struct{}) {
		t.Helper()
		select {
		case <-signals:
		case <-time.After(signalPatience):
			t.Fatalf("no signal within %v after %s", signalPatience, what)
		}
	}
	signals, again, store := watch(name), watch(name), watch("")
	for version := uint64(1); version <= 3; version++ {
		b.save(owner, at(1, version))
		b.save(owner, at(2, version)) // the second waits behind the first
		await("two saves", signals)
		await("two saves, to the second who watches", again)
	}
	if f.Records {
		b.apply(name, put("k=1"))
		await("a record", signals)
		b.apply("", put("k=1"))
		await("a record of the store", store)
	}
	b.acquire(name)
	await("a claim", signals)
	b.delete(name)
	await("a deletion", signals)
	if _, err := b.store.(checkpoint.Notifier).Notify(ctx, "a\nb"); err == nil {
		t.Fatalf("a bad name was accepted")
	}
	cancel()
	if _, err := b.store.(checkpoint.Notifier).Notify(ctx, name); err == nil {
		t.Fatalf("watching with a cancelled context succeeded")
	}
}
