package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/convert"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// mostRefused bounds the aggregates that rest because of a batch the client does
// not accept.
const mostRefused = 1000

// errWoken is the cause of the end of a wait that an order interrupted.
var errWoken = errors.New("gateway: woken")

// pump takes changes from the subscription, numbers them as the credit allows, and
// hands frames to the sender. pump is the only one that delivers, holds and
// releases, so that none of these races with another.
func (ses *session) pump(sub *stream.Subscription, t *ticket) error {
	var pending []stream.Change
	for {
		left, err := ses.carryOut(sub, &pending)
		if err != nil {
			return err
		}
		if left {
			// The session ends with its last acknowledgement, or its grace.
			select {
			case <-ses.ctx.Done():
				return context.Cause(ses.ctx)
			case <-ses.wake:
				continue
			}
		}
		if len(pending) == 0 {
			if pending, err = ses.next(sub); err != nil {
				if errors.Is(err, errWoken) {
					continue
				}
				return err
			}
			if sub.State().Phase == stream.Live {
				ses.server.admission.leave(t)
			}
		}
		if pending, err = ses.deliver(sub, pending, t); err != nil {
			return err
		}
	}
}

// next waits for changes, or for an order.
func (ses *session) next(sub *stream.Subscription) ([]stream.Change, error) {
	ses.mu.Lock()
	select {
	case <-ses.wake:
		signal(ses.wake)
		ses.mu.Unlock()
		return nil, errWoken
	default:
	}
	if ses.wait == nil || ses.wait.Err() != nil { // kept from one wait to the next, which costs less
		ses.wait, ses.interrupt = context.WithCancelCause(ses.ctx)
	}
	ctx := ses.wait
	ses.mu.Unlock()
	return sub.Next(ctx)
}

// wakeLocked makes the pump look for orders.
func (ses *session) wakeLocked() {
	signal(ses.wake)
	if ses.interrupt != nil {
		ses.interrupt(errWoken)
	}
}

// carryOut carries out orders, and reports whether the client left.
func (ses *session) carryOut(sub *stream.Subscription, pending *[]stream.Change) (left bool, err error) {
	select {
	case <-ses.wake:
	default:
	}
	ses.mu.Lock()
	orders, look := ses.orders, ses.parking.due
	ses.orders, ses.parking.due, left = nil, false, ses.leaving
	ses.mu.Unlock()
	if look {
		ses.heed(sub)
	}
	for _, o := range orders {
		switch {
		case o.started != nil:
			err = ses.start(o.started)
		case o.release != nil:
			ses.release(sub, o.release)
		case o.redo != nil:
			sub.Redo(o.redo[0])
		case o.verdict != nil:
			err = ses.judge(sub, o.verdict, pending)
		case o.parked != nil:
			err = ses.park(sub, o.parked, pending)
		default:
			if err = ses.hold(sub, o.hold, pending); err == nil {
				held := &pb.SubscribeResponse{Message: &pb.SubscribeResponse_Held{Held: &pb.Held{Id: o.id}}}
				err = ses.out.put(ses.ctx, held)
			}
		}
		if err != nil {
			return left, err
		}
	}
	return left, nil
}

// release goes on with held aggregates, but for those that are parked.
func (ses *session) release(sub *stream.Subscription, keys []msg.Key) {
	ses.mu.Lock()
	keys = slices.DeleteFunc(keys, func(k msg.Key) bool { _, parked := ses.parking.keys[k]; return parked })
	ses.mu.Unlock()
	sub.Release(keys...)
}

// hold stops the delivery of aggregates and voids what is outstanding of them.
func (ses *session) hold(sub *stream.Subscription, keys []msg.Key, pending *[]stream.Change) error {
	among := make(map[msg.Key]struct{}, len(keys))
	for _, k := range keys {
		among[k] = struct{}{}
	}
	matches := func(c *stream.Change) bool {
		_, ok := among[c.Key]
		return ok && c.Key != (msg.Key{})
	}
	sub.Hold(keys...)
	*pending = slices.DeleteFunc(*pending, func(c stream.Change) bool { return matches(&c) })
	ses.mu.Lock()
	defer ses.mu.Unlock()
	if _, err := ses.ledger.Void(matches); err != nil {
		return exhausted("VOID", err.Error())
	}
	signal(ses.credit)
	return nil
}

// start delivers first positions.
func (ses *session) start(entries []checkpoint.Entry) error {
	for _, e := range entries {
		c := stream.Change{Kind: kindStarted, Key: e.Key, Cursor: e.Cursor}
		d := convert.Delivery{Change: &c, Started: true}
		size := d.Size()
		for admitted := false; !admitted; {
			ses.mu.Lock()
			admitted = ses.ledger.Admits(int64(size))
			ses.mu.Unlock()
			if admitted {
				break
			}
			select {
			case <-ses.credit:
			case <-ses.ctx.Done():
				return context.Cause(ses.ctx)
			}
		}
		ses.mu.Lock()
		number := ses.ledger.Add(&c, int64(size))
		ses.mu.Unlock()
		f := newFrame(convert.ResponseSize(number, size), func(b []byte) []byte {
			return d.Append(convert.AppendResponse(b, number, size))
		})
		if err := ses.put(f); err != nil {
			return err
		}
	}
	return nil
}

// kindStarted marks a first position in the account of deliveries. Package stream
// has no such kind: a consumer is not told of it.
const kindStarted stream.Kind = 0

