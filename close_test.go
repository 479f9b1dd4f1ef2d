package celeriant_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/checkpoint"
)

// awayStore is a store that stays away: saves fail at once, or when their context ends.
type awayStore struct {
	checkpoint.Store
	away  atomic.Bool
	stuck bool
}

var errAway = errors.New("the store is away")

func (s *awayStore) Save(ctx context.Context, owner checkpoint.Owner, entries []checkpoint.Entry) error {
	if !s.away.Load() {
		return s.Store.Save(ctx, owner, entries)
	}
	if s.stuck {
		<-ctx.Done()
	}
	return errAway
}

// Close gives a store that is away 5 s, whatever handles the changes and whatever the
// store was asked when Close was called.
func TestCloseWhileTheStoreIsAway(t *testing.T) {
	handle := func(handled chan<- struct{}) func(context.Context, celeriant.Change) error {
		return func(context.Context, celeriant.Change) error {
			handled <- struct{}{}
			return nil
		}
	}
	views := map[string]func(o *celeriant.Observable, handled chan<- struct{}){
		"an observer of rxgo": func(o *celeriant.Observable, handled chan<- struct{}) {
			o.ForEach(func(any) { handled <- struct{}{} }, func(error) {}, func() {})
		},
		"Run": func(o *celeriant.Observable, handled chan<- struct{}) {
			go func() { _ = o.Run(context.Background(), handle(handled)) }()
		},
		"All": func(o *celeriant.Observable, handled chan<- struct{}) {
			go func() {
				for range o.All(context.Background()) {
					handled <- struct{}{}
				}
			}()
		},
		"all of them": nil,
	}
	for name, view := range views {
		for _, stuck := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				bubble(t, func(w *world) {
					store := &awayStore{Store: w.store, stuck: stuck}
					handled := make(chan struct{}, 100)
					w.write(1, "a")
					for other, open := range views {
						if open != nil && (other == name || view == nil) {
							open(w.client.Watch(celeriant.Types(org, typ), celeriant.WithName(other), celeriant.WithCheckpoints(store)), handled)
						}
					}
					synctest.Wait()
					store.away.Store(true)
					w.write(1, "b")
					synctest.Wait()
					began := time.Now()
					w.close()
					if took := time.Since(began); took > 5*time.Second {
						t.Errorf("stuck %v: Close took %v", stuck, took)
					}
				})
			})
		}
	}
}
