package natsstore_test

import (
	"context"

	"github.com/celeriant/celeriant-go/checkpoint/natsstore"
	"github.com/celeriant/celeriant-go/internal/storefaults"
	"github.com/nats-io/nats.go"
)

// runMember writes what there is into the ledger; the settings are the server's URL.
func runMember(ctx context.Context, m storefaults.Member) error {
	conn, err := nats.Connect(m.Settings, nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	store, err := natsstore.Open(ctx, conn, natsstore.Options{})
	if err != nil {
		return err
	}
	return m.Write(ctx, store)
}
