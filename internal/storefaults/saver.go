package storefaults

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
	"github.com/celeriant/celeriant-go/msg"
)

const (
	subscription = "orders"
	// patience is how long anything is waited for that a store or its server has to do.
	patience = 90 * time.Second
	// pause is between a failure and the next attempt.
	pause = 5 * time.Millisecond
)

// saver moves one cursor on and on, version by version.
type saver struct {
	*testing.T
	store checkpoint.Store
	// transactor, unless it is nil, saves in transactions that have an effect each.
	transactor checkpointtest.Transactor
	owner      checkpoint.Owner
	next       []checkpoint.Entry
	// acknowledged gets the versions that are known to be stored, as far as there is room.
	acknowledged chan uint64
}

func newSaver(t *testing.T, store checkpoint.Store, x checkpointtest.Transactor) *saver {
	t.Helper()
	s := &saver{T: t, store: store, transactor: x, acknowledged: make(chan uint64, 1<<16)}
	s.owner = s.acquire()
	s.next = []checkpoint.Entry{{Key: savedKey, Cursor: checkpoint.Cursor{Version: 1}, Compare: true}}
	return s
}

var savedKey = msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(3)}

func (s *saver) acquire() checkpoint.Owner {
	s.Helper()
	var owner checkpoint.Owner
	s.eventually("claiming", func(ctx context.Context) (err error) {
		owner, err = s.store.Acquire(ctx, checkpoint.Claim{Name: subscription, Scope: "everything"})
		return err
	})
	return owner
}

// eventually repeats what fails because of the server.
func (s *saver) eventually(doing string, do func(ctx context.Context) error) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	for {
		err := do(ctx)
		if err == nil {
			return
		}
		if ctx.Err() != nil || !s.passes(err) {
			s.Fatalf("%s: %v", doing, err)
		}
		rest(ctx)
	}
}

// passes reports whether the store says of an error that it passes; stores that cannot
// say so are believed.
func (s *saver) passes(err error) bool {
	if checkpoint.IsRefusal(err) {
		return false
	}
	p, ok := s.store.(interface{ Passing(error) bool })
	return !ok || p.Passing(err)
}

// rest waits a moment.
func rest(ctx context.Context) {
	select {
	case <-time.After(pause):
	case <-ctx.Done():
	}
}

// save saves the next version once.
func (s *saver) save(ctx context.Context, owner checkpoint.Owner) error {
	if s.transactor == nil {
		return s.store.Save(ctx, owner, s.next)
	}
	return s.transactor.Transact(ctx, owner, s.next, func(_ context.Context, effect func() error) error { return effect() })
}

func (s *saver) advance() {
	s.next[0].From = s.next[0].Cursor
	s.next[0].Cursor.Version++
}

// run saves until ctx ends. Of every error the store has to say that it passes.
func (s *saver) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := s.save(ctx, s.owner)
		if err != nil && !errors.Is(err, checkpoint.ErrApplied) {
			if ctx.Err() == nil && !s.passes(err) {
				s.Errorf("saving version %d: %v, which does not pass", s.next[0].Cursor.Version, err)
				return
			}
			if !s.inquire(ctx) {
				rest(ctx)
				continue
			}
		}
		select {
		case s.acknowledged <- s.next[0].Cursor.Version:
		default:
		}
		s.advance()
	}
}

// inquire reports whether a save of unknown outcome is known to be stored; a store
// without transactions tells when it is repeated.
func (s *saver) inquire(ctx context.Context) bool {
	if s.transactor == nil {
		return false
	}
	n, err := s.transactor.Stored(ctx, s.owner, s.next)
	return err == nil && n == 1
}

// stored reads the cursor.
func (s *saver) stored() (version uint64) {
	s.Helper()
	s.eventually("loading", func(ctx context.Context) error {
		cursors, err := s.store.Load(ctx, subscription, []msg.Key{savedKey})
		if err == nil {
			version = cursors[0].Version
		}
		return err
	})
	return version
}

// effects requires that there are as many effects as the cursor says.
func (s *saver) effects(version uint64) {
	s.Helper()
	if s.transactor == nil {
		return
	}
	n := 0
	s.eventually("counting effects", func(ctx context.Context) (err error) {
		n, err = s.transactor.Effects(ctx)
		return err
	})
	if uint64(n) != version {
		s.Fatalf("%d effects, and the cursor at version %d", n, version)
	}
}
