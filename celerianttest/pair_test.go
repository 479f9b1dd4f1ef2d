package celerianttest_test

import (
	"context"
	"net"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// inPair runs a test with a pair in memory and virtual time.
func inPair(t *testing.T, o celerianttest.PairOptions, test func(*testing.T, *celerianttest.Pair)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o.InMemory = true
		test(t, celerianttest.RunPair(t, o))
	})
}

// texts returns the payloads a node shows of an aggregate.
func texts(t *testing.T, n *celerianttest.Node, k msg.Key) string {
	t.Helper()
	p := dial(t, n)
	defer p.close()
	page, ok := p.call(readFrom(k, 1)).(*msg.ReadResponse)
	if !ok {
		return ""
	}
	var all []string
	for _, b := range page.Batches {
		all = append(all, string(b.Events[0].Value))
	}
	return strings.Join(all, " ")
}

func wantTexts(t *testing.T, n *celerianttest.Node, want string) {
	t.Helper()
	if got := texts(t, n, key(1)); got != want {
		t.Errorf("shown %q, want %q", got, want)
	}
}

// put writes one event and wants it acknowledged.
func put(t *testing.T, n *celerianttest.Node, seq uint64, text string) {
	t.Helper()
	p := dial(t, n)
	defer p.close()
	if resp, ok := p.call(writeTo(key(1), event(seq, text))).(*msg.WriteResponse); !ok {
		t.Fatalf("writing %q was answered with %+v", text, resp)
	}
}

// refused writes and returns the message of the not-leader answer, "accepted"
// if there is none.
func refused(t *testing.T, n *celerianttest.Node) string {
	t.Helper()
	p := dial(t, n)
	defer p.close()
	failure, ok := p.call(writeTo(key(9), event(1, "probe"))).(*msg.ErrorResponse)
	switch {
	case !ok:
		return "accepted"
	case failure.Code != msg.CodeWriteNotLeader:
		t.Errorf("refused with %v", failure.Code)
	}
	return failure.Message
}

func names(n *celerianttest.Node) string { return `{"leader_address":"` + n.Addr() + `"}` }

func done(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func settled(t *testing.T, p *celerianttest.Pair) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	done(t, p.AwaitSettled(ctx))
}

func TestFollowerLags(t *testing.T) {
	inPair(t, celerianttest.PairOptions{}, func(t *testing.T, p *celerianttest.Pair) {
		w := watching(dial(t, p.B()), 1)
		put(t, p.A(), 1, "a")
		w.silent(271 * time.Millisecond) // the default lag, less one
		wantTexts(t, p.B(), "")
		w.wantNotifications(created(key(1)), wrote(key(1), 1, 1))
		wantTexts(t, p.B(), "a")

		put(t, p.A(), 2, "b") // the next batch carries what was committed before
		wantTexts(t, p.B(), "a")
		put(t, p.A(), 3, "c")
		wantTexts(t, p.B(), "a b")
		w.wantNotifications(wrote(key(1), 2, 2), wrote(key(1), 3, 3))

		p.SetLag(0)
		put(t, p.A(), 4, "d")
		wantTexts(t, p.B(), "a b c d")
		w.wantNotifications(wrote(key(1), 4, 4))
		wantTexts(t, p.A(), "a b c d")
	})
}

func TestFrozenLag(t *testing.T) {
	inPair(t, celerianttest.PairOptions{Options: celerianttest.Options{Heartbeat: time.Hour}}, func(t *testing.T, p *celerianttest.Pair) {
		w := watching(dial(t, p.B()), 1)
		p.FreezeLag()
		put(t, p.A(), 1, "a")
		put(t, p.A(), 2, "b")
		w.silent(time.Minute)
		wantTexts(t, p.B(), "")
		if s := p.State(); s.Nodes[1].Stored != 2 || s.Nodes[1].Shown != 0 || !s.Frozen {
			t.Errorf("state %+v", s)
		}
		p.ThawLag()
		w.silent(270 * time.Millisecond)
		w.wantNotifications(created(key(1)), wrote(key(1), 1, 2))

		p.FreezeLag()
		put(t, p.A(), 3, "c")
		done(t, p.FailOver()) // a promotion commits the whole tail
		if p.Follower() != nil {
			t.Error("a node follows before it has joined")
		}
		w.wantNotifications(wrote(key(1), 3, 3))
	})
}

