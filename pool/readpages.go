package pool

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/cluster"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
)

// PageRead is one read of [Pool.ReadPages], and what comes of it.
type PageRead struct {
	// Request asks for the page. A From of 0 is sent as 1.
	Request msg.ReadRequest
	// Page holds the answer, in memory that the next read into it uses again. After an
	// error it is empty.
	Page Page
	// Err is the failure of this read, an *Error.
	Err error
}

// ReadPages reads several pages, of one aggregate or several, and does not wait for
// one answer before it asks for the next: up to four reads of a shard are under way on one
// connection, whose node always has the next one at hand. ReadPages fills in Page and Err
// of each and returns the first error, in the order of reads.
//
// Each read fares as with [Pool.ReadInto], in the same places: what is not answered on the
// common connection is asked for by itself, with all repetitions that a read has. A
// node answers in order, so a slow read holds up those behind it; a read that is left
// unanswered costs one RequestTimeout, and so do all together at a node that is silent. All pages are held at the same time. Reads must not
// share Pages, and none may be nil.
func (o *operations) ReadPages(ctx context.Context, reads []*PageRead) error {
	op := msg.TypeReadRequest.String()
	if err := checkContext(op, ctx); err != nil {
		return err
	}
	for i, r := range reads {
		if r == nil {
			return invalid(op, "read %d is nil", i)
		}
	}
	requests := make([]*conn.PageRequest, len(reads))
	for i, r := range reads {
		r.Err, r.Page.ReadResponse = nil, msg.ReadResponse{}
		requests[i] = &conn.PageRequest{ReadRequest: r.Request, Page: &r.Page.memory}
		requests[i].Filters.From = max(requests[i].Filters.From, 1)
	}
	for _, group := range byShard(requests, o.via.shardCount().Load()) {
		o.readGroup(ctx, reads, requests, group)
	}
	for _, r := range reads {
		if r.Err != nil {
			return r.Err
		}
	}
	return nil
}

// byShard returns the places of the requests, those of one shard in a group: a node
// moves a connection to the shard that a request is for.
func byShard(requests []*conn.PageRequest, shards uint64) [][]int {
	var groups [][]int
	of := make(map[uint64]int)
	for i, r := range requests {
		shard := uint64(shardOfKey(r.Key, shards))
		group, ok := of[shard]
		if !ok {
			group = len(groups)
			of[shard] = group
			groups = append(groups, nil)
		}
		groups[group] = append(groups[group], i)
	}
	return groups
}

// readGroup makes the reads at the places of a group. A read that ends a pipeline is made by itself;
// what was behind it begins another one.
func (o *operations) readGroup(ctx context.Context, reads []*PageRead, requests []*conn.PageRequest, group []int) {
	for len(group) > 1 && ctx.Err() == nil {
		pipe := make([]*conn.PageRequest, len(group))
		for i, at := range group {
			pipe[i] = requests[at]
		}
		var left []int
		for i, result := range o.via.reads(ctx, pipe) {
			if result.done {
				reads[group[i]].finish(result.err)
			} else {
				left = append(left, group[i])
			}
		}
		if group = left; len(group) > 0 {
			o.readAlone(ctx, reads[group[0]])
			group = group[1:]
		}
	}
	for _, at := range group {
		o.readAlone(ctx, reads[at])
	}
}

// finish takes the outcome of a read whose page was read into.
func (r *PageRead) finish(err error) {
	if r.Err = err; err == nil {
		r.Page.ReadResponse = *r.Page.memory.Response()
	}
}

func (o *operations) readAlone(ctx context.Context, r *PageRead) {
	if ctx.Err() != nil {
		r.Err = &Error{Op: msg.TypeReadRequest.String(), Key: msg.Some(r.Request.Key), Err: conn.Ended(ctx)}
		return
	}
	r.Err = o.readInto(ctx, call{key: msg.Some(r.Request.Key)}, &r.Request, &r.Page)
}

// readResult is what came of a read in a pipeline: an answer or a refusal, when it is
// done, or nothing that counts.
type readResult struct {
	done bool
	err  error
}

// counts reports whether an attempt at a read is its outcome. Silence is, behind an
// answer on the same connection; before one it may be the connection that has died. A
// node that cannot be connected to, or is silent altogether, has left all reads unanswered,
// which counts unless they can go elsewhere.
func counts(attempts []conn.Attempt, i int, elsewhere bool) bool {
	if attempts[i].Answered {
		return !cluster.Passing(attempts[i])
	}
	first := slices.IndexFunc(attempts, func(a conn.Attempt) bool { return !a.Answered })
	switch a := attempts[first]; {
	case !a.Connected:
		return !elsewhere
	case !errors.Is(a.Err, ErrRequestTimeout):
		return false
	case a.NodeSilent:
		return !elsewhere
	default:
		return i == first && (first > 0 || !a.Stale)
	}
}

// pipeline makes reads on one connection of the route's node, if one can be told at
// once.
func (p *Pool) pipeline(ctx context.Context, route cluster.Route, requests []*conn.PageRequest) []readResult {
	attempts, elsewhere := p.cluster.Reads(ctx, route, requests, p.cluster)
	results := make([]readResult, len(requests))
	for i, a := range attempts {
		if counts(attempts, i, elsewhere) {
			p.stats.requests.Add(1)
			began := time.Now().Add(-a.Duration)
			results[i] = readResult{true, p.end(ctx, a.Operation, msg.Some(requests[i].Key), began, triesOf(a), attemptFailure(a))}
		}
	}
	return results
}

// triesOf is the record of an operation that made one attempt.
func triesOf(a conn.Attempt) cluster.Tries {
	if a.Err == nil {
		return cluster.Tries{Made: 1}
	}
	return cluster.Tries{Made: 1, Failed: []conn.Attempt{a}}
}

// attemptFailure is the failure of an operation that made one attempt; nil after success.
func attemptFailure(a conn.Attempt) *cluster.Failure {
	if a.Err == nil {
		return nil
	}
	return &cluster.Failure{
		Err: a.Err, Node: a.Node, Attempts: []conn.Attempt{a}, Tries: 1, Sent: a.Sent, Unsure: a.Applied == conn.AppliedUnknown,
	}
}

func (p *Pool) reads(ctx context.Context, requests []*conn.PageRequest) []readResult {
	return p.pipeline(ctx, cluster.Route{}, requests)
}

func (v *View) reads(ctx context.Context, requests []*conn.PageRequest) []readResult {
	return v.pool.pipeline(ctx, v.route, requests)
}

// reads are pipelined in the connection's turn.
func (c *Conn) reads(ctx context.Context, requests []*conn.PageRequest) []readResult {
	results := make([]readResult, len(requests))
	attempts := c.pipeline(ctx, requests)
	for i, a := range attempts {
		if !counts(attempts, i, false) {
			continue
		}
		results[i] = readResult{true, c.failure(ctx, msg.Some(requests[i].Key), time.Now().Add(-a.Duration), a)}
	}
	return results
}

func (c *Conn) pipeline(ctx context.Context, requests []*conn.PageRequest) (attempts []conn.Attempt) {
	if c.take(ctx) != nil {
		return nil // the read by itself says so
	}
	defer func() {
		var err error
		if n := len(attempts); n > 0 {
			err = attempts[n-1].Err
		}
		c.leave(err)
	}()
	return c.conn.Reads(ctx, requests, c.opts.RequestTimeout)
}
