package checkpointtest

import (
	"context"
	"errors"
	"testing"
)

var scanRules = []Rule{
	{Name: "a scan yields every cursor once", Check: scanComplete},
	{Name: "a scan can be left", Check: scanLeft},
	{Name: "the loop body may call the store", Check: scanReentrant},
	{Name: "a scan ends with its context", Check: scanCancelled},
}

func scanComplete(t testing.TB, f Fixture) {
	b := start(t, f)
	if got := b.scan("nobody"); len(got) != 0 {
		t.Fatalf("nobody's subscription holds %d cursors", len(got))
	}
	owner, other := b.acquire(name), b.acquire(name+"2")
	const count = 3000
	want := many(0, count, 7)
	b.save(other, many(count, 10, 1)...)
	b.save(owner, want...)
	got := b.scan(name)
	if len(got) != count {
		t.Fatalf("scan yields %d cursors, want %d", len(got), count)
	}
	for _, e := range want {
		if got[e.Key] != e.Cursor {
			t.Fatalf("scan yields %+v for %v, want %+v", got[e.Key], e.Key, e.Cursor)
		}
	}
}

func scanLeft(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	b.save(owner, many(0, 2500, 1)...)
	for stop := range 3 {
		n := 0
		for _, err := range b.store.Scan(b.ctx, name) {
			if err != nil {
				t.Fatalf("scanning: %v", err)
			}
			if n == stop*1000 {
				break
			}
			n++
		}
	}
	// A scan that held on to something would stop these.
	b.save(owner, at(0, 2))
	if err := b.store.Close(); err != nil {
		t.Fatalf("closing after scans that were left: %v", err)
	}
}

func scanReentrant(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	const count = 2500
	b.save(owner, many(0, count, 1)...)
	seen := 0
	for e, err := range b.store.Scan(b.ctx, name) {
		if err != nil {
			t.Fatalf("scanning: %v", err)
		}
		if seen%500 == 0 {
			e.Cursor = cursor(0, 2)
			b.save(owner, e)
			b.holds(name, e)
			owner = b.acquire(name)
		}
		seen++
	}
	if seen != count {
		t.Fatalf("scan yields %d cursors while saving, want %d", seen, count)
	}
}

func scanCancelled(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	b.save(owner, many(0, 5000, 1)...)
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	seen := 0
	var last error
	for _, err := range b.store.Scan(ctx, name) {
		if last != nil {
			t.Fatalf("scan goes on after its error")
		}
		if last = err; err == nil {
			seen++
			cancel()
		}
	}
	if !errors.Is(last, context.Canceled) {
		t.Fatalf("scan of %d cursors, cancelled at the first, ends with %v, want context.Canceled", seen, last)
	}
}
