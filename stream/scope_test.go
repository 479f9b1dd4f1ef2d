package stream

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
	"pgregory.net/rapid"
)

func id(n int) msg.ID { return msg.IDFromUint64(uint64(n)) }

func ids(n int) []msg.ID {
	out := make([]msg.ID, n)
	for i := range out {
		out[i] = msg.IDFromUint64s(^uint64(0), ^uint64(i))
	}
	return out
}

func TestScopeContains(t *testing.T) {
	key := msg.Key{Org: id(1), Type: id(2), Aggregate: id(3)}
	journal := msg.Key{Org: id(1), Type: checkpoint.JournalType(), Aggregate: id(3)}
	for _, c := range []struct {
		scope Scope
		want  bool
	}{
		{Everything(), false},
		{Orgs(id(1)), false}, {Union(Everything(), Aggregates(journal, key)), true}, {Union(Everything(), Types(id(1), id(2))), false}, {Union(Orgs(id(1)), Aggregates(journal)), true},
		{Types(id(1), checkpoint.JournalType()), true}, {Aggregates(journal), true},
	} {
		if got := c.scope.Contains(journal); got != c.want {
			t.Errorf("%v contains a journal of checkpoints: %v", c.scope, got)
		}
	}
	for _, c := range []struct {
		scope Scope
		want  bool
	}{
		{Everything(), true},
		{Orgs(id(1)), true}, {Orgs(id(2), id(1)), true}, {Orgs(id(2)), false},
		{Types(id(1), id(2)), true}, {Types(id(1), id(9), id(2)), true}, {Types(id(2), id(2)), false}, {Types(id(1), id(3)), false},
		{Aggregates(key), true}, {Aggregates(msg.Key{Org: id(1), Type: id(9), Aggregate: id(3)}), false},
		{Scope{}, false},
	} {
		if got := c.scope.Contains(key); got != c.want {
			t.Errorf("%v contains the key: %v", c.scope, got)
		}
	}
}

// The text is what a checkpoint remembers: order and repetition must not show.
func TestScopeText(t *testing.T) {
	if a, b := Types(id(1), id(3), id(2), id(3)).String(), Types(id(1), id(2), id(3)).String(); a != b {
		t.Errorf("%q and %q are one scope", a, b)
	}
	long := Orgs(ids(100)...)
	if text := long.String(); len(text) > maxScopeText || !strings.HasPrefix(text, "organisations (100, sha256 ") {
		t.Errorf("%q", text)
	}
	if long.String() == Orgs(ids(101)[1:]...).String() {
		t.Error("two long scopes have one text")
	}
}

func TestEmptyScopesAreRefused(t *testing.T) {
	for _, s := range []Scope{{}, Aggregates(), Types(id(1)), Orgs()} {
		if err := s.check(); err == nil {
			t.Errorf("%v was accepted", s)
		}
	}
}

// In every scope each watch fits its frame in both codecs, every member
// is let through by one of them, and the list filter lets it through too.
func TestWatchesCoverTheScopeAndFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 600).Draw(t, "members")
		kind := rapid.IntRange(0, 3).Draw(t, "kind")
		var scope Scope
		members := ids(n)
		var keys []msg.Key
		for i, m := range members {
			key := msg.Key{Org: id(1), Type: id(i % 3), Aggregate: m}
			switch kind {
			case 1:
				key = msg.Key{Org: id(1), Type: m, Aggregate: id(i)}
			case 2:
				key = msg.Key{Org: m, Type: id(i % 5), Aggregate: id(i)}
			case 3:
				key = msg.Key{Org: m, Type: m, Aggregate: m}
			}
			keys = append(keys, key)
		}
		switch kind {
		case 0, 3:
			scope = Aggregates(keys...)
		case 1:
			scope = Types(id(1), members...)
		case 2:
			scope = Orgs(members...)
		}
		parts := scope.watches()
		if len(parts) == 0 || len(parts) > maxParts {
			t.Fatalf("%d watches per shard", len(parts))
		}
		for _, part := range parts {
			for _, v := range []wire.Version{wire.V2, wire.V3} {
				req := part.request(^uint64(0), 2e9)
				req.SetCorrelation(msg.Some(id(1)))
				if _, err := wire.AppendRequest(nil, v, req, nil, 0); err != nil {
					t.Fatal(err)
				}
			}
		}
		org, typ := scope.listFilter()
		for _, key := range keys {
			if !scope.Contains(key) {
				t.Fatalf("%v is not in its scope", key)
			}
			covered := false
			for _, p := range parts {
				covered = covered || p.lets(key)
			}
			if !covered {
				t.Fatalf("no watch lets %v through", key)
			}
			if (org.Set && org.Value != key.Org) || (typ.Set && typ.Value != key.Type) {
				t.Fatalf("the list filter holds %v back", key)
			}
		}
	})
}

