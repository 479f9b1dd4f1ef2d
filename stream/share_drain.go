package stream

import (
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

const (
	// drainQuiet is for how long only heartbeats must have come on a draining connection.
	drainQuiet = 4 * time.Second
	// maxDrainVersions bounds the versions remembered of either connection.
	maxDrainVersions = 256
)

// drain decides when a connection that its subscribers have left for a wider one has
// notified everything that was committed before the wider one was acknowledged. The
// wider one does not notify those commits, and connections are not ordered among
// themselves: closing the old one at the acknowledgement would lose the notifications
// still under way on it. Two things prove the old one drained:
//
//   - both connections have notified one commit. That commit is later than the
//     acknowledgement, and on the old connection all older ones came before it. Versions
//     from 2 on name a commit: they only grow, through all lives of an aggregate.
//   - nothing but heartbeats came for 4 s, measured from one frame received
//     after the acknowledgement to another, so that frames that lay unread meanwhile
//     prove nothing. Another node's heartbeats say nothing about this one, so
//     both connections must lead to one node, which the hub sees to.
type drain struct {
	successor uint64 // the id of the connection that took over; later ones count as well
	// quietSince is when the last frame came before the present run of heartbeats.
	quietSince time.Time
	// oldVersions are the highest versions notified on the old connection, newVersions the
	// lowest notified on newer ones.
	oldVersions, newVersions map[msg.Key]uint64
}

func newDrain(heir uint64) *drain {
	return &drain{successor: heir, oldVersions: make(map[msg.Key]uint64), newVersions: make(map[msg.Key]uint64)}
}

// frameOnOld takes a frame of the draining connection and reports whether it is
// drained.
func (d *drain) frameOnOld(now time.Time, frame []msg.Notification) bool {
	if len(frame) == 0 {
		if d.quietSince.IsZero() {
			d.quietSince = now
		}
		return now.Sub(d.quietSince) >= drainQuiet
	}
	d.quietSince = now
	proved := false
	for i := range frame {
		if frame[i].Operation != msg.OpWrite {
			continue
		}
		key, version := frame[i].Key, frame[i].To.Value
		if mark, ok := d.newVersions[key]; ok && version >= mark {
			proved = true
		}
		if old, ok := d.oldVersions[key]; ok || len(d.oldVersions) < maxDrainVersions {
			d.oldVersions[key] = max(old, version)
		}
	}
	return proved
}

// frameOnNew takes a frame of a connection acknowledged after the move and reports
// whether the draining one is drained.
func (d *drain) frameOnNew(frame []msg.Notification) bool {
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
		if told, ok := d.oldVersions[key]; ok && told >= version {
			proved = true
		}
		if old, ok := d.newVersions[key]; ok {
			d.newVersions[key] = min(old, version)
		} else if len(d.newVersions) < maxDrainVersions {
			d.newVersions[key] = version
		}
	}
	return proved
}