// TestHeldAcks: a write that was not answered is shown by nobody, counts as in
// flight, and is committed by the promotion of the follower.
func TestHeldAcks(t *testing.T) {
	inPair(t, celerianttest.PairOptions{}, func(t *testing.T, p *celerianttest.Pair) {
		p.HoldAcks()
		w, onB := dial(t, p.A()), watching(dial(t, p.B()), 1)
		req := writeTo(key(1), event(1, "a"))
		req.Writes[0].EnforceIdempotency = true
		w.send(req)
		w.silent(time.Second)
		wantTexts(t, p.A(), "")
		other := dial(t, p.A())
		other.send(req)
		other.wantError(msg.CodeInFlight)

		done(t, p.Kill(p.A()))
		w.eof()
		if got := refused(t, p.B()); got != names(p.A()) {
			t.Errorf("before the promotion the survivor names %s", got)
		}
		onB.silent(999 * time.Millisecond)
		onB.wantNotifications(created(key(1)), wrote(key(1), 1, 1)) // held or not
		synctest.Wait()                                             // watches hear of the tail before the node accepts
		again := dial(t, p.B())
		again.send(req)
		again.wantError(msg.CodeDuplicate)
	})
}

// TestGivenUpWriteAppears: its outcome was unknown, reads did not show it, and
// yet it is committed later.
func TestGivenUpWriteAppears(t *testing.T) {
	inPair(t, celerianttest.PairOptions{Options: celerianttest.Options{Heartbeat: time.Hour}}, func(t *testing.T, p *celerianttest.Pair) {
		onA := watching(dial(t, p.A()), 1)
		p.HoldAcks()
		w := dial(t, p.A())
		w.send(writeTo(key(1), event(1, "a")))
		w.silent(29 * time.Second)
		if text := w.wantError(msg.CodeWriteReplication); text != `{"detail":"GateTimeout"}` {
			t.Error(text)
		}
		wantTexts(t, p.A(), "")
		p.ReleaseAcks()
		wantTexts(t, p.A(), "a")
		onA.wantNotifications(created(key(1)), wrote(key(1), 1, 1))
	})
}

// TestDeposedLeaderDropsItsTail: what it alone had is gone, its numbers are
// given to others, and so are the client's sequences.
func TestDeposedLeaderDropsItsTail(t *testing.T) {
	inPair(t, celerianttest.PairOptions{NoFallback: true}, func(t *testing.T, p *celerianttest.Pair) {
		put(t, p.A(), 1, "first")
		p.CutLink()
		w := dial(t, p.A())
		req := writeTo(key(1), event(2, "lost"))
		req.Writes[0].EnforceIdempotency = true
		w.send(req)
		w.silent(5 * time.Second)
		done(t, p.FailOver())
		if text := w.wantError(msg.CodeWriteReplication); text != `{"detail":"LeaderFenced"}` {
			t.Error(text)
		}
		p.RestoreLink()
		put(t, p.B(), 1, "kept")
		settled(t, p)
		wantTexts(t, p.A(), "first kept")
		wantTexts(t, p.B(), "first kept")
		done(t, p.FailOver())
		w.send(req)
		w.want(written(3))
		settled(t, p)
		wantTexts(t, p.B(), "first kept lost")
	})
}

// TestEveryKindOfChangeCanBeFenced, with the code of its kind, and is refused
// by a follower without a look at it.
func TestEveryKindOfChangeCanBeFenced(t *testing.T) {
	for code, req := range map[msg.Code]msg.Request{
		msg.CodeWriteReplication:  writeTo(key(1), event(7, "x")),
		msg.CodeTrimReplication:   &msg.TrimStartRequest{Key: key(1), KeepFrom: 2},
		msg.CodeDeleteReplication: &msg.DeleteRequest{Deletes: []msg.AggregateDelete{{Key: key(1), AllowRecreate: true}}},
		msg.CodeSchemaReplication: &msg.RegisterSchemaRequest{Key: msg.SchemaKey{Major: 1}},
	} {
		inPair(t, celerianttest.PairOptions{}, func(t *testing.T, p *celerianttest.Pair) {
			put(t, p.A(), 1, "a")
			put(t, p.A(), 2, "b")
			p.HoldAcks()
			w := dial(t, p.A())
			w.send(req)
			w.silent(time.Second)
			wantTexts(t, p.A(), "a b")
			done(t, p.Fence(p.A()))
			if text := w.wantError(code); text != `{"detail":"LeaderFenced"}` {
				t.Error(text)
			}
			if got := refused(t, p.A()); got != "{}" {
				t.Errorf("a fenced leader names %s", got)
			}
			time.Sleep(1100 * time.Millisecond)
			if p.Leader() != p.B() {
				t.Error("the other node did not take over")
			}
		})
	}
}