// deliver sends as many changes as one message and the credit allow, at least one,
// and returns the rest. With an order, it returns before it has sent any.
func (ses *session) deliver(sub *stream.Subscription, changes []stream.Change, t *ticket) ([]stream.Change, error) {
	if kind := changes[0].Kind; kind == stream.Gained || kind == stream.Lost {
		rest := changes[1:]
		err := ses.partition(sub, changes[0], &rest)
		return rest, err
	}
	if over, err := ses.passOver(sub, &changes[0]); over || err != nil {
		return changes[1:], err
	}
	first := ses.delivery(&changes[0])
	size := first.Size()
	if changes[0].Kind == stream.Reset {
		if err := pause(ses.ctx, ses.server.budgets.take(ses.principal.Name, time.Now())); err != nil {
			return nil, err
		}
	}
	if first.BatchSize() > ses.conf.maxBatch {
		return ses.refuse(sub, changes)
	}
	if admitted, err := ses.await(int64(size), t); err != nil || !admitted {
		return changes, err
	}
	if size+convert.MaxOverhead > ses.conf.maxMessage {
		return changes[1:], ses.deliverParts(&first, int64(size))
	}
	deliveries := []convert.Delivery{first}
	sizes := []int{size}
	total := size
	ses.mu.Lock()
	number := ses.ledger.Add(&changes[0], int64(size))
	for i := 1; i < len(changes); i++ {
		if _, skip := ses.parking.skips[changes[i].Key]; skip || alone(changes[i].Kind) {
			break
		}
		d := ses.deliveryLocked(&changes[i])
		n := d.Size()
		if total+n+convert.MaxOverhead > ses.conf.maxMessage || !ses.ledger.Admits(int64(n)) || d.BatchSize() > ses.conf.maxBatch {
			break
		}
		ses.ledger.Add(&changes[i], int64(n))
		deliveries, sizes, total = append(deliveries, d), append(sizes, n), total+n
	}
	ses.mu.Unlock()
	f := newFrame(convert.ResponseSize(number, total), func(b []byte) []byte {
		b = convert.AppendResponse(b, number, total)
		for i := range deliveries {
			b = deliveries[i].Append(b)
		}
		return b
	})
	return changes[len(deliveries):], ses.put(f)
}

// alone reports whether a change begins a message of its own.
func alone(kind stream.Kind) bool {
	return kind == stream.Reset || kind == stream.Gained || kind == stream.Lost
}

func (ses *session) delivery(c *stream.Change) convert.Delivery {
	ses.mu.Lock()
	defer ses.mu.Unlock()
	return ses.deliveryLocked(c)
}

func (ses *session) deliveryLocked(c *stream.Change) convert.Delivery {
	return convert.Delivery{Change: c, Previous: c.Previous, Attempt: ses.failing.attempts(c)}
}

func (ses *session) put(f *frame) error {
	err := ses.out.put(ses.ctx, f)
	if err != nil {
		f.data.Free()
	}
	return err
}

// await waits for credit; false if an order came first.
func (ses *session) await(bytes int64, t *ticket) (bool, error) {
	for {
		ses.mu.Lock()
		admits := ses.ledger.Admits(bytes)
		ses.mu.Unlock()
		if admits {
			return true, nil
		}
		// A client that is slower than its credit keeps no other from catching up.
		ses.server.admission.leave(t)
		select {
		case <-ses.credit:
		case <-ses.wake:
			signal(ses.wake)
			return false, nil
		case <-ses.ctx.Done():
			return false, context.Cause(ses.ctx)
		}
	}
}

// deliverParts sends a batch that fits no message.
func (ses *session) deliverParts(d *convert.Delivery, bytes int64) error {
	ses.mu.Lock()
	number := ses.ledger.Add(d.Change, bytes)
	ses.mu.Unlock()
	whole := convert.AppendBatch(make([]byte, 0, d.BatchSize()), &d.Change.Batch)
	length := ses.conf.maxMessage - convert.MaxOverhead
	for at := 0; at < len(whole); at += length {
		piece := whole[at:min(at+length, len(whole))]
		last := at+length >= len(whole)
		f := newFrame(len(piece)+convert.MaxOverhead, func(b []byte) []byte { return d.AppendPart(b, number, piece, last) })
		if err := ses.put(f); err != nil {
			return err
		}
	}
	return nil
}

// refuse announces the first change, a batch that the client does not accept, as
// unreadable, and stops the delivery of its aggregate for the life of the stream.
// refuse returns the changes left.
func (ses *session) refuse(sub *stream.Subscription, changes []stream.Change) ([]stream.Change, error) {
	c := stream.Change{Kind: stream.Unreadable, Key: changes[0].Key, Version: changes[0].Batch.Version}
	if ses.refused++; ses.refused > mostRefused {
		return nil, exhausted("REFUSED", fmt.Sprintf("%d aggregates have a batch above max_batch_bytes: the limit is %d", ses.refused, mostRefused))
	}
	rest := changes[1:]
	if err := ses.hold(sub, []msg.Key{c.Key}, &rest); err != nil {
		return nil, err
	}
	d := convert.Delivery{Change: &c}
	size := d.Size()
	ses.mu.Lock()
	number := ses.ledger.Add(&c, int64(size))
	ses.mu.Unlock()
	return rest, ses.put(newFrame(convert.ResponseSize(number, size), func(b []byte) []byte {
		return d.Append(convert.AppendResponse(b, number, size))
	}))
}
