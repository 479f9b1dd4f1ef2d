package gateway

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/celeriant/celeriant-go/gateway/access"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/convert"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

const (
	defaultPage = 1000
	largestPage = 10_000
	// listLife is how long a list waits for its next page.
	listLife = time.Minute
	// mostLists bounds the lists that wait, listsOfCaller those of one caller.
	mostLists     = 256
	listsOfCaller = 16
)

// List implements the service.
func (s *eventService) List(ctx context.Context, req *pb.ListRequest) (*pb.ListResponse, error) {
	r, err := s.server.list(ctx, req)
	return r, statusOf(err, false)
}

func (s *Server) list(ctx context.Context, req *pb.ListRequest) (*pb.ListResponse, error) {
	c := callerOf(ctx)
	size := int(orDefault(req.PageSize, defaultPage))
	if size > largestPage {
		return nil, invalid(fmt.Errorf("page_size is %d: want at most %d", size, largestPage))
	}
	var l *openList
	var err error
	if req.PageToken == "" {
		l, err = s.openList(ctx, c, req)
	} else {
		l, err = s.lists.take(c.principal.Name, req)
	}
	if err != nil {
		return nil, err
	}
	out := new(pb.ListResponse)
	for range size {
		item, err, more := l.next()
		if err != nil {
			l.stop()
			return nil, err
		}
		if !more {
			l.stop()
			return out, nil
		}
		// The right is asked for with each entry: it may have been lost since.
		if s.allowed(ctx, c, access.Read, item.resource) == nil {
			item.add(out)
		}
	}
	out.NextPageToken, err = s.lists.put(c.principal.Name, l)
	return out, err
}

// listed is one entry of a list.
type listed struct {
	resource access.Resource
	add      func(*pb.ListResponse)
}

// openList is a list between two pages. The list holds no connection.
type openList struct {
	next func() (listed, error, bool)
	stop func()
	of   *pb.ListRequest // without token and size
	// caller and since are set while it waits.
	caller string
	since  *time.Timer
}

func (s *Server) openList(ctx context.Context, c caller, req *pb.ListRequest) (*openList, error) {
	// The list outlives the call that begins it.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stopped := context.AfterFunc(s.ctx, cancel)
	entries, err := s.entries(ctx, c, req)
	if err != nil {
		cancel()
		return nil, err
	}
	next, stop := iter.Pull2(entries)
	of := proto.CloneOf(req)
	of.PageToken, of.PageSize = "", 0
	return &openList{
		of: of,
		next: func() (listed, error, bool) {
			item, err, more := next()
			return item, err, more
		},
		stop: sync.OnceFunc(func() { stopped(); cancel(); stop() }),
	}, nil
}

func (s *Server) entries(ctx context.Context, c caller, req *pb.ListRequest) (iter.Seq2[listed, error], error) {
	p := s.client.Pool()
	switch list := req.List.(type) {
	case *pb.ListRequest_Orgs_:
		return adapt(p.ListOrgs(ctx), func(org msg.ID) listed {
			return listed{access.OfOrg(org), func(r *pb.ListResponse) { r.Orgs = append(r.Orgs, convert.IDBytes(org)) }}
		}), nil
	case *pb.ListRequest_Types_:
		org, err := convert.OptionalID("types.org", list.Types.GetOrg())
		if err != nil {
			return nil, invalid(err)
		}
		return adapt(p.ListTypes(ctx, pool.ListTypesOptions{Org: org}), func(t msg.TypeItem) listed {
			return listed{access.OfType(t.Org, t.Type), func(r *pb.ListResponse) {
				r.Types = append(r.Types, &pb.Scope_TypeOfOrg{Org: convert.IDBytes(t.Org), Type: convert.IDBytes(t.Type)})
			}}
		}), nil
	case *pb.ListRequest_Aggregates_:
		org, err := convert.OptionalID("aggregates.org", list.Aggregates.GetOrg())
		if err != nil {
			return nil, invalid(err)
		}
		typ, err := convert.OptionalID("aggregates.type", list.Aggregates.GetType())
		if err != nil {
			return nil, invalid(err)
		}
		// A list of what the caller may not read at all is refused before a node is
		// asked: going through it would cost as much.
		if org.Set && typ.Set {
			if err := s.authorize(ctx, c, "List", access.Read, access.OfType(org.Value, typ.Value)); err != nil {
				return nil, err
			}
		}
		return adapt(p.ListAggregates(ctx, pool.ListAggregatesOptions{Org: org, Type: typ}), func(a msg.AggregateItem) listed {
			return listed{access.OfKey(a.Key), func(r *pb.ListResponse) {
				r.Aggregates = append(r.Aggregates, &pb.ListResponse_AggregateItem{
					Key: convert.KeyMessage(a.Key), MaxVersion: a.MaxVersion, MaxServerTimestamp: a.MaxServerTimestamp,
				})
			}}
		}), nil
	}
	return nil, invalid(errors.New("list is missing: choose orgs, types or aggregates"))
}

func adapt[T any](all iter.Seq2[T, error], of func(T) listed) iter.Seq2[listed, error] {
	return func(yield func(listed, error) bool) {
		for item, err := range all {
			if err != nil {
				yield(listed{}, err)
				return
			}
			if !yield(of(item), nil) {
				return
			}
		}
	}
}

// listTokens keeps lists between pages, under tokens that only their caller can use.
type listTokens struct {
	mu      sync.Mutex
	waiting map[string]*openList
	callers map[string]int
}

func newListTokens() *listTokens {
	return &listTokens{waiting: make(map[string]*openList), callers: make(map[string]int)}
}

// put keeps a list and returns its token.
func (t *listTokens) put(caller string, l *openList) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) >= mostLists || t.callers[caller] >= listsOfCaller {
		l.stop()
		return "", exhausted("LISTS", fmt.Sprintf("%d lists of the caller wait for their next page: the limit is %d", t.callers[caller], listsOfCaller))
	}
	token := randomID() + randomID()
	l.caller = caller
	t.waiting[token] = l
	t.callers[caller]++
	l.since = time.AfterFunc(listLife, func() {
		if t.remove(token) != nil {
			l.stop()
		}
	})
	return token, nil
}

// take returns the list of a token, which is of no use afterwards.
func (t *listTokens) take(caller string, req *pb.ListRequest) (*openList, error) {
	of := proto.CloneOf(req)
	of.PageToken, of.PageSize = "", 0
	t.mu.Lock()
	l := t.waiting[req.PageToken]
	valid := l != nil && l.caller == caller && proto.Equal(l.of, of)
	t.mu.Unlock()
	if !valid || t.remove(req.PageToken) == nil {
		return nil, invalid(errors.New("page_token is not one of this caller and list, or it has expired: begin again"))
	}
	return l, nil
}

func (t *listTokens) remove(token string) *openList {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.waiting[token]
	if l == nil {
		return nil
	}
	delete(t.waiting, token)
	if t.callers[l.caller]--; t.callers[l.caller] == 0 {
		delete(t.callers, l.caller)
	}
	l.since.Stop()
	return l
}

// close stops all lists.
func (t *listTokens) close() {
	t.mu.Lock()
	tokens := make([]string, 0, len(t.waiting))
	for token := range t.waiting {
		tokens = append(tokens, token)
	}
	t.mu.Unlock()
	for _, token := range tokens {
		if l := t.remove(token); l != nil {
			l.stop()
		}
	}
}
