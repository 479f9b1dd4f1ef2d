package checkpoint_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
)

func TestMemoryConforms(t *testing.T) {
	checkpointtest.Run(t, func(testing.TB) checkpointtest.Fixture {
		return checkpointtest.Fixture{
			Open:     func(context.Context) (checkpoint.Store, error) { return checkpoint.NewMemory(), nil },
			Records:  true,
			Notifies: true,
		}
	})
}

func TestFileConforms(t *testing.T) {
	for name, options := range map[string]checkpoint.FileOptions{
		"default":          {},
		"without flushing": {NoSync: true},
		// Compacts at nearly every change.
		"compacting": {CompactBytes: 1, NoSync: true},
	} {
		t.Run(name, func(t *testing.T) {
			checkpointtest.Run(t, func(t testing.TB) checkpointtest.Fixture {
				dir := filepath.Join(t.TempDir(), "checkpoints")
				return checkpointtest.Fixture{
					Open:     func(ctx context.Context) (checkpoint.Store, error) { return checkpoint.OpenFile(ctx, dir, options) },
					Durable:  true,
					Records:  true,
					Notifies: true,
				}
			})
		})
	}
}
