package logstore_test

import (
	"context"

	"github.com/celeriant/celeriant-go/checkpoint/logstore"
	"github.com/celeriant/celeriant-go/internal/storefaults"
	"github.com/celeriant/celeriant-go/pool"
)

// runMember writes what there is into the ledger; the positions are in the node that is
// followed.
func runMember(ctx context.Context, m storefaults.Member) error {
	client, err := pool.New(pool.Options{Address: m.Node})
	if err != nil {
		return err
	}
	store, err := logstore.Open(ctx, client, logstore.Options{})
	if err != nil {
		return err
	}
	return m.Write(ctx, store)
}
