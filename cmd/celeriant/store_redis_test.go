//go:build redis

package main_test

import (
	"testing"

	"github.com/celeriant/celeriant-go/internal/dbtest"
)

func init() { morePlaces["redis"] = redisPlace }

// redisPlace starts a server for one test.
func redisPlace(t *testing.T) string {
	t.Helper()
	server, err := dbtest.StartRedis(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Kill(); err != nil {
			t.Error(err)
		}
	})
	return "redis:redis://" + server.Address
}
