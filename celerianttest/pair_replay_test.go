package celerianttest_test

import (
	"context"
	"errors"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/internal/traces"
	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// TestPairRecordings replays the recordings of two nodes. Actions on a node happen
// when they were recorded, and so do new connections; requests
// follow at once, which in virtual time leaves a follower the lag it was
// recorded with. An answer that is not the recorded one yet is asked for again.
func TestPairRecordings(t *testing.T) {
	replayed := 0
	for _, rec := range traces.All() {
		if !strings.HasPrefix(rec.Scenario, "pair-") {
			continue
		}
		replayed++
		for name, quirks := range map[string]bool{"": false, "/quirks": true} {
			t.Run(rec.Name+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := &pairPlayer{t: t, rec: rec, start: time.Now(), peers: make(map[int]*pairPeer)}
					p.pair = celerianttest.RunPair(t, celerianttest.PairOptions{
						Options: celerianttest.Options{InMemory: true, Quirks: quirks},
						Lag:     16 * time.Millisecond, SteadyRestarts: true,
					})
					p.play()
				})
			})
		}
	}
	if replayed != 3 {
		t.Errorf("%d recordings of pairs, want 3", replayed)
	}
}

// pairPlayer walks through a recording of two nodes.
type pairPlayer struct {
	t     *testing.T
	pair  *celerianttest.Pair
	rec   traces.Recording
	start time.Time
	peers map[int]*pairPeer
	step  traces.Step
}

// pairPeer is a connection and the last request on it.
type pairPeer struct {
	*peer
	request []byte
	frames  int // received
}

func (p *pairPlayer) play() {
	for _, p.step = range p.rec.Steps {
		p.one()
		if p.t.Failed() {
			p.t.Fatalf("at line %d of %s: %s %s on connection %d", p.step.Line, p.rec.Name, p.step.Do, p.step.Type, p.step.Conn)
		}
	}
}

func (p *pairPlayer) one() {
	s := p.step
	peer := p.peers[s.Conn]
	switch s.Do {
	case traces.DoNote:
		p.pace()
		p.note(s.Note)
	case traces.DoOpen:
		p.pace()
		node, err := p.node(s.Node).Dial(context.Background())
		if err != nil {
			p.t.Fatal(err)
		}
		p.peers[s.Conn] = &pairPeer{peer: newPeer(p.t, node)}
	case traces.DoSend:
		peer.request = s.Hex
		peer.write(s.Hex)
	case traces.DoRecv:
		p.receive(peer)
	case traces.DoSilence:
		p.silence(peer, time.Duration(s.WaitedMS)*time.Millisecond)
	case traces.DoEOF:
		peer.eof()
	case traces.DoClose:
		peer.close()
	default:
		p.t.Errorf("unknown step")
	}
}

func (p *pairPlayer) pace() {
	time.Sleep(time.Until(p.start.Add(time.Duration(p.step.AtMS) * time.Millisecond)))
}

func (p *pairPlayer) node(name string) *celerianttest.Node {
	if name == "A" {
		return p.pair.A()
	}
	return p.pair.B()
}

// note does what was done to a node, and checks what was noted.
func (p *pairPlayer) note(text string) {
	do, known := map[string]func(*celerianttest.Node) error{
		"A is killed": p.pair.Kill, "A is started again": p.pair.Restart, "A is paused": p.pair.Pause, "A is resumed": p.pair.Resume,
	}[text]
	leads, asserts := map[string]*celerianttest.Node{"the leader is A": p.pair.A(), "B leads: true": p.pair.B()}[text]
	switch {
	case known:
		if err := do(p.pair.A()); err != nil {
			p.t.Error(err)
		}
	case !asserts:
		p.t.Errorf("unknown note %q", text)
	case p.pair.Leader() != leads:
		p.t.Errorf("%q does not hold", text)
	}
}

// next reads the next frame, less the heartbeats of a watch.
func (p *pairPeer) next() (wire.Header, msg.Response, error) {
	for {
		h, resp, err := p.receive()
		if err == nil {
			p.frames++
		}
		if w, ok := resp.(*msg.WatchResponse); ok && p.frames > 1 && len(w.Notifications) == 0 {
			continue
		}
		return h, resp, err
	}
}

// receive compares the next frame with the recorded one. While it differs, and
// the request changed nothing, the request is repeated: a follower may still
// lag, a leader still be elected.
func (p *pairPlayer) receive(peer *pairPeer) {
	want := p.recorded()
	if w, ok := want.(*msg.WatchResponse); ok && len(w.Notifications) == 0 && peer.frames > 0 {
		return // a heartbeat
	}
	for giveUp := time.Now().Add(15 * time.Second); ; {
		_, got, err := peer.next()
		if err != nil {
			p.t.Errorf("instead of the recorded answer: %v", err)
			return
		}
		normalise(got)
		p.name(got)
		if reflect.DeepEqual(got, want) {
			return
		}
		if !repeatable(got) || time.Now().After(giveUp) {
			p.t.Errorf("got  %T %+v\nwant %T %+v", got, got, want, want)
			return
		}
		time.Sleep(5 * time.Millisecond)
		peer.write(peer.request)
	}
}

func repeatable(answer msg.Response) bool {
	switch answer := answer.(type) {
	case *msg.ReadResponse, *msg.DetailsResponse, *msg.ListAggregatesResponse:
		return true
	case *msg.ErrorResponse:
		return slices.Contains([]msg.Code{
			msg.CodeWriteNotLeader, msg.CodeReadNotFound, msg.CodeVersionUnavailable, msg.CodeDetailsNotFound,
		}, answer.Code)
	}
	return false
}

func (p *pairPlayer) recorded() msg.Response {
	h, err := wire.ParseHeader(p.step.Hex)
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := wire.DecodeResponse(h.Version, msg.ResponseType(h.Type), p.step.Hex[wire.HeaderSize:])
	if err != nil {
		p.t.Fatal(err)
	}
	normalise(resp)
	p.name(resp)
	return resp
}

// The port of node A ended in 00, that of node B in 01.
var recordedAddress = regexp.MustCompile(`127\.0\.0\.1:\d+0([01])`)

// name puts the names of the nodes where their addresses are.
func (p *pairPlayer) name(resp msg.Response) {
	failure, ok := resp.(*msg.ErrorResponse)
	if !ok {
		return
	}
	failure.Message = recordedAddress.ReplaceAllString(failure.Message, "node $1")
	failure.Message = strings.NewReplacer(p.pair.A().Addr(), "node 0", p.pair.B().Addr(), "node 1").Replace(failure.Message)
}

// silence fails when anything but a heartbeat arrives within d.
func (p *pairPlayer) silence(peer *pairPeer, d time.Duration) {
	for end := time.Now().Add(d); ; {
		_ = peer.socket.SetReadDeadline(end)
		if _, err := peer.in.Peek(1); errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		_, resp, err := peer.receive()
		if w, ok := resp.(*msg.WatchResponse); err != nil || !ok || len(w.Notifications) > 0 {
			p.t.Errorf("instead of silence: %+v, %v", resp, err)
			return
		}
	}
}
