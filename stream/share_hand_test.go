package stream

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// simHanding is a frame that is being handed over, and who is at work and refuses it.
type simHanding struct {
	frame   []msg.Notification
	members []*member
	refused []bool
}

// simListener is of a subscriber that is handed its frames.
type simListener struct{ listener }

// hand hands a frame to those who need no queue for it.
func (r *hubRig) hand(frame []msg.Notification) {
	h := simHanding{frame: frame, members: r.hub.direct}
	r.hub.direct = nil
	for _, m := range h.members {
		refuses := r.rng.IntN(3) == 0
		h.refused = append(h.refused, refuses)
		if i := slices.IndexFunc(r.subs, func(s *simSub) bool { return s.member == m }); i >= 0 && !refuses {
			r.hears(r.subs[i], m.filter.pick(frame, nil))
		}
	}
	if len(h.members) > 0 {
		r.handing = append(r.handing, h)
	}
}

// handed ends the oldest handing over.
func (r *hubRig) handed() {
	h := r.handing[0]
	r.handing = r.handing[1:]
	r.hub.delivered(r.now, h.frame, h.members, func(i int) bool { return h.refused[i] })
}

// noting notes what a subscriber is handed; while busy it refuses what does not wait.
type noting struct {
	busy bool
	log  []string
	end  error
	ends int
}

func (n *noting) receive(frame []msg.Notification, wait bool) bool {
	if n.busy && !wait {
		return false
	}
	for i := range frame {
		n.log = append(n.log, fmt.Sprint(frame[i].Key.Type[15], ":", frame[i].To.Value))
	}
	if len(frame) == 0 {
		n.log = append(n.log, "beat")
	}
	return true
}

func (n *noting) lost(err error) { n.end, n.ends = err, n.ends+1 }

func (n *noting) want(t *testing.T, log ...string) {
	t.Helper()
	synctest.Wait()
	if !slices.Equal(n.log, log) {
		t.Errorf("heard %q, want %q", n.log, log)
	}
	n.log = nil
}

// listening returns a shared watch of types, what is to be handed its frames, and the
// connection.
func listening(s *Shared, types ...int) (*sharedWatch, *noting, uint64) {
	w, n := &sharedWatch{shared: s, wake: make(chan struct{}, 1)}, new(noting)
	s.mu.Lock()
	defer s.mu.Unlock()
	w.member = s.hub.join(time.Now(), groupKey{}, watchFilter{types: idsOf(types...)}, w.signal)
	for _, e := range s.hub.effects {
		s.hub.opened(time.Now(), e.id, "node")
	}
	s.hub.effects = nil
	return w, n, w.member.upstream.id
}

// A frame is handed over on the goroutine that heard it, each subscriber what is its
// own; who is at work finds it in the queue, with heartbeats, and all in order.
func TestFramesAreHandedOver(tt *testing.T) {
	synctest.Test(tt, func(t *testing.T) {
		s := Share(nil)
		all, both, id := listening(s, 1, 2)
		one, some, _ := listening(s, 1)
		s.frame(id, []msg.Notification{hint(1, 1, 1)})
		all.setListener(both)
		one.setListener(some)
		both.want(t, "1:1") // what came before is not missed
		some.want(t, "1:1")

		s.frame(id, []msg.Notification{hint(2, 1, 1), hint(1, 2, 2), hint(2, 2, 2)})
		both.want(t, "2:1", "1:2", "2:2")
		some.want(t, "1:2")
		if all.member.queue.at != nil || one.member.queue.at != nil {
			t.Error("a queue was made for what was handed over")
		}

		both.busy = true
		s.frame(id, []msg.Notification{hint(1, 3, 3)})
		both.want(t, "1:3") // by somebody who waits
		some.want(t, "1:3")

		time.Sleep(heartbeatEvery)
		s.frame(id, nil)
		both.want(t, "beat")
		some.want(t, "beat")
		s.frame(id, nil)
		both.want(t)
		some.want(t)

		all.leave(errWatchClosed)
		all.leave(errors.New("again"))
		s.frame(id, []msg.Notification{hint(1, 4, 4)})
		both.want(t)
		some.want(t, "1:4")
		if both.ends != 1 || both.end != errWatchClosed || some.ends != 0 {
			t.Errorf("ended %d times, by %v; the other one %d times", both.ends, both.end, some.ends)
		}
	})
}

// A frame that arrives while another one is being handed over comes after it, and so does the end.
func TestOneFrameIsHandedOverAtATime(tt *testing.T) {
	synctest.Test(tt, func(t *testing.T) {
		s := Share(nil)
		w, n, id := listening(s, 1)
		w.setListener(n)
		first := []msg.Notification{hint(1, 1, 1)}
		direct := s.route(id, first)
		if len(direct) != 1 {
			t.Fatalf("handed to %d", len(direct))
		}
		s.frame(id, []msg.Notification{hint(1, 2, 2)})
		n.want(t)
		n.receive(first, false)
		s.apply(func(h *hub, now time.Time) { h.delivered(now, first, direct, func(int) bool { return false }) })
		n.want(t, "1:1", "1:2")

		direct = s.route(id, first)
		w.leave(errWatchClosed)
		synctest.Wait()
		if n.ends > 0 {
			t.Error("ended while a frame was being handed over")
		}
		s.apply(func(h *hub, now time.Time) { h.delivered(now, first, direct, func(int) bool { return true }) })
		n.want(t)
		if n.ends != 1 {
			t.Errorf("ended %d times", n.ends)
		}
	})
}
