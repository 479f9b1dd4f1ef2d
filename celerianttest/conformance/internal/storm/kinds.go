package storm

import (
	"context"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/record"
	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/world"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

func typeScope(w *world.World, _ []msg.Key) stream.Scope { return stream.Types(w.Org, w.Type) }

func orgScope(w *world.World, _ []msg.Key) stream.Scope { return stream.Orgs(w.Org) }

func keysScope(_ *world.World, keys []msg.Key) stream.Scope {
	return stream.Aggregates(slices.Clone(keys)...)
}

// orgsScope is for storms that are spread.
func orgsScope(_ *world.World, keys []msg.Key) stream.Scope {
	var all []stream.Scope
	for _, key := range keys {
		all = append(all, stream.Orgs(key.Org))
	}
	return stream.Union(all...)
}

// All are those in which only connections suffer.
func All(server world.Server) []Kind {
	rushed := stream.Options{Latency: 20 * time.Millisecond, Buffer: 8 << 10, Readers: 3}
	shared := []consumer{
		{scope: typeScope, shared: true},
		{scope: orgScope, opts: rushed, shared: true},
		{scope: typeScope, opts: stream.Options{Range: stream.HashShare(0, 2)}, shared: true, divides: true},
		{scope: keysScope, opts: stream.Options{Range: stream.HashShare(1, 2)}, shared: true, divides: true},
	}
	own := []consumer{{scope: typeScope}, {scope: keysScope}, {scope: orgScope, opts: rushed}}
	if server.Pair() && server.Followers {
		followers := stream.Options{Followers: true}
		own = append(own, consumer{scope: typeScope, opts: followers})
		shared = append(shared, consumer{scope: typeScope, opts: followers, shared: true})
	}
	return []Kind{
		{Name: "sources of their own", consumers: own},
		{Name: "a shared source", consumers: shared},
		{Name: "scopes that change, and one that begins now", spread: true, consumers: []consumer{
			{living: true},
			{living: true, shared: true},
			{scope: orgsScope, opts: stream.Options{Start: stream.FromNow}, shared: true, after: 100},
		}},
	}
}

// Disturbances are the storms in which nodes suffer, as far as the target has
// the hooks for it. With Followers each passes over subscriptions at the
// leader and over some at followers.
func Disturbances(server world.Server) []Kind {
	var all []Kind
	add := func(name string, nodes func(context.Context, *world.World, *record.Recorder) (int, error)) {
		at := func(name string, o stream.Options) {
			all = append(all, Kind{Name: name, nodes: nodes, consumers: []consumer{
				{scope: typeScope, opts: o}, {living: true, opts: o, shared: true}, {scope: orgScope, opts: o, shared: true},
			}})
		}
		at(name, stream.Options{})
		if server.Pair() && server.Followers {
			at(name+", watched at followers", stream.Options{Followers: true})
		}
	}
	if server.Kills() {
		add("nodes killed", func(ctx context.Context, w *world.World, r *record.Recorder) (int, error) {
			return disturb(ctx, w, r, "killed", w.Server.Kill, w.Server.Restart)
		})
	}
	if server.Pauses() {
		add("nodes paused", func(ctx context.Context, w *world.World, r *record.Recorder) (int, error) {
			return disturb(ctx, w, r, "paused", w.Server.Pause, w.Server.Resume)
		})
	}
	return all
}
