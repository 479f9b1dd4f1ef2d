package writer

import (
	"context"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// Commands are decided on what the leader shows, wherever other reads go.
func TestReadsAtTheLeader(t *testing.T) {
	p, err := pool.New(pool.Options{Address: "127.0.0.1:1", RouteReadsToFollowers: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	w, err := New(p, Options{ClientID: msg.IDFromUint64(1)})
	if err != nil {
		t.Fatal(err)
	}
	if view, ok := w.log.(*pool.View); !ok || view.Node() != "" {
		t.Errorf("reads %T", w.log)
	}
}
