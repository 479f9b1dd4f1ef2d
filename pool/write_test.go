package pool_test

import (
	"errors"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// A client sequence of 0 protects from nothing, so a write that wants protection
// is not sent with it.
func TestEnforcedSequenceZeroIsRefused(t *testing.T) {
	f := serve(t, func(p *peer) {
		p.next()
		t.Error("a request was sent")
	})
	p := open(t, plain(f))
	options := pool.WriteOptions{EnforceIdempotency: true, ExpectedVersion: msg.Some[uint64](0)}
	_, err := p.WriteEvents(ctx, key, []msg.Event{{ClientSeq: 1, Major: 1}, {Major: 1}}, me, options)
	var sequence *msg.SequenceError
	if !errors.Is(err, pool.ErrInvalid) || !errors.As(err, &sequence) || sequence.Event != 1 || msg.Ambiguous(err) || msg.SafeToRetry(err) {
		t.Error(err)
	}
	if f.accepted() != 0 {
		t.Errorf("%d connections opened", f.accepted())
	}
}

// A valid answer of so many small events that decoded it would take more memory than
// its length justifies is too large, as one that is too long is.
func TestDecodedAnswersAreBounded(t *testing.T) {
	batch := msg.Batch{Version: 1, Events: make([]msg.Event, 400_000)}
	f := serve(t, each(func(*peer, msg.Request) msg.Response {
		return &msg.ReadResponse{Batches: []msg.Batch{batch}}
	}))
	opts := plain(f)
	opts.ProtocolVersion = 3
	_, err := open(t, opts).Read(ctx, &msg.ReadRequest{Key: key})
	if !errors.Is(err, pool.ErrResponseTooLarge) || !errors.Is(err, pool.ErrProtocol) || msg.SafeToRetry(err) {
		t.Error(err)
	}
}
