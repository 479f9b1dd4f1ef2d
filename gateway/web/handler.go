package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/gateway/access"
	"github.com/celeriant/celeriant-go/msg"
)

// Handler serves browsers. A Handler is safe for concurrent use.
type Handler struct {
	client *celeriant.Client
	opts   Options
	http.Handler

	mu      sync.Mutex
	watches int
	callers map[string]int // watches of each caller
	http1   map[string]int // watches over HTTP/1.1 of each caller and address
}

// NewHandler makes a handler of a client, which stays the caller's.
func NewHandler(client *celeriant.Client, opts Options) (*Handler, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	h := &Handler{client: client, opts: opts, callers: make(map[string]int), http1: make(map[string]int)}
	mux := http.NewServeMux()
	for _, c := range h.calls() {
		mux.HandleFunc("GET "+c.Path, h.serve(c))
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := opts.Ready(); err != nil {
			h.opts.Logger.Warn("not ready", "cause", err)
			http.Error(w, "not ready; the log says why", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	if h.Handler, err = h.guard(mux); err != nil {
		return nil, err
	}
	return h, nil
}

// call is one entry of the table: what the handlers parse and what GET /v1 tells.
type call struct {
	Path       string      `json:"path"`
	Does       string      `json:"does"`
	Parameters []parameter `json:"parameters"`
	do         func(w http.ResponseWriter, r *http.Request, c caller, p parameters) error
}

// parameter is one parameter of a query.
type parameter struct {
	Name     string `json:"name"`
	Is       string `json:"is"`
	Repeated bool   `json:"repeated,omitempty"`
	Required bool   `json:"required,omitempty"`
}

var (
	keyParameter     = parameter{Name: "key", Is: "the aggregate: organisation/type/aggregate, each a UUID", Required: true}
	payloadParameter = parameter{Name: "payload", Is: "how payloads are shown: base64 (default), or json for payloads that are JSON"}
)

func (h *Handler) calls() []call {
	calls := []call{
		{"/v1/read", "one page of an aggregate's batches", []parameter{
			keyParameter, {Name: "from", Is: "the lowest version; default 1"}, {Name: "to", Is: "the highest version; default the newest"}, payloadParameter,
		}, h.read},
		{"/v1/details", "the state of one aggregate", []parameter{keyParameter}, h.details},
		{"/v1/aggregates", "aggregates of a type", []parameter{
			{Name: "type", Is: "organisation/type, each a UUID", Required: true}, {Name: "limit", Is: "the most entries; default 1000, at most 10000"},
		}, h.aggregates},
		{"/v1/watch", "changes as server-sent events", []parameter{
			{Name: "aggregate", Is: "organisation/type/aggregate", Repeated: true}, {Name: "type", Is: "organisation/type", Repeated: true},
			{Name: "org", Is: "an organisation", Repeated: true}, {Name: "everything", Is: "1 to follow all"},
			{Name: "from", Is: "where to begin without an id: now (default), or beginning, with at most 16 aggregates and nothing else"}, payloadParameter,
		}, h.watch},
	}
	return append(calls, call{"/v1", "this description", []parameter{}, func(w http.ResponseWriter, _ *http.Request, _ caller, _ parameters) error {
		return writeJSON(w, map[string]any{"calls": calls})
	}})
}

// caller is who sends a request.
type caller struct {
	principal access.Principal
	bearer    string
}

// parameters are those of a request, checked against the table.
type parameters map[string][]string

func (p parameters) one(name string) string {
	if v := p[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// problem is an error that a client is told of.
type problem struct {
	status int
	text   string
}

func (p *problem) Error() string { return p.text }

func badRequest(format string, args ...any) error {
	return &problem{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// serve parses a request by the table, authenticates, and answers.
func (h *Handler) serve(c call) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p, err := c.parse(r)
		var from caller
		if err == nil {
			from, err = h.authenticate(r)
		}
		if err == nil {
			err = c.do(w, r, from, p)
		}
		if err != nil {
			h.fail(w, r, err)
		}
	}
}

func (c *call) parse(r *http.Request) (parameters, error) {
	p := parameters(r.URL.Query())
	for name, values := range p {
		i := slices.IndexFunc(c.Parameters, func(known parameter) bool { return known.Name == name })
		switch {
		case i < 0:
			return nil, badRequest("the parameter %q is not known; GET /v1 lists them", name)
		case len(values) > 1 && !c.Parameters[i].Repeated:
			return nil, badRequest("the parameter %q is given %d times", name, len(values))
		}
	}
	for _, known := range c.Parameters {
		if known.Required && p.one(known.Name) == "" {
			return nil, badRequest("the parameter %q is missing", known.Name)
		}
	}
	return p, nil
}

// authenticate takes the bearer token and nothing else.
func (h *Handler) authenticate(r *http.Request) (caller, error) {
	c := caller{principal: access.Principal{Name: "anonymous"}}
	if h.opts.Authenticator == nil {
		return c, nil
	}
	const scheme = "bearer "
	header := r.Header.Get("Authorization")
	if len(r.Header.Values("Authorization")) != 1 || len(header) <= len(scheme) || !strings.EqualFold(header[:len(scheme)], scheme) {
		return c, access.ErrUnauthenticated
	}
	c.bearer = header[len(scheme):]
	return c, h.identify(r.Context(), &c)
}

func (h *Handler) identify(ctx context.Context, c *caller) (err error) {
	c.principal, err = h.opts.Authenticator.Authenticate(ctx, access.Credentials{Bearer: c.bearer})
	return err
}

// authorize answers whether the caller may read all of the resources.
func (h *Handler) authorize(ctx context.Context, c caller, resources ...access.Resource) error {
	if h.opts.Authorizer == nil {
		return nil
	}
	for _, r := range resources {
		if err := h.opts.Authorizer.Authorize(ctx, c.principal, access.Read, r); err != nil {
			h.opts.Logger.InfoContext(ctx, "access", "principal", c.principal.Name, "call", "web", "resource", r.String(), "decision", "denied")
			return err
		}
	}
	return nil
}

// fail answers with an error. Nothing of a node's own text leaves: it may name
// addresses.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	h.denied(r, err)
	status, text := http.StatusInternalServerError, "the gateway failed; its log says why"
	var told *problem
	switch {
	case errors.As(err, &told):
		status, text = told.status, told.text
	case errors.Is(err, access.ErrUnauthenticated):
		w.Header().Set("WWW-Authenticate", "Bearer")
		status, text = http.StatusUnauthorized, "the credentials are missing, wrong or expired: send them as Authorization: Bearer"
	case errors.Is(err, access.ErrDenied):
		status, text = http.StatusForbidden, "the caller may not do that"
	case errors.Is(err, msg.ErrNotFound):
		status, text = http.StatusNotFound, "the aggregate does not exist"
	case errors.Is(err, msg.ErrTrimmed):
		status, text = http.StatusGone, "the version was trimmed"
	case r.Context().Err() != nil:
		return
	case msg.SafeToRetry(err), errors.Is(err, celeriant.ErrClosed):
		status, text = http.StatusServiceUnavailable, "the event store cannot be reached"
		w.Header().Set("Retry-After", "1")
	}
	h.opts.Logger.InfoContext(r.Context(), "request failed", "path", r.URL.Path, "status", status, "cause", err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": text})
}
