package web

import (
	"context"
	"errors"
	"net/http"

	"github.com/celeriant/celeriant-go/gateway/access"
	"github.com/celeriant/celeriant-go/status"
)

// denied tells of an error that refuses a caller, whatever it says of others.
func (h *Handler) denied(r *http.Request, err error) {
	var told *problem
	switch {
	case errors.Is(err, access.ErrUnauthenticated):
		h.opts.Denied(r.URL.Path, "unauthenticated")
	case errors.Is(err, access.ErrDenied):
		h.opts.Denied(r.URL.Path, "denied")
	case errors.As(err, &told) && told.status == http.StatusTooManyRequests:
		h.opts.Denied(r.URL.Path, "watches_per_caller")
	}
}

// Collect adds the watches to a status page, which makes the handler a
// status.Source:
//
//	page.Add(handler)
func (h *Handler) Collect(_ context.Context, c *status.Collection) {
	c.Snapshot.Streams = append(c.Snapshot.Streams, h.Streams()...)
}

// Streams tells of the watches of this moment; nothing if there are none.
func (h *Handler) Streams() []status.Stream {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watches == 0 {
		return nil
	}
	return []status.Stream{{Mode: "positions kept by the client", Transport: "sse", Open: h.watches}}
}
