package conformance

import (
	"context"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

func typeScope(w *world, _ []msg.Key) stream.Scope { return stream.Types(w.org, w.typ) }

func orgScope(w *world, _ []msg.Key) stream.Scope { return stream.Orgs(w.org) }

func keysScope(_ *world, keys []msg.Key) stream.Scope {
	return stream.Aggregates(slices.Clone(keys)...)
}

// orgsScope is for storms that are spread.
func orgsScope(_ *world, keys []msg.Key) stream.Scope {
	var all []stream.Scope
	for _, key := range keys {
		all = append(all, stream.Orgs(key.Org))
	}
	return stream.Union(all...)
}

// storms are those in which only connections suffer.
func storms(target Target) []stormKind {
	rushed := stream.Options{Latency: 20 * time.Millisecond, Buffer: 8 << 10, Readers: 3}
	shared := []consumer{
		{scope: typeScope, shared: true},
		{scope: orgScope, opts: rushed, shared: true},
		{scope: typeScope, opts: stream.Options{Range: stream.HashShare(0, 2)}, shared: true, divides: true},
		{scope: keysScope, opts: stream.Options{Range: stream.HashShare(1, 2)}, shared: true, divides: true},
	}
	own := []consumer{{scope: typeScope}, {scope: keysScope}, {scope: orgScope, opts: rushed}}
	if target.pair() && target.Followers {
		followers := stream.Options{Followers: true}
		own = append(own, consumer{scope: typeScope, opts: followers})
		shared = append(shared, consumer{scope: typeScope, opts: followers, shared: true})
	}
	return []stormKind{
		{name: "sources of their own", consumers: own},
		{name: "a shared source", consumers: shared},
		{name: "scopes that change, and one that begins now", spread: true, consumers: []consumer{
			{living: true},
			{living: true, shared: true},
			{scope: orgsScope, opts: stream.Options{Start: stream.FromNow}, shared: true, after: 100},
		}},
	}
}

// disturbances are the storms in which nodes suffer, as far as the target has
// the hooks for it. With Followers each passes over subscriptions at the
// leader and over some at followers.
func disturbances(target Target) []stormKind {
	var all []stormKind
	add := func(name string, nodes func(context.Context, *world, *recorder) (int, error)) {
		at := func(name string, o stream.Options) {
			all = append(all, stormKind{name: name, nodes: nodes, consumers: []consumer{
				{scope: typeScope, opts: o}, {living: true, opts: o, shared: true}, {scope: orgScope, opts: o, shared: true},
			}})
		}
		at(name, stream.Options{})
		if target.pair() && target.Followers {
			at(name+", watched at followers", stream.Options{Followers: true})
		}
	}
	if target.Hooks.kills() {
		add("nodes killed", func(ctx context.Context, w *world, r *recorder) (int, error) {
			return w.disturb(ctx, r, "killed", w.target.Hooks.Kill, w.target.Hooks.Restart)
		})
	}
	if target.Hooks.pauses() {
		add("nodes paused", func(ctx context.Context, w *world, r *recorder) (int, error) {
			return w.disturb(ctx, r, "paused", w.target.Hooks.Pause, w.target.Hooks.Resume)
		})
	}
	return all
}
