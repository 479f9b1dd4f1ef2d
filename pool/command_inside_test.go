package pool

import (
	"context"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
)

// Commands are decided on what the leader shows, wherever other reads go.
func TestWriterReadsAtTheLeader(t *testing.T) {
	for _, followers := range []bool{false, true} {
		p, err := New(Options{Address: "127.0.0.1:1", RouteReadsToFollowers: followers})
		if err != nil {
			t.Fatal(err)
		}
		w, err := NewWriter(p, WriterOptions{ClientID: msg.IDFromUint64(1)})
		if err != nil {
			t.Fatal(err)
		}
		if _, bound := w.log.(*View); bound != followers {
			t.Errorf("followers %v: reads %T", followers, w.log)
		}
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}
