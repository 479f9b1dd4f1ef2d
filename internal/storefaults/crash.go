package storefaults

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
)

// Crashes saves one version after the other, each with an effect if x is not nil, while
// the server is killed and started again as often as there are faults. Every acknowledged
// save is stored, every effect is there once, all errors pass, and saving goes on.
func Crashes(t *testing.T, store checkpoint.Store, x checkpointtest.Transactor, faults ...func() error) {
	t.Helper()
	s := newSaver(t, store, x)
	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	defer func() {
		stop()
		working.Wait()
	}()
	ended := make(chan struct{})
	working.Go(func() {
		defer close(ended)
		s.run(ctx)
	})
	for _, fault := range faults {
		s.await(ended, 20)
		if err := fault(); err != nil {
			t.Fatal(err)
		}
	}
	last := s.await(ended, 20)
	stop()
	working.Wait()
	for more := true; more; {
		select {
		case last = <-s.acknowledged:
		default:
			more = false
		}
	}
	version := s.stored()
	if version < last || version > last+1 {
		t.Fatalf("version %d is stored, %d was acknowledged last", version, last)
	}
	s.effects(version)
}

// await waits for as many saves as that from now on, and returns the last one's version.
func (s *saver) await(ended <-chan struct{}, saves int) (version uint64) {
	s.Helper()
	for more := true; more; { // those of before
		select {
		case <-s.acknowledged:
		default:
			more = false
		}
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	for range saves {
		select {
		case version = <-s.acknowledged:
		case <-ended:
			s.FailNow()
		case <-late.C:
			s.Fatalf("no %d saves in %v", saves, patience)
		}
	}
	return version
}