// TestLeaderAlone goes on with the object store; a node that missed all of it
// has it when it must lead.
func TestLeaderAlone(t *testing.T) {
	inPair(t, celerianttest.PairOptions{}, func(t *testing.T, p *celerianttest.Pair) {
		done(t, p.Kill(p.B()))
		put(t, p.A(), 1, "a")
		done(t, p.Kill(p.A()))
		done(t, p.Restart(p.B()))
		wantTexts(t, p.B(), "")
		if got := refused(t, p.B()); got != "{}" {
			t.Errorf("a node that just started names %s", got)
		}
		time.Sleep(1100 * time.Millisecond)
		wantTexts(t, p.B(), "a")
		put(t, p.B(), 2, "b")
		done(t, p.Restart(p.A()))
		settled(t, p)
		wantTexts(t, p.A(), "a b")
		if p.Leader() != p.B() || p.Follower() != p.A() || p.Peer(p.A()) != p.B() || p.Peer(p.B()) != p.A() {
			t.Error("B does not lead A")
		}
	})
}

func TestCutLink(t *testing.T) {
	inPair(t, celerianttest.PairOptions{}, func(t *testing.T, p *celerianttest.Pair) {
		p.CutLink()
		put(t, p.A(), 1, "a")
		time.Sleep(time.Minute)
		wantTexts(t, p.B(), "")
		if p.Leader() != p.A() || p.Follower() != nil {
			t.Error("a node that only lost its leader from sight took over")
		}
		done(t, p.Kill(p.A()))
		time.Sleep(1100 * time.Millisecond)
		wantTexts(t, p.B(), "a")
		done(t, p.Restart(p.A()))
		time.Sleep(time.Minute)
		put(t, p.B(), 2, "b")
		wantTexts(t, p.A(), "a")
		p.RestoreLink()
		settled(t, p)
		wantTexts(t, p.A(), "a b")
	})
}

// TestWaitingWithoutFallback: a change waits for a follower, and goes through
// when there is one.
func TestWaitingWithoutFallback(t *testing.T) {
	inPair(t, celerianttest.PairOptions{NoFallback: true}, func(t *testing.T, p *celerianttest.Pair) {
		done(t, p.Kill(p.B()))
		w := dial(t, p.A())
		w.send(writeTo(key(1), event(1, "a")))
		w.silent(10 * time.Second)
		wantTexts(t, p.A(), "")
		done(t, p.Restart(p.B()))
		w.silent(399 * time.Millisecond)
		w.want(written(1))
		wantTexts(t, p.A(), "a")
	})
}

func TestShortPause(t *testing.T) {
	inPair(t, celerianttest.PairOptions{}, func(t *testing.T, p *celerianttest.Pair) {
		done(t, p.Pause(p.A()))
		w := dial(t, p.A())
		w.send(writeTo(key(1), event(1, "a")))
		w.silent(900 * time.Millisecond)
		if p.Leader() != p.A() {
			t.Error("the paused node does not lead any more")
		}
		done(t, p.Resume(p.A()))
		w.want(written(1))
		w.silent(time.Minute / 3)
		if p.Leader() != p.A() {
			t.Error("the pause was held against the leader later")
		}
	})
}

// TestPausedLeader is replaced, answers from its stale view, refuses what was
// sent to it meanwhile, and keeps its watches.
func TestPausedLeader(t *testing.T) {
	inPair(t, celerianttest.PairOptions{Options: celerianttest.Options{Heartbeat: time.Hour}}, func(t *testing.T, p *celerianttest.Pair) {
		put(t, p.A(), 1, "a")
		onA := watching(dial(t, p.A()), 1)
		done(t, p.Pause(p.A()))
		writer, reader := dial(t, p.A()), dial(t, p.A())
		writer.send(writeTo(key(1), event(2, "lost")))
		reader.send(&msg.DetailsRequest{Key: key(1)})
		time.Sleep(1001 * time.Millisecond)
		put(t, p.B(), 2, "b")
		writer.silent(time.Second)
		done(t, p.Resume(p.A()))
		if details, ok := reader.recv().(*msg.DetailsResponse); !ok || details.MaxVersion != 1 {
			t.Errorf("what was asked before is answered with %+v", details)
		}
		if text := writer.wantError(msg.CodeWriteNotLeader); text != "{}" {
			t.Errorf("what was sent before is refused with %s", text)
		}
		time.Sleep(201 * time.Millisecond)
		if got := refused(t, p.A()); got != names(p.B()) {
			t.Errorf("it names %s", got)
		}
		wantTexts(t, p.A(), "a")
		onA.silent(190 * time.Millisecond)
		onA.wantNotifications(wrote(key(1), 2, 2))
		wantTexts(t, p.A(), "a b")
	})
}

