//go:build redis

package redisstore_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint/redisstore"
	"github.com/celeriant/celeriant-go/internal/storefaults"
)

// Every batch takes effect exactly once, while processes that share a projection die.
//
//covers:g17
func TestLeasesOfProcessesThatDie(t *testing.T) {
	t.Parallel()
	server := own(t)
	client := connect(t, server.Address)
	s := open(t, client, redisstore.Options{})
	storefaults.Group{Settings: server.Address, Rounds: 2, Read: func(ctx context.Context) (a storefaults.Applied, err error) {
		applied, err := client.HGetAll(ctx, s.Key("ledger", "applied")).Result()
		if err != nil {
			return a, err
		}
		for _, text := range applied {
			n, err := strconv.Atoi(text)
			if err != nil {
				return a, err
			}
			a.Entries += n
		}
		processes, err := client.SCard(ctx, s.Key("ledger", "processes")).Result()
		a.Versions, a.Processes = len(applied), int(processes)
		return a, err
	}}.Run(t)
}
