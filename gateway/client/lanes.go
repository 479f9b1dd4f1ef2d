package client

import (
	"slices"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// place is one delivery of an aggregate that is not committed.
type place struct {
	cursor   checkpoint.Cursor
	attempt  uint64 // the connection it came on
	delivery uint64
	taken    bool // by the consumer
}

// lanes are the aggregates with deliveries that are not committed, each in order.
// A subscription outlives its connections by them: a new connection continues
// behind the last delivery of the one before.
type lanes map[msg.Key][]place

// add enters a delivery and reports false if the change does not follow what
// was delivered before, which a gateway that keeps the rules never sends.
func (l lanes) add(c *stream.Change, attempt, delivery uint64) bool {
	lane := l[c.Key]
	if n := len(lane); n > 0 && c.Previous != lane[n-1].cursor {
		return false
	}
	l[c.Key] = append(lane, place{cursor: c.Cursor, attempt: attempt, delivery: delivery})
	return true
}

// taken notes that the consumer has the changes.
func (l lanes) taken(changes []stream.Change) {
	for i := range changes {
		if !changes[i].Moves() {
			continue
		}
		lane := l[changes[i].Key]
		for j := range lane {
			if !lane[j].taken {
				lane[j].taken = true
				break
			}
		}
	}
}

// newest is where an aggregate stands for the consumer, if that is ahead of the
// store.
func (l lanes) newest(key msg.Key) (checkpoint.Cursor, bool) {
	lane := l[key]
	if len(lane) == 0 {
		return checkpoint.Cursor{}, false
	}
	return lane[len(lane)-1].cursor, true
}

// committed forgets what is stored and returns the deliveries of an attempt that it
// acknowledges.
func (l lanes) committed(entries []checkpoint.Entry, attempt uint64) (deliveries []uint64) {
	for _, e := range entries {
		lane := l[e.Key]
		n := 0
		for n < len(lane) && lane[n].cursor.Compare(e.Cursor) <= 0 {
			if lane[n].attempt == attempt {
				deliveries = append(deliveries, lane[n].delivery)
			}
			n++
		}
		if n == len(lane) {
			delete(l, e.Key)
		} else {
			l[e.Key] = lane[n:]
		}
	}
	slices.Sort(deliveries)
	return deliveries
}

// dropWaiting forgets what the consumer has not taken.
func (l lanes) dropWaiting() {
	for key, lane := range l {
		n := 0
		for n < len(lane) && lane[n].taken {
			n++
		}
		if n == 0 {
			delete(l, key)
		} else {
			l[key] = lane[:n:n]
		}
	}
}
