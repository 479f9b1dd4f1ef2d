package checkpointtest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

var ownershipRules = []Rule{
	{Name: "epochs rise", Check: epochsRise},
	{Name: "another scope is refused", Check: otherScopeRefused},
	{Name: "a refused claim fences nobody", Check: refusedClaimFencesNobody},
	{Name: "an adopted scope replaces the stored one", Check: scopeAdopted},
	{Name: "scopes are kept exactly", Check: scopesExact},
	{Name: "bad scopes are refused", Check: badScopes},
	{Name: "bad names are refused", Check: badNames},
	{Name: "unusual names are different names", Check: unusualNames},
}

func epochsRise(t testing.TB, f Fixture) {
	b := start(t, f)
	last := b.acquire(name).Epoch
	if last == 0 {
		t.Fatalf("the first epoch is 0, which the zero Owner holds too")
	}
	for range 5 {
		next := b.acquire(name).Epoch
		if next <= last {
			t.Fatalf("epoch %d follows epoch %d", next, last)
		}
		last = next
	}
}

func otherScopeRefused(t testing.TB, f Fixture) {
	b := start(t, f)
	b.claim(checkpoint.Claim{Name: name, Scope: "a"})
	for _, wanted := range []string{"b", "", "A", "a "} {
		_, err := b.store.Acquire(b.ctx, checkpoint.Claim{Name: name, Scope: wanted})
		var refused *checkpoint.ScopeError
		if !errors.As(err, &refused) {
			t.Fatalf("claiming with scope %q: %v, want a *ScopeError", wanted, err)
		}
		if want := (checkpoint.ScopeError{Name: name, Stored: "a", Wanted: wanted}); *refused != want {
			t.Fatalf("refused with %+v, want %+v", *refused, want)
		}
	}
	b.claim(checkpoint.Claim{Name: name, Scope: "a"})
	b.claim(checkpoint.Claim{Name: "other", Scope: "b"})
}

func refusedClaimFencesNobody(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	if _, err := b.store.Acquire(b.ctx, checkpoint.Claim{Name: name, Scope: "another"}); err == nil {
		t.Fatalf("another scope was accepted")
	}
	b.save(owner, at(1, 1))
	b.claim(checkpoint.Claim{Name: name, Scope: scope})
}

func scopeAdopted(t testing.TB, f Fixture) {
	b := start(t, f)
	old := b.claim(checkpoint.Claim{Name: name, Scope: "narrow"})
	b.save(old, at(1, 1))
	owner := b.claim(checkpoint.Claim{Name: name, Scope: "wide", Adopt: true})
	b.fenced(old, at(1, 2))
	b.holds(name, at(1, 1))
	b.save(owner, at(1, 2))
	var refused *checkpoint.ScopeError
	if _, err := b.store.Acquire(b.ctx, checkpoint.Claim{Name: name, Scope: "narrow"}); !errors.As(err, &refused) {
		t.Fatalf("claiming with the scope of before: %v, want a *ScopeError", err)
	}
	b.claim(checkpoint.Claim{Name: name, Scope: "wide"})
	b.claim(checkpoint.Claim{Name: "new", Scope: "any", Adopt: true})
}

func scopesExact(t testing.TB, f Fixture) {
	b := start(t, f)
	for i, text := range []string{
		"", " ", "it's \"quoted\" \\ %s $1 ?1 ; --", "два\nlines\t語", strings.Repeat("é", checkpoint.MaxScope/2),
	} {
		n := "scope" + string(rune('a'+i))
		b.claim(checkpoint.Claim{Name: n, Scope: text})
		b.claim(checkpoint.Claim{Name: n, Scope: text})
		var refused *checkpoint.ScopeError
		if _, err := b.store.Acquire(b.ctx, checkpoint.Claim{Name: n, Scope: "x"}); !errors.As(err, &refused) {
			t.Fatalf("claiming with another scope than %.20q: %v, want a *ScopeError", text, err)
		}
		if refused.Stored != text {
			t.Fatalf("scope %.40q (%d bytes) is stored as %.40q (%d bytes)", text, len(text), refused.Stored, len(refused.Stored))
		}
	}
}

func badScopes(t testing.TB, f Fixture) {
	b := start(t, f)
	for _, text := range []string{"a\x00b", "\xff", strings.Repeat("s", checkpoint.MaxScope+1)} {
		var bad *checkpoint.ScopeTextError
		if _, err := b.store.Acquire(b.ctx, checkpoint.Claim{Name: name, Scope: text}); !errors.As(err, &bad) {
			t.Fatalf("claiming with scope %.20q (%d bytes): %v, want a *ScopeTextError", text, len(text), err)
		}
	}
}

func badNames(t testing.TB, f Fixture) {
	b := start(t, f)
	for _, bad := range []string{"", strings.Repeat("n", checkpoint.MaxName+1), "a\x00b", "a\nb", "\x7f", "a\xffb", "a\u200bb"} {
		for call, do := range calls(b.store, checkpoint.Owner{Name: bad, Epoch: 1}) {
			var refused *checkpoint.NameError
			if err := do(b.ctx); !errors.As(err, &refused) {
				t.Fatalf("%s of name %.20q (%d bytes): %v, want a *NameError", call, bad, len(bad), err)
			}
		}
	}
}

// calls are all calls that name a subscription.
func calls(s checkpoint.Store, owner checkpoint.Owner) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Acquire": func(ctx context.Context) error {
			_, err := s.Acquire(ctx, checkpoint.Claim{Name: owner.Name, Scope: scope})
			return err
		},
		"Load": func(ctx context.Context) error {
			_, err := s.Load(ctx, owner.Name, []msg.Key{key(1)})
			return err
		},
		"Save": func(ctx context.Context) error {
			return s.Save(ctx, owner, []checkpoint.Entry{at(1, 9)})
		},
		"Scan": func(ctx context.Context) error {
			for _, err := range s.Scan(ctx, owner.Name) {
				return err
			}
			return errors.New("no error")
		},
		"Delete": func(ctx context.Context) error { return s.Delete(ctx, owner.Name) },
	}
}

func unusualNames(t testing.TB, f Fixture) {
	b := start(t, f)
	names := []string{
		"a", "A", "a ", " a", "a/b", "a.b", "../a", "a%", "_", "'", "\"", "\\", ";--", "é", "e\u0301", "語", "🦆",
		strings.Repeat("n", checkpoint.MaxName), strings.Repeat("n", checkpoint.MaxName-1),
	}
	owners := make([]checkpoint.Owner, len(names))
	for i, n := range names {
		owners[i] = b.acquire(n)
		b.save(owners[i], at(1, uint64(i+1)), at(100+i, 5))
	}
	for i, n := range names {
		b.save(owners[i])
		b.holds(n, at(1, uint64(i+1)), at(100+i, 5), never(100+i+1))
		if got := b.scan(n); len(got) != 2 {
			t.Fatalf("%.20q holds %d cursors, want 2", n, len(got))
		}
	}
}
