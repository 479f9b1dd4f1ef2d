package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
)

// row is the stock of one product.
type row struct {
	Shop    string `json:"shop"`
	ID      string `json:"id"`
	Product string `json:"product"`
	Pieces  int    `json:"pieces"`
	Gone    bool   `json:"gone,omitempty"`
	update  int    // the number of the update that made it
}

// cache is the stock, for browsers that follow it. Each reads at its own pace what has
// changed since it read last, so that a slow one holds up nobody and nothing is kept for it.
type cache struct {
	run   string // tells updates of this run from those of another one
	mu    sync.Mutex
	rows  map[string]row // by shop and id
	count int            // of all updates
	news  chan struct{}  // closed with each update
}

func (c *cache) update(r row) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
	r.update = c.count
	c.rows[r.Shop+r.ID] = r
	close(c.news)
	c.news = make(chan struct{})
}

// ServeHTTP sends the stock, and then each update, as server-sent events. The id of an
// event is the run and the number of updates: a browser that comes back sends it.
func (c *cache) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	at, kind := 0, "stock" // replaces what the browser has
	if n, _ := fmt.Sscanf(r.Header.Get("Last-Event-ID"), c.run+"/%d", &at); n == 1 {
		kind = "updates"
	}
	for ; ; kind = "updates" {
		var rows []row // that have changed since
		c.mu.Lock()
		for _, r := range c.rows {
			if r.update > at && (at > 0 || !r.Gone) {
				rows = append(rows, r)
			}
		}
		count, news := c.count, c.news
		c.mu.Unlock()
		text, err := json.Marshal(rows)
		if err == nil {
			_, err = fmt.Fprintf(w, "event: %s\nid: %s/%d\ndata: %s\n\n", kind, c.run, count, text)
		}
		if err != nil || http.NewResponseController(w).Flush() != nil {
			return
		}
		at = count
		select {
		case <-news:
		case <-r.Context().Done():
			return
		}
	}
}
