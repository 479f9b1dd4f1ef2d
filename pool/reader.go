package pool

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/cluster"
)

// reader asks for pages on behalf of one ReadAll and outlives connections.
type reader struct {
	ctx      context.Context
	via      transport
	fallback transport // of a follower: the leader
	pages    *sync.Pool
	answered bool        // something has come already
	left     atomic.Bool // the consumer wants nothing more
}

// newReader stays at one node where different nodes could answer differently.
func newReader(ctx context.Context, via transport, pages *sync.Pool) (*reader, error) {
	r := &reader{ctx: ctx, via: via, pages: pages}
	if !via.settings().RouteReadsToFollowers {
		return r, nil
	}
	pinned, err := via.pin(ctx)
	r.via, r.fallback = pinned, via.leading()
	return r, err
}

// read reads into a free page, which is the caller's to give back.
func (r *reader) read(key msg.Key, filters msg.ReadFilters) (*Page, error) {
	page := r.pages.Get().(*Page)
	c := call{key: msg.Some(key)}
	if filters.To == msg.Some(filters.From) {
		c.timeout = patientReads * r.via.settings().RequestTimeout
	}
	return retryRead(r, func(o operations) (*Page, error) {
		return page, o.readInto(r.ctx, c, &msg.ReadRequest{Key: key, Filters: filters}, page)
	})
}

// patientReads is how much longer than others a read of one version may take: when it is
// left unanswered the batch is taken for one that the node cannot send.
const patientReads = 2

func (r *reader) details(key msg.Key) (*msg.DetailsResponse, error) {
	return retryRead(r, func(o operations) (*msg.DetailsResponse, error) { return o.Details(r.ctx, key) })
}

// maxUnanswered is how often a node is asked that never answered and always ends
// the connection: it may not speak the protocol, or speak it only behind TLS.
const maxUnanswered = 4

// retryRead repeats a question whose answer was lost with its connection. A node
// that never answered before and cannot be connected to is not waited for.
func retryRead[T any](r *reader, ask func(operations) (T, error)) (resp T, err error) {
	var pace cluster.Pace
	for tries := 1; ; tries++ {
		resp, err = ask(operations{r.via})
		if err == nil {
			r.answered = true
			return resp, nil
		}
		if r.ctx.Err() != nil || r.left.Load() || !r.repeatable(err, tries) {
			return resp, err
		}
		if r.fallback != nil {
			r.via, r.fallback = r.fallback, nil
			continue
		}
		if !pace.Pause(r.ctx, r.via.settings().FailoverBudget) {
			return resp, err
		}
	}
}

func (r *reader) repeatable(err error, tries int) bool {
	switch {
	case !cluster.Unreachable(err), errors.Is(err, ErrTLS), errors.Is(err, ErrNoLeader), errors.Is(err, ErrClosed):
		return false
	}
	if _, single := r.via.(*Conn); single {
		return false // it has ended
	}
	return r.answered || errors.Is(err, ErrConnectionLost) && tries < maxUnanswered
}
