package stream_test

import (
	"errors"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// A consumer that takes and never commits is given so many aggregates, and then told why
// nothing comes; a commit goes on.
func TestNextWithoutCommit(t *testing.T) {
	w := newWorld(t, celerianttest.Options{}, pool.Options{})
	const aggregates, most = 40, 4
	for n := range aggregates {
		w.write(keyOf(n), "x")
	}
	waits, live := make(chan struct{}, 100), make(chan struct{}, 100)
	s := w.open(stream.Types(org, typ), stream.Options{MaxUncommitted: most, Readers: 1, OnState: func(state stream.State) {
		if errors.Is(state.Cause, stream.ErrUncommitted) {
			waits <- struct{}{}
		}
		if state.Phase == stream.Live {
			live <- struct{}{}
		}
	}})
	defer closeNow(t, s)
	got := 0
	var taken []stream.Change
	take := func(n int) {
		for got < n {
			changes, err := s.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			taken = append(taken, changes...)
			got = len(taken)
		}
	}
	take(most)
	<-waits
	if n := s.Stats().Waiting; got+n > most+1 {
		t.Errorf("%d changes delivered and %d waiting without a commit, not %d", got, n, most)
	}
	for got < aggregates {
		if err := s.Commit(t.Context(), stream.Entries(taken)); err != nil {
			t.Fatal(err)
		}
		take(got + 1)
	}
	if err := s.Commit(t.Context(), stream.Entries(taken)); err != nil {
		t.Fatal(err)
	}
	<-live
}
