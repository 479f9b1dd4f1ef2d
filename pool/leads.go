package pool

import (
	"context"
	"errors"
	"fmt"

	"github.com/celeriant/celeriant-go/msg"
)

// Leads asks the node at an address whether it leads, or stands alone, at this
// moment: with a write of no events, which changes nothing. Nothing that was
// known before counts. An answer read at that node before a true Leads is the
// leader's word. Where the credentials hide who leads (a read-only key) every
// node counts as leading. An error says that the node did not answer, or
// refused the credentials.
//
// A node that does not lead may name the one that does, which the pool then
// comes to know.
func (p *Pool) Leads(ctx context.Context, address string) (bool, error) {
	v, err := p.At(address)
	if err != nil {
		return false, err
	}
	err = p.probeLeader(ctx, v.node)
	switch judgeProbe(err) {
	case probeLeads:
		p.confirm(v.node)
		return true, nil
	case probeUnknown:
		return true, nil
	}
	if ctx.Err() == nil { // that the caller has left says nothing
		p.doubt(v.node)
	}
	var refusal *msg.ServerError
	if errors.As(err, &refusal) && errors.Is(refusal, msg.ErrNotLeader) {
		p.hinted(refusal)
		return false, nil
	}
	return false, &Error{Op: "ask who leads", Node: address, Err: fmt.Errorf("no word on it: %w", err)}
}
