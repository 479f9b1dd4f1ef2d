package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/gateway/access"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// buffer bounds the payload bytes read ahead of a browser.
const buffer = 256 << 10

// wish is what a watch asks for.
type wish struct {
	scope     stream.Scope
	resources []access.Resource
	keys      []msg.Key // if the watch can be continued, sorted
	start     stream.Start
	asJSON    bool
}

func (p parameters) wish() (wish, error) {
	var x wish
	var scopes []stream.Scope
	var keys []msg.Key
	for _, text := range p["aggregate"] {
		key, err := keyIn("aggregate", text)
		if err != nil {
			return x, err
		}
		keys = append(keys, key)
		x.resources = append(x.resources, access.OfKey(key))
	}
	aggregates := stream.Aggregates(keys...)
	scopes = append(scopes, aggregates)
	for _, text := range p["type"] {
		of, err := ids("type", text, 2)
		if err != nil {
			return x, err
		}
		scopes = append(scopes, stream.Types(of[0], of[1]))
		x.resources = append(x.resources, access.OfType(of[0], of[1]))
	}
	for _, text := range p["org"] {
		of, err := ids("org", text, 1)
		if err != nil {
			return x, err
		}
		scopes = append(scopes, stream.Orgs(of...))
		x.resources = append(x.resources, access.OfOrg(of[0]))
	}
	switch text := p.one("everything"); {
	case text == "1" && len(x.resources) == 0:
		scopes = []stream.Scope{stream.Everything()}
		x.resources = []access.Resource{{Kind: access.Everything}}
	case text != "":
		return x, badRequest("the parameter \"everything\" is %q: want 1, and no other members", text)
	case len(x.resources) == 0:
		return x, badRequest("the watch follows nothing: name an aggregate, a type or an organisation, or everything=1")
	case len(x.resources) > mostMembers:
		return x, badRequest("the watch has %d members: want at most %d", len(x.resources), mostMembers)
	}
	x.scope = stream.Union(scopes...)
	if sorted := aggregates.AggregateMembers(); len(sorted) <= mostResumable && len(x.resources) == len(keys) {
		x.keys = sorted
	}
	switch text := p.one("from"); text {
	case "", "now":
		x.start = stream.LiveOnly
		if x.keys != nil {
			x.start = stream.FromNow // an id needs the positions
		}
	case "beginning":
		if x.keys == nil {
			return x, badRequest("from=beginning needs a watch of at most %d aggregates and nothing else", mostResumable)
		}
		x.start = stream.FromBeginning
	default:
		return x, badRequest("the parameter \"from\" is %q: want now or beginning", text)
	}
	var err error
	x.asJSON, err = p.payload()
	return x, err
}

// watch serves one stream of events.
func (h *Handler) watch(w http.ResponseWriter, r *http.Request, c caller, p parameters) error {
	x, err := p.wish()
	if err != nil {
		return err
	}
	if err := h.authorize(r.Context(), c, x.resources...); err != nil {
		return err
	}
	leave, err := h.enter(r, c)
	if err != nil {
		return err
	}
	defer leave()
	at, resumed := positions(x.keys, r.Header.Get("Last-Event-ID"))
	s := &watching{
		handler: h, caller: c, wish: x, ctx: r.Context(),
		to: w, flush: http.NewResponseController(w), at: at,
	}
	if !resumed {
		s.at = make(map[msg.Key]checkpoint.Cursor)
	}
	sub, err := s.subscribe(resumed)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 10*time.Second)
		defer cancel()
		_ = sub.Close(ctx)
	}()
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no")
	s.restarts = !resumed && x.start != stream.FromBeginning
	begin := func() error { return s.write([]byte(": open\n\n")) }
	if !resumed && !s.restarts {
		begin = s.restart
	}
	if begin() != nil {
		return nil
	}
	cause := s.run(sub)
	h.denied(r, cause)
	h.opts.Logger.InfoContext(r.Context(), "watch ended", "principal", c.principal.Name, "cause", cause)
	return nil // the answer has begun: its end is all that can be said
}

// enter counts a watch in, within the limits.
func (h *Handler) enter(r *http.Request, c caller) (leave func(), err error) {
	name := c.principal.Name
	address, _, _ := net.SplitHostPort(r.RemoteAddr)
	place := name + "\x00" + address
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.watches >= h.opts.Watches, h.callers[name] >= h.opts.WatchesPerCaller:
		return nil, &problem{http.StatusTooManyRequests, "too many watches are open: one watch can follow several aggregates, types and organisations"}
	case r.ProtoMajor == 1 && h.http1[place] >= http1Watches:
		return nil, &problem{http.StatusTooManyRequests, fmt.Sprintf(
			"%d watches are open over HTTP/1.1, of which a browser opens 6 connections at most: follow everything in one watch, or use HTTP/2", http1Watches)}
	}
	h.watches++
	h.callers[name]++
	if r.ProtoMajor == 1 {
		h.http1[place]++
	}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.watches--
		count(h.callers, name)
		if r.ProtoMajor == 1 {
			count(h.http1, place)
		}
	}, nil
}

// count takes one off and forgets what comes to nothing.
func count(counts map[string]int, name string) {
	if counts[name]--; counts[name] == 0 {
		delete(counts, name)
	}
}

// watching is one watch at work.
type watching struct {
	handler *Handler
	caller  caller
	wish    wish
	ctx     context.Context
	to      http.ResponseWriter
	flush   *http.ResponseController
	store   *checkpoint.Memory
	name    string
	at      map[msg.Key]checkpoint.Cursor
	// ready tells that every aggregate's position is known, so that ids may be sent.
	ready bool
	// restarts tells that the page is still to read its state: not before the watch
	// has caught up, since what is committed before may not be delivered.
	restarts bool
}

