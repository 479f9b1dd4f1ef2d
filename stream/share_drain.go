package stream

import (
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

const (
	// quiet is for how long only heartbeats must have come on a connection that is
	// being left.
	quiet = 4 * time.Second
	// maxMarks bounds the versions remembered of either side of a move.
	maxMarks = 256
)

// drain decides when a connection that its subscribers have left for a wider
// one has nothing more to say of what was committed before the wider one was
// acknowledged. The wider one does not tell of those commits, and connections
// are not ordered among themselves: closing the old one at the acknowledgement
// would lose the hints still under way on it. Two things prove it drained:
//
//   - both have told of one commit. It was committed after the acknowledgement,
//     and on the old connection everything older came before it. Versions from 2
//     on name a commit: they only grow, through all lives of an aggregate.
//   - nothing but heartbeats came for 4 s, measured from one frame received
//     after the acknowledgement to another, so that what lay unread meanwhile
//     proves nothing. Another node's heartbeats say nothing about this one, so
//     this needs both connections to lead to one node, which the hub sees to.
type drain struct {
	heir uint64 // the connection that took over; later ones count as well
	// since is the last frame before a run of heartbeats.
	since time.Time
	// ours are the highest versions told of here, theirs the lowest told of there.
	ours, theirs map[msg.Key]uint64
}

func newDrain(heir uint64) *drain {
	return &drain{heir: heir, ours: make(map[msg.Key]uint64), theirs: make(map[msg.Key]uint64)}
}

// told takes a frame of the connection being left and reports whether it is
// drained.
func (d *drain) told(now time.Time, frame []msg.Notification) bool {
	if len(frame) == 0 {
		if d.since.IsZero() {
			d.since = now
		}
		return now.Sub(d.since) >= quiet
	}
	d.since = now
	proved := false
	for i := range frame {
		if frame[i].Operation != msg.OpWrite {
			continue
		}
		key, version := frame[i].Key, frame[i].To.Value
		if mark, ok := d.theirs[key]; ok && version >= mark {
			proved = true
		}
		if old, ok := d.ours[key]; ok || len(d.ours) < maxMarks {
			d.ours[key] = max(old, version)
		}
	}
	return proved
}

// heard takes a frame of a connection acknowledged after the move and reports
// whether the one being left is drained.
func (d *drain) heard(frame []msg.Notification) bool {
	proved := false
	for i := range frame {
		key, version := frame[i].Key, frame[i].From.Value
		if frame[i].Operation != msg.OpWrite {
			continue
		}
		if version < 2 {
			version = frame[i].To.Value // merged with the first of a life
		}
		if version < 2 {
			continue
		}
		if told, ok := d.ours[key]; ok && told >= version {
			proved = true
		}
		if old, ok := d.theirs[key]; ok {
			d.theirs[key] = min(old, version)
		} else if len(d.theirs) < maxMarks {
			d.theirs[key] = version
		}
	}
	return proved
}
