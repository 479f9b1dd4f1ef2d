package pool

import (
	"context"
	"fmt"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/cluster"
)

// Leadership is what a node says about whether it leads its cluster.
type Leadership uint8

const (
	// LeadershipUnknown: the credentials hide who leads, or the node gave no
	// answer. The answer is neither a yes nor a no.
	LeadershipUnknown Leadership = iota
	// Leading: the node leads, or stands alone.
	Leading
	// Following: the node does not lead.
	Following
)

// String returns "unknown", "leading" or "following".
func (l Leadership) String() string {
	switch l {
	case LeadershipUnknown:
		return "unknown"
	case Leading:
		return "leading"
	case Following:
		return "following"
	}
	return fmt.Sprintf("leadership %d", uint8(l))
}

// Leader returns the address of the node that leads. Leader asks the nodes
// unless one has proved to lead within the last five seconds, and waits through
// an election for at most FailoverBudget. With a single node and no seeds that
// node is returned unasked.
func (p *Pool) Leader(ctx context.Context) (string, error) {
	if err := checkContext("find leader", ctx); err != nil {
		return "", err
	}
	address, failure := p.cluster.Leader(ctx)
	if failure != nil {
		return "", failed("find leader", msg.None[msg.Key](), false, failure)
	}
	return address, nil
}

// Leads asks the node at an address whether it leads, or stands alone, at this
// moment: with a write of no events, which changes nothing. Nothing that was
// known before counts. An answer read at that node before it says [Leading] is
// the leader's word. Where the credentials hide who leads (a read-only key) the
// answer is [LeadershipUnknown], but for the one node of a pool that knows no
// other: it stands alone as far as the pool was told. An error says that the node
// did not answer, or refused the credentials.
//
// A member of the cluster that does not lead may name the one that does, which the pool
// then comes to know. Asking a node that is no member, as with [Pool.At], changes
// nothing: nothing else is sent there.
func (p *Pool) Leads(ctx context.Context, address string) (Leadership, error) {
	const op = "ask who leads"
	if err := checkContext(op, ctx); err != nil {
		return LeadershipUnknown, err
	}
	address, err := p.askable(address)
	leadership := cluster.LeadershipUnknown
	if err == nil {
		leadership, err = p.cluster.Leads(ctx, address)
	}
	if err != nil {
		return LeadershipUnknown, &Error{Op: op, Node: address, Err: err}
	}
	return Leadership(leadership), nil
}
