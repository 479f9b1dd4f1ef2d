package msg_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
)

func TestValidateRefusesIdempotencyWithoutSequence(t *testing.T) {
	key := msg.Key{Aggregate: msg.IDFromUint64(7)}
	write := func(enforce bool, sequences ...uint64) *msg.WriteRequest {
		w := msg.AggregateWrite{Key: key, EnforceIdempotency: enforce, DenyCreate: true}
		for _, seq := range sequences {
			w.Events = append(w.Events, msg.Event{ClientSeq: seq, Major: 1})
		}
		return &msg.WriteRequest{Writes: []msg.AggregateWrite{{DenyCreate: true}, w}}
	}
	for _, fine := range []*msg.WriteRequest{write(false, 0, 0), write(true, 1, 2), write(true), {}} {
		if err := fine.Validate(); err != nil {
			t.Errorf("%+v: %v", fine, err)
		}
	}
	var refused *msg.SequenceError
	err := write(true, 4, 0).Validate()
	if !errors.As(err, &refused) || refused.Key != key || refused.Event != 1 || !strings.Contains(err.Error(), "at least 1") {
		t.Error(err)
	}
}
