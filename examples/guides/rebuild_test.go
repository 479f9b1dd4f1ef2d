package guides

import (
	"context"
	"database/sql"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/checkpoint/rebuild"
	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
	"github.com/celeriant/celeriant-go/operators"
)

// The guide to rebuilds, compiled; package stream runs them.
var _ = []any{projectAnew, cutOver}

// projectAnew builds the tables of version 2 beside those of version 1.
func projectAnew(ctx context.Context, client *celeriant.Client, db *sql.DB, store *sqlstore.Store) error {
	orders := client.Watch(celeriant.Types(org, orderType),
		celeriant.WithName("orders@2"), celeriant.WithCheckpoints(store), celeriant.WithRebuildOf("orders"))
	return operators.Project(ctx, orders, db, apply)
}

// cutOver puts version 2 in the place of version 1. Its processes do the rest.
func cutOver(ctx context.Context, store *sqlstore.Store) error {
	_, err := rebuild.CutOver(ctx, store, "orders@2", "deployment 17")
	return err
}
