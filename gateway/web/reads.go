package web

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/celeriant/celeriant-go/gateway/access"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// ids reads ids separated by slashes.
func ids(name, text string, n int) ([]msg.ID, error) {
	parts := strings.Split(text, "/")
	if len(parts) != n {
		return nil, badRequest("the parameter %q is %q: want %d ids separated by slashes", name, text, n)
	}
	all := make([]msg.ID, n)
	for i, part := range parts {
		var err error
		if all[i], err = msg.ParseID(part); err != nil {
			return nil, badRequest("the parameter %q: %q is no UUID", name, part)
		}
	}
	return all, nil
}

func keyIn(name, text string) (msg.Key, error) {
	all, err := ids(name, text, 3)
	if err != nil {
		return msg.Key{}, err
	}
	return msg.Key{Org: all[0], Type: all[1], Aggregate: all[2]}, nil
}

func (p parameters) number(name string, fallback uint64) (uint64, error) {
	text := p.one(name)
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, badRequest("the parameter %q is %q: want a number", name, text)
	}
	return n, nil
}

func (p parameters) payload() (asJSON bool, err error) {
	switch text := p.one("payload"); text {
	case "", "base64":
		return false, nil
	case "json":
		return true, nil
	default:
		return false, badRequest("the parameter \"payload\" is %q: want json or base64", text)
	}
}

func (h *Handler) read(w http.ResponseWriter, r *http.Request, c caller, p parameters) error {
	key, err := keyIn("key", p.one("key"))
	if err != nil {
		return err
	}
	from, err := p.number("from", 1)
	if err != nil {
		return err
	}
	filters := msg.ReadFilters{From: from}
	if p.one("to") != "" {
		to, err := p.number("to", 0)
		if err != nil {
			return err
		}
		filters.To = msg.Some(to)
	}
	asJSON, err := p.payload()
	if err != nil {
		return err
	}
	if err := h.authorize(r.Context(), c, access.OfKey(key)); err != nil {
		return err
	}
	answer := struct {
		Batches []batchForm `json:"batches"`
		Next    string      `json:"next,omitempty"`
	}{Batches: []batchForm{}}
	size := 0
	for batch, err := range h.client.Pool().ReadAll(r.Context(), key, filters) {
		if err != nil {
			return err
		}
		for i := range batch.Events {
			size += len(batch.Events[i].Value)
		}
		if size > pageBytes && len(answer.Batches) > 0 {
			answer.Next = number(batch.Version)
			break
		}
		answer.Batches = append(answer.Batches, formOf(&batch, asJSON))
	}
	return writeJSON(w, answer)
}

func (h *Handler) details(w http.ResponseWriter, r *http.Request, c caller, p parameters) error {
	key, err := keyIn("key", p.one("key"))
	if err != nil {
		return err
	}
	if err := h.authorize(r.Context(), c, access.OfKey(key)); err != nil {
		return err
	}
	d, err := h.client.Pool().Details(r.Context(), key)
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]any{
		"min_version": number(d.MinVersion), "max_version": number(d.MaxVersion), "max_event_seq": number(d.MaxEventSeq),
		"deleted": d.Deleted, "last_server_timestamp": number(d.LastServerTimestamp), "last_client_id": d.LastClientID,
	})
}

func (h *Handler) aggregates(w http.ResponseWriter, r *http.Request, c caller, p parameters) error {
	of, err := ids("type", p.one("type"), 2)
	if err != nil {
		return err
	}
	limit, err := p.number("limit", 1000)
	if err != nil {
		return err
	}
	if limit < 1 || limit > mostListed {
		return badRequest("the parameter \"limit\" is %d: want 1 to %d", limit, mostListed)
	}
	if err := h.authorize(r.Context(), c, access.OfType(of[0], of[1])); err != nil {
		return err
	}
	type entry struct {
		Aggregate  msg.ID `json:"aggregate"`
		MaxVersion string `json:"max_version"`
	}
	all, more := []entry{}, false
	for a, err := range h.client.Pool().ListAggregates(r.Context(), pool.ListAggregatesOptions{Org: msg.Some(of[0]), Type: msg.Some(of[1])}) {
		if err != nil {
			return err
		}
		if more = uint64(len(all)) == limit; more {
			break
		}
		all = append(all, entry{a.Key.Aggregate, number(a.MaxVersion)})
	}
	return writeJSON(w, map[string]any{"aggregates": all, "more": more})
}
