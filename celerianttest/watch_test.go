package celerianttest_test

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

func TestHeartbeats(t *testing.T) {
	inBubble(t, celerianttest.Options{}, func(t *testing.T, node *celerianttest.Node) {
		w, p := watching(dial(t, node), 1), dial(t, node)
		for range 3 {
			w.silent(5*time.Second - time.Millisecond)
			w.want(&msg.WatchResponse{})
		}
		w.silent(3 * time.Second)
		p.call(writeTo(key(1), event(1, "x")))
		w.wantNotifications(created(key(1)), wrote(key(1), 1, 1))
		p.call(writeTo(key(2), event(1, "of no concern")))
		w.silent(5*time.Second - time.Millisecond)
		w.want(&msg.WatchResponse{})
	})
}

func TestWatchHasNoReadTimeout(t *testing.T) {
	inBubble(t, celerianttest.Options{Heartbeat: time.Hour}, func(t *testing.T, node *celerianttest.Node) {
		watching(dial(t, node), 1).silent(59 * time.Minute)
	})
}

// TestLatency sends bursts through a real watch; the windows themselves are
// specified where they are decided, in internal/watch.
func TestLatency(t *testing.T) {
	inBubble(t, celerianttest.Options{}, func(t *testing.T, node *celerianttest.Node) {
		w, p := dial(t, node), dial(t, node)
		w.send(&msg.WatchRequest{LatencyMS: msg.Some[uint64](400), Aggregates: []msg.ID{id(1), id(2)}})
		w.want(&msg.WatchResponse{})
		start := time.Now()
		frame := func(at time.Duration, want ...msg.Notification) {
			t.Helper()
			got := w.recv().(*msg.WatchResponse).Notifications
			slices.SortFunc(got, func(a, b msg.Notification) int {
				return cmp.Or(a.Key.Compare(b.Key), cmp.Compare(a.Operation, b.Operation))
			})
			if !slices.Equal(got, want) || time.Since(start) != at {
				t.Fatalf("after %v got %v\nwant after %v %v", time.Since(start), got, at, want)
			}
		}
		for i := range uint64(3) {
			p.call(writeTo(key(1), event(i+1, "x")))
		}
		frame(400*time.Millisecond, wrote(key(1), 1, 3), created(key(1)))
		time.Sleep(600 * time.Millisecond)
		p.call(writeTo(key(1), event(4, "first after an idle window")))
		frame(time.Second, wrote(key(1), 4, 4))
		p.call(writeTo(key(1), event(5, "x")))
		p.call(writeTo(key(2), event(1, "x")))
		p.call(writeTo(key(1), event(6, "x")))
		frame(1400*time.Millisecond, wrote(key(1), 5, 6), wrote(key(2), 1, 1), created(key(2)))
	})
}

func TestLatencyLimit(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	p := dial(t, node)
	p.send(&msg.WatchRequest{LatencyMS: msg.Some[uint64](2001), Aggregates: []msg.ID{id(1)}})
	if text := p.wantError(msg.CodeWatchLatency); text != `{"requested_ms":2001,"max_ms":2000}` {
		t.Fatal(text)
	}
	p.eof()
	p = dial(t, node)
	p.send(&msg.WatchRequest{LatencyMS: msg.Some[uint64](2000), Aggregates: []msg.ID{id(1)}})
	p.want(&msg.WatchResponse{})
}

func TestChangesOfOneCommitGroupAreNotifiedTogether(t *testing.T) {
	inBubble(t, celerianttest.Options{CommitDelay: 50 * time.Millisecond}, func(t *testing.T, node *celerianttest.Node) {
		w := watching(dial(t, node), 1)
		peers := make([]*peer, 4)
		for i := range peers {
			peers[i] = dial(t, node)
			peers[i].send(writeTo(key(1), event(uint64(i+1), "x")))
		}
		start := time.Now()
		w.wantNotifications(created(key(1)), wrote(key(1), 1, 4))
		if waited := time.Since(start); waited != 50*time.Millisecond {
			t.Fatalf("the group was committed after %v", waited)
		}
		for _, p := range peers {
			p.recv()
		}
	})
}

func TestDuplicateOfAWriteInFlight(t *testing.T) {
	inBubble(t, celerianttest.Options{CommitDelay: 50 * time.Millisecond}, func(t *testing.T, node *celerianttest.Node) {
		first, again := dial(t, node), dial(t, node)
		first.send(writeTo(key(1), event(1, "x")))
		synctest.Wait()
		req := writeTo(key(1), event(1, "x"))
		req.Writes[0].EnforceIdempotency = true
		again.send(req)
		again.wantError(msg.CodeInFlight)
		again.send(readFrom(key(1), 1))
		again.wantError(msg.CodeReadNotFound) // appended, not committed
		first.want(written(1))
		again.send(req)
		again.wantError(msg.CodeDuplicate)
	})
}

