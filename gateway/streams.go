package gateway

import (
	"context"
	"time"

	page "github.com/celeriant/celeriant-go/status"
)

// modes are how streams keep their positions, in the words of a status page.
var modes = [...]struct {
	holder holder
	text   string
}{
	{byNobody, "live, without positions"},
	{byClient, "positions kept by the client"},
	{byGateway, "shared under a name"},
}

// Collect adds the streams to a status page. Collect makes the server a
// status.Source:
//
//	page.Add(server)
func (s *Server) Collect(_ context.Context, c *page.Collection) {
	c.Snapshot.Streams = append(c.Snapshot.Streams, s.Streams()...)
}

// Streams tells of the streams of this moment, by mode: how many there are, wait for their
// turn to catch up, or have clients that do not read.
func (s *Server) Streams() (all []page.Stream) {
	now := time.Now()
	var rows [len(modes)]page.Stream
	for _, ses := range s.running() {
		for i, m := range modes {
			if m.holder != ses.conf.holder {
				continue
			}
			rows[i].Open++
			ses.mu.Lock()
			queued := ses.sub == nil
			ses.mu.Unlock()
			if queued {
				rows[i].Queued++
			}
			if since := ses.sending.Load(); since != 0 && now.Sub(time.Unix(0, since)) > slowTimeout {
				rows[i].Stalled++
			}
		}
	}
	for i := range rows {
		if rows[i].Open > 0 {
			rows[i].Mode, rows[i].Transport = modes[i].text, "grpc"
			all = append(all, rows[i])
		}
	}
	return all
}
