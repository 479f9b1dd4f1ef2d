package celerianttest_test

import (
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// once gives one frame a verdict and lets all others pass.
func once(pick func(*celerianttest.Frame) bool, v celerianttest.Verdict) celerianttest.Interceptor {
	var mu sync.Mutex
	fired := false
	return func(f *celerianttest.Frame) celerianttest.Verdict {
		mu.Lock()
		defer mu.Unlock()
		if fired || !pick(f) {
			return celerianttest.Pass()
		}
		fired = true
		return v
	}
}

func theWrite(f *celerianttest.Frame) bool {
	_, ok := f.Request.(*msg.WriteRequest)
	return ok
}

func theAnswer(f *celerianttest.Frame) bool {
	_, ok := f.Response.(*msg.WriteResponse)
	return ok
}

// TestVerdicts applies each kind of verdict in each direction to a write, and
// looks at what the client sees and whether the write was executed.
func TestVerdicts(t *testing.T) {
	request := writeTo(key(1), event(1, "x"))
	request.SetCorrelation(msg.Some(id(9)))
	size := len(frameOf(t, wire.V3, request))
	answer := written(1)
	answer.CorrelationID = msg.Some(id(9))
	busy := &msg.ErrorResponse{Code: msg.CodeServerBusy, Message: "{}"}
	busyAnswer := &msg.ErrorResponse{Correlated: answer.Correlated, Code: msg.CodeServerBusy, Message: "{}"}
	answered := func(p *peer) { p.want(answer) }
	silence := func(p *peer) { p.silent(20 * time.Second) }
	end := func(p *peer) { p.eof() }

	tests := []struct {
		name     string
		pick     func(*celerianttest.Frame) bool
		verdict  celerianttest.Verdict
		sees     func(*peer)
		executed bool
	}{
		{"pass", theWrite, celerianttest.Pass(), answered, true},
		{"delayed request", theWrite, celerianttest.Delay(3 * time.Second),
			func(p *peer) { p.silent(3*time.Second - 1); answered(p) }, true},
		{"delayed answer", theAnswer, celerianttest.Delay(3 * time.Second),
			func(p *peer) { p.silent(3*time.Second - 1); answered(p) }, true},
		{"dropped request", theWrite, celerianttest.Drop(), silence, false},
		{"dropped answer", theAnswer, celerianttest.Drop(), silence, true},
		{"cut before the request", theWrite, celerianttest.CutBefore(), end, false},
		{"cut before the answer", theAnswer, celerianttest.CutBefore(), end, true},
		{"cut inside the request", theWrite, celerianttest.CutAfter(size - 1), end, false},
		{"cut after the request", theWrite, celerianttest.CutAfter(size), end, true},
		{"cut inside the answer", theAnswer, celerianttest.CutAfter(7),
			func(p *peer) { p.wantBytes(7); p.eof() }, true},
		{"cut after the answer", theAnswer, celerianttest.CutAfter(1000), func(p *peer) { answered(p); p.eof() }, true},
		{"corrupt version of the request", theWrite, celerianttest.Corrupt(0), end, false},
		{"corrupt payload of the request", theWrite, celerianttest.Corrupt(size - 5), answered, true},
		{"corrupt answer", theAnswer, celerianttest.Corrupt(0), func(p *peer) {
			if _, _, err := p.receive(); err == nil {
				p.t.Error("an answer with a corrupt version was read")
			}
		}, true},
		{"other answer, the request is not executed", theWrite, celerianttest.Answer(busy), func(p *peer) { p.want(busyAnswer) }, false},
		{"other answer in place of the answer", theAnswer, celerianttest.Answer(busy), func(p *peer) { p.want(busyAnswer) }, true},
		{"an answer that ends the connection", theWrite, celerianttest.Answer(&msg.ErrorResponse{Code: msg.CodeIdentityRequired}),
			func(p *peer) { p.wantError(msg.CodeIdentityRequired); p.eof() }, false},
		{"bytes instead of executing", theWrite, celerianttest.AnswerBytes([]byte("garbage")), func(p *peer) { p.wantBytes(7) }, false},
		{"bytes in place of the answer", theAnswer, celerianttest.AnswerBytes([]byte("garbage")), func(p *peer) { p.wantBytes(7) }, true},
		{"stalled request", theWrite, celerianttest.Stall(), func(p *peer) { p.silent(time.Hour) }, false},
		{"stalled answer", theAnswer, celerianttest.Stall(), silence, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, celerianttest.Options{}, func(t *testing.T, node *celerianttest.Node) {
				p := dial(t, node)
				p.call(readFrom(key(1), 1)) // an interceptor set while a connection is idle sees its next frame
				node.Intercept(once(test.pick, test.verdict))
				p.send(request)
				test.sees(p)
				node.Intercept(nil)
				_, executed := dial(t, node).call(readFrom(key(1), 1)).(*msg.ReadResponse)
				if executed != test.executed {
					t.Errorf("executed: %v, want %v", executed, test.executed)
				}
				passes := reflect.DeepEqual(test.verdict, celerianttest.Pass())
				if counted := node.Stats().Verdicts; (counted == 0) != passes {
					t.Errorf("%d verdicts counted", counted)
				}
			})
		})
	}
}

