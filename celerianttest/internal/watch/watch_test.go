package watch_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/internal/watch"
	"github.com/celeriant/celeriant-go/msg"
)

func key(n uint64) msg.Key {
	return msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(n)}
}

func write(aggregate, from, to uint64) msg.Notification {
	return msg.Notification{Key: key(aggregate), Operation: msg.OpWrite, From: msg.Some(from), To: msg.Some(to)}
}

func trim(aggregate, keepFrom uint64) msg.Notification {
	return msg.Notification{Key: key(aggregate), Operation: msg.OpTrimStart, KeepFrom: msg.Some(keepFrom)}
}

func plain(aggregate uint64, op msg.Operation) msg.Notification {
	return msg.Notification{Key: key(aggregate), Operation: op}
}

// sort puts the notifications of a frame into one order: inside a frame there is none.
func sorted(frame []msg.Notification) []msg.Notification {
	frame = slices.Clone(frame)
	slices.SortFunc(frame, func(a, b msg.Notification) int {
		if c := a.Key.Compare(b.Key); c != 0 {
			return c
		}
		return int(a.Operation) - int(b.Operation)
	})
	return frame
}

type sentFrame struct {
	at    int // milliseconds since the subscription
	frame []msg.Notification
}

type arrival struct {
	at int
	n  msg.Notification
}

// play feeds arrivals to a coalescer the way a subscriber's goroutine does.
func play(latency time.Duration, arrivals []arrival, until int) []sentFrame {
	start := time.Unix(1000, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	c := watch.NewCoalescer(latency, 5*time.Second, rand.New(rand.NewPCG(1, 2)).Shuffle, start)
	var sent []sentFrame
	push := func(now time.Time, frame []msg.Notification, heartbeat bool) {
		if frame != nil || heartbeat {
			sent = append(sent, sentFrame{int(now.Sub(start).Milliseconds()), sorted(frame)})
		}
	}
	for {
		wake := c.Wake()
		if len(arrivals) > 0 && !at(arrivals[0].at).After(wake) {
			now := at(arrivals[0].at)
			push(now, c.Add(now, arrivals[0].n), false)
			arrivals = arrivals[1:]
			continue
		}
		if wake.After(at(until)) {
			return sent
		}
		frame, heartbeat := c.Due(wake)
		push(wake, frame, heartbeat)
	}
}

func TestCoalescing(t *testing.T) {
	create, deleted := plain(1, msg.OpCreate), plain(1, msg.OpDelete)
	tests := []struct {
		name     string
		latency  time.Duration
		arrivals []arrival
		until    int
		want     []sentFrame
	}{
		{"without latency each notification is a frame", 0,
			[]arrival{{1, create}, {1, write(1, 1, 1)}, {2, write(1, 2, 2)}}, 100,
			[]sentFrame{{1, []msg.Notification{create}}, {1, []msg.Notification{write(1, 1, 1)}}, {2, []msg.Notification{write(1, 2, 2)}}}},
		{"within the first window everything waits for its end", 400 * time.Millisecond,
			[]arrival{{2, create}, {2, write(1, 1, 1)}}, 1000,
			[]sentFrame{{400, []msg.Notification{write(1, 1, 1), create}}}},
		{"after an idle window the first goes at once, alone, the rest a window later", 400 * time.Millisecond,
			[]arrival{{1000, write(1, 2, 2)}, {1001, write(1, 3, 3)}, {1002, write(1, 4, 4)}}, 2000,
			[]sentFrame{{1000, []msg.Notification{write(1, 2, 2)}}, {1400, []msg.Notification{write(1, 3, 4)}}}},
		{"a create after idle goes alone, its write a window later", 400 * time.Millisecond,
			[]arrival{{1000, create}, {1000, write(1, 1, 1)}}, 2000,
			[]sentFrame{{1000, []msg.Notification{create}}, {1400, []msg.Notification{write(1, 1, 1)}}}},
		{"exactly at the end of the window counts as over", 400 * time.Millisecond,
			[]arrival{{400, write(1, 2, 2)}}, 1000,
			[]sentFrame{{400, []msg.Notification{write(1, 2, 2)}}}},
		{"merging knows nothing of lives", 400 * time.Millisecond,
			[]arrival{{1, write(1, 5, 5)}, {2, write(1, 6, 6)}, {3, deleted}, {4, create}, {5, write(1, 1, 1)}, {6, write(1, 7, 7)}}, 1000,
			[]sentFrame{{400, []msg.Notification{deleted, write(1, 1, 7), create}}}},
		{"the latest trim wins, others dedupe, aggregates stay apart", 400 * time.Millisecond,
			[]arrival{{1, trim(1, 3)}, {2, trim(1, 5)}, {3, deleted}, {4, deleted}, {5, write(2, 1, 1)}}, 1000,
			[]sentFrame{{400, []msg.Notification{deleted, trim(1, 5), write(2, 1, 1)}}}},
		{"a heartbeat every five quiet seconds", 0,
			[]arrival{{2254, write(1, 7, 7)}}, 12500,
			[]sentFrame{{2254, []msg.Notification{write(1, 7, 7)}}, {7254, nil}, {12254, nil}}},
		{"a heartbeat does not restart the window", 2 * time.Second,
			[]arrival{{5500, write(1, 1, 1)}}, 6000,
			[]sentFrame{{5000, nil}, {5500, []msg.Notification{write(1, 1, 1)}}}},
		{"heartbeats count from the flush when something waited", 2 * time.Second,
			[]arrival{{100, write(1, 1, 1)}}, 7100,
			[]sentFrame{{2000, []msg.Notification{write(1, 1, 1)}}, {7000, nil}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := play(test.latency, test.arrivals, test.until)
			if !slices.EqualFunc(got, test.want, func(a, b sentFrame) bool {
				return a.at == b.at && slices.Equal(a.frame, b.frame)
			}) {
				t.Errorf("got  %v\nwant %v", got, test.want)
			}
		})
	}
}

func TestCoalescedOrderIsRandomAndSeeded(t *testing.T) {
	frame := func(seed uint64) []msg.Notification {
		start := time.Unix(0, 0)
		c := watch.NewCoalescer(time.Second, time.Minute, rand.New(rand.NewPCG(seed, 0)).Shuffle, start)
		for i := range uint64(20) {
			c.Add(start, write(i, 1, 1))
		}
		f, _ := c.Due(start.Add(time.Second))
		return slices.Clone(f)
	}
	a, again, b := frame(1), frame(1), frame(2)
	if !slices.Equal(a, again) {
		t.Error("the same seed gave two orders")
	}
	if slices.Equal(a, b) || slices.Equal(a, sorted(a)) {
		t.Error("the order inside a coalesced frame is not shuffled")
	}
}

func TestFilter(t *testing.T) {
	n := write(3, 1, 1)
	tests := []struct {
		name string
		r    msg.WatchRequest
		want bool
	}{
		{"no sets", msg.WatchRequest{}, true},
		{"aggregate, in any org and type", msg.WatchRequest{Aggregates: []msg.ID{{}, n.Key.Aggregate}}, true},
		{"other aggregate", msg.WatchRequest{Aggregates: []msg.ID{{}}}, false},
		{"empty set", msg.WatchRequest{Aggregates: []msg.ID{}}, false},
		{"all categories agree", msg.WatchRequest{Orgs: []msg.ID{n.Key.Org}, Types: []msg.ID{n.Key.Type},
			Aggregates: []msg.ID{n.Key.Aggregate}, Operations: []msg.Operation{msg.OpWrite}}, true},
		{"one category disagrees", msg.WatchRequest{Orgs: []msg.ID{n.Key.Org}, Types: []msg.ID{n.Key.Org}}, false},
		{"operations", msg.WatchRequest{Operations: []msg.Operation{msg.OpDelete, msg.OpRead}}, false},
		{"unknown operation code", msg.WatchRequest{Operations: []msg.Operation{77}}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := watch.NewFilter(&test.r).Match(&n); got != test.want {
				t.Errorf("Match = %v, want %v", got, test.want)
			}
		})
	}
}

