package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/gateway/access"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

const (
	// longestRetry bounds the pause that a client asks for.
	longestRetry = 5 * time.Minute
	defaultRetry = time.Second
)

// verdict is what a client judged.
type verdict struct {
	*pb.Failed
	after time.Duration
}

// failed takes a verdict, which the pump carries out.
func (ses *session) failed(m *pb.Failed) error {
	positions, ok := ses.store.(*namedPositions)
	if !ok {
		return invalid(errors.New("a message Failed came, which needs a named position"))
	}
	v := &verdict{Failed: m, after: defaultRetry}
	if m.GetRetryAfter() != nil {
		v.after = min(max(m.GetRetryAfter().AsDuration(), 0), longestRetry)
	}
	switch m.GetVerdict() {
	case pb.Verdict_VERDICT_RETRY, pb.Verdict_VERDICT_PARK, pb.Verdict_VERDICT_STOP:
	case pb.Verdict_VERDICT_SKIP:
		if err := ses.server.authorize(ses.ctx, ses.caller, "Subscribe", access.Operate, access.OfSubscription(ses.conf.name)); err != nil {
			return err
		}
	default:
		return invalid(fmt.Errorf("verdict is %v: want RETRY, PARK, SKIP or STOP", m.GetVerdict()))
	}
	ses.mu.Lock()
	ses.progressed = time.Now()
	c, ok, err := ses.ledger.Get(m.GetDelivery())
	if err == nil && ok {
		err = ses.judgeableLocked(&c, m)
	}
	if err != nil || !ok || c.Key == (msg.Key{}) {
		ses.mu.Unlock()
		if err != nil {
			return invalid(err)
		}
		return nil // void already, or of no aggregate
	}
	positions.verdicts++
	ses.mu.Unlock()
	return ses.enqueue(order{verdict: v})
}

// judgeableLocked returns why a verdict cannot be given of a change that is
// outstanding.
func (ses *session) judgeableLocked(c *stream.Change, m *pb.Failed) error {
	if m.GetVerdict() == pb.Verdict_VERDICT_RETRY {
		return nil
	}
	if !c.Moves() {
		return fmt.Errorf("delivery %d moves no position, so that there is nothing to %v: acknowledge it", m.GetDelivery(), m.GetVerdict())
	}
	if oldest, _, _ := ses.ledger.Of(c.Key); oldest.Cursor != c.Cursor {
		return fmt.Errorf("delivery %d follows another one of its aggregate that is outstanding", m.GetDelivery())
	}
	return nil
}

// judge carries out a verdict: the aggregate is delivered no more, and what is
// outstanding of it is void, until the verdict is stored.
func (ses *session) judge(sub *stream.Subscription, v *verdict, pending *[]stream.Change) error {
	positions := ses.store.(*namedPositions)
	ses.mu.Lock()
	c, ok, _ := ses.ledger.Get(v.GetDelivery())
	ses.mu.Unlock()
	if ok {
		if err := ses.hold(sub, []msg.Key{c.Key}, pending); err != nil {
			return err
		}
	}
	ses.mu.Lock()
	defer ses.mu.Unlock()
	defer ses.settleLocked()
	positions.verdicts--
	if !ok {
		return nil // lost, or judged twice
	}
	f := ses.failing.count(&c)
	m := &checkpoint.Mutation{Owners: []checkpoint.Owner{c.Owner}}
	reason := checkpoint.ErrorText(errors.New(orDefault(v.GetReason(), "the client gave no reason")))
	switch v.GetVerdict() {
	case pb.Verdict_VERDICT_PARK:
		m.Park(checkpoint.Parked{
			Key: c.Key, Life: f.life, Version: f.version, Cursor: c.Previous,
			Attempts: f.attempts, FirstFailure: f.first, LastFailure: time.Now(), Error: reason,
		}, 0)
		positions.changeLocked(m, func(err error) error { return ses.parkingStored(sub, &c, v, err) })
	case pb.Verdict_VERDICT_SKIP:
		m.Entries = []checkpoint.Entry{{Key: c.Key, Cursor: c.Cursor}}
		m.Pass(checkpoint.Passed{Key: c.Key, Life: f.life, From: f.version, To: f.version, Why: "skipped", At: time.Now()})
		m.Recovered(c.Key)
		positions.changeLocked(m, func(err error) error { return ses.skipStored(&c, v, err) })
	case pb.Verdict_VERDICT_STOP:
		m.Stop(checkpoint.Stopped{
			Partition: c.Partition, Key: c.Key, Version: f.version, Error: reason,
			By: ses.memberName(), Since: f.first,
		})
		positions.changeLocked(m, func(err error) error { return ses.stopStored(sub, &c, err) })
	default:
		if time.Since(f.first) >= failingAfter {
			f.stored = true
			m.Fails(checkpoint.Failing{Key: c.Key, Life: f.life, Version: f.version, Attempts: f.attempts, FirstFailure: f.first, Error: reason})
			positions.changeLocked(m, unlessLost)
		}
		ses.releaseLater(c.Key, v.after)
	}
	return nil
}

// releaseLater has an aggregate delivered again after a pause.
func (ses *session) releaseLater(key msg.Key, after time.Duration) {
	time.AfterFunc(after, func() {
		if ses.ctx.Err() != nil {
			return
		}
		if err := ses.enqueue(order{release: []msg.Key{key}}); err != nil {
			ses.end(err)
		}
	})
}

// parkingStored hears what became of a parking.
func (ses *session) parkingStored(sub *stream.Subscription, c *stream.Change, v *verdict, err error) error {
	var full *checkpoint.LimitError
	var parked *checkpoint.RevisionError
	switch {
	case errors.As(err, &full):
		ses.server.opts.Logger.Warn("an aggregate is not parked", "subscription", sub.Name(), "key", c.Key, "cause", err)
		ses.releaseLater(c.Key, v.after)
		return nil
	case err != nil && !errors.As(err, &parked): // otherwise it is parked already
		return unlessLost(err)
	}
	ses.mu.Lock()
	delete(ses.failing, c.Key)
	ses.parkLocked(c.Key)
	ses.tellParkedLocked(sub)
	ses.mu.Unlock()
	ses.confirm(v)
	ses.out.touch()
	return nil
}

// skipStored hears what became of a skip.
func (ses *session) skipStored(c *stream.Change, v *verdict, err error) error {
	var back *checkpoint.RegressionError
	switch {
	case err == nil:
		ses.mu.Lock()
		delete(ses.failing, c.Key)
		ses.mu.Unlock()
		ses.confirm(v)
	case errors.As(err, &back): // stored further on: go on there
	default:
		return unlessLost(err)
	}
	return ses.enqueue(order{release: []msg.Key{c.Key}})
}

func (ses *session) confirm(v *verdict) {
	ses.out.control(storedMessage(&pb.Range{First: v.GetDelivery(), Last: v.GetDelivery()}))
}

// stopStored hears what became of a stop, tells the other members and ends the stream.
func (ses *session) stopStored(sub *stream.Subscription, c *stream.Change, err error) error {
	if err != nil {
		return unlessLost(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ses.ctx), closeTimeout)
	defer cancel()
	if err := checkpoint.Signal(ctx, sub.Store().(checkpoint.RecordStore), sub.Name()); err != nil {
		// Members that take the partition find the record without the signal, too.
		ses.server.opts.Logger.Warn("a stop is not signalled", "subscription", sub.Name(), "cause", err)
	}
	return &refusal{code: codes.Aborted, reason: "STOPPED",
		text: fmt.Sprintf("partition %d was stopped at version %d of %v", c.Partition, versionOf(c), c.Key)}
}
