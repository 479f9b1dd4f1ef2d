package convert

import (
	"fmt"

	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/msg"
)

// BatchMessage returns the message of a batch, whose payloads it shares.
func BatchMessage(b *msg.Batch) *pb.Batch {
	out := &pb.Batch{
		Version:         b.Version,
		ClientId:        IDBytes(b.ClientID),
		UserId:          OptionalIDBytes(b.UserID),
		ServerTimestamp: b.ServerTimestamp,
		Events:          make([]*pb.Event, len(b.Events)),
	}
	for i := range b.Events {
		e := &b.Events[i]
		m := &pb.Event{
			EventSeq: e.EventSeq, ClientSeq: e.ClientSeq, EventId: OptionalIDBytes(e.EventID), Timestamp: e.Timestamp,
			Major: e.Major, Minor: e.Minor, Value: e.Value,
		}
		if e.IV.Set {
			m.Iv = append([]byte(nil), e.IV.Value[:]...)
		}
		out.Events[i] = m
	}
	return out
}

// Batch reads a batch and shares the payloads.
func Batch(b *pb.Batch) (msg.Batch, error) {
	client, err := ID("batch.client_id", b.GetClientId())
	if err != nil {
		return msg.Batch{}, err
	}
	user, err := OptionalID("batch.user_id", b.UserId)
	if err != nil {
		return msg.Batch{}, err
	}
	out := msg.Batch{
		Version: b.Version, ClientID: client, UserID: user, ServerTimestamp: b.ServerTimestamp,
		Events: make([]msg.Event, len(b.Events)),
	}
	for i, e := range b.Events {
		id, err := OptionalID(fmt.Sprintf("batch.events[%d].event_id", i), e.EventId)
		if err != nil {
			return msg.Batch{}, err
		}
		iv, err := IV(fmt.Sprintf("batch.events[%d].iv", i), e.Iv)
		if err != nil {
			return msg.Batch{}, err
		}
		out.Events[i] = msg.Event{
			EventSeq: e.EventSeq, ClientSeq: e.ClientSeq, EventID: id, Timestamp: e.Timestamp,
			Major: e.Major, Minor: e.Minor, Value: e.Value, IV: iv,
		}
	}
	return out, nil
}

// IV reads a nonce that may be absent.
func IV(field string, b []byte) (msg.Opt[msg.IV], error) {
	if b == nil {
		return msg.None[msg.IV](), nil
	}
	if len(b) != len(msg.IV{}) {
		return msg.None[msg.IV](), fmt.Errorf("%s has %d bytes: want %d", field, len(b), len(msg.IV{}))
	}
	return msg.Some(msg.IV(b)), nil
}
