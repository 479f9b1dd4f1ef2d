package logstore_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/journal"
	"github.com/celeriant/celeriant-go/checkpoint/logstore"
)

// Two processes save, each under claims that end the other's, while the leader is
// killed, paused and failed over. Acknowledged saves are there, and no save of an
// owner of before comes after the next one's claim.
func TestPairChangesItsLeader(t *testing.T) {
	pair := celerianttest.RunPair(t, celerianttest.PairOptions{
		Takeover: 20 * time.Millisecond, Rejoin: 10 * time.Millisecond, Lag: time.Millisecond,
	})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	type member struct {
		store *logstore.Store
		saves uint64
	}
	members := make([]*member, 2)
	for i := range members {
		client := connect(t, pair.A().Addr(), pair.B().Addr())
		members[i] = &member{store: open(t, client, logstore.Options{Journal: journal.Options{SnapshotBytes: 4_000}})}
	}
	// Under each claim a key of its own: a cursor that moves after the next claim
	// was made is a fence that did not hold.
	var mu sync.Mutex
	acknowledged := make(map[uint64]uint64) // epoch to version
	var members2 sync.WaitGroup
	for _, m := range members {
		members2.Go(func() {
			for ctx.Err() == nil {
				owner, err := m.store.Acquire(ctx, checkpoint.Claim{Name: "orders", Scope: "everything"})
				if err != nil {
					continue
				}
				for version := uint64(1); ctx.Err() == nil; version++ {
					err := m.store.Save(ctx, owner, to(int(owner.Epoch), version))
					if errors.Is(err, checkpoint.ErrFenced) {
						break
					}
					if err != nil {
						continue // unknown; the next one is further
					}
					mu.Lock()
					acknowledged[owner.Epoch] = version
					mu.Unlock()
					m.saves++
				}
			}
		})
	}
	for round := range 4 {
		leader := pair.Leader()
		progress := func() uint64 {
			mu.Lock()
			defer mu.Unlock()
			var n uint64
			for _, v := range acknowledged {
				n += v
			}
			return n
		}
		// Some saves between the faults.
		for before := progress(); progress() < before+20; {
			time.Sleep(time.Millisecond)
		}
		var err error
		switch round % 3 {
		case 0:
			err = errors.Join(pair.Kill(leader), await(ctx, pair, leader), pair.Restart(leader))
		case 1:
			err = pair.FailOver()
		case 2:
			err = errors.Join(pair.Pause(leader), await(ctx, pair, leader), pair.Resume(leader))
		}
		if err = errors.Join(err, pair.AwaitSettled(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	members2.Wait()
	fresh := open(t, connect(t, pair.A().Addr(), pair.B().Addr()), logstore.Options{})
	for epoch, version := range acknowledged {
		if got := stored(t, fresh, int(epoch)); got < version {
			t.Fatalf("under claim %d version %d was acknowledged, %d is stored", epoch, version, got)
		}
	}
	o, err := fresh.Describe(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d claims, %d saves", o.Epoch, members[0].saves+members[1].saves)
}

// await waits until another node than this one leads.
func await(ctx context.Context, pair *celerianttest.Pair, before *celerianttest.Node) error {
	for {
		leader, err := pair.AwaitLeader(ctx)
		if err != nil || leader != before {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}
