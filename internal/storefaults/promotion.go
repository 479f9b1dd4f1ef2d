package storefaults

import (
	"context"
	"errors"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
)

// Promotion is a server with a replica that follows it in its own time.
type Promotion struct {
	// CaughtUp returns once the replica has all that the primary has.
	CaughtUp func(ctx context.Context) error
	// CutOff ends the replication: the primary goes on alone.
	CutOff func(ctx context.Context) error
	// Promote ends the primary as a crash does and makes the replica the primary, which
	// the connections of the store find.
	Promote func(ctx context.Context) error
}

// LostWrites promotes a replica that lacks the last claim and the last transaction. Effect
// and cursor are lost together; the owner whose claim was lost is fenced, and so is
// everybody else once somebody claims anew.
func LostWrites(t *testing.T, store checkpoint.Store, x checkpointtest.Transactor, p Promotion) {
	t.Helper()
	do := func(doing string, step func(context.Context) error) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := step(ctx); err != nil {
			t.Fatalf("%s: %v", doing, err)
		}
	}
	s := newSaver(t, store, x)
	first := s.owner
	do("saving version 1", func(ctx context.Context) error { return s.save(ctx, first) })
	do("catching up", p.CaughtUp)
	do("cutting the replica off", p.CutOff)
	second := s.acquire()
	s.advance()
	do("saving version 2", func(ctx context.Context) error { return s.save(ctx, second) })
	lost := s.next[0]
	do("promoting", p.Promote)
	s.advance()
	s.fenced(second)
	if version := s.stored(); version != 1 {
		t.Fatalf("version %d after version 2 was lost, want 1", version)
	}
	s.effects(1)
	third := s.acquire()
	for _, former := range []checkpoint.Owner{first, second} {
		s.fenced(former)
	}
	s.next[0] = lost
	s.eventually("saving version 2 again", func(ctx context.Context) error {
		err := s.save(ctx, third)
		if errors.Is(err, checkpoint.ErrApplied) { // of an attempt without an answer
			return nil
		}
		return err
	})
	s.effects(2)
}

// fenced requires that saving is refused because of the fence, once the server answers.
func (s *saver) fenced(owner checkpoint.Owner) {
	s.Helper()
	s.eventually("saving under a former claim", func(ctx context.Context) error {
		err := s.save(ctx, owner)
		if err == nil {
			s.Fatalf("the owner of epoch %d saves under a claim that ended", owner.Epoch)
		}
		if errors.Is(err, checkpoint.ErrFenced) {
			return nil
		}
		return err
	})
}
