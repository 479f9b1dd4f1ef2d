package gateway

import (
	"context"
	"slices"
	"testing"
	"time"

	page "github.com/celeriant/celeriant-go/status"
	"github.com/celeriant/celeriant-go/stream"
)

// A status page shows the streams by mode, and of each how many wait for their turn or for
// a client that does not read.
func TestStreamsOnAPage(t *testing.T) {
	s := &Server{sessions: make(map[*session]struct{})}
	open := func(h holder, sub *stream.Subscription, sending time.Duration) {
		ses := &session{conf: &config{holder: h}, sub: sub}
		if sending > 0 {
			ses.sending.Store(time.Now().Add(-sending).UnixNano())
		}
		s.sessions[ses] = struct{}{}
	}
	running := new(stream.Subscription)
	open(byGateway, running, 0)
	open(byGateway, running, time.Millisecond)
	open(byGateway, nil, 0)
	open(byClient, running, 2*slowTimeout)
	var c page.Collection
	s.Collect(context.Background(), &c)
	want := []page.Stream{{Mode: "positions kept by the client", Transport: "grpc", Open: 1, Stalled: 1}, {Mode: "shared under a name", Transport: "grpc", Open: 3, Queued: 1}}
	if got := c.Snapshot.Streams; !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	clear(s.sessions)
	c = page.Collection{}
	if s.Collect(context.Background(), &c); len(c.Snapshot.Streams) > 0 {
		t.Errorf("after the end: %+v", c.Snapshot.Streams)
	}
}