// wantBytes reads n bytes whatever they are.
func (p *peer) wantBytes(n int) {
	p.t.Helper()
	_ = p.socket.SetReadDeadline(time.Now().Add(patience))
	for i := range n {
		if _, err := p.in.ReadByte(); err != nil {
			p.t.Fatalf("%d of %d bytes, then %v", i, n, err)
		}
	}
}

func TestStalledConnectionTakesInAndLosesWhatFollows(t *testing.T) {
	inBubble(t, celerianttest.Options{}, func(t *testing.T, node *celerianttest.Node) {
		p := dial(t, node)
		node.Intercept(once(theWrite, celerianttest.Stall()))
		for i := range uint64(20_000) { // far more than the buffers hold
			p.send(writeTo(key(1), event(i+1, "x")))
		}
		p.silent(time.Hour)
		if n := node.Stats().Connections; n != 1 {
			t.Fatalf("%d connections, want the stalled one", n)
		}
	})
}

func TestStalledAnswersAreExecutedAllTheSame(t *testing.T) {
	inBubble(t, celerianttest.Options{}, func(t *testing.T, node *celerianttest.Node) {
		p := dial(t, node)
		node.Intercept(once(theAnswer, celerianttest.Stall()))
		for i := range uint64(3) {
			p.send(writeTo(key(1), event(i+1, "x")))
		}
		p.silent(time.Second)
		if page := dial(t, node).call(readFrom(key(1), 1)).(*msg.ReadResponse); len(page.Batches) != 3 {
			t.Fatalf("%d writes executed, want 3", len(page.Batches))
		}
	})
}

func TestInterceptorSeesEveryFrame(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	type seen struct {
		conn, number, version, size int
		direction                   celerianttest.Direction
		request                     msg.RequestType
		response                    msg.ResponseType
	}
	var mu sync.Mutex
	var frames []seen
	node.Intercept(func(f *celerianttest.Frame) celerianttest.Verdict {
		mu.Lock()
		defer mu.Unlock()
		s := seen{conn: f.Conn, number: f.Number, version: f.Version, size: f.Size, direction: f.Direction}
		if f.Request != nil {
			s.request = f.Request.RequestType()
		}
		if f.Response != nil {
			s.response = f.Response.ResponseType()
		}
		frames = append(frames, s)
		return celerianttest.Pass()
	})
	w := dial(t, node)
	w.version = wire.V2
	watching(w, 1)
	p := dial(t, node)
	p.call(writeTo(key(1), event(1, "x")))
	w.wantNotifications(created(key(1)), wrote(key(1), 1, 1))

	mu.Lock()
	defer mu.Unlock()
	want := map[seen]bool{
		{1, 1, 2, 48, celerianttest.ToNode, msg.TypeWatchRequest, 0}:                                    true,
		{1, 1, 2, 25, celerianttest.ToClient, 0, msg.TypeWatchResponse}:                                 true,
		{2, 1, 3, len(frameOf(t, wire.V3, writeTo(key(1), event(1, "x")))), 0, msg.TypeWriteRequest, 0}: true,
		{2, 1, 3, 20, celerianttest.ToClient, 0, msg.TypeWriteResponse}:                                 true,
		{1, 2, 2, 77, celerianttest.ToClient, 0, msg.TypeWatchResponse}:                                 true,
		{1, 3, 2, 93, celerianttest.ToClient, 0, msg.TypeWatchResponse}:                                 true,
	}
	for _, f := range frames {
		if !want[f] {
			t.Errorf("unexpected or repeated frame %+v", f)
		}
		delete(want, f)
	}
	if len(want) > 0 {
		t.Errorf("not seen: %+v", want)
	}
}

// TestWatchFramesAreIntercepted: frames of a running watch, too, and the watch
// goes on behind a dropped or corrupted one.
func TestWatchFramesAreIntercepted(t *testing.T) {
	inBubble(t, celerianttest.Options{}, func(t *testing.T, node *celerianttest.Node) {
		w, p := watching(dial(t, node), 1), dial(t, node)
		node.Intercept(once(func(f *celerianttest.Frame) bool {
			r, ok := f.Response.(*msg.WatchResponse)
			return ok && len(r.Notifications) == 1 && r.Notifications[0].Operation == msg.OpCreate
		}, celerianttest.Drop()))
		p.call(writeTo(key(1), event(1, "x")))
		w.wantNotifications(wrote(key(1), 1, 1))
		node.Intercept(once(func(f *celerianttest.Frame) bool { return f.Response != nil && f.Conn == 1 }, celerianttest.CutBefore()))
		p.call(writeTo(key(1), event(2, "x")))
		w.eof()
		synctest.Wait()
		if s := node.Stats(); s.Cuts != 1 || s.Watches != 0 {
			t.Fatalf("%+v", s)
		}
	})
}
