package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/celeriant/celeriant-go/msg"
)

// kept is how many updates a browser may be behind before it gets everything anew.
const kept = 1000

// update is one row of the stock.
type update struct {
	Shop    string `json:"shop"`
	ID      string `json:"id"`
	Product string `json:"product"`
	Pieces  int    `json:"pieces"`
	Gone    bool   `json:"gone,omitempty"`
}

// cache is the stock, and the last updates for browsers that follow it. Each reads them
// at its own pace, so that a slow one holds up nobody and nothing is kept for it.
type cache struct {
	run string // tells updates of this run from those of another one

	mu    sync.Mutex
	rows  map[string]update // by shop and id
	last  []update          // the newest of all updates, at most kept
	count int               // of all updates
	news  chan struct{}     // closed with each update
}

func newCache() *cache {
	return &cache{run: msg.NewID().String(), rows: make(map[string]update), news: make(chan struct{})}
}

func (c *cache) update(u update) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rows[u.Shop+u.ID] = u; u.Gone {
		delete(c.rows, u.Shop+u.ID)
	}
	if c.last = append(c.last, u); len(c.last) > kept {
		c.last = c.last[1:]
	}
	c.count++
	close(c.news)
	c.news = make(chan struct{})
}

// since returns the updates behind the first n, or all rows if those are not kept any
// more, and the number of updates then.
func (c *cache) since(n int) (updates []update, all bool, count int, news <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if behind := c.count - n; n >= 0 && behind >= 0 && behind <= len(c.last) {
		return append(updates, c.last[len(c.last)-behind:]...), false, c.count, c.news
	}
	for _, row := range c.rows {
		updates = append(updates, row)
	}
	return updates, true, c.count, c.news
}

// serve sends the stock, and then each update, as server-sent events. The id of an event
// is the run and the number of updates so far: the browser sends it when it comes back.
func (c *cache) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	at := -1
	if run, text, _ := strings.Cut(r.Header.Get("Last-Event-ID"), "/"); run == c.run {
		if n, err := strconv.Atoi(text); err == nil {
			at = n
		}
	}
	for first := true; ; first = false {
		updates, all, count, news := c.since(at)
		if all || first || len(updates) > 0 {
			kind := "updates"
			if all {
				kind = "stock" // replaces what the browser has
			}
			text, err := json.Marshal(updates)
			if err != nil {
				return
			}
			if _, err := fmt.Fprintf(w, "event: %s\nid: %s/%d\ndata: %s\n\n", kind, c.run, count, text); err != nil {
				return
			}
			if http.NewResponseController(w).Flush() != nil {
				return
			}
			at = count
		}
		select {
		case <-news:
		case <-r.Context().Done():
			return
		}
	}
}
