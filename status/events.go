package status

import (
	"bytes"
	"fmt"
	"net/http"
	"time"
)

// writeTimeout ends the stream of a page that takes nothing.
const writeTimeout = 10 * time.Second

// serveEvents streams the inner part of the page, rendered, as server-sent events. The page
// closes its stream while it is hidden.
func (p *Page) serveEvents(w http.ResponseWriter, r *http.Request) {
	select {
	case p.open <- struct{}{}:
		defer func() { <-p.open }()
	default:
		w.Header().Set("Retry-After", "5")
		http.Error(w, fmt.Sprintf("%d pages are open already; ask for status.json", cap(p.open)), http.StatusTooManyRequests)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	control := http.NewResponseController(w)
	ticker := time.NewTicker(p.options.Interval)
	defer ticker.Stop()
	for {
		if err := p.writeEvent(w, r, control); err != nil {
			return // the page is gone; there is nobody to tell
		}
		select {
		case <-ticker.C:
		case <-r.Context().Done():
			return
		}
	}
}

func (p *Page) writeEvent(w http.ResponseWriter, r *http.Request, control *http.ResponseController) error {
	var body, event bytes.Buffer
	if err := layout.ExecuteTemplate(&body, "main", p.view(r.Context())); err != nil {
		return err
	}
	for line := range bytes.Lines(body.Bytes()) {
		event.WriteString("data: ")
		event.Write(bytes.TrimRight(line, "\r\n"))
		event.WriteByte('\n')
	}
	event.WriteByte('\n')
	// Not every ResponseWriter has deadlines; the context ends the stream there.
	_ = control.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := w.Write(event.Bytes()); err != nil {
		return err
	}
	return control.Flush()
}
