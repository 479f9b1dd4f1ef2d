package celerianttest_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
)

// newest returns the newest version a read from a version shows, and its payload.
func newest(p *peer, from uint64) (version uint64, payload string) {
	p.t.Helper()
	page, ok := p.call(&msg.ReadRequest{Key: key(1), Filters: msg.ReadFilters{From: from}}).(*msg.ReadResponse)
	if !ok || len(page.Batches) == 0 {
		return 0, ""
	}
	b := page.Batches[len(page.Batches)-1]
	return b.Version, string(b.Events[0].Value)
}

// With ReadLag what was notified is read a while later, at most so long, and
// acknowledged when it can be read.
func TestReadLag(t *testing.T) {
	const lag = 500 * time.Millisecond
	inBubble(t, celerianttest.Options{ReadLag: lag}, func(t *testing.T, node *celerianttest.Node) {
		w, writes, reads := watching(dial(t, node), 1), dial(t, node), dial(t, node)
		late := 0
		for version := uint64(1); version <= 40; version++ {
			began := time.Now()
			writes.send(writeTo(key(1), event(version, fmt.Sprint(version))))
			if version == 1 {
				w.wantNotifications(created(key(1)), wrote(key(1), 1, 1))
			} else {
				w.wantNotifications(wrote(key(1), version, version))
			}
			if took := time.Since(began); took > 0 {
				t.Fatalf("version %d was notified after %v", version, took)
			}
			synctest.Wait()
			shown, _ := newest(reads, max(version-1, 1))
			writes.recv()
			took := time.Since(began)
			switch {
			case took > lag:
				t.Fatalf("version %d was acknowledged after %v", version, took)
			case took > 0 && shown != version-1, took == 0 && shown != version:
				t.Fatalf("version %d is acknowledged %v later, and version %d was read at once", version, took, shown)
			case took > 0:
				late++
			}
			if shown, _ = newest(reads, version); shown != version {
				t.Fatalf("version %d is acknowledged, and version %d is read", version, shown)
			}
			if d := reads.call(&msg.DetailsRequest{Key: key(1)}).(*msg.DetailsResponse); d.MaxVersion != version {
				t.Fatalf("version %d is acknowledged, and version %d in the details", version, d.MaxVersion)
			}
		}
		if late < 5 || late > 20 {
			t.Errorf("of 40 changes %d were read late", late)
		}
	})
}

// With Quirks a deleted aggregate that is written to shows the life that ended,
// until it shows the next one.
func TestReadLagShowsTheEndedLife(t *testing.T) {
	for _, quirks := range []bool{false, true} {
		inBubble(t, celerianttest.Options{ReadLag: time.Second, Quirks: quirks}, func(t *testing.T, node *celerianttest.Node) {
			w, writes, reads := watching(dial(t, node), 1), dial(t, node), dial(t, node)
			ghosts, holes := 0, 0
			for life := range 40 {
				old, next := fmt.Sprint(life-1), fmt.Sprint(life)
				writes.send(writeTo(key(1), event(uint64(life+1), next)))
				w.recv()
				synctest.Wait()
				switch _, payload := newest(reads, 1); {
				case payload == next:
				case payload == "":
					holes++
				case payload == old:
					ghosts++
				default:
					t.Fatalf("life %d: %q is read", life, payload)
				}
				writes.recv()
				if _, payload := newest(reads, 1); payload != next {
					t.Fatalf("life %d is acknowledged, and %q is read", life, payload)
				}
				writes.call(&msg.DeleteRequest{ClientID: id(9), Deletes: []msg.AggregateDelete{{Key: key(1), AllowRecreate: true}}})
				w.recv()
				if _, payload := newest(reads, 1); payload != "" {
					t.Fatalf("life %d is deleted, and %q is read", life, payload)
				}
			}
			if quirks != (ghosts > 1) || !quirks != (holes > 1) {
				t.Errorf("quirks %v: %d ended lives and %d holes were read", quirks, ghosts, holes)
			}
		})
	}
}

// A restart shows what was committed, and so does the node that takes over.
func TestReadLagEnds(t *testing.T) {
	inBubble(t, celerianttest.Options{ReadLag: time.Hour}, func(t *testing.T, node *celerianttest.Node) {
		w, writes := watching(dial(t, node), 1), dial(t, node)
		version := uint64(0)
		for shown := uint64(0); shown == version; shown, _ = newest(dial(t, node), 1) {
			version++
			writes.send(writeTo(key(1), event(version, "x")))
			w.recv()
			synctest.Wait()
		}
		if err := node.Restart(); err != nil {
			t.Fatal(err)
		}
		if shown, _ := newest(dial(t, node), 1); shown != version {
			t.Fatalf("version %d was notified, and %d is read after a restart", version, shown)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		pair := celerianttest.RunPair(t, celerianttest.PairOptions{Options: celerianttest.Options{InMemory: true, ReadLag: time.Hour}, Lag: -1})
		time.Sleep(time.Second)
		w, writes := watching(dial(t, pair.A()), 1), dial(t, pair.A())
		version := uint64(0)
		for shown := uint64(0); shown == version; shown, _ = newest(dial(t, pair.A()), 1) {
			version++
			writes.send(writeTo(key(1), event(version, "x")))
			w.recv()
			synctest.Wait()
		}
		if shown, _ := newest(dial(t, pair.B()), 1); shown != version-1 {
			t.Fatalf("the leader shows version %d, its follower %d", version-1, shown)
		}
		if err := pair.FailOver(); err != nil {
			t.Fatal(err)
		}
		if shown, _ := newest(dial(t, pair.B()), 1); shown != version {
			t.Fatalf("version %d was notified, and the node that took over shows %d", version, shown)
		}
	})
}
