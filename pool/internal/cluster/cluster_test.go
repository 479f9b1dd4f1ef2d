package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
	"github.com/celeriant/celeriant-go/pool/internal/node"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errRefused = errors.New("refused by the network")

// newCluster is a cluster whose nodes cannot be reached, unless dial says otherwise.
func newCluster(t *testing.T, config Config, dial conn.DialFunc) *Cluster {
	if dial == nil {
		dial = func(context.Context, string, string) (net.Conn, error) { return nil, errRefused }
	}
	config.NewNode = func(address string, _ bool) *node.Node {
		return node.New(node.Config{MaxConnections: 2, IdleTimeout: time.Minute, RequestTimeout: 2 * time.Second, WatchLiveness: time.Minute},
			conn.NewOpener(conn.Config{
				Address: address, Dial: dial, Dictionaries: new(conn.Dictionaries), IDs: conn.NewCorrelator(), ConnectTimeout: 2 * time.Second,
				MaxRequest: 1 << 20, MaxResponse: 1 << 20, Version: wire.V2, Logger: slog.New(slog.DiscardHandler),
			}))
	}
	config.Follow = func(_, named string) (string, bool) { return named, true }
	config.FailoverBudget, config.RequestTimeout = 10*time.Second, 2*time.Second
	config.ProbeAs = func() (msg.ID, bool) { return msg.ID{}, false }
	config.Shard = func(msg.Request) node.Shard { return 0 }
	c := New(config)
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func answered(code msg.Code) error { return &msg.ServerError{Code: code} }

// attempt is what package conn makes of it.
func attempt(req msg.Request, sent bool, err error) conn.Attempt {
	a := conn.Attempt{Operation: req.RequestType(), Sent: sent, Err: err}
	a.Settle()
	return a
}

// turnedAway is an answer to Identify: the connection was not opened.
func turnedAway(code msg.Code) error {
	return fmt.Errorf("%w: identify: %w", conn.ErrConnect, answered(code))
}

func TestDecide(t *testing.T) {
	event := []msg.Event{{ClientSeq: 1}}
	free := &msg.WriteRequest{Writes: []msg.AggregateWrite{{Events: event}}}
	guarded := &msg.WriteRequest{Writes: []msg.AggregateWrite{{Events: event, ExpectedVersion: msg.Some[uint64](1)}}}
	sequenced := &msg.WriteRequest{Writes: []msg.AggregateWrite{{Events: event, EnforceIdempotency: true}}}
	mixed := &msg.WriteRequest{Writes: []msg.AggregateWrite{guarded.Writes[0], sequenced.Writes[0]}}
	const notSent, sent = false, true
	for _, c := range []struct {
		req    msg.Request
		sent   bool
		err    error
		want   decision
		unsure bool
	}{
		{guarded, notSent, conn.ErrClosed, stop, false},
		{guarded, notSent, conn.ErrTooLarge, stop, false},
		{guarded, notSent, conn.ErrInvalid, stop, false},
		{guarded, notSent, fmt.Errorf("%w: all in use", node.ErrPoolTimeout), stop, false},
		{guarded, notSent, fmt.Errorf("%w: the vault is closed", conn.ErrCredentials), stop, false},
		{guarded, notSent, answered(msg.CodeAPIKeyInvalid), stop, false},
		{guarded, sent, answered(msg.CodeReadOnlyKey), stop, false},

		{free, sent, answered(msg.CodeWriteNotLeader), elsewhere, false},
		{free, sent, answered(msg.CodeSchemaNotLeader), elsewhere, false},
		{free, sent, answered(msg.CodeTrimNotLeader), elsewhere, false},
		{free, sent, answered(msg.CodeDeleteNotLeader), elsewhere, false},
		{free, sent, answered(msg.CodeServerBusy), elsewhere, false},
		{free, sent, answered(msg.CodeWriteBackpressure), again, false},
		{free, sent, answered(msg.CodeTrimBackpressure), again, false},
		{free, sent, answered(msg.CodeDeleteBackpressure), again, false},
		{free, sent, answered(msg.CodeVersionConflict), stop, false},

		{free, sent, answered(msg.CodeWriteReplication), stop, true},
		{guarded, sent, answered(msg.CodeWriteReplication), again, true},
		{free, sent, answered(4711), stop, true},
		{&msg.TrimStartRequest{}, sent, answered(msg.CodeTrimSync), again, true},
		{&msg.RegisterSchemaRequest{}, sent, answered(msg.CodeSchemaSync), again, true},

		{free, notSent, fmt.Errorf("%w: reset", conn.ErrConnectionLost), elsewhere, false},
		{free, sent, fmt.Errorf("%w: reset", conn.ErrConnectionLost), stop, true},
		{guarded, sent, fmt.Errorf("%w: reset", conn.ErrConnectionLost), elsewhere, true},
		{free, sent, &conn.TimeoutError{Sentinel: conn.ErrRequestTimeout}, stop, true},
		{guarded, sent, &conn.TimeoutError{Sentinel: conn.ErrRequestTimeout}, elsewhere, true},
		{free, sent, conn.Violation("nonsense"), stop, true},
		{&msg.TrimStartRequest{}, sent, conn.ErrConnectionLost, elsewhere, true},
		{&msg.RegisterSchemaRequest{}, sent, conn.ErrConnectionLost, elsewhere, true},

		// Client sequences alone protect at the same node.
		{sequenced, sent, fmt.Errorf("%w: reset", conn.ErrConnectionLost), again, true},
		{mixed, sent, &conn.TimeoutError{Sentinel: conn.ErrRequestTimeout}, again, true},
		{sequenced, sent, answered(msg.CodeWriteReplication), again, true},
		{sequenced, notSent, conn.ErrConnect, elsewhere, false},

		// A refusal while a connection is opened is not about the request.
		{free, notSent, turnedAway(msg.CodeServerBusy), elsewhere, false},
		{free, notSent, turnedAway(msg.CodeVersionConflict), elsewhere, false},
		{free, notSent, turnedAway(4711), elsewhere, false},
		{free, sent, fmt.Errorf("%w: certificate required", conn.ErrConnect), elsewhere, false},
	} {
		a := attempt(c.req, c.sent, c.err)
		if got := decide(c.req, a); got != c.want || (a.Applied == conn.AppliedUnknown) != c.unsure {
			t.Errorf("%T %+v, sent %v, %v: %d, applied %v", c.req, c.req, c.sent, c.err, got, a.Applied)
		}
	}
}

// Where a request that changes nothing may go when an attempt failed: on for
// want of a connection; from a follower also for want of an answer.
func TestWhatPasses(t *testing.T) {
	for _, c := range []struct {
		err                  error
		unreachable, follows bool
	}{
		{fmt.Errorf("%w: refused", conn.ErrConnect), true, true},
		{&conn.TimeoutError{Sentinel: conn.ErrConnectTimeout}, true, true},
		{fmt.Errorf("%w: reset", conn.ErrConnectionLost), true, true},
		{turnedAway(msg.CodeServerBusy), true, true},
		{turnedAway(msg.CodeReadNotFound), true, true},
		{fmt.Errorf("%w: %w", conn.ErrConnect, answered(msg.CodeAPIKeyInvalid)), false, false},
		{fmt.Errorf("%w: %w", conn.ErrConnect, conn.ErrCredentials), false, false},
		{fmt.Errorf("%w: %w", conn.ErrConnect, fmt.Errorf("%w: all in use", node.ErrPoolTimeout)), false, false},
		{&conn.TimeoutError{Sentinel: conn.ErrRequestTimeout}, false, true},
		{conn.Violation("nonsense"), false, true},
		{fmt.Errorf("%w: %w", conn.ErrProtocol, conn.ErrResponseTooLarge), false, false},
		{answered(msg.CodeServerBusy), false, true},
		{answered(msg.CodeReadDataBlocks), false, true},
		{answered(msg.CodeReadNotFound), false, false},
		{answered(msg.CodeVersionUnavailable), false, false},
		{answered(msg.CodeAPIKeyInvalid), false, false},
		{conn.ErrClosed, false, false},
	} {
		if got := unreachable(c.err); got != c.unreachable {
			t.Errorf("unreachable: %v: %v", c.err, got)
		}
		if got := passable(attempt(&msg.ReadRequest{}, true, c.err)); got != c.follows {
			t.Errorf("passable: %v: %v", c.err, got)
		}
	}
}

func TestJudgeProbe(t *testing.T) {
	for _, c := range []struct {
		err  error
		want probeResult
	}{
		{nil, probeLeads},
		{answered(msg.CodeEmptyEvents), probeLeads},
		{answered(msg.CodeWriteBackpressure), probeLeads},
		{answered(msg.CodeWriteNotLeader), probeSilent},
		{answered(msg.CodeServerBusy), probeSilent},
		{&conn.TimeoutError{Sentinel: conn.ErrRequestTimeout}, probeSilent},
		{fmt.Errorf("%w: refused", conn.ErrConnect), probeSilent},
		{turnedAway(msg.CodeEmptyEvents), probeSilent},
		{turnedAway(4711), probeSilent},
		{answered(msg.CodeReadOnlyKey), probeHidden},
		{answered(msg.CodeClientIDMismatch), probeHidden},
		{answered(4711), probeHidden},
		{answered(msg.CodeAPIKeyInvalid), probeRefused},
		{answered(msg.CodeIdentityRequired), probeRefused},
		{fmt.Errorf("%w: the vault is closed", conn.ErrCredentials), probeRefused},
	} {
		if got := judgeProbe(conn.Attempt{Err: c.err}); got != c.want {
			t.Errorf("%v: %d", c.err, got)
		}
	}
}

// Pauses grow to a second or so, and callers do not come back all at once.
func TestPace(t *testing.T) {
	firsts := make(map[time.Duration]bool)
	for range 100 {
		pace, last := newPace(longestPause), time.Duration(0)
		for i := range 10 {
			last = pace.NextBackOff()
			base := min(shortestPause<<i, longestPause)
			if last < base/2 || last > base+base/2 {
				t.Fatalf("pause %d takes %v", i, last)
			}
			if i == 0 {
				firsts[last] = true
			}
		}
	}
	if len(firsts) < 50 {
		t.Errorf("%d different first pauses of 100", len(firsts))
	}
}

// One node's failure says nothing about another that leads.
func TestDoubt(t *testing.T) {
	c := newCluster(t, Config{Addresses: []string{"a:1", "b:1"}}, nil)
	a, b := c.nodes()[0], c.nodes()[1]
	c.confirm(b)
	if c.doubt(a); c.leaderTrusted() != b {
		t.Error("the leader is forgotten for another's sake")
	}
	if c.doubt(b); c.leaderKnown() != nil {
		t.Error("the leader is not forgotten")
	}
}

// Followers take turns, also where the count of turns wraps around.
func TestTurnsWrapAround(t *testing.T) {
	c := newCluster(t, Config{Addresses: []string{"a:1", "b:1", "c:1"}, Followers: true}, nil)
	c.confirm(c.nodes()[1])
	c.turn.Store(math.MaxUint64 - 4)
	served := make(map[string]int)
	for range 12 {
		op := &operation{cluster: c, ctx: context.Background(), do: func(m *member) conn.Attempt { served[m.Address()]++; return conn.Attempt{} }}
		if err := op.serve(); err != nil {
			t.Error(err)
		}
	}
	if served["b:1"] != 0 || served["a:1"] < 3 || served["c:1"] < 3 {
		t.Errorf("served by %v", served)
	}
}

// A mutation whose client sequence alone protects it goes to no other node once it may
// have been applied, whatever the first one says then.
func TestSequencedWritesStay(t *testing.T) {
	write := &msg.WriteRequest{Writes: []msg.AggregateWrite{{Events: []msg.Event{{ClientSeq: 1}}, EnforceIdempotency: true}}}
	for name, later := range map[string]error{
		"not the leader any more": answered(msg.CodeWriteNotLeader),
		"gone":                    conn.ErrConnect,
		"restarting, and back":    nil,
		"busy, and back":          answered(msg.CodeServerBusy),
	} {
		c := newCluster(t, Config{Addresses: []string{"a:1", "b:1"}}, nil)
		tries := 0
		op := &operation{Operation: Operation{Request: write}, cluster: c, ctx: context.Background()}
		op.do = func(m *member) conn.Attempt {
			if tries++; m.Address() != "a:1" {
				t.Errorf("%s: sent to %s", name, m.Address())
			}
			a := attempt(write, true, nil)
			switch tries {
			case 1:
				a = attempt(write, true, conn.ErrConnectionLost)
			case 2:
				a = attempt(write, later != conn.ErrConnect, later)
			}
			a.Connected = true
			op.log.note(a)
			return a
		}
		err := op.mutate()
		if back := name == "restarting, and back" || name == "busy, and back"; (err == nil) != back || !op.log.unsure {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Of many failures the latest of each node are kept, within a bound; what a probe met is
// never in the place of what the operation met.
func TestAttemptsAreBounded(t *testing.T) {
	var l attempts
	for i := range 100 {
		l.note(conn.Attempt{Node: fmt.Sprint("n", i%50), Operation: msg.TypeReadRequest, Err: fmt.Errorf("try %d", i)})
	}
	if len(l.failed) != maxAttempts || l.failed[0].Err.Error() != "try 50" || l.omitted == 0 || l.tried.Made != 100 {
		t.Errorf("%d kept, %d omitted, first %v", len(l.failed), l.omitted, l.failed[0].Err)
	}
	l.keep(conn.Attempt{Node: "n0", Operation: msg.TypeWriteRequest, Err: answered(msg.CodeReadOnlyKey)})
	if l.failed[0].Err.Error() != "try 50" {
		t.Errorf("a probe's refusal: %v", l.failed[0].Err)
	}
}

// A walk follows hints only so far, and visits nobody twice.
func TestWalksEnd(t *testing.T) {
	c := newCluster(t, Config{Addresses: []string{"a:1"}}, nil)
	w := c.newWalk(nil)
	visits := 0
	for m := w.next(); m != nil; m = w.next() {
		visits++
		w.follow(m, conn.Attempt{Answered: true, Err: msg.NewServerError(&msg.ErrorResponse{
			Code: msg.CodeWriteNotLeader, Message: fmt.Sprintf(`{"leader_address":"n%d:1"}`, visits)}, m.Address())})
	}
	if visits > 1+maxHops {
		t.Errorf("%d visits", visits)
	}
}

// Only when every node has turned the client away there is nothing to wait for.
func TestTLSRefusedEverywhere(t *testing.T) {
	refused, down := fmt.Errorf("%w", conn.ErrTLS), error(conn.ErrConnect)
	for _, c := range []struct {
		a, b error
		want bool
	}{{refused, refused, true}, {down, refused, false}, {refused, down, false}} {
		op := &operation{cluster: newCluster(t, Config{Addresses: []string{"a:1", "b:1"}}, nil)}
		op.log.note(conn.Attempt{Node: "a:1", Err: c.a})
		op.log.note(conn.Attempt{Node: "b:1", Err: c.b})
		if op.tlsRefusedEverywhere() != c.want {
			t.Errorf("%v, %v", c.a, c.b)
		}
	}
}

// A guest never becomes the leader, whatever it says and whoever asks it.
func TestGuestsDoNotLead(t *testing.T) {
	c := newCluster(t, Config{Addresses: []string{"a:1", "b:1"}}, nil)
	guest, err := c.at("guest:1")
	if err != nil {
		t.Fatal(err)
	}
	c.confirm(guest)
	c.probed(guest, &probe{result: probeLeads, attempt: conn.Attempt{Answered: true}})
	if c.leaderKnown() != nil {
		t.Error("a guest leads")
	}
	late, cancel := context.WithTimeout(context.Background(), 0)
	defer cancel()
	c.evidence(late, guest, conn.Attempt{Sent: true, Err: context.DeadlineExceeded, Duration: time.Second})
	if guest.probe != nil {
		t.Error("a guest is asked without being asked for")
	}
}

// Having all its connections in use is no evidence against the leader.
func TestBusyConnectionsAreNoDoubt(t *testing.T) {
	c := newCluster(t, Config{Addresses: []string{"a:1", "b:1"}}, nil)
	a := c.nodes()[0]
	c.confirm(a)
	c.probed(a, &probe{attempt: conn.Unsent("a:1", msg.TypeWriteRequest, fmt.Errorf("%w: all in use", node.ErrPoolTimeout))})
	if c.leaderTrusted() != a {
		t.Error("the leader is forgotten because of our own load")
	}
	c.probed(a, &probe{attempt: conn.Attempt{Sent: true, Err: conn.ErrRequestTimeout}})
	if c.leaderKnown() != nil {
		t.Error("a silent leader is trusted")
	}
}
