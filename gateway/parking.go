package gateway

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// parkedLook is how often a session looks what is asked about parked aggregates.
const parkedLook = 5 * time.Second

// parking is what a session knows of the parked aggregates of its name.
type parking struct {
	// keys are all of them, of whichever partition.
	keys map[msg.Key]struct{}
	// skips are the changes to be passed over when they come.
	skips map[msg.Key]skipping
	// timer runs until the next look at requests; due tells the pump to look.
	timer *time.Timer
	due   bool
}

// skipping is a change to be passed over when it comes.
type skipping struct{ life, version uint64 }

// parkLocked notes that an aggregate is parked.
func (ses *session) parkLocked(key msg.Key) {
	if ses.parking.keys == nil {
		ses.parking.keys, ses.parking.skips = make(map[msg.Key]struct{}), make(map[msg.Key]skipping)
	}
	ses.parking.keys[key] = struct{}{}
	ses.lookLaterLocked()
}

// park holds aggregates that are parked after all.
func (ses *session) park(sub *stream.Subscription, keys []msg.Key, pending *[]stream.Change) error {
	if err := ses.hold(sub, keys, pending); err != nil {
		return err
	}
	ses.mu.Lock()
	defer ses.mu.Unlock()
	for _, key := range keys {
		ses.parkLocked(key)
	}
	if len(keys) > 0 {
		ses.tellParkedLocked(sub)
	}
	return nil
}

// tellParkedLocked has the subscription's numbers, which other members and pages show,
// count what is parked.
func (ses *session) tellParkedLocked(sub *stream.Subscription) {
	sub.ReportParked(slices.Collect(maps.Keys(ses.parking.keys)))
}

// lookLaterLocked has the pump look at the requests within parkedLook, while
// something is parked.
func (ses *session) lookLaterLocked() {
	if ses.parking.timer == nil && len(ses.parking.keys) > 0 {
		ses.parking.timer = time.AfterFunc(parkedLook, ses.lookNow)
	}
}

// lookNow has the pump look at the requests.
func (ses *session) lookNow() {
	ses.mu.Lock()
	defer ses.mu.Unlock()
	if ses.parking.timer != nil {
		ses.parking.timer.Stop()
		ses.parking.timer = nil
	}
	ses.parking.due = true
	ses.wakeLocked()
}

// holdParked reads what members have parked, and how often changes failed, before a
// change of a partition that came is delivered.
func (ses *session) holdParked(sub *stream.Subscription, pending *[]stream.Change) error {
	ses.mu.Lock()
	gone := maps.Clone(ses.parking.keys)
	ses.mu.Unlock()
	control, _, err := checkpoint.LoadControl(ses.ctx, sub.Store().(checkpoint.RecordStore), sub.Name())
	if err != nil {
		return err
	}
	keys := make([]msg.Key, len(control.Parked))
	for i := range control.Parked {
		keys[i] = control.Parked[i].Key
		delete(gone, keys[i])
	}
	if err := ses.park(sub, keys, pending); err != nil {
		return err
	}
	ses.mu.Lock()
	defer ses.mu.Unlock()
	ses.failing.restore(control.Failing)
	ses.unparkLocked(sub, gone)
	return nil
}

// unparkLocked goes on with aggregates whose records are gone.
func (ses *session) unparkLocked(sub *stream.Subscription, gone map[msg.Key]struct{}) {
	for key := range gone {
		delete(ses.parking.keys, key)
		delete(ses.parking.skips, key)
		sub.Release(key)
	}
	if len(gone) > 0 {
		ses.tellParkedLocked(sub)
		ses.out.touch()
	}
}

// heed carries out what is asked about parked aggregates. Any member may do it: the
// others notice that the record is gone.
func (ses *session) heed(sub *stream.Subscription) {
	ses.mu.Lock()
	gone := maps.Clone(ses.parking.keys)
	ses.mu.Unlock()
	ctx, cancel := context.WithTimeout(ses.ctx, closeTimeout)
	defer cancel()
	for p, err := range checkpoint.ListParked(ctx, sub.Store().(checkpoint.RecordStore), sub.Name()) {
		if err != nil {
			ses.server.opts.Logger.Warn("requests about parked aggregates are not read", "subscription", sub.Name(), "cause", err)
			clear(gone) // what was not read is not missing
			break
		}
		if _, here := gone[p.Key]; here && !ses.carryOutRequest(ctx, sub, p) {
			delete(gone, p.Key)
		}
	}
	ses.mu.Lock()
	defer ses.mu.Unlock()
	ses.unparkLocked(sub, gone)
	ses.lookLaterLocked()
}

// carryOutRequest releases an aggregate, or has it delivered so that the change that
// failed can be passed over: only then its cursor is known. carryOutRequest reports
// whether the aggregate is parked no more.
func (ses *session) carryOutRequest(ctx context.Context, sub *stream.Subscription, p checkpoint.Parked) bool {
	if p.Request == nil {
		return false
	}
	if p.Request.Action == checkpoint.ActionSkip {
		ses.mu.Lock()
		ses.parking.skips[p.Key] = skipping{p.Life, p.Version}
		ses.mu.Unlock()
		sub.Release(p.Key)
		return false
	}
	var m checkpoint.Mutation
	m.Unpark(p)
	if err := sub.Store().(checkpoint.RecordStore).Apply(ctx, sub.Name(), m); err != nil {
		// Another member was faster, or the next look is.
		ses.server.opts.Logger.Info("a parked aggregate is not released", "subscription", sub.Name(), "key", p.Key, "cause", err)
		return false
	}
	return true
}

// passOver takes the first change of an aggregate of which one is to be skipped,
// and reports whether the change is not to be delivered.
func (ses *session) passOver(sub *stream.Subscription, c *stream.Change) (bool, error) {
	ses.mu.Lock()
	at, asked := ses.parking.skips[c.Key]
	ses.mu.Unlock()
	if !asked || !c.Moves() {
		return false, nil
	}
	p, err := checkpoint.LoadParked(ses.ctx, sub.Store().(checkpoint.RecordStore), sub.Name(), c.Key)
	if err != nil && !errors.Is(err, checkpoint.ErrNotParked) {
		return false, err
	}
	ses.mu.Lock()
	defer ses.mu.Unlock()
	delete(ses.parking.skips, c.Key)
	delete(ses.parking.keys, c.Key)
	ses.tellParkedLocked(sub)
	if err != nil {
		return false, nil
	}
	m := &checkpoint.Mutation{Owners: []checkpoint.Owner{c.Owner}}
	m.Unpark(p)
	// Otherwise its log is another one by now, and the parking is void.
	skip := at == skipping{c.Cursor.Life, versionOf(c)}
	if skip {
		m.Entries = []checkpoint.Entry{{Key: c.Key, Cursor: c.Cursor}}
		m.Pass(checkpoint.Passed{Key: c.Key, Life: at.life, From: at.version, To: at.version, Why: "skipped", At: time.Now()})
	}
	ses.out.touch()
	ses.store.(*namedPositions).changeLocked(m, func(err error) error {
		var changed *checkpoint.RevisionError
		if errors.As(err, &changed) { // something else was asked meanwhile
			return ses.enqueue(order{parked: []msg.Key{c.Key}})
		}
		return unlessLost(err)
	})
	return skip, nil
}
