package pool

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

func answered(code msg.Code) error { return &msg.ServerError{Code: code} }

// turnedAway is an answer to Identify: the connection was not opened.
func turnedAway(code msg.Code) error {
	return fmt.Errorf("%w: identify: %w", ErrConnect, answered(code))
}

func TestJudge(t *testing.T) {
	event := []msg.Event{{ClientSeq: 1}}
	free := &msg.WriteRequest{Writes: []msg.AggregateWrite{{Events: event}}}
	guarded := &msg.WriteRequest{Writes: []msg.AggregateWrite{{Events: event, ExpectedVersion: msg.Some[uint64](1)}}}
	const notSent, sent = false, true
	for _, c := range []struct {
		req    msg.Request
		sent   bool
		err    error
		want   verdict
		unsure bool
	}{
		{guarded, notSent, ErrClosed, final, false},
		{guarded, notSent, ErrTooLarge, final, false},
		{guarded, notSent, ErrInvalid, final, false},
		{guarded, notSent, &lineError{1, context.DeadlineExceeded}, final, false},
		{guarded, notSent, fmt.Errorf("%w: the vault is closed", ErrCredentials), final, false},
		{guarded, notSent, answered(msg.CodeAPIKeyInvalid), final, false},
		{guarded, sent, answered(msg.CodeReadOnlyKey), final, false},

		{free, sent, answered(msg.CodeWriteNotLeader), elsewhere, false},
		{free, sent, answered(msg.CodeSchemaNotLeader), elsewhere, false},
		{free, sent, answered(msg.CodeTrimNotLeader), elsewhere, false},
		{free, sent, answered(msg.CodeDeleteNotLeader), elsewhere, false},
		{free, sent, answered(msg.CodeServerBusy), elsewhere, false},
		{free, sent, answered(msg.CodeWriteBackpressure), stay, false},
		{free, sent, answered(msg.CodeTrimBackpressure), stay, false},
		{free, sent, answered(msg.CodeDeleteBackpressure), stay, false},
		{free, sent, answered(msg.CodeVersionConflict), final, false},

		{free, sent, answered(msg.CodeWriteReplication), final, true},
		{guarded, sent, answered(msg.CodeWriteReplication), stay, true},
		{free, sent, answered(4711), final, true},
		{&msg.TrimStartRequest{}, sent, answered(msg.CodeTrimSync), stay, true},
		{&msg.RegisterSchemaRequest{}, sent, answered(msg.CodeSchemaSync), stay, true},

		{free, notSent, fmt.Errorf("%w: reset", ErrConnectionLost), elsewhere, false},
		{free, sent, fmt.Errorf("%w: reset", ErrConnectionLost), final, true},
		{guarded, sent, fmt.Errorf("%w: reset", ErrConnectionLost), elsewhere, true},
		{free, sent, &timeoutError{ErrRequestTimeout, 1}, final, true},
		{guarded, sent, &timeoutError{ErrRequestTimeout, 1}, elsewhere, true},
		{free, sent, violation("nonsense"), final, true},
		{&msg.TrimStartRequest{}, sent, ErrConnectionLost, elsewhere, true},
		{&msg.RegisterSchemaRequest{}, sent, ErrConnectionLost, elsewhere, true},

		// What a node says while a connection is opened is not about the request.
		{free, notSent, turnedAway(msg.CodeServerBusy), elsewhere, false},
		{free, notSent, turnedAway(msg.CodeVersionConflict), elsewhere, false},
		{free, notSent, turnedAway(4711), elsewhere, false},
		{free, sent, &tlsError{"refused", errors.New("certificate required")}, elsewhere, false},
	} {
		if got, unsure := judge(c.req, c.sent, c.err); got != c.want || unsure != c.unsure {
			t.Errorf("%T %+v, sent %v, %v: %d, unsure %v", c.req, c.req, c.sent, c.err, got, unsure)
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
		{fmt.Errorf("%w: refused", ErrConnect), true, true},
		{&timeoutError{ErrConnectTimeout, 1}, true, true},
		{fmt.Errorf("%w: reset", ErrConnectionLost), true, true},
		{turnedAway(msg.CodeServerBusy), true, true},
		{turnedAway(msg.CodeReadNotFound), true, true},
		{fmt.Errorf("%w: %w", ErrConnect, answered(msg.CodeAPIKeyInvalid)), false, false},
		{fmt.Errorf("%w: %w", ErrConnect, ErrCredentials), false, false},
		{fmt.Errorf("%w: %w", ErrConnect, &lineError{1, context.DeadlineExceeded}), false, false},
		{&timeoutError{ErrRequestTimeout, 1}, false, true},
		{violation("nonsense"), false, true},
		{fmt.Errorf("%w: %w", ErrProtocol, ErrResponseTooLarge), false, false},
		{answered(msg.CodeServerBusy), false, true},
		{answered(msg.CodeReadDataBlocks), false, true},
		{answered(msg.CodeReadNotFound), false, false},
		{answered(msg.CodeVersionUnavailable), false, false},
		{answered(msg.CodeAPIKeyInvalid), false, false},
		{ErrClosed, false, false},
	} {
		if got := unreachable(c.err); got != c.unreachable {
			t.Errorf("unreachable: %v: %v", c.err, got)
		}
		if got := passable(c.err); got != c.follows {
			t.Errorf("passable: %v: %v", c.err, got)
		}
	}
}

func TestJudgeProbe(t *testing.T) {
	for _, c := range []struct {
		err  error
		want probeVerdict
	}{
		{nil, probeLeads},
		{answered(msg.CodeEmptyEvents), probeLeads},
		{answered(msg.CodeWriteBackpressure), probeLeads},
		{answered(msg.CodeWriteNotLeader), probeSilent},
		{answered(msg.CodeServerBusy), probeSilent},
		{&timeoutError{ErrRequestTimeout, 1}, probeSilent},
		{fmt.Errorf("%w: refused", ErrConnect), probeSilent},
		{turnedAway(msg.CodeEmptyEvents), probeSilent},
		{turnedAway(4711), probeSilent},
		{answered(msg.CodeReadOnlyKey), probeUnknown},
		{answered(msg.CodeClientIDMismatch), probeUnknown},
		{answered(4711), probeUnknown},
		{answered(msg.CodeAPIKeyInvalid), probeRefused},
		{answered(msg.CodeIdentityRequired), probeRefused},
		{fmt.Errorf("%w: the vault is closed", ErrCredentials), probeRefused},
	} {
		if got := judgeProbe(c.err); got != c.want {
			t.Errorf("%v: %d", c.err, got)
		}
	}
}

// Pauses grow to a second or so, and callers do not come back all at once.
func TestPace(t *testing.T) {
	firsts := make(map[time.Duration]bool)
	for range 100 {
		pace, last := newPace(longestRest), time.Duration(0)
		for i := range 10 {
			last = pace.NextBackOff()
			base := min(shortestRest<<i, longestRest)
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
	p, err := New(Options{Address: "a:1", SeedAddresses: []string{"b:1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	a, b := p.nodes()[0], p.nodes()[1]
	p.confirm(b)
	if p.doubt(a); p.leaderTrusted() != b {
		t.Error("the leader is forgotten for another's sake")
	}
	if p.doubt(b); p.leaderKnown() != nil {
		t.Error("the leader is not forgotten")
	}
}

// Addresses that cannot be dialled are no hints.
func TestDialable(t *testing.T) {
	for address, want := range map[string]bool{
		"n:1": true, "127.0.0.1:10000": true, "[::1]:10000": true, "n:http": true,
		"": false, "n": false, ":1": false, "n:": false, "n:0": false, "0.0.0.0:1": false, "[::]:1": false, "n:1:2": false,
	} {
		if got := dialable(address); got != want {
			t.Errorf("%q: %v", address, got)
		}
	}
}

// What nodes answered comes before what kept others from answering, and a busy
// leader before those who are none; every error is in the chain, and once in the text.
func TestAttemptsError(t *testing.T) {
	none, busy, gone := answered(msg.CodeWriteNotLeader), answered(msg.CodeWriteBackpressure), fmt.Errorf("%w: refused", ErrConnect)
	e := &AttemptsError{Cause: ErrNoLeader, Attempts: []Attempt{{"a:1", gone}, {"b:1", none}, {"c:1", busy}}}
	var first *msg.ServerError
	if !errors.As(e, &first) || first.Code != msg.CodeWriteBackpressure {
		t.Errorf("the first answer is %v", first)
	}
	for _, part := range []error{ErrNoLeader, ErrConnect, msg.ErrNotLeader, msg.ErrBusy} {
		if !errors.Is(e, part) {
			t.Errorf("%v is not in the chain", part)
		}
	}
	if got, want := e.Error(), "no node accepted: tried a:1: "+gone.Error()+"; b:1: "+none.Error()+"; c:1: "+busy.Error(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	e.Cause = busy
	if got, want := e.Error(), "tried a:1: "+gone.Error()+"; b:1: "+none.Error()+"; c:1: "+busy.Error(); got != want || len(e.Unwrap()) != 3 {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Followers take turns, also where the count of turns wraps around.
func TestTurnsWrapAround(t *testing.T) {
	p, err := New(Options{Address: "a:1", SeedAddresses: []string{"b:1", "c:1"}, RouteReadsToFollowers: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	p.confirm(p.nodes()[1])
	p.turn.Store(math.MaxUint64 - 4)
	served := make(map[string]int)
	for range 12 {
		j := p.journey(context.Background(), nil)
		if err := j.serve(func(n *node) (bool, error) { served[n.opts.Address]++; return true, nil }); err != nil {
			t.Error(err)
		}
	}
	if served["b:1"] != 0 || served["a:1"] < 3 || served["c:1"] < 3 {
		t.Errorf("served by %v", served)
	}
}

// A node that somebody uses is not forgotten.
func TestNodesInUseAreKept(t *testing.T) {
	for name, use := range map[string]func(*node){
		"nobody":     func(*node) {},
		"a request":  func(n *node) { n.slots++ },
		"a caller":   func(n *node) { n.line.length++ },
		"an opening": func(n *node) { n.opening++ },
		"a watch":    func(n *node) { n.watches[new(Watch)] = struct{}{} },
	} {
		p, err := New(Options{Address: "a:1"})
		if err != nil {
			t.Fatal(err)
		}
		n := newNode(p, "b:1")
		p.undrained.Add(1)
		if use(n); n.retire() != (name == "nobody") {
			t.Errorf("%s: wrong", name)
		}
	}
}

// Only when every node has turned the client away there is nothing to wait for.
func TestTLSRefused(t *testing.T) {
	away, down := error(&tlsError{what: "refused"}), error(ErrConnect)
	attempts := func(errs ...error) error {
		all := &AttemptsError{Cause: errs[len(errs)-1]}
		for _, err := range errs {
			all.Attempts = append(all.Attempts, Attempt{Err: err})
		}
		return &Error{Err: all}
	}
	for _, c := range []struct {
		err  error
		want bool
	}{
		{away, true},
		{&Error{Err: fmt.Errorf("%w: %w", ErrConnect, away)}, true},
		{down, false},
		{attempts(away, away), true},
		{attempts(down, away), false},
		{attempts(away, down), false},
	} {
		if got := tlsRefused(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}
