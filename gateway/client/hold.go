package client

import (
	"maps"
	"slices"

	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/convert"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// keysOfMessage bounds the keys of one message.
const keysOfMessage = 512

// hold is what a subscription knows of a held aggregate, or of one that was held and
// whose Held has not come yet.
type hold struct {
	wanted  bool   // not released
	barrier uint64 // the hold whose Held is awaited; 0 when it has come
}

// ignored reports whether a delivery is one that a hold has made void.
func (h hold) ignored() bool { return h.wanted || h.barrier != 0 }

// Hold implements stream.Consumer.
func (s *Subscription) Hold(keys ...msg.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var fresh []msg.Key
	for _, key := range keys {
		if s.held[key].wanted {
			continue
		}
		fresh = append(fresh, key)
		delete(s.lanes, key)
	}
	if len(fresh) == 0 {
		return
	}
	among := make(map[msg.Key]struct{}, len(fresh))
	for _, key := range fresh {
		among[key] = struct{}{}
	}
	for i := range s.queue {
		s.queue[i].changes = slices.DeleteFunc(s.queue[i].changes, func(c stream.Change) bool {
			_, dropped := among[c.Key]
			return dropped && c.Kind != stream.CaughtUp
		})
	}
	s.queue = slices.DeleteFunc(s.queue, func(p message) bool { return len(p.changes) == 0 })
	s.sendHoldLocked(s.link, fresh)
}

// sendHoldLocked tells the gateway, if there is a connection; holdAgain tells the
// next one.
func (s *Subscription) sendHoldLocked(l *link, keys []msg.Key) {
	for part := range slices.Chunk(keys, keysOfMessage) {
		state := hold{wanted: true}
		if l != nil {
			s.holds++
			state.barrier = s.holds
			l.request(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Hold{Hold: &pb.Hold{Id: s.holds, Keys: convert.KeyMessages(part)}}})
		}
		for _, key := range part {
			s.held[key] = state
		}
	}
}

// holdAgain tells a new connection what is held, before anything is delivered.
func (s *Subscription) holdAgain(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.held, func(_ msg.Key, h hold) bool { return !h.wanted })
	s.sendHoldLocked(l, slices.Collect(maps.Keys(s.held)))
	for key := range s.redo {
		l.request(redoRequest(key))
	}
	clear(s.redo)
}

// held notes that nothing follows of what the hold named.
func (l *link) held(id uint64) {
	s := l.sub
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, h := range s.held {
		if h.barrier != id {
			continue
		}
		if h.barrier = 0; h.wanted {
			s.held[key] = h
		} else {
			delete(s.held, key)
		}
	}
}

// Release implements stream.Consumer.
func (s *Subscription) Release(keys ...msg.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var released []msg.Key
	for _, key := range keys {
		h := s.held[key]
		if !h.wanted {
			continue
		}
		released = append(released, key)
		if h.wanted = false; h.barrier != 0 {
			s.held[key] = h // what comes before its Held is still void
		} else {
			delete(s.held, key)
		}
	}
	if s.link == nil {
		return // the next connection does not hold them
	}
	for part := range slices.Chunk(released, keysOfMessage) {
		s.link.request(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Release{Release: &pb.Release{Keys: convert.KeyMessages(part)}}})
	}
}

// Redo implements stream.Consumer.
func (s *Subscription) Redo(key msg.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link == nil {
		s.redo[key] = struct{}{}
		return
	}
	s.link.request(redoRequest(key))
}

func redoRequest(key msg.Key) *pb.SubscribeRequest {
	return &pb.SubscribeRequest{Message: &pb.SubscribeRequest_Redo{Redo: &pb.Redo{Key: convert.KeyMessage(key)}}}
}