func TestQueueClosesWhenFullAndKeepsWhatItHolds(t *testing.T) {
	q := watch.NewQueue(3)
	for i := range uint64(3) {
		if !q.Offer(write(i, 1, 1)) {
			t.Fatalf("offer %d of 3 refused", i+1)
		}
	}
	if q.Offer(write(9, 1, 1)) {
		t.Fatal("a full queue took one more")
	}
	into := make([]msg.Notification, 2)
	if n, over := q.Peek(into); n != 2 || over {
		t.Fatalf("Peek = %d, %v", n, over)
	}
	q.Discard(2)
	if q.Offer(write(9, 1, 1)) {
		t.Fatal("a queue that overflowed took one more after room was made")
	}
	if n, over := q.Peek(into); n != 1 || over || into[0].Key != key(2) {
		t.Fatalf("Peek = %d, %v, %v", n, over, into[0])
	}
	q.Discard(1)
	if n, over := q.Peek(into); n != 0 || !over {
		t.Fatalf("Peek at the end = %d, %v", n, over)
	}
}

func TestPeekedNotificationsCountAsUndelivered(t *testing.T) {
	q := watch.NewQueue(2)
	q.Offer(write(1, 1, 1))
	q.Offer(write(2, 1, 1))
	q.Peek(make([]msg.Notification, 2))
	if q.Offer(write(3, 1, 1)) {
		t.Fatal("what is being written was not counted")
	}
}
