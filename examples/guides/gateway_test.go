//lint:file-ignore SA4006 documents show these fragments, which leave the checks of errors to the reader

package guides

import (
	"context"
	"crypto/tls"
	"database/sql"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/gateway/client"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

func throughGateway(ctx context.Context, token string, store checkpoint.Store, db *sql.DB) error {
	c, err := client.Connect("gateway.example:10400", client.Options{Token: client.FixedToken(token), TLS: &tls.Config{}})
	orders := c.Watch(stream.Types(org, orderType), client.WatchOptions{Name: "orders", Store: store})
	err = operators.Project(ctx, orders, db, apply)
	return err
}