func TestPausedFollower(t *testing.T) {
	inPair(t, celerianttest.PairOptions{}, func(t *testing.T, p *celerianttest.Pair) {
		done(t, p.Pause(p.B()))
		put(t, p.A(), 1, "a")
		time.Sleep(time.Second)
		done(t, p.Resume(p.B()))
		wantTexts(t, p.B(), "")
		settled(t, p)
		wantTexts(t, p.B(), "a")
	})
}

func TestFencedFollower(t *testing.T) {
	inPair(t, celerianttest.PairOptions{}, func(t *testing.T, p *celerianttest.Pair) {
		done(t, p.Fence(p.B()))
		if got := refused(t, p.B()); got != "{}" || p.Leader() != p.A() {
			t.Errorf("it names %s", got)
		}
		settled(t, p)
		if got := refused(t, p.B()); got != names(p.A()) {
			t.Errorf("it names %s", got)
		}
	})
}

func TestHints(t *testing.T) {
	inPair(t, celerianttest.PairOptions{}, func(t *testing.T, p *celerianttest.Pair) {
		for hint, want := range map[celerianttest.Hint]string{
			celerianttest.HintLive:   names(p.A()),
			celerianttest.HintAbsent: "{}",
			celerianttest.HintStale:  names(p.B()),
			"0.0.0.0:10000":          `{"leader_address":"0.0.0.0:10000"}`,
		} {
			p.SetHint(hint)
			if got := refused(t, p.B()); got != want {
				t.Errorf("hint %q: %s, want %s", hint, got, want)
			}
			if got := refused(t, p.A()); got != "accepted" {
				t.Errorf("hint %q: the leader says %s", hint, got)
			}
		}
	})
}

func TestListsAgreeOnceSettled(t *testing.T) {
	inPair(t, celerianttest.PairOptions{}, func(t *testing.T, p *celerianttest.Pair) {
		w := dial(t, p.A())
		for n := range uint64(5) {
			put(t, p.A(), n+1, "a")
			w.call(writeTo(key(n), event(1, "x")))
			time.Sleep(time.Millisecond)
		}
		w.call(&msg.TrimStartRequest{Key: key(1), KeepFrom: 2})
		w.call(&msg.DeleteRequest{Deletes: []msg.AggregateDelete{{Key: key(3)}}})
		settled(t, p)
		list := func(n *celerianttest.Node) map[msg.Key]msg.AggregateItem {
			all := make(map[msg.Key]msg.AggregateItem)
			for _, item := range dial(t, n).call(&msg.ListAggregatesRequest{}).(*msg.ListAggregatesResponse).Aggregates {
				all[item.Key] = item
			}
			return all
		}
		if a, b := list(p.A()), list(p.B()); len(a) != 5 || !reflect.DeepEqual(a, b) {
			t.Errorf("A lists %+v\nB lists %+v", a, b)
		}
	})
}

// TestPairOverTCP is the pair as a program has it: real sockets, real time.
func TestPairOverTCP(t *testing.T) {
	p := celerianttest.RunPair(t, celerianttest.PairOptions{Takeover: 20 * time.Millisecond, Rejoin: 10 * time.Millisecond, Lag: time.Millisecond})
	dialTCP(t, p.A()).call(writeTo(key(1), event(1, "a")))
	done(t, p.Kill(p.A()))
	if _, err := net.Dial("tcp", p.A().Addr()); err == nil {
		t.Error("the killed node listens")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	leader, err := p.AwaitLeader(ctx)
	if err != nil || leader != p.B() {
		t.Fatalf("the leader is %v, %v", leader, err)
	}
	done(t, p.Restart(p.A()))
	settled(t, p)
	client, err := pool.New(pool.Options{Address: p.A().Addr(), Dial: p.DialContext})
	done(t, err)
	defer client.Close(ctx)
	// The follower names the leader, and a pool follows.
	if _, err := client.WriteEvents(ctx, key(1), []msg.Event{event(2, "b")}, writer, pool.WriteOptions{}); err != nil {
		t.Errorf("a write that begins at the follower ends with %v", err)
	}
	wantTexts(t, p.B(), "a b")
}
