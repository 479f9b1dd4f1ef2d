package bboltstore_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/bboltstore"
	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
)

func BenchmarkStore(b *testing.B) {
	checkpointtest.Benchmark(b, func(t testing.TB) checkpointtest.Fixture {
		path := filepath.Join(t.TempDir(), "checkpoints.db")
		return checkpointtest.Fixture{Open: func(ctx context.Context) (checkpoint.Store, error) {
			return bboltstore.Open(ctx, path, bboltstore.Options{})
		}}
	})
}
