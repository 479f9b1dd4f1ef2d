package guarantees

import (
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/world"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// The cases about scopes that change while they are followed.

// kinds are the kinds of members that can join a scope, made of one aggregate that
// is of another type and organisation than all others.
var kinds = []struct {
	name   string
	member func(key msg.Key) stream.Scope
}{
	{"an aggregate", func(key msg.Key) stream.Scope { return stream.Aggregates(key) }},
	{"a type", func(key msg.Key) stream.Scope { return stream.Types(key.Org, key.Type) }},
	{"an organisation", func(key msg.Key) stream.Scope { return stream.Orgs(key.Org) }},
}

// joining lets a check run for each kind of member and of source. The subscription
// follows one aggregate, base, and has caught up with it.
func joining(t *testing.T, w *world.World, start stream.Start, check func(t *testing.T, w *world.World, sub *stream.Subscription, base, key msg.Key, member stream.Scope)) {
	for _, kind := range kinds {
		for _, source := range []string{"a source of its own", "a shared source"} {
			t.Run(kind.name+", "+source, func(t *testing.T) {
				s := w.Session(t)
				if source == "a shared source" {
					s, _ = w.Shared(t)
				}
				other := *w
				other.Org, other.Type = world.RandomID(), world.RandomID()
				base, key := w.Grown(t, 1), other.Grown(t, 2)
				sub := s.Open(t, stream.Aggregates(base), stream.Options{Store: checkpoint.NewMemory(), Start: start})
				world.Take(t, sub, world.CaughtUp)
				check(t, w, sub, base, key, kind.member(key))
			})
		}
	}
}

// A member that joins comes from its start, one that left comes no more, and one that joins again
// goes on where it was.
func membersComeAndGo(t *testing.T, w *world.World) {
	joining(t, w, stream.FromBeginning, func(t *testing.T, w *world.World, sub *stream.Subscription, base, key msg.Key, member stream.Scope) {
		world.Must(t, sub.Add(t.Context(), member))
		world.WantTold(t, "joined", world.Take(t, sub, world.CaughtUp), "1", "2")
		w.Write(t, key, "3")
		world.WantTold(t, "live", world.Take(t, sub, world.Showing("3")), "3")
		world.Must(t, sub.Remove(t.Context(), member))
		w.Write(t, key, "4")
		w.Write(t, base, "base")
		world.WantTold(t, "left", world.Take(t, sub, world.Showing("base")), "base")
		world.Must(t, sub.Add(t.Context(), member))
		world.WantTold(t, "joined again", world.Take(t, sub, world.Showing("4")), "4")
		w.Write(t, key, "5")
		world.WantTold(t, "live again", world.Take(t, sub, world.Showing("5")), "5")
		w.Write(t, base, "base again")
		world.WantTold(t, "what stays", world.Take(t, sub, world.Showing("base again")), "base again")
	})
}

// In a subscription that started now, members that join start when they do.
func membersStartNow(t *testing.T, w *world.World) {
	joining(t, w, stream.FromNow, func(t *testing.T, w *world.World, sub *stream.Subscription, base, key msg.Key, member stream.Scope) {
		world.Must(t, sub.Add(t.Context(), member))
		world.WantTold(t, "joined", world.Take(t, sub, world.CaughtUp))
		w.Write(t, key, "3")
		world.WantTold(t, "live", world.Take(t, sub, world.Showing("3")), "3")
		w.Write(t, base, "base")
		world.WantTold(t, "what stays", world.Take(t, sub, world.Showing("base")), "base")
	})
}

// A change that waits for the consumer when its aggregate leaves is dropped, also if the aggregate has
// joined again when the consumer gets there: it comes again, in order.
func joinedAgain(t *testing.T, w *world.World) {
	key, other := w.Key(), w.Key()
	sub := w.Session(t).Open(t, stream.Aggregates(key, other), stream.Options{Store: checkpoint.NewMemory()})
	world.Take(t, sub, world.CaughtUp)
	for i, key := range []msg.Key{key, other, key} {
		w.Write(t, key, string(rune('a'+i)))
		world.Eventually(t, "it waits", func() bool { return sub.Stats().Waiting == i+1 })
	}
	world.Must(t, sub.Remove(t.Context(), stream.Aggregates(key)))
	world.WantTold(t, "left", world.Take(t, sub, world.Showing("b")), "b")
	world.Must(t, sub.Add(t.Context(), stream.Aggregates(key)))
	world.WantTold(t, "joined again", world.Take(t, sub, world.Showing("c")), "a", "c")
}