// subscribe opens the subscription, behind the positions of an id if there was one.
func (s *watching) subscribe(resumed bool) (*stream.Subscription, error) {
	s.store, s.name = checkpoint.NewMemory(), "watch"
	start := s.wish.start
	if resumed {
		// An aggregate without a position did not exist when the id was made.
		start = stream.FromBeginning
		owner, err := s.store.Acquire(s.ctx, checkpoint.Claim{Name: s.name, Scope: s.wish.scope.String()})
		if err != nil {
			return nil, err
		}
		var entries []checkpoint.Entry
		for key, c := range s.at {
			entries = append(entries, checkpoint.Entry{Key: key, Cursor: c})
		}
		if err := s.store.Save(s.ctx, owner, entries); err != nil {
			return nil, err
		}
	}
	s.ready = s.wish.keys != nil && start == stream.FromBeginning
	opts := []celeriant.WatchOption{celeriant.WithName(s.name), celeriant.WithStart(start), celeriant.WithBuffer(buffer)}
	if start != stream.LiveOnly {
		opts = append(opts, celeriant.WithCheckpoints(s.store))
	}
	return s.handler.client.Watch(s.wish.scope, opts...).Subscribe(s.ctx)
}

// run sends events until the client goes or loses its right.
func (s *watching) run(sub *stream.Subscription) error {
	check := time.Now().Add(s.handler.opts.Reauthorize)
	for {
		changes, err := s.next(sub)
		switch {
		case errors.Is(err, errPing):
			if err := s.write([]byte(": ping\n\n")); err != nil {
				return err
			}
		case err != nil:
			return err
		}
		if expires := s.caller.principal.Expires; time.Now().After(check) || !expires.IsZero() && time.Now().After(expires) {
			if err := s.recheck(); err != nil {
				return err
			}
			check = time.Now().Add(s.handler.opts.Reauthorize)
		}
		for i := range changes {
			if err := s.change(&changes[i]); err != nil {
				return err
			}
		}
		if err := sub.Commit(s.ctx, stream.Entries(changes)); err != nil {
			return err
		}
	}
}

var errPing = errors.New("web: nothing came")

// next waits for changes, as long as an idle watch may be silent.
func (s *watching) next(sub *stream.Subscription) ([]stream.Change, error) {
	ctx, cancel := context.WithTimeoutCause(s.ctx, s.handler.opts.Ping, errPing)
	defer cancel()
	return sub.Next(ctx)
}

// recheck authenticates and authorizes again.
func (s *watching) recheck() error {
	if s.handler.opts.Authenticator != nil {
		name := s.caller.principal.Name
		if err := s.handler.identify(s.ctx, &s.caller); err != nil {
			return err
		}
		if s.caller.principal.Name != name {
			return access.ErrUnauthenticated
		}
	}
	return s.handler.authorize(s.ctx, s.caller, s.wish.resources...)
}

// changeForm is the data of an event. Deleted, reset and the like have a key only.
type changeForm struct {
	Org       *msg.ID    `json:"org,omitempty"`
	Type      *msg.ID    `json:"type,omitempty"`
	Aggregate *msg.ID    `json:"aggregate,omitempty"`
	Batch     *batchForm `json:"batch,omitempty"`
	From      string     `json:"from,omitempty"`
	To        string     `json:"to,omitempty"`
	Version   string     `json:"version,omitempty"`
}

// change sends one change.
func (s *watching) change(c *stream.Change) error {
	var form changeForm
	if c.Kind != stream.CaughtUp {
		form.Org, form.Type, form.Aggregate = &c.Key.Org, &c.Key.Type, &c.Key.Aggregate
	}
	switch c.Kind {
	case stream.Batch:
		batch := formOf(&c.Batch, s.wish.asJSON)
		form.Batch = &batch
	case stream.Truncated:
		form.From, form.To = number(c.From), number(c.To)
	case stream.Unreadable:
		form.Version = number(c.Version)
	case stream.CaughtUp:
		if err := s.complete(); err != nil {
			return err
		}
		if s.restarts {
			s.restarts = false
			if err := s.restart(); err != nil {
				return err
			}
		}
	}
	if c.Moves() && s.wish.keys != nil {
		s.at[c.Key] = c.Cursor
	}
	if s.restarts {
		return nil // the state that the page is about to read contains it
	}
	id := ""
	if s.ready {
		id = eventID(s.wish.keys, s.at)
	}
	return s.event(c.Kind.String(), form, id)
}

// restart tells the page to read its state.
func (s *watching) restart() error { return s.event("restart", map[string]any{}, "") }

// complete learns the positions that a start from now has set. From then on ids are
// whole.
func (s *watching) complete() error {
	if s.wish.keys == nil || s.ready {
		return nil
	}
	cursors, err := s.store.Load(s.ctx, s.name, s.wish.keys)
	if err != nil {
		return err
	}
	for i, key := range s.wish.keys {
		if cursors[i].Compare(s.at[key]) > 0 {
			s.at[key] = cursors[i]
		}
	}
	s.ready = true
	return nil
}

// event sends one event, of one line of data.
func (s *watching) event(name string, data any, id string) error {
	line, err := encode(data)
	if err != nil {
		return err
	}
	text := "event: " + name + "\n"
	if id != "" {
		text += "id: " + id + "\n"
	}
	return s.write(fmt.Appendf(nil, "%sdata: %s\n\n", text, line))
}

func (s *watching) write(b []byte) error {
	if err := s.flush.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := s.to.Write(b); err != nil {
		return err
	}
	return s.flush.Flush()
}
