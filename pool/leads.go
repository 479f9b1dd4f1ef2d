package pool

import (
	"context"
	"errors"
	"fmt"

	"github.com/celeriant/celeriant-go/msg"
)

// Leads asks the node at an address whether it leads, or stands alone, at this
// moment: with a write of no events, which changes nothing. Nothing that was
// known before counts. An answer read at that node before it says [Leading] is
// the leader's word. Where the credentials hide who leads (a read-only key) the
// answer is [LeadershipUnknown], but for the one node of a pool that knows no
// other: it stands alone as far as the pool was told. An error says that the node
// did not answer, or refused the credentials.
//
// A node that does not lead may name the one that does, which the pool then
// comes to know.
func (p *Pool) Leads(ctx context.Context, address string) (Leadership, error) {
	v, err := p.At(address)
	if err != nil {
		return LeadershipUnknown, err
	}
	err = p.probeLeader(ctx, v.node)
	switch judgeProbe(err) {
	case probeLeads:
		p.confirm(v.node)
		return Leading, nil
	case probeUnknown:
		if p.lone() {
			return Leading, nil
		}
		return LeadershipUnknown, nil
	}
	if ctx.Err() == nil { // that the caller has left says nothing
		p.doubt(v.node)
	}
	var refusal *msg.ServerError
	if errors.As(err, &refusal) && errors.Is(refusal, msg.ErrNotLeader) {
		p.hinted(refusal)
		return Following, nil
	}
	return LeadershipUnknown, &Error{Op: "ask who leads", Node: address, Err: fmt.Errorf("no word on it: %w", err)}
}
