package status

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// serveHealth answers that the process can run.
func serveHealth(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "ok")
}

// Ready reports whether every consumer of the snapshot has caught up once and none has
// ended; with a lag above 0, also whether nothing pending is older than that. The reason
// names the first consumers that are not ready.
func (s *Snapshot) Ready(lag time.Duration) (ready bool, reason string) {
	var reasons []string
	for i := range s.Consumers {
		c := &s.Consumers[i]
		switch {
		case c.Level == Ended:
			reasons = append(reasons, fmt.Sprintf("%s has ended: %s", c.Name, c.Cause))
		case !c.CaughtUp:
			reasons = append(reasons, fmt.Sprintf("%s has not caught up yet: %s", c.Name, c.Says))
		case lag > 0 && c.OldestPending > lag.Seconds():
			reasons = append(reasons, fmt.Sprintf("%s is behind: its oldest unhandled change is %s old, more than %s",
				c.Name, span(time.Duration(c.OldestPending*float64(time.Second))), span(lag)))
		}
	}
	switch {
	case len(s.Consumers) == 0:
		return false, "no consumer has opened yet"
	case len(reasons) == 0:
		return true, fmt.Sprintf("ready: %s", plural(len(s.Consumers), "consumer"))
	case len(reasons) > 5:
		reasons = append(reasons[:5], fmt.Sprintf("and %d more", len(reasons)-5))
	}
	return false, strings.Join(reasons, "; ")
}

func (p *Page) serveReady(w http.ResponseWriter, r *http.Request) {
	s := p.Snapshot(r.Context())
	ready, reason := s.Ready(p.options.ReadyLag)
	if p.options.Ready != nil {
		err := p.options.Ready()
		switch {
		case err != nil:
			ready, reason = false, clean(err.Error())
		case len(s.Consumers) == 0:
			ready, reason = true, "ready"
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if !ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	fmt.Fprintln(w, reason)
}
