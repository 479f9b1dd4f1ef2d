package aggregates

import (
	"context"
	"errors"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// A trim before anything is read moves the beginning, a trim in the middle of
// a read leaves a gap that must not go unnoticed.
func TestReadableShowsNoGap(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	client, err := pool.New(pool.Options{Address: node.Addr(), PageBytes: 4 << 10}) // 16 versions at first
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(context.Background())
	key := msg.Key{Aggregate: msg.IDFromUint64(1)}
	for range 40 {
		if _, err := client.WriteEvents(t.Context(), key, []msg.Event{{ClientSeq: 1, Major: 1}}, msg.ID{}, pool.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	var versions []uint64
	for batch, err := range readable(t.Context(), client, key, msg.ReadFilters{}) {
		if err != nil {
			if !errors.Is(err, msg.ErrTrimmed) || len(versions) != 16 {
				t.Errorf("after versions %v: %v", versions, err)
			}
			return
		}
		versions = append(versions, batch.Version)
		if len(versions) == 1 {
			if err := client.TrimStart(t.Context(), &msg.TrimStartRequest{Key: key, KeepFrom: 30}); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Errorf("versions %v, and no error", versions)
}
