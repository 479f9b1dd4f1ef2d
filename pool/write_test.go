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
