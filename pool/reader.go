package pool

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/celeriant/celeriant-go/msg"
)

// BatchTooLargeError is the cause of a ReadAll that met a batch which does not
// fit an answer: larger than the node may send, which it says or shows by never
// answering, or larger than MaxResponseSize. Versions behind it can be read.
type BatchTooLargeError struct {
	Version uint64
	Err     error // matches ErrRequestTimeout or ErrResponseTooLarge, or is the node's refusal
}

// Error names the version.
func (e *BatchTooLargeError) Error() string {
	return fmt.Sprintf("the batch at version %d does not fit an answer: %v", e.Version, e.Err)
}

// Unwrap returns what was observed.
func (e *BatchTooLargeError) Unwrap() error { return e.Err }

// SafeToRetry is false: the batch stays as large as it is.
func (e *BatchTooLargeError) SafeToRetry() bool { return false }

// reader asks for pages on behalf of one ReadAll and outlives connections.
type reader struct {
	ctx      context.Context
	via      transport
	fallback transport // of a follower: the leader
	pages    *sync.Pool
	answered bool // something has come already
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

// cancellable lets what is under way be called off.
func (r *reader) cancellable() context.CancelFunc {
	ctx, cancel := context.WithCancel(r.ctx)
	r.ctx = ctx
	return cancel
}

// read reads into a free page, which is the caller's to give back.
func (r *reader) read(key msg.Key, filters msg.ReadFilters) (*Page, error) {
	page := r.pages.Get().(*Page)
	return persist(r, func(o operations) (*Page, error) {
		return page, o.ReadInto(r.ctx, &msg.ReadRequest{Key: key, Filters: filters}, page)
	})
}

func (r *reader) details(key msg.Key) (*msg.DetailsResponse, error) {
	return persist(r, func(o operations) (*msg.DetailsResponse, error) { return o.Details(r.ctx, key) })
}

// mostUnheard is how often a node is asked that never answered and always ends
// the connection: it may not speak the protocol, or speak it only behind TLS.
const mostUnheard = 4

// persist repeats a question whose answer was lost with its connection. A node
// that never answered before and cannot be connected to is not waited for.
func persist[T any](r *reader, ask func(operations) (T, error)) (resp T, err error) {
	wait := journey{ctx: r.ctx, budget: r.via.settings().FailoverBudget}
	for tries := 1; ; tries++ {
		resp, err = ask(operations{r.via})
		if err == nil {
			r.answered = true
			return resp, nil
		}
		if r.ctx.Err() != nil || !r.repeatable(err, tries) {
			return resp, err
		}
		if r.fallback != nil {
			r.via, r.fallback = r.fallback, nil
			continue
		}
		if wait.pause() != nil {
			return resp, err
		}
	}
}

func (r *reader) repeatable(err error, tries int) bool {
	switch {
	case !unreachable(err), tlsRefused(err), errors.Is(err, ErrNoLeader), errors.Is(err, ErrClosed):
		return false
	}
	if _, single := r.via.(*Conn); single {
		return false // it has ended
	}
	return r.answered || errors.Is(err, ErrConnectionLost) && tries < mostUnheard
}
