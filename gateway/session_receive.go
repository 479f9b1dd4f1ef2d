package gateway

import (
	"errors"
	"fmt"
	"io"
	"time"

	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/convert"
	"github.com/celeriant/celeriant-go/gateway/internal/delivery"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// mostKeys bounds the keys of one message.
const mostKeys = 512

// receive takes what the client sends until it stops.
func (ses *session) receive() {
	for {
		request, err := ses.stream.Recv()
		if errors.Is(err, io.EOF) {
			// The client acknowledges nothing any more: what is outstanding comes
			// again. Its acknowledgements were dealt with before this.
			ses.mu.Lock()
			ses.leaving, ses.halfClosed = true, true
			ses.wakeLocked()
			ses.settleLocked()
			ses.mu.Unlock()
			return
		}
		if err != nil {
			ses.end(err)
			return
		}
		if err := ses.take(request); err != nil {
			ses.end(err)
			return
		}
	}
}

// take carries out one request.
func (ses *session) take(request *pb.SubscribeRequest) error {
	switch m := request.Message.(type) {
	case *pb.SubscribeRequest_Handled:
		return ses.handled(m.Handled)
	case *pb.SubscribeRequest_Cursors:
		return ses.store.answer(m.Cursors)
	case *pb.SubscribeRequest_Working:
		ses.progress()
		return nil
	case *pb.SubscribeRequest_Leave:
		ses.leave()
		return nil
	case *pb.SubscribeRequest_Hold:
		keys, err := convert.Keys("hold.keys", m.Hold.GetKeys(), mostKeys)
		return ses.ask(order{hold: keys, id: m.Hold.GetId()}, err)
	case *pb.SubscribeRequest_Release:
		keys, err := convert.Keys("release.keys", m.Release.GetKeys(), mostKeys)
		return ses.ask(order{release: keys}, err)
	case *pb.SubscribeRequest_Redo:
		key, err := convert.Key("redo.key", m.Redo.GetKey())
		return ses.ask(order{redo: []msg.Key{key}}, err)
	case *pb.SubscribeRequest_Open:
		return invalid(errors.New("a second Open came"))
	case *pb.SubscribeRequest_Failed:
		return ses.failed(m.Failed)
	}
	return invalid(errors.New("a message of an unknown kind came"))
}

// ask queues an order of the client's, if it could be read.
func (ses *session) ask(o order, err error) error {
	if err != nil {
		return invalid(err)
	}
	return ses.enqueue(o)
}

// mostOrders bounds what a client asks for before it is carried out.
const mostOrders = 1024

func (ses *session) enqueue(o order) error {
	ses.mu.Lock()
	defer ses.mu.Unlock()
	if len(ses.orders) >= mostOrders {
		return exhausted("ORDERS", fmt.Sprintf("%d holds and releases wait: the limit is %d", len(ses.orders), mostOrders))
	}
	ses.orders = append(ses.orders, o)
	ses.wakeLocked()
	return nil
}

// handled settles what the client acknowledges.
func (ses *session) handled(m *pb.Handled) error {
	ranges := make([]delivery.Range, len(m.GetDeliveries()))
	for i, r := range m.GetDeliveries() {
		ranges[i] = delivery.Range{First: r.GetFirst(), Last: r.GetLast()}
	}
	ses.mu.Lock()
	ses.progressed = time.Now()
	changes, err := ses.ledger.Handled(ranges)
	ses.mu.Unlock()
	if err != nil {
		return invalid(err)
	}
	if len(changes) > 0 {
		if err := ses.store.handled(changes, m.GetDeliveries()); err != nil {
			return err
		}
	}
	ses.mu.Lock()
	ses.settleLocked()
	ses.mu.Unlock()
	signal(ses.credit)
	return nil
}

// remember counts the aggregates that are acknowledged for the first time.
func (ses *session) remember(changes []stream.Change) error {
	ses.mu.Lock()
	defer ses.mu.Unlock()
	for i := range changes {
		if changes[i].Moves() && changes[i].Previous.IsZero() {
			ses.seen++
		}
	}
	if limit := ses.server.opts.Limits.Positions; ses.seen > limit {
		return exhausted("POSITIONS", fmt.Sprintf("the stream has come to more than %d aggregates without a stored position: narrow its scope, or store positions", limit))
	}
	return nil
}
