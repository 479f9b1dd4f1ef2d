package stream_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// apart is a crowd of two shards, one of which is watched at first at a node that
// was deposed, which somebody had heard before that it leads.
type apart struct {
	*crowd
	opened, asked atomic.Int64
}

const deposed = "deposed:1"

type watchAt struct {
	stream.Watch
	node string
}

func (w watchAt) Node() string { return w.node }

func (a *apart) Watch(ctx context.Context, follower bool, req *msg.WatchRequest) (stream.Watch, error) {
	w, err := a.crowd.Watch(ctx, follower, req)
	if req.Shard.Value == 0 && a.opened.Add(1) == 1 {
		return watchAt{w, deposed}, err
	}
	return watchAt{w, "crowd:1"}, err
}

func (a *apart) Leads(_ context.Context, node string) (pool.Leadership, error) {
	if node == deposed {
		a.asked.Add(1)
	}
	if node == deposed {
		return pool.Following, nil
	}
	return pool.Leading, nil
}

func (a *apart) LedLately(string, time.Duration) (leads pool.Leadership, known bool) {
	return pool.Leading, true
}

// Where shards are watched at two nodes, what these said lately is not enough for
// CaughtUp: each says itself whether it leads, and the one that does not is left.
//
//covers:g7
func TestCaughtUpAtOneLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &apart{crowd: newCrowd(2, 1)}
		s, err := stream.Open(t.Context(), source, stream.Everything(), stream.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close(context.Background())
		until(t, s, caughtUp)
		if source.asked.Load() == 0 || source.opened.Load() != 2 {
			t.Errorf("caught up when the deposed node was asked %d times, and its shard watched %d times", source.asked.Load(), source.opened.Load())
		}
	})
}