func (f watchFilter) lets(key msg.Key) bool {
	in := func(set []msg.ID, id msg.ID) bool {
		for _, m := range set {
			if m == id {
				return true
			}
		}
		return set == nil
	}
	return in(f.orgs, key.Org) && in(f.types, key.Type) && in(f.aggregates, key.Aggregate)
}

// The list's filter is as narrow as the scope, and holds nothing of it back where
// its members differ.
func TestListFilter(t *testing.T) {
	one, two := Types(id(1), id(2)), Aggregates(msg.Key{Org: id(1), Type: id(3), Aggregate: id(4)})
	far := Aggregates(msg.Key{Org: id(5), Type: id(2), Aggregate: id(4)})
	none := msg.None[msg.ID]()
	for _, c := range []struct {
		scope    Scope
		org, typ msg.Opt[msg.ID]
	}{
		{Everything(), none, none},
		{one, msg.Some(id(1)), msg.Some(id(2))},
		{two, msg.Some(id(1)), msg.Some(id(3))},
		{Union(one, two), msg.Some(id(1)), none},
		{Union(one, Orgs(id(1))), msg.Some(id(1)), none},
		{Union(far, Orgs(id(1))), none, none},
		{Union(one, far), none, msg.Some(id(2))},
		{Types(id(1), id(2), id(3)), msg.Some(id(1)), none},
		{Scope{}, none, none},
	} {
		if org, typ := c.scope.listFilter(); org != c.org || typ != c.typ {
			t.Errorf("%v is listed with %v and %v", c.scope, org, typ)
		}
	}
}

// A window below a millisecond is none of 0, which asks for no window.
func TestWatchLatency(t *testing.T) {
	for latency, want := range map[time.Duration]msg.Opt[uint64]{
		0: {}, 1: msg.Some(uint64(1)), 5 * time.Millisecond: msg.Some(uint64(5)),
	} {
		if got := (watchFilter{}).request(1, latency).LatencyMS; got != want {
			t.Errorf("%v is asked for as %v", latency, got)
		}
	}
}

// A range holds its bounds.
func TestRangeBounds(t *testing.T) {
	key := msg.Key{Org: id(1)}
	h := HashOf(key)
	for r, want := range map[HashRange]bool{{h, h}: true, {0, h}: true, {h, h + 1}: true, {1, h - 1}: false, {h + 1, ^uint64(0)}: false} {
		if r.Contains(key) != want {
			t.Errorf("%v holds %016x: %v", r, h, !want)
		}
	}
}

// One change of scope at a time; one that changes nothing, or whose context has
// ended, does nothing.
func TestRescopeByOne(t *testing.T) {
	onStage(t, Options{}, func(t *testing.T, _ *stage, s *Subscription) {
		err := s.rescope(t.Context(), func(scope Scope) (Scope, error) {
			if s.rescoping.TryLock() {
				t.Error("somebody else may change the scope meanwhile")
			}
			return scope, nil
		})
		if err == nil {
			err = s.Add(t.Context(), Orgs(id(1))) // everything is followed already
		}
		if err != nil || !s.left.Empty() {
			t.Errorf("changed: %v, %v", s.Scope(), err)
		}
		ended, cancel := context.WithCancelCause(t.Context())
		cancel(errEnough)
		if err := s.Remove(ended, Everything()); !errors.Is(err, errEnough) || s.Scope().Empty() {
			t.Errorf("changed to %v after the end: %v", s.Scope(), err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Remove(t.Context(), Everything()); !errors.Is(err, ErrClosed) {
			t.Errorf("the scope of what is closed changes: %v", err)
		}
	})
}
