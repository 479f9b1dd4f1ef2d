package stream

import (
	"context"
	"errors"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// reading is the read of one page: at the node named, or at the leader if there is
// none or its word is wanted.
type reading struct {
	x     *executor
	id    uint64
	word  bool
	fresh bool
	node  string
	req   msg.ReadRequest
	page  *msg.ReadResponse
	leads pool.Leadership
	began time.Time // for the hook
}

func (x *executor) read(c *engine.Command) {
	x.handOver(&reading{
		x: x, id: c.ID, word: c.Leader, fresh: c.Fresh, node: c.Node,
		req: msg.ReadRequest{Key: c.Key, Filters: msg.ReadFilters{From: c.From, To: c.To}},
	})
}

func (r *reading) ask(ctx context.Context) (err error) {
	if r.x.s.opts.Hooks.Read != nil {
		r.began = time.Now()
		defer func() { r.x.s.pageRead(r, err) }()
	}
	if r.word {
		return r.askLeader(ctx)
	}
	if r.node == "" {
		if r.node, err = r.x.leader(ctx); err != nil {
			return err
		}
	}
	return r.at(ctx, r.node)
}

// askLeader reads for the leader's word, or for what all nodes agree on in its place.
func (r *reading) askLeader(ctx context.Context) (err error) {
	agreement, watched := r.x.agreement, r.node
	if !agreement.needed() {
		r.node, r.leads, err = r.x.atLeader(ctx, "", r.at)
		if r.leads != pool.LeadershipUnknown || !agreement.needed() {
			if err == nil {
				err = mustLead(r.leads)
			}
			return err
		}
	}
	if r.node, err = agreement.node(ctx, r.req.Key, watched); err != nil {
		return err
	}
	r.leads, r.fresh = pool.Leading, true
	return r.at(ctx, r.node)
}

func (r *reading) at(ctx context.Context, node string) (err error) {
	if f, ok := r.x.s.src.(freshReader); ok && r.fresh {
		r.page, err = f.ReadFresh(ctx, node, &r.req)
		return err
	}
	r.page, err = r.x.s.src.Read(ctx, node, &r.req)
	return err
}

// freshReader is a source whose Read may answer with what others were given.
type freshReader interface {
	ReadFresh(ctx context.Context, node string, req *msg.ReadRequest) (*msg.ReadResponse, error)
}

func (r *reading) answered(err error) (next job) {
	s := r.x.s
	if err != nil || s.health.failing.Load() > 0 { // otherwise the key is not boxed
		s.nodeAnswered(err, r.req.Key)
	}
	return s.feedBy(nil, func(e *engine.Engine, now time.Time) {
		if err != nil {
			f := classify(err)
			f.Authoritative, f.Node = r.leads == pool.Leading, r.node
			e.ReadFailed(now, r.id, f)
			return
		}
		e.PageRead(now, r.id, engine.Page{Batches: r.page.Batches, Next: r.page.NextVersion, Authoritative: r.leads == pool.Leading, Node: r.node})
	})
}

// lookup asks the checkpoint store for cursors.
type lookup struct {
	x       *executor
	id      uint64
	keys    []msg.Key
	cursors []checkpoint.Cursor
}

func (x *executor) load(id uint64, keys []msg.Key) { x.handOver(&lookup{x: x, id: id, keys: keys}) }

func (l *lookup) ask(ctx context.Context) (err error) {
	l.cursors, err = l.x.s.opts.Store.Load(ctx, l.x.s.opts.Name, l.keys)
	if err == nil && len(l.cursors) != len(l.keys) {
		err = errShortAnswer
	}
	return err
}

// errShortAnswer is a broken store's.
var errShortAnswer = errors.New("stream: the checkpoint store returned another number of cursors than keys")

func (l *lookup) answered(err error) (next job) {
	s := l.x.s
	s.storeAnswered(err, loading{})
	return s.feedBy(nil, func(e *engine.Engine, now time.Time) {
		if err != nil {
			e.LoadFailed(now, l.id, classifyStore(err))
			return
		}
		e.Loaded(now, l.id, l.cursors)
	})
}
