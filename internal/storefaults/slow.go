package storefaults

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
)

// Delay is how late everything arrives over the links of SlowLink.
const Delay = 3 * time.Millisecond

// overSlowLinks are the rules that SlowLink applies.
var overSlowLinks = []string{
	"partitions are fought for, the last owner stays",
	"an effect and its cursor commit together, once",
	"commits signal",
}

// SlowLink tests a store over a link that is late, and then over one on which nothing
// arrives for a while: calls end with their context, and what they were to save is stored
// or not, and never anything else. open makes a new, empty fixture at an address.
func SlowLink(t *testing.T, target string, open func(t testing.TB, address string) checkpointtest.Fixture) {
	t.Helper()
	l := NewLink(t, target, Delay)
	tested := 0
	for _, rule := range checkpointtest.Rules() {
		if !slices.Contains(overSlowLinks, rule.Name) {
			continue
		}
		tested++
		t.Run(rule.Name, func(t *testing.T) {
			f := open(t, l.Address())
			if rule.Needs == nil || rule.Needs(f) {
				rule.Check(t, f)
			}
		})
	}
	if tested != len(overSlowLinks) {
		t.Errorf("%d of %d rules exist", tested, len(overSlowLinks))
	}
	t.Run("nothing arrives", func(t *testing.T) { stalled(t, l, open(t, l.Address())) })
}

func stalled(t *testing.T, l *Link, f checkpointtest.Fixture) {
	store, err := f.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	s := newSaver(t, store, nil)
	s.eventually("saving version 1", func(ctx context.Context) error { return s.save(ctx, s.owner) })
	s.advance()
	resume := l.Stall()
	defer resume()
	// Far less than what clients wait for of their own accord.
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- s.save(ctx, s.owner) }()
	select {
	case err := <-result:
		if err == nil {
			t.Fatal("a save succeeded whose answer cannot have arrived")
		}
	case <-time.After(patience):
		t.Fatalf("a save has not ended %v after its deadline", patience)
	}
	resume()
	if version := s.stored(); version != 1 && version != 2 {
		t.Fatalf("version %d is stored, want 1 or 2", version)
	}
	s.advance()
	s.next[0].Compare = false
	s.eventually("saving version 3", func(ctx context.Context) error { return s.save(ctx, s.owner) })
	if version := s.stored(); version != 3 {
		t.Fatalf("version %d is stored, want 3", version)
	}
}
