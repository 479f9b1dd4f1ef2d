package conformance

import (
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// What the guarantees say about scopes that change while they are followed.

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
func joining(t *testing.T, w *world, start stream.Start, check func(t *testing.T, w *world, sub *stream.Subscription, base, key msg.Key, member stream.Scope)) {
	for _, kind := range kinds {
		for _, source := range []string{"a source of its own", "a shared source"} {
			t.Run(kind.name+", "+source, func(t *testing.T) {
				s := w.session(t)
				if source == "a shared source" {
					s, _ = w.shared(t)
				}
				other := *w
				other.org, other.typ = randomID(), randomID()
				base, key := w.grown(t, 1), other.grown(t, 2)
				sub := s.open(t, stream.Aggregates(base), stream.Options{Store: checkpoint.NewMemory(), Start: start})
				take(t, sub, caughtUp)
				check(t, w, sub, base, key, kind.member(key))
			})
		}
	}
}

// What joins comes from its start, what left comes no more, and what joins again
// goes on where it was.
func membersComeAndGo(t *testing.T, w *world) {
	joining(t, w, stream.FromBeginning, func(t *testing.T, w *world, sub *stream.Subscription, base, key msg.Key, member stream.Scope) {
		done(t, sub.Add(t.Context(), member))
		wantTold(t, "joined", take(t, sub, caughtUp), "1", "2")
		w.write(t, key, "3")
		wantTold(t, "live", take(t, sub, showing("3")), "3")
		done(t, sub.Remove(t.Context(), member))
		w.write(t, key, "4")
		w.write(t, base, "base")
		wantTold(t, "left", take(t, sub, showing("base")), "base")
		done(t, sub.Add(t.Context(), member))
		wantTold(t, "joined again", take(t, sub, showing("4")), "4")
		w.write(t, key, "5")
		wantTold(t, "live again", take(t, sub, showing("5")), "5")
		w.write(t, base, "base again")
		wantTold(t, "what stays", take(t, sub, showing("base again")), "base again")
	})
}

// In a subscription that started now, members that join start when they do.
func membersStartNow(t *testing.T, w *world) {
	joining(t, w, stream.FromNow, func(t *testing.T, w *world, sub *stream.Subscription, base, key msg.Key, member stream.Scope) {
		done(t, sub.Add(t.Context(), member))
		wantTold(t, "joined", take(t, sub, caughtUp))
		w.write(t, key, "3")
		wantTold(t, "live", take(t, sub, showing("3")), "3")
		w.write(t, base, "base")
		wantTold(t, "what stays", take(t, sub, showing("base")), "base")
	})
}

// What waits for the consumer when its aggregate leaves is dropped, also if it has
// joined again when the consumer gets there: it comes again, in order.
func joinedAgain(t *testing.T, w *world) {
	key, other := w.key(), w.key()
	sub := w.session(t).open(t, stream.Aggregates(key, other), stream.Options{Store: checkpoint.NewMemory()})
	take(t, sub, caughtUp)
	for i, key := range []msg.Key{key, other, key} {
		w.write(t, key, string(rune('a'+i)))
		eventually(t, "it waits", func() bool { return sub.Stats().Waiting == i+1 })
	}
	done(t, sub.Remove(t.Context(), stream.Aggregates(key)))
	wantTold(t, "left", take(t, sub, showing("b")), "b")
	done(t, sub.Add(t.Context(), stream.Aggregates(key)))
	wantTold(t, "joined again", take(t, sub, showing("c")), "a", "c")
}
