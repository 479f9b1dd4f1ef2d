package pool_test

import (
	"errors"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// A node that says that it cannot send a batch ends the reading with the
// batch's version as well, wherever in a page it would have been.
func TestReadAllHearsOfABatchTooLarge(t *testing.T) {
	for _, at := range []uint64{1, 2, 30} {
		n, err := celerianttest.Start(celerianttest.Options{InMemory: true, MaxResponseSize: 4096})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		p := open(t, pool.Options{Address: "memory:1", Dial: n.DialContext})
		for v := range uint64(40) {
			size := 10
			if v+1 == at {
				size = 8000
			}
			if _, err := p.WriteEvents(ctx, key, events(1, make([]byte, size)), me, pool.WriteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		got, err := readAll(p, msg.ReadFilters{})
		var large *pool.BatchTooLargeError
		var refusal *msg.ServerError
		if !errors.As(err, &large) || large.Version != at || msg.SafeToRetry(err) || !errors.As(err, &refusal) || uint64(len(got)) != at-1 {
			t.Errorf("got %d batches, %v", len(got), err)
		}
		if got, err := readAll(p, msg.ReadFilters{From: at + 1}); err != nil || uint64(len(got)) != 40-at {
			t.Errorf("behind it: %d, %v", len(got), err)
		}
	}
}

// A disk that fails is no batch too large.
func TestReadAllKeepsOtherRefusals(t *testing.T) {
	f := serve(t, each(func(p *peer, req msg.Request) msg.Response {
		if _, ok := req.(*msg.ReadRequest); ok {
			return &msg.ErrorResponse{Code: msg.CodeReadDataBlocks, Message: `{"detail":"short read"}`}
		}
		return echo(p, req)
	}))
	_, err := readAll(open(t, plain(f)), msg.ReadFilters{})
	var large *pool.BatchTooLargeError
	if errors.As(err, &large) || !msg.SafeToRetry(err) {
		t.Error(err)
	}
}