func TestSubscriberCap(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{MaxWatchSubscribers: 2})
	first := watching(dial(t, node), 1)
	watching(dial(t, node), 1)
	third := dial(t, node)
	third.send(&msg.WatchRequest{Aggregates: []msg.ID{id(1)}})
	if text := third.wantError(msg.CodeWatchSubscribers); text != `{"active_subscribers":2,"max_subscribers":2}` {
		t.Fatal(text)
	}
	third.eof()
	first.close()
	for node.Stats().Watches > 1 {
		time.Sleep(time.Millisecond) // the node notices the end on its own time
	}
	watching(dial(t, node), 1)
}

func TestAnythingSentEndsAWatch(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	for name, sent := range map[string][]byte{"one byte": {3}, "a whole write": frameOf(t, wire.V3, writeTo(key(1), event(1, "x")))} {
		w := watching(dialTCP(t, node), 1)
		w.write(sent)
		w.eof()
		p := dial(t, node)
		p.send(readFrom(key(1), 1))
		if failure, ok := p.recv().(*msg.ErrorResponse); !ok || failure.Code != msg.CodeReadNotFound {
			t.Errorf("%s behind a watch was executed", name)
		}
	}
	p := dial(t, node)
	p.write(append(frameOf(t, wire.V3, &msg.WatchRequest{Aggregates: []msg.ID{id(1)}}), 0))
	p.want(&msg.WatchResponse{})
	p.eof()
}

// TestSlowConsumer: 10,000 undelivered notifications are kept, the next ends the
// watch; what was queued still arrives, in order, and then the end.
func TestSlowConsumer(t *testing.T) {
	inBubble(t, celerianttest.Options{MaxWatchSubscribers: 1}, func(t *testing.T, node *celerianttest.Node) {
		w, p := watching(dial(t, node), 1), dial(t, node)
		const commits = 30_000
		for i := range uint64(commits) {
			p.call(writeTo(key(1), event(i+1, "x")))
		}
		watching(dial(t, node), 1).close() // the place is free although much is still queued
		start := time.Now()
		w.want(&msg.WatchResponse{Notifications: []msg.Notification{created(key(1))}})
		heard := uint64(0)
		for {
			_, resp, err := w.receive()
			if errors.Is(err, io.EOF) {
				break
			}
			heard++
			if want := (&msg.WatchResponse{Notifications: []msg.Notification{wrote(key(1), heard, heard)}}); err != nil || !reflect.DeepEqual(resp, want) {
				t.Fatalf("notification %d: %+v, %v", heard, resp, err)
			}
		}
		if waited := time.Since(start); waited != 0 {
			t.Fatalf("what was queued took %v to send", waited)
		}
		if heard < 10_000 || heard >= commits {
			t.Fatalf("a watch that read nothing got %d of %d notifications", heard, commits)
		}
		synctest.Wait()
		if n := node.Stats().Watches; n != 0 {
			t.Fatalf("%d watches left", n)
		}
	})
}

func TestClientThatTakesNothingIsGivenUp(t *testing.T) {
	inBubble(t, celerianttest.Options{MaxUndelivered: 1 << 20}, func(t *testing.T, node *celerianttest.Node) {
		watching(dial(t, node), 1)
		p := dial(t, node)
		for i := range uint64(10_000) {
			p.call(writeTo(key(1), event(i+1, "x")))
		}
		time.Sleep(29 * time.Second)
		synctest.Wait()
		if node.Stats().Watches != 1 {
			t.Fatal("given up before the time-out")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if node.Stats().Watches != 0 {
			t.Fatal("a watch that cannot be written to was kept beyond the time-out")
		}
	})
}

// TestNotificationsAreNeverAheadOfReads: whoever hears of a version can read it.
func TestNotificationsAreNeverAheadOfReads(t *testing.T) {
	for _, opts := range []celerianttest.Options{{}, {CommitDelay: time.Microsecond, DataRoot: t.TempDir()}} {
		t.Run(fmt.Sprintf("delay %v", opts.CommitDelay), func(t *testing.T) {
			node := celerianttest.Run(t, opts)
			w, p, reader := watching(dial(t, node), 1), dial(t, node), dial(t, node)
			done := make(chan struct{})
			const commits = 500
			go func() {
				defer close(done)
				for i := range uint64(commits) {
					p.send(writeTo(key(1), event(i+1, "x")))
					if _, _, err := p.receive(); err != nil {
						t.Error(err)
						return
					}
				}
			}()
			for heard := uint64(0); heard < commits; {
				for _, n := range w.recv().(*msg.WatchResponse).Notifications {
					heard = max(heard, n.To.Value)
				}
				if heard == 0 {
					continue
				}
				page := reader.call(readFrom(key(1), heard)).(*msg.ReadResponse)
				if len(page.Batches) == 0 {
					t.Fatalf("version %d was notified and cannot be read", heard)
				}
			}
			<-done
		})
	}
}
